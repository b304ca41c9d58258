"""`mematlas init`."""

from pathlib import Path

from mematlas.errors import StudyError
from mematlas.pipeline.study_file import EXAMPLE, study_file_text
from mematlas.study import translate_os_errors


def init(study_file: Path = Path("study.yaml")) -> None:
    """Write a commented study file to begin with: every key, what it means, and its default.

    Example: mematlas init study.yaml

    Parameters
    ----------
    study_file
        Where it is written; a file that is there is left as it is.
    """
    with translate_os_errors(study_file):
        study_file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with study_file.open("x", encoding="utf-8") as file:
            file.write(study_file_text(EXAMPLE, study_file.name))
    except FileExistsError:
        raise StudyError(f"{study_file} is there already and is left as it is; name another file.") from None
    except OSError as error:
        raise StudyError(f"{study_file} cannot be written ({error.strerror}); name another file.") from None
    print(f"{study_file} is written. Name your models and corpus in it, then: mematlas run --dry-run {study_file}")
