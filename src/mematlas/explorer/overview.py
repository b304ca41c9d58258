"""What a study has to show: its models, cells, fields and findings, and what it lacks."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from mematlas.errors import MematlasError, StudyError
from mematlas.explorer.fields import Field
from mematlas.explorer.filters import default_view
from mematlas.explorer.lines import ROLES, Lines
from mematlas.explorer.row import reasons
from mematlas.explorer.texts import Texts
from mematlas.findings.finding import findings_folder
from mematlas.io.paths import is_remote
from mematlas.scoring.again import scoring_command
from mematlas.study import read_json

_POLARS: Final = """study = mematlas.open_study({folder!r})
lines = study.scan_scores({run!r}).join(study.scan_rows({run!r}), on="row")
lines.filter(model={model!r}, context={context}, continuation={continuation}).collect()"""


def describe_study(lines: Lines, texts: Texts, fields: Mapping[str, Field]) -> dict[str, Any]:
    """The answer to /api/study."""
    view = default_view(lines)
    folder = str(lines.study.folder if is_remote(lines.study.folder) else lines.study.folder.resolve())
    place = {"folder": folder, "run": lines.run.key}
    grid = lines.grid
    return {
        "name": folder.rstrip("/").rpartition("/")[2],
        **place,
        "models": lines.models,
        "cells": [
            {"context": context, "continuation": continuation}
            for context in grid.contexts
            for continuation in grid.continuations
        ],
        "default": {name: value for name, value in asdict(view).items() if name != "compare"},
        "roles": [role for role in ROLES if (lines.rows["role"] == role).any()],
        "rows": lines.rows.height,
        "fields": [field.to_json() for field in fields.values()],
        "has": reasons(lines, texts),
        "levels": list(lines.levels),
        "is_graded": lines.is_graded,
        "findings": _findings(lines),
        "polars_note": _POLARS.format(**place, **asdict(view)),
        "next_command": _next_command(lines),
    }


def _next_command(lines: Lines) -> str | None:
    """The command that scores exported rows again, with {file} for the list of their ids; None if it is not known."""
    try:
        return scoring_command(lines.study, lines.run.key, "ids:{file}", f"{lines.study.folder}-selection")
    except MematlasError:
        return None


def _findings(lines: Lines) -> list[dict[str, str]]:
    """name, title and headline of the findings; those that are damaged are left out: the report says so."""
    folder = findings_folder(lines.study.folder, lines.run.key)
    found = []
    for path in sorted(folder.glob("*/finding.json")):
        try:
            finding = read_json(path, "analyze the study again") or {}
        except StudyError:
            continue
        found.append({"name": path.parent.name, **{key: str(finding.get(key, "")) for key in ("title", "headline")}})
    return found
