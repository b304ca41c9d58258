"""The command `mematlas experiment forget FILE` on synthetic texts: what torchrun starts in the tests."""

import sys
from pathlib import Path

from mematlas.cli import run
from mematlas.experiments.data import study_rows
from tests.experiments.conftest import documents


def run_forget(path: Path) -> int:
    before = study_rows.standard_library_documents
    study_rows.standard_library_documents = documents
    try:
        return run(["experiment", "forget", str(path)])
    finally:
        study_rows.standard_library_documents = before


if __name__ == "__main__":
    sys.exit(run_forget(Path(sys.argv[1])))
