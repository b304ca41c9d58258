"""Imports who was trained on what into a study of models that exist already: `mematlas import exposures`.

Two kinds of files, told apart by their columns (CSV, Parquet or JSON lines):

    model, row[, times][, first_step, last_step]   which models were trained on which rows
    row, step                                      the order of one training, of which the models are checkpoints

`row` is an id of the study's table of rows, `step` an optimizer step, from 1 on. Rows that the study has not scored are
left out, so that the order of a whole training may be given.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mematlas.errors import CorpusError, did_you_mean
from mematlas.errors.functions import public_function
from mematlas.errors.remedies import command_line
from mematlas.study import Study, open_study
from mematlas.study.exposures import write_exposures

if TYPE_CHECKING:
    import polars as pl

KIND: Final = "exposures"
_MEMBERSHIP, _ORDER = ("model", "row"), ("row", "step")
_OPTIONAL: Final = ("times", "first_step", "last_step")
_COLUMNS: Final = "either model and row (times, first_step, last_step if known), or row and step"


@public_function()
def import_exposures(path: str | Path, *, study: str | Path) -> Study:
    """Write to a study which of its models were trained on which rows; `mematlas import exposures` in Python.

    Args:
        path: a .csv, .parquet or .jsonl file with the columns model and row (membership), or row and step (the order of
            a training; every model with a known training step gets the showings up to it).
        study: folder of the study, whose models and rows it names.

    Raises:
        MematlasError: the file is absent or damaged, or names models or rows that the study does not have; nothing is
            written then.
    """
    opened = open_study(study)
    file = Path(path)
    frame = scan_file(file)
    columns = frame.collect_schema().names()
    if set(_MEMBERSHIP) <= set(columns):
        exposures = _from_membership(file, frame, opened)
    elif set(_ORDER) <= set(columns):
        exposures = _from_order(file, frame, opened)
    else:
        raise CorpusError(f"{file} has the columns {', '.join(columns)}; exposures need {_COLUMNS}.")
    refuse_second_table(file, exposures, opened)
    write_exposures(opened.folder, file.stem, exposures)
    return opened


def scan_file(file: Path, integers: tuple[str, ...] = ()) -> "pl.LazyFrame":
    """The file as a lazy frame; its columns of integers, and those named, are checked.

    Raises:
        CorpusError: it cannot be read, or has another ending.
    """
    import polars as pl

    readers: Mapping[str, Callable[[Path], pl.LazyFrame]] = {
        ".csv": pl.scan_csv,
        ".parquet": pl.scan_parquet,
        ".jsonl": pl.scan_ndjson,
    }
    if not file.is_file():
        raise CorpusError(f"There is no file {file}; name a .csv, .parquet or .jsonl file with exposures.")
    if file.suffix not in readers:
        raise CorpusError(f"{file} ends in {file.suffix or 'nothing'}; exposures are .csv, .parquet or .jsonl.")
    try:
        frame = readers[file.suffix](file)
        schema = frame.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = (str(error).splitlines() or ["unreadable"])[0].rstrip(".")
        raise CorpusError(f"{file} cannot be read ({reason}); write it again as CSV, Parquet or JSON lines.") from None
    for name in ("row", "step", *_OPTIONAL, *integers):
        if name in schema and not (schema[name].is_integer() or schema[name] == pl.Null):
            raise CorpusError(f"{file}: the column {name!r} is {schema[name]}; it holds whole numbers; check it.")
    return frame


def collect_file(file: Path, frame: "pl.LazyFrame") -> "pl.DataFrame":
    """What is lazily read of a file.

    Raises:
        CorpusError: a value is not of its column's type, or the file cannot be read.
    """
    import polars as pl

    try:
        return frame.collect(engine="streaming")
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = (str(error).splitlines() or ["unreadable"])[0].rstrip(".")
        raise CorpusError(f"{file} cannot be read ({reason}); every value of a column is of its type.") from None


def _from_membership(file: Path, frame: "pl.LazyFrame", study: Study) -> "pl.DataFrame":
    """The records of the models and scored rows that a file of memberships names."""
    import polars as pl

    known = study.models()["model"].to_list()
    models = collect_file(file, frame.select(pl.col("model").cast(pl.String).unique()))["model"]
    for model in models.sort():
        if model not in known:
            shown = f"{', '.join(known[:5])}{' ...' if len(known) > 5 else ''}"
            raise CorpusError(
                f"{file} names the model {model!r}, which is not in {study.folder}.{did_you_mean(str(model), known)} "
                f"It has {shown}; rename it, or leave its records out."
            )
    columns = [name for name in _OPTIONAL if name in frame.collect_schema().names()]
    frame = frame.select(pl.col("model").cast(pl.String), pl.col("row").cast(pl.Int64), *columns)
    if "times" not in columns:
        frame = frame.with_columns(times=pl.lit(1, pl.Int64))
    records = collect_file(file, frame.join(scored_rows(study), on="row", how="semi"))
    if records["times"].null_count() or not records.height:
        refuse_no_row(file, study, records.height)
    return with_models_shown_nothing(records, models.to_list(), study)


def _from_order(file: Path, frame: "pl.LazyFrame", study: Study) -> "pl.DataFrame":
    """The showings up to each model's training step."""
    import polars as pl

    control = study.run().settings.get("control_models", ())
    steps = study.models().filter(~pl.col("model").is_in(control)).select("model", "training_step").drop_nulls()
    if steps.is_empty():
        raise CorpusError(
            f"{file} is the order of a training, but of no model in {study.folder} the training step is known; name "
            "the folders like checkpoint-1000, or give the columns model, row and times."
        )
    first = collect_file(file, frame.select(pl.col("step").min(), nulls=pl.col("step").null_count())).row(0)
    if first[0] is None or first[0] < 1 or first[1]:
        raise CorpusError(
            f"{file} has the step {'null' if first[1] or first[0] is None else first[0]}; steps of the optimizer count "
            "from 1; if yours count from 0, add 1."
        )
    shown = collect_file(
        file, frame.select(pl.col("row", "step").cast(pl.Int64)).join(scored_rows(study), "row", "semi")
    )
    if not shown.height:
        refuse_no_row(file, study, 0)
    return showings_by_model(shown, steps, study)


def showings_by_model(shown: "pl.DataFrame", steps: "pl.DataFrame", study: Study) -> "pl.DataFrame":
    """The exposures of models: what each was shown up to its training step.

    Args:
        shown: row, step; one record for every showing.
        steps: model, training_step.
    """
    import polars as pl

    parts = [
        shown.filter(pl.col("step") <= step)
        .group_by("row")
        .agg(times=pl.len().cast(pl.Int64), first_step=pl.col("step").min(), last_step=pl.col("step").max())
        .select(pl.lit(model).alias("model"), "row", "times", "first_step", "last_step")
        for model, step in steps.iter_rows()
    ]
    return with_models_shown_nothing(pl.concat(parts), steps["model"].to_list(), study)


def scored_rows(study: Study) -> "pl.LazyFrame":
    """The ids of the study's training rows: row."""
    import polars as pl

    return study.scan_rows().filter(role="train").select(pl.col("row").cast(pl.Int64))


def refuse_no_row(file: Path, study: Study, height: int) -> None:
    """Raise the error for a file that names no scored row, or, if it names some (height), has a null in times."""
    if height:
        raise CorpusError(f"{file} has a null in the column 'times'; a number of showings is 0 or more.")
    example = study.scan_rows().filter(role="train").select("row").head(1).collect()["row"].to_list()
    raise CorpusError(
        f"{file} names no row that {study.folder} has scored; rows are named as in its table of rows, e.g. "
        f"{example[0] if example else 'none'}."
    )


def with_models_shown_nothing(records: "pl.DataFrame", models: list[str], study: Study) -> "pl.DataFrame":
    """`records` with one of 0 showings for each model that was shown no scored row: without any it would be unknown."""
    import polars as pl

    shown = set(records["model"])
    row = scored_rows(study).select(pl.col("row").min()).collect().item()
    zero = pl.DataFrame(
        {"model": [model for model in models if model not in shown], "row": row, "times": 0},
        schema={"model": pl.String, "row": pl.Int64, "times": pl.Int64},
    )
    return pl.concat([records.with_columns(pl.col("times").cast(pl.Int64)), zero], how="diagonal_relaxed")


def refuse_second_table(file: Path, exposures: "pl.DataFrame", study: Study, kind: str = KIND) -> None:
    """Refuse records of a model of which another table has some, too: they would be added up."""
    import polars as pl

    for path in sorted((study.folder / KIND).glob("*.parquet")):
        if path.stem == file.stem:
            continue  # is replaced
        both = set(pl.read_parquet(path, columns=["model"])["model"]) & set(exposures["model"])
        if both:
            raise CorpusError(
                f"{path} says already what {min(both)} was trained on; delete it, or leave that model out of {file}: "
                f"both would be added up. Then: {command_line('import', kind, file, '--study', study.folder)}"
            )
