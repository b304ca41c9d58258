"""A commented study file to start from: what `mematlas init` writes."""

from typing import Any, Final

import yaml

from mematlas.errors.remedies import command_line
from mematlas.pipeline.study_file import StudyFile

_SECTIONS: Final = {
    "Models": ("models", "order", "control_models"),
    "Corpus and control": (
        "corpus",
        "rows",
        "control",
        "control_rows",
        "format",
        "row_length",
        "token_dtype",
        "column",
        "cut",
        "allow_short",
    ),
    "Study folder": ("study",),
    "Scoring": (
        "context",
        "continuation",
        "align",
        "objective",
        "depth",
        "signals",
        "hidden_rows",
        "hidden_layer",
        "temperature",
        "eos",
        "bos",
    ),
    "Row features: what the corpus contains of the rows": ("features", "scope", "eod", "joined", "training_order"),
    "Predictors, analyses and report": (
        "predictors",
        "predictor_seeds",
        "analyses",
        "gallery",
        "gallery_rows",
        "report",
    ),
    "Execution": (),  # all other keys
}
_HEADER: Final = """\
# A study file: `{run}` does everything that is missing, and nothing twice.
# `{dry_run}` shows beforehand what that is. Paths are relative to this file.
# A line such as `#align: start` shows a default; remove the # to change it.
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
    parts = [_HEADER.format(run=command_line("run", name), dry_run=command_line("run", "--dry-run", name))]
    for title, fields in _SECTIONS.items():
        parts.append(f"\n# ---- {title}\n")
        parts += [_entry(field, values) for field in fields or others]
    return "".join(parts)


def _entry(name: str, values: dict[str, Any]) -> str:
    """The lines of a key: its meaning as a comment, then its value, or its default as a comment."""
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
