"""`mematlas init`."""

from pathlib import Path

from mematlas.errors import StudyError
from mematlas.errors.remedies import command_line
from mematlas.pipeline.experiment import experiment_file_text
from mematlas.pipeline.study_file_template import EXAMPLE, study_file_text
from mematlas.study import translate_os_errors


def init(study_file: Path | None = None, *, experiment: str | None = None) -> None:
    """Write a commented study file as a starting point: every key with its meaning and default.

    Example: mematlas init study.yaml

    Parameters
    ----------
    study_file
        Where to write it, by default study.yaml or NAME.yaml; an existing file is not overwritten.
    experiment
        Write the file of this experiment instead; `mematlas list experiments` names them.
    """
    study_file = study_file or Path("study.yaml" if experiment is None else f"{experiment}.yaml")
    if experiment is None:
        text = study_file_text(EXAMPLE, study_file.name)
    else:
        text = experiment_file_text(experiment, path=study_file)
    with translate_os_errors(study_file):
        study_file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with study_file.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise StudyError(f"{study_file} already exists and is not overwritten; name another file.") from None
    except OSError as error:
        raise StudyError(f"{study_file} cannot be written ({error.strerror}); name another file.") from None
    if experiment is None:
        run = command_line("run", "--dry-run", study_file)
        print(f"Wrote {study_file}. Fill in your models and corpus, then: {run}")
    else:
        print(f"Wrote {study_file}. Change what you like, then: {command_line('experiment', experiment, study_file)}")
