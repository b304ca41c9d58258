"""`mematlas init`."""

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from pydantic import BaseModel

from mematlas.cli.output import write_new
from mematlas.errors.remedies import command_line
from mematlas.experiments import EXPERIMENTS
from mematlas.pipeline.experiment import experiment_file_text
from mematlas.pipeline.study_file import StudyFile
from mematlas.pipeline.study_file_template import EXAMPLE, study_file_text
from mematlas.pipeline.yaml_file import editor_schema, schema_line
from mematlas.study import translate_os_errors, write_text


def init(
    study_file: Path | None = None,
    *,
    experiment: str | None = None,
    schema: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Write a commented study file as a starting point: every key with its meaning and default.

    Example: mematlas init study.yaml --schema

    Parameters
    ----------
    study_file
        Where to write it, by default study.yaml or NAME.yaml; an existing file is not overwritten.
    experiment
        Write the file of this experiment instead; `mematlas list experiments` names them.
    schema
        Also write FILE.schema.json, by which editors check and complete the file; beside an existing file only this.
    """
    study_file = study_file or Path("study.yaml" if experiment is None else f"{experiment}.yaml")
    if experiment is None:
        text = study_file_text(EXAMPLE, study_file.name)
    else:
        text = experiment_file_text(experiment, path=study_file)
    with translate_os_errors(study_file):
        study_file.parent.mkdir(parents=True, exist_ok=True)
    if schema:
        model = StudyFile if experiment is None else EXPERIMENTS.load(experiment).config
        line = _write_schema(study_file.with_suffix(".schema.json"), model)
        if study_file.exists():
            print(f"Put this line at the top of {study_file}: {line.rstrip()}")
            return
        text = line + text
    write_new(study_file, text, "file")
    if experiment is None:
        run = command_line("run", "--dry-run", study_file)
        print(f"Wrote {study_file}. Fill in your models and corpus, then: {run}")
    else:
        print(f"Wrote {study_file}. Change what you like, then: {command_line('experiment', experiment, study_file)}")


def _write_schema(path: Path, model: type[BaseModel]) -> str:
    """Write the schema of a file with the keys of `model`; returns the line by which such a file names it."""
    write_text(path, json.dumps(editor_schema(model), indent=1, ensure_ascii=False) + "\n")
    print(f"Wrote {path}, by which editors with YAML support check the file.")
    return schema_line(path)
