"""The runs noted in a study's folder: one question each, whose key is a hash of all that can change a number."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from mematlas.errors import StudyError
from mematlas.io.local_copies import read_bytes
from mematlas.study.shards import write_table


def fingerprint(value: object) -> str:
    """20 hexadecimal digits of a hash of `value` as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()


@dataclass(frozen=True, slots=True)
class Run:
    """One question of a study. shards: how many each model has; models: label -> folder name.

    Raises:
        ValueError: a name is no name of a single folder, so that it could lead out of the study.
    """

    key: str
    rows_key: str
    shards: int
    models: dict[str, str]
    question: dict[str, Any]
    asked: float

    def __post_init__(self) -> None:
        for name in (self.key, self.rows_key, *self.models.values()):
            if not is_folder_name(name):
                raise ValueError(f"{name!r} is not the name of a folder in the study")


def is_folder_name(name: object) -> bool:
    """Whether `name` is one part of a path, and leads neither up nor elsewhere."""
    return isinstance(name, str) and name not in ("", ".", "..") and not set(name) & set("/\\\0")


def read_run(path: Path) -> Run:
    """The run noted in a file of runs/.

    Raises:
        StudyError: it is damaged, or names folders outside the study.
    """
    try:
        return Run(**json.loads(read_bytes(path)))
    except (ValueError, TypeError, AttributeError) as error:
        raise StudyError(f"{path} is damaged ({error}); delete it and run the same command again.") from None


def read_facts(path: Path, remedy: str) -> dict[str, Any] | None:
    """What a JSON file of the study says; None where there is none.

    Raises:
        StudyError: it is damaged.
    """
    if not path.is_file():
        return None
    try:
        found = json.loads(read_bytes(path))
    except ValueError as error:
        raise StudyError(f"{path} is damaged ({error}); {remedy}.") from None
    if not isinstance(found, dict):
        raise StudyError(f"{path} is damaged (it holds no object); {remedy}.")
    return found


def write_model(study: Path, name: str, line: dict[str, Any]) -> None:
    """The line of a model in the `models/` table; what `line` does not tell is null."""
    text, number = pa.string(), pa.int64()
    schema = pa.schema(
        [
            pa.field("model", text, nullable=False),
            pa.field("spec", text),
            pa.field("parameters", number),
            pa.field("training_step", number),
            pa.field("tokenizer", text),
            pa.field("vocabulary", number),
            pa.field("fingerprint", text),
        ]
    )
    known = {field: line.get(field) for field in schema.names}
    write_table(study / "models" / f"{name}.parquet", pa.Table.from_pylist([known], schema=schema))
