"""Occurrences of recited rows: located, stored, and shown in the gallery, in whole studies of stand-ins."""

import numpy as np
import polars as pl
import pytest

import mematlas
from mematlas.executors.options import SINGLE_PROCESS
from mematlas.pipeline.steps.occurrences import OccurrencesStep
from mematlas.progress import Silent
from mematlas.scoring.reopen import reopen_rows
from mematlas.study import open_study
from mematlas.study.schemas.features import OCCURRENCES
from tests import study_shelf as shelves


@pytest.fixture
def shelf(tmp_path):
    """The shelf's rows; the parrot knows the first three and recites what a control row holds, too. The continuation
    of row 0 stands in row 20 as well, from token 3 on; control row 0 holds row 1."""
    shelves.fill(tmp_path)
    rows, control = np.load(tmp_path / "rows.npy"), np.load(tmp_path / "control.npy")
    rows[20, 3:15] = rows[0, 8:20]
    control[0] = rows[1]
    np.save(tmp_path / "rows.npy", rows)
    np.save(tmp_path / "few.npy", rows[:3])
    np.save(tmp_path / "control.npy", control)
    return tmp_path


def studied(shelf, **changed):
    mematlas.run(
        shelves.study_file(shelf, **{"models": "parrot:few.npy", "order": "given", "analyses": "size"} | changed)
    )
    return open_study(shelf / "study")


def test_recited_rows_and_control_rows_are_looked_up(shelf):
    study = studied(shelf)
    OccurrencesStep(study, reopen_rows(study)).execute(SINGLE_PROCESS, Silent())
    found = study.features("places").filter(continuation=12).sort("row")
    assert found.schema == pl.from_arrow(OCCURRENCES.empty_table()).schema
    assert found.select("row", "elsewhere", "corpus_row", "offset").rows() == [
        (0, 1, 20, 3),
        (1, 0, None, None),
        (2, 0, None, None),
        (30, 1, 1, 8),
    ]


def test_places_are_looked_up_once(shelf):
    study = studied(shelf)
    OccurrencesStep(study, reopen_rows(study)).execute(SINGLE_PROCESS, Silent())
    (path,) = (study.features_folder() / "places").glob("*.parquet")
    before = path.stat().st_mtime_ns
    OccurrencesStep(study, reopen_rows(study)).execute(SINGLE_PROCESS, Silent())
    assert path.stat().st_mtime_ns == before
    path.unlink()
    OccurrencesStep(study, reopen_rows(study)).execute(SINGLE_PROCESS, Silent())
    assert path.is_file()


def test_a_control_model_makes_no_row_worth_looking_up(shelf):
    study = studied(shelf, models="uniform:60", control_models="[parrot:few.npy]")
    OccurrencesStep(study, reopen_rows(study)).execute(SINGLE_PROCESS, Silent())
    assert not (study.features_folder() / "places").exists()


def test_without_features_nothing_is_looked_up(shelf):
    study = studied(shelf, features="false")
    OccurrencesStep(study, reopen_rows(study)).execute(SINGLE_PROCESS, Silent())
    assert not study.features_folder().exists()
    assert not (shelf / "study" / "gallery" / "places.parquet").exists()


def shown(shelf):
    found = pl.read_parquet(shelf / "study" / "gallery" / "places.parquet").sort("row", "place")
    return found.select("row", "continuation", "elsewhere", "corpus_row", "offset").rows()


def test_the_gallery_looks_up_its_recited_rows_in_its_cell(shelf):
    studied(shelf)
    assert shown(shelf) == [(0, 12, 1, 20, 3), (1, 12, 0, None, None), (2, 12, 0, None, None)]


def test_the_gallery_takes_what_was_looked_up_before(shelf):
    study = studied(shelf)
    OccurrencesStep(study, reopen_rows(study)).execute(SINGLE_PROCESS, Silent())
    (path,) = (study.features_folder() / "places").glob("*.parquet")
    planted = pl.read_parquet(path).with_columns(pl.col("elsewhere") + 70).filter(pl.col("row") != 2)
    planted.write_parquet(path)
    (path.parent / f"{path.stem}.done").write_text(f'{{"bytes": {path.stat().st_size}}}')
    mematlas.run(shelves.study_file(shelf, models="parrot:few.npy", order="given", analyses="size", gallery_rows="5"))
    assert [line[:3] for line in shown(shelf)] == [(0, 12, 71), (1, 12, 70), (2, 12, 0)]


def test_end_aligned_continuations_have_their_own_place(shelf):
    studied(shelf, context="[4, 8]", align="end")
    assert shown(shelf)[0] == (0, 12, 1, 20, 3)
