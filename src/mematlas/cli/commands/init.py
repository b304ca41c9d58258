"""`mematlas init`."""

from pathlib import Path

from mematlas.errors import StudyError
from mematlas.errors.remedies import command_line
from mematlas.pipeline.study_file_template import EXAMPLE, study_file_text
from mematlas.study import translate_os_errors


def init(study_file: Path = Path("study.yaml")) -> None:
    """Write a commented study file as a starting point: every key with its meaning and default.

    Example: mematlas init study.yaml

    Parameters
    ----------
    study_file
        Where to write it; an existing file is not overwritten.
    """
    with translate_os_errors(study_file):
        study_file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with study_file.open("x", encoding="utf-8") as file:
            file.write(study_file_text(EXAMPLE, study_file.name))
    except FileExistsError:
        raise StudyError(f"{study_file} already exists and is not overwritten; name another file.") from None
    except OSError as error:
        raise StudyError(f"{study_file} cannot be written ({error.strerror}); name another file.") from None
    run = command_line("run", "--dry-run", study_file)
    print(f"Wrote {study_file}. Fill in your models and corpus, then: {run}")
