"""A study file: a whole study in one YAML file, checked before anything is begun.

Its keys are the options of `mematlas score` (they are the same fields) and what is made of the scores. Paths are
relative to the file's folder.
"""

from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import Field, ValidationError, ValidationInfo, field_validator

from mematlas.analyses import ANALYSES
from mematlas.errors import OptionError, StudyError, short
from mematlas.index.base import Scope
from mematlas.io.paths import is_remote, is_url
from mematlas.models import MODELS
from mematlas.registry import nearest
from mematlas.scoring.config import ScoreConfig, resolve_config

_MODELS = "Folders, hub ids (owner/name[@revision]), .gguf files, or stand-ins such as uniform:50304."


class StudyFile(ScoreConfig):
    """The keys of a study file."""

    models: list[str] = Field(description=_MODELS, min_length=1)
    features: bool = Field(
        default=True, description="Count every row's n-grams and copies in the whole corpus; it is read twice or more."
    )
    scope: Scope = Field(default="documents", description="Within what n-grams count: rows, documents, or stream.")
    eod: int | None = Field(default=None, description="Id of the token that ends a document inside rows.", ge=0)
    joined: bool = Field(default=False, description="Rows are consecutive cuts of one text; needs eod.")
    training_order: Path | None = Field(
        default=None, description=".npy of row positions as training showed them: counts are then of that stream."
    )
    predictors: Literal["all", "last", "none"] = Field(
        default="all",
        description="Fit predictors to hidden states (signals: hidden) of all models, of the last, or not.",
    )
    predictor_seeds: int = Field(default=3, description="Splits and first weights that are tried.", gt=0)
    analyses: list[str] = Field(default=["all"], description="Names that `mematlas list analyses` shows, or all.")
    gallery: bool = Field(default=True, description="Rows worth looking at, token by token, with the largest model.")
    gallery_rows: int = Field(default=24, description="Rows that the analyses may put into the gallery.", gt=0)
    report: bool = Field(default=True, description="Write all of it as one page, STUDY/report.html.")

    @field_validator(
        "models", "control_models", "context", "continuation", "signals", "temperature", "analyses", mode="before"
    )
    @classmethod
    def _listed(cls, value: object) -> object:
        """One value may stand for a list of one."""
        return value if isinstance(value, list) else [value]

    @field_validator("joined")
    @classmethod
    def _told_apart(cls, joined: bool, known: ValidationInfo) -> bool:
        if joined and known.data.get("eod") is None:
            raise ValueError("joined rows need the key eod, the token that alone tells their documents apart")
        return joined

    @field_validator("analyses")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        for name in names:
            if name != "all" and name not in ANALYSES:
                raise ValueError(f"no analysis is called {name!r}.{nearest(name, list(ANALYSES))}")
        return names

    @property
    def config(self) -> ScoreConfig:
        """The options of the scoring."""
        return resolve_config(**{name: getattr(self, name) for name in ScoreConfig.model_fields})

    @property
    def only(self) -> list[str]:
        """The analyses asked for, [] for all."""
        return [] if "all" in self.analyses else self.analyses


def read_study_file(path: Path) -> StudyFile:
    """The study file at `path`, its paths made relative to where we are.

    Raises:
        StudyError: there is none, or it is no YAML.
        OptionError: a key is unknown or missing, or a value breaks a rule; the message gives the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise StudyError(f"There is no study file {path}; `mematlas init {path}` writes one to begin with.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{path} cannot be read as a study file ({error}); it is a YAML file in UTF-8.") from None
    return parse_study_file(text, path)


def parse_study_file(text: str, path: Path) -> StudyFile:
    """As `read_study_file`, of a `text` that stands or will stand at `path`."""
    values, lines = _mapping(text, path)
    try:
        file = StudyFile.model_validate(values)
        file.config  # noqa: B018  rules between keys
    except ValidationError as error:
        raise OptionError(_explained(error, path, lines)) from None
    except OptionError as error:
        raise OptionError(f"{path}: {_as_keys(str(error))}") from None
    try:
        return _placed(file, path.parent)
    except (OSError, RuntimeError, ValueError) as error:  # too long a name, no such user, a NUL
        raise OptionError(f"{path}: {error}; a key that names a file or folder holds what is no path.") from None


# --------------------------------------------------------------------------------------------------------- YAML in

#: What PyYAML raises, beside its own errors, for a value that does not fit its tag, and for brackets in brackets.
_UNFIT: Final = (ValueError, ArithmeticError, LookupError, AttributeError, TypeError, RecursionError)


def _mapping(text: str, path: Path) -> tuple[dict[str, Any], dict[object, int]]:
    """The file's keys and values, and the line of every key (and of every item: (key, number))."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise StudyError(f"{path}, line {mark.line + 1 if mark else 1}: no YAML: {error.problem}.") from None
    except (yaml.YAMLError, *_UNFIT) as error:
        raise StudyError(f"{path} is no YAML ({' '.join(str(error).split())}).") from None
    if values is None:
        return {}, {}
    if not isinstance(values, dict):
        raise StudyError(f"{path} holds no keys; a study file has lines such as `corpus: tokens.npy`.")
    lines: dict[object, int] = {}
    for key, value in node.value:
        if key.tag != "tag:yaml.org,2002:str":
            raise OptionError(f"{path}, line {key.start_mark.line + 1}: the key {key.value} is no word; put quotes.")
        if key.value in lines:
            raise OptionError(
                f"{path}, line {key.start_mark.line + 1}: {key.value} stands here and in line {lines[key.value]}; "
                "keep one of them."
            )
        lines[key.value] = key.start_mark.line + 1
        if isinstance(value, yaml.SequenceNode):
            lines |= {(key.value, at): item.start_mark.line + 1 for at, item in enumerate(value.value)}
    return values, lines


def _explained(error: ValidationError, path: Path, lines: dict[object, int]) -> str:
    """The first broken rule in one line: file, line, key, rule, value."""
    # a misspelt key is told before the key that is missing for it
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    key = str(first["loc"][0])
    line = lines.get(first["loc"][:2], lines.get(key))
    place = f"{path}, line {line}" if line else f"{path}"
    if first["type"] == "extra_forbidden":
        return f"{place}: a study file has no key {key!r}.{nearest(key, list(StudyFile.model_fields))} {_REMEDY}"
    if first["type"] == "missing":
        return f"{place}: the key {key} is missing; add a line `{key}: ...`. {_REMEDY}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {key}: {message.rstrip('.')} (given: {short(first['input'])}). {_REMEDY}"


_REMEDY: Final = "`mematlas init` writes a file that explains every key."


def _as_keys(text: str) -> str:
    """Options named as keys: --row-length becomes row_length."""
    words = [
        word[2:].replace("-", "_") if word.startswith("--") and len(word) > 2 else word for word in text.split(" ")
    ]
    return " ".join(words)


# ----------------------------------------------------------------------------------------------------------- paths


def _placed(file: StudyFile, folder: Path) -> StudyFile:
    """The file with every path seen from where we are, not from its folder."""
    return file.model_copy(
        update={
            "models": [_model(spec, folder) for spec in file.models],
            "control_models": [_model(spec, folder) for spec in file.control_models],
            "corpus": _corpus(file.corpus, file.format, folder),
            "control": None if file.control is None else _corpus(file.control, file.format, folder),
            "rows": _rows(file.rows, folder),
            "control_rows": _rows(file.control_rows, folder),
            "study": file.study if is_remote(file.study) else _at(folder, str(file.study)),
            "cache": None if file.cache is None else _at(folder, str(file.cache)),
            "training_order": None if file.training_order is None else _at(folder, str(file.training_order)),
            "tokenizer": None if file.tokenizer is None else _there(file.tokenizer, folder),
        }
    )


def _at(folder: Path, path: str) -> Path:
    if "\0" in path:
        raise ValueError(f"{path!r} has a NUL in it")
    return folder / Path(path).expanduser()


def _corpus(path: str, format: str | None, folder: Path) -> str:
    """A path, but for the name of a dataset on the hub."""
    is_name = format == "datasets" and not _at(folder, path).exists()
    return path if is_name else str(_at(folder, path))


def _rows(spec: str, folder: Path) -> str:
    form, _, path = spec.partition(":")
    return f"ids:{_at(folder, path)}" if form == "ids" and not is_url(path) else spec


def _model(spec: str, folder: Path) -> str:
    """[backend:]what, where what may be a path, a hub id, or a number."""
    backend, colon, rest = spec.partition(":")
    return f"{backend}:{_there(rest, folder)}" if colon and backend in MODELS else _there(spec, folder)


def _there(text: str, folder: Path) -> str:
    """`text` in `folder` if it is a path, with or without a :NUMBER behind it; else as it is."""
    head, colon, tail = text.rpartition(":")
    path, number = (head, colon + tail) if colon and tail.isdigit() else (text, "")
    is_path = path.startswith((".", "~", "/")) or Path(path).suffix in (".npy", ".gguf")
    return f"{_at(folder, path)}{number}" if path and (is_path or _at(folder, path).exists()) else text


# -------------------------------------------------------------------------------------------------------- YAML out

_SECTIONS: Final = {
    "Who is asked": ("models", "order", "control_models"),
    "About what": ("corpus", "rows", "control", "control_rows", "format", "row_length", "token_dtype", "column", "cut"),
    "Where it is kept": ("study",),
    "How they are asked": (
        "context",
        "continuation",
        "align",
        "depth",
        "signals",
        "hidden_rows",
        "hidden_layer",
        "temperature",
        "eos",
        "bos",
    ),
    "What the corpus holds of them": ("features", "scope", "eod", "joined", "training_order"),
    "What is made of it": ("predictors", "predictor_seeds", "analyses", "gallery", "gallery_rows", "report"),
    "How it is run": (),  # all other keys
}
_HEAD: Final = """\
# A study for `mematlas run {name}`: it does all that is missing, and nothing twice.
# `mematlas run --dry-run {name}` says beforehand what that will be. Paths are relative to this file.
# A line such as `#align: start` shows a default; take the # away to change it.
"""
EXAMPLE: Final[dict[str, Any]] = {
    "models": ["EleutherAI/pythia-70m", "EleutherAI/pythia-160m"],
    "order": "size",
    "corpus": "tokens.npy",
    "rows": "first:1000",
    "study": "study",
    "context": [32],
    "continuation": [32, 64],
}


def study_file_text(values: dict[str, Any], name: str = "study.yaml") -> str:
    """A commented study file that sets `values` (models, corpus and study among them) and shows all other defaults."""
    named = {field for fields in _SECTIONS.values() for field in fields}
    others = tuple(field for field in StudyFile.model_fields if field not in named)
    parts = [_HEAD.format(name=name)]
    for title, fields in _SECTIONS.items():
        parts.append(f"\n# ---- {title}\n")
        parts += [_entry(field, values) for field in fields or others]
    return "".join(parts)


def _entry(name: str, values: dict[str, Any]) -> str:
    """A key's lines: what it means, and its value, or its default as a comment."""
    field = StudyFile.model_fields[name]
    value = values.get(name, field.default)
    if name in values and isinstance(value, list) and isinstance(next(iter(value), None), str):
        shown = "".join(f"\n  - {_scalar(item)}" for item in value)
    else:
        shown = f" {_scalar(value)}"
    return f"# {field.description}\n{'' if name in values else '#'}{name}:{shown}\n"


def _scalar(value: object) -> str:
    """`value` as YAML on one line."""
    return yaml.safe_dump([value], default_flow_style=True, width=10**6, allow_unicode=True).strip()[1:-1]
