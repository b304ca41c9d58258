"""The runs recorded in a study's folder. The key of a run is a hash of everything that can change a number."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from mematlas.errors import StudyError
from mematlas.io.local_copies import read_bytes
from mematlas.study.schemas.models import MODELS
from mematlas.study.shards import write_table


def fingerprint(value: object) -> str:
    """20 hexadecimal digits of a hash of `value` as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()


#: Fields of a run that have another name in its file.
_JSON_KEYS: Final = {"settings": "question", "requested_at": "asked"}


@dataclass(frozen=True, slots=True)
class Run:
    """One scoring job of a study: what was scored, by which models, with which settings.

    Args:
        shards: number of shards of each model.
        models: label -> folder name.
        settings: the resolved options, and what they describe: rows, corpus, fingerprints ("question" in files).
        requested_at: seconds since the epoch ("asked" in files).

    Raises:
        ValueError: a name is not that of a single folder, so that it could lead out of the study.
    """

    key: str
    rows_key: str
    shards: int
    models: dict[str, str]
    settings: dict[str, Any]
    requested_at: float

    def __post_init__(self) -> None:
        for name in (self.key, self.rows_key, *self.models.values()):
            if not is_folder_name(name):
                raise ValueError(f"{name!r} is not the name of a folder in the study")

    @property
    def question(self) -> dict[str, Any]:
        """The former name of `settings`, which recipes of findings use."""
        return self.settings

    @property
    def asked(self) -> float:
        """The former name of `requested_at`."""
        return self.requested_at

    def to_json(self) -> dict[str, Any]:
        """The content of runs/<run>.json."""
        return {_JSON_KEYS.get(name, name): value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Run":
        """The run of a file's content; as the constructor, it raises TypeError if a field is missing or unknown."""
        names = {key: name for name, key in _JSON_KEYS.items()}
        return cls(**{names.get(key, key): value for key, value in content.items()})


def is_folder_name(name: object) -> bool:
    """Whether `name` is a single part of a path, which cannot lead out of its folder."""
    return isinstance(name, str) and name not in ("", ".", "..") and not set(name) & set("/\\\0")


def read_run(path: Path) -> Run:
    """Read a run from a file of runs/.

    Raises:
        StudyError: it is damaged, or names folders outside the study.
    """
    try:
        return Run.from_json(json.loads(read_bytes(path)))
    except (ValueError, TypeError, AttributeError) as error:
        raise StudyError(f"{path} is damaged ({error}); delete it and run the same command again.") from None


def read_json(path: Path, remedy: str) -> dict[str, Any] | None:
    """The content of a JSON file of the study; None if there is no such file.

    Raises:
        StudyError: it is damaged.
    """
    if not path.is_file():
        return None
    try:
        content = json.loads(read_bytes(path))
    except ValueError as error:
        raise StudyError(f"{path} is damaged ({error}); {remedy}.") from None
    if not isinstance(content, dict):
        raise StudyError(f"{path} is damaged (it is not a JSON object); {remedy}.")
    return content


def write_model(study: Path, name: str, card: dict[str, Any]) -> None:
    """Write the table of one model in `models/`, from its card; columns that the card lacks are null."""
    row = {column: card.get(column) for column in MODELS.names}
    write_table(study / "models" / f"{name}.parquet", pa.Table.from_pylist([row], schema=MODELS))
