"""A study file: a whole study in one YAML file, checked before any work begins.

Its keys are the options of `mematlas score` (they are the same fields) and those of the steps after scoring. Paths are
relative to the file's folder.
"""

from glob import has_magic
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, field_validator

from mematlas.analyses import ANALYSES
from mematlas.errors import OptionError, StudyError
from mematlas.errors.remedies import command_line
from mematlas.index.base import Scope
from mematlas.io.paths import is_remote, is_url
from mematlas.models import MODELS
from mematlas.models.peft_adapters.names import with_base
from mematlas.pipeline.yaml_file import describe_error, read_mapping
from mematlas.registry import did_you_mean
from mematlas.scoring.config import Names, ScoreConfig, resolve_config
from mematlas.types import as_list

_MODELS = "Models: folders, hub ids (owner/name[@revision]), .gguf files, or stand-ins such as uniform:50304."


class StudyFile(ScoreConfig):
    """The keys of a study file."""

    models: Names = Field(description=_MODELS, min_length=1)
    features: bool = Field(
        default=True, description="Count every row's n-grams and copies in the whole corpus; reads it twice or more."
    )
    scope: Scope = Field(
        default="documents", description="Unit within which n-grams are counted: rows, documents, or stream."
    )
    eod: int | None = Field(default=None, description="Id of the token that ends a document inside rows.", ge=0)
    joined: bool = Field(default=False, description="Rows are consecutive cuts of one text; needs eod.")
    training_order: Path | None = Field(
        default=None, description="A .npy file of row positions in training order; that stream is counted."
    )
    predictors: Literal["all", "last", "none"] = Field(
        default="all",
        description="Models for which predictors are fitted to hidden states (signals: hidden): all, last, or none.",
    )
    predictor_seeds: int = Field(
        default=3, description="Number of seeds, each with its own split and initial weights.", gt=0
    )
    analyses: Annotated[list[str], BeforeValidator(as_list)] = Field(
        default=["all"],
        description="Names listed by `mematlas list analyses`, or all.",
        json_schema_extra=lambda schema: schema.update(items={"enum": ["all", *ANALYSES]}),
    )
    gallery: bool = Field(
        default=True, description="Show rows worth looking at, token by token, with the largest model."
    )
    gallery_rows: int = Field(
        default=24, description="Maximum number of rows that the analyses may add to the gallery.", gt=0
    )
    report: bool = Field(default=True, description="Write all findings as one page, STUDY/report.html.")

    @field_validator("joined")
    @classmethod
    def _joined_needs_eod(cls, joined: bool, known: ValidationInfo) -> bool:
        if joined and known.data.get("eod") is None:
            raise ValueError("joined rows need the key eod, the token that ends their documents")
        return joined

    @field_validator("analyses")
    @classmethod
    def _are_analyses(cls, names: list[str]) -> list[str]:
        for name in names:
            if name != "all" and name not in ANALYSES:
                raise ValueError(f"no analysis is called {name!r}.{did_you_mean(name, list(ANALYSES))}")
        return names

    @property
    def config(self) -> ScoreConfig:
        """The options of scoring."""
        return resolve_config(**{name: getattr(self, name) for name in ScoreConfig.model_fields})

    @property
    def only(self) -> list[str]:
        """The chosen analyses, [] for all."""
        return [] if "all" in self.analyses else self.analyses


def read_study_file(path: Path) -> StudyFile:
    """The study file at `path`, with paths relative to the current folder.

    Raises:
        StudyError: there is none, or it is not YAML.
        OptionError: a key is unknown or missing, or a value breaks a rule; the message gives the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        init = command_line("init", path)
        raise StudyError(f"There is no study file {path}; `{init}` writes one to start from.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{path} cannot be read as a study file ({error}); it is a YAML file in UTF-8.") from None
    return parse_study_file(text, path)


def parse_study_file(text: str, path: Path) -> StudyFile:
    """As `read_study_file`, of the `text` of a file at `path`, which need not exist yet."""
    values, lines = read_mapping(text, path, "a study file has lines such as `corpus: tokens.npy`")
    try:
        file = StudyFile.model_validate(values)
        file.config  # noqa: B018  rules between keys
    except ValidationError as error:
        raise OptionError(describe_error(error, path, lines, StudyFile.model_fields, "study", _REMEDY)) from None
    except OptionError as error:
        raise OptionError(f"{path}: {_as_keys(str(error))}") from None
    try:
        return _resolve_paths(file, path.parent)
    except (OSError, RuntimeError, ValueError) as error:  # too long a name, no such user, a NUL
        raise OptionError(f"{path}: {error}; a key that names a file or folder is not a valid path.") from None


_REMEDY: Final = "`mematlas init` writes a file that explains every key."


def _as_keys(text: str) -> str:
    """A message with options named as keys: --row-length becomes row_length."""
    words = [
        word[2:].replace("-", "_") if word.startswith("--") and len(word) > 2 else word for word in text.split(" ")
    ]
    return " ".join(words)


# ----------------------------------------------------------------------------------------------------------- paths


def _resolve_paths(file: StudyFile, folder: Path) -> StudyFile:
    """The file with every path relative to the current folder instead of its own."""
    return file.model_copy(
        update={
            "models": [_model(spec, folder) for spec in file.models],
            "control_models": [_model(spec, folder) for spec in file.control_models],
            "corpus": _corpus(file.corpus, file.format, folder),
            "control": None if file.control is None else _corpus(file.control, file.format, folder),
            "rows": _rows(file.rows, folder),
            "control_rows": _rows(file.control_rows, folder),
            "study": file.study if is_remote(file.study) else _path(folder, str(file.study)),
            "cache": None if file.cache is None else _path(folder, str(file.cache)),
            "training_order": None if file.training_order is None else _path(folder, str(file.training_order)),
            "tokenizer": None if file.tokenizer is None else _in_folder(file.tokenizer, folder),
        }
    )


def _path(folder: Path, path: str) -> Path:
    if "\0" in path:
        raise ValueError(f"{path!r} contains a NUL character")
    return folder / Path(path).expanduser()


def _corpus(path: str, format: str | None, folder: Path) -> str:
    """A path relative to the current folder; the name of a dataset on the hub stays as it is."""
    is_name = format == "datasets" and not _path(folder, path).exists()
    return path if is_name else str(_path(folder, path))


def _rows(spec: str, folder: Path) -> str:
    form, _, path = spec.partition(":")
    return f"ids:{_path(folder, path)}" if form == "ids" and not is_url(path) else spec


def _model(spec: str, folder: Path) -> str:
    """[backend:]model, where model may be a path, a hub id, a number, or an adapter@base."""
    for adapter, base in with_base(spec):
        is_adapter = has_magic(adapter) or (_path(folder, adapter) / "adapter_config.json").is_file()
        if is_adapter or (_path(folder, adapter).is_dir() and _path(folder, base).exists()):
            return f"{_in_folder(adapter, folder)}@{_in_folder(base, folder)}"
    backend, colon, rest = spec.partition(":")
    return f"{backend}:{_in_folder(rest, folder)}" if colon and backend in MODELS else _in_folder(spec, folder)


def _in_folder(text: str, folder: Path) -> str:
    """`text` in `folder` if it is a path or a pattern, with or without a :NUMBER after it; otherwise unchanged."""
    head, colon, tail = text.rpartition(":")
    path, number = (head, colon + tail) if colon and tail.isdigit() else (text, "")
    is_path = path.startswith((".", "~", "/")) or Path(path).suffix in (".npy", ".gguf") or has_magic(path)
    return f"{_path(folder, path)}{number}" if path and (is_path or _path(folder, path).exists()) else text
