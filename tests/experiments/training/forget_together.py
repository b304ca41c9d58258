"""The command `mematlas experiment forget FILE` on synthetic texts: what torchrun starts in the tests."""

import sys
from pathlib import Path

from mematlas.cli import run
from mematlas.experiments.data import documents as data_documents
from tests.experiments.conftest import documents


def run_forget(path: Path) -> int:
    before = data_documents.standard_library_documents
    data_documents.standard_library_documents = documents
    try:
        return run(["experiment", "forget", str(path)])
    finally:
        data_documents.standard_library_documents = before


if __name__ == "__main__":
    sys.exit(run_forget(Path(sys.argv[1])))
