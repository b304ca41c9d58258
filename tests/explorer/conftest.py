"""Studies that the explorer shows: one scored by stand-ins, one synthetic with every kind of record."""

import pytest

from mematlas.cli import run
from mematlas.explorer.routes import Explorer
from mematlas.study import open_study
from tests import study_shelf as shelves
from tests.analyses import awkward_studies as studies
from tests.analyses.study_folders import write_study
from tests.analyses.synthetic_tables import with_features, with_places, with_predictions, with_signals


@pytest.fixture(scope="session")
def shelf(tmp_path_factory):
    """A folder with a corpus, and a study of it in six shards, without row features."""
    folder = shelves.fill(tmp_path_factory.mktemp("explored"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        options = ["--corpus", "rows.npy", "--control", "control.npy", "--context", "8", "--continuation", "4,12"]
        models = ["parrot:rows.npy", "parrot:half.npy:16"]
        assert run(["score", *models, *options, "--signals", "free,truth", "--shards", "6", "--study", "study"]) == 0
    return folder


@pytest.fixture(scope="session")
def full_folder(tmp_path_factory):
    """A synthetic study with everything that a study may have."""
    tables = studies.with_holes()
    documents = [(studies.pl.col("row") // 5).alias("document"), (studies.pl.col("row") % 3).cast(str).alias("source")]
    tables = studies.replace(tables, rows=tables.rows.with_columns(documents))
    tables = with_predictions(with_signals(with_places(with_features(tables))))
    folder = tmp_path_factory.mktemp("everything") / "study"
    write_study(tables, folder)
    return folder


@pytest.fixture(scope="session")
def full(full_folder):
    return Explorer(open_study(full_folder))
