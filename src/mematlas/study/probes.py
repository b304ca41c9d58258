"""Writes what was measured while models were trained: STUDY/probes/<name>.parquet."""

from pathlib import Path

import pyarrow as pa

from mematlas.errors import StudyError
from mematlas.study import digest, write_table
from mematlas.study.build_stamps import PROBES_NAME, record
from mematlas.study.schemas.probes import PROBES


def write_probes(study: Path, name: str, table: pa.Table) -> Path:
    """Write a table of probes to a study, in place of an earlier one of this name; findings are computed again.

    Raises:
        StudyError: a column is missing, a measurement occurs twice, or the table cannot be written.
    """
    absent = set(PROBES.names) - set(table.column_names)
    if absent:
        raise StudyError(
            f"Probes {name} lack {', '.join(sorted(absent))}; each record needs {', '.join(PROBES.names)}."
        )
    ordered = table.select(PROBES.names).cast(PROBES)
    keys = ["arm", "step", "set", "metric"]
    counted = ordered.group_by(keys).aggregate([([], "count_all")])
    twice = [key for key in counted.to_pylist() if key["count_all"] > 1]
    if twice:
        first = twice[0]
        raise StudyError(
            f"Probes {name} have {first['metric']} of {first['set']} at step {first['step']} of {first['arm']} twice; "
            "keep one of them."
        )
    path = study / "probes" / f"{name}.parquet"
    write_table(path, ordered)
    record(study, PROBES_NAME, digest(path))
    return path
