"""Writes which models of a study were trained on which rows: STUDY/exposures/<name>.parquet."""

from pathlib import Path
from typing import TYPE_CHECKING

from mematlas.errors import StudyError
from mematlas.study import digest, write_table
from mematlas.study.build_stamps import EXPOSURES_NAME, record
from mematlas.study.schemas.exposures import EXPOSURES

if TYPE_CHECKING:
    import polars as pl


def write_exposures(study: Path, name: str, exposures: "pl.DataFrame") -> Path:
    """Write a table of exposures to a study, in place of an earlier one of this name; findings are computed again.

    Args:
        exposures: the columns of `study.schemas.exposures.EXPOSURES`, in any order; first_step and last_step may be
            absent.

    Raises:
        StudyError: a column is missing, a model and row occur twice, times are negative, or a row is shown 0 times and
            yet in a step; or the table cannot be written.
    """
    import polars as pl

    path = study / "exposures" / f"{name}.parquet"
    absent = {"model", "row", "times"} - set(exposures.columns)
    if absent:
        raise StudyError(f"Exposures {name} lack {', '.join(sorted(absent))}; each record needs model, row and times.")
    steps = [pl.lit(None, pl.Int64).alias(step) for step in EXPOSURES.names if step not in exposures.columns]
    types = dict(pl.from_arrow(EXPOSURES.empty_table()).schema)  # type: ignore[union-attr]
    table = exposures.with_columns(steps).select(EXPOSURES.names).cast(types)
    twice = table.filter(table.select("model", "row").is_duplicated())
    if twice.height:
        model, row = twice.row(0)[:2]
        raise StudyError(f"Exposures {name} have row {row} of {model} twice; add up how often it was shown.")
    shown_never = pl.col("times") == 0
    wrong = table.filter(
        (pl.col("times") < 0) | (shown_never & pl.any_horizontal(pl.col("first_step", "last_step").is_not_null()))
    )
    if wrong.height:
        model, row, times = wrong.row(0)[:3]
        raise StudyError(
            f"Exposures {name} show row {row} {times} times to {model}; a number of times is 0 or more, and a row "
            "shown 0 times has no steps."
        )
    write_table(path, table.to_arrow().cast(EXPOSURES))
    record(study, EXPOSURES_NAME, digest(path))
    return path
