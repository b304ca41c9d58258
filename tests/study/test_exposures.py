"""Tables of exposures are checked when they are written, read back, and make findings be computed again."""

import polars as pl
import pytest

import mematlas
from mematlas.errors import StudyError
from mematlas.study import Study
from mematlas.study.build_stamps import run_fingerprint
from mematlas.study.exposures import write_exposures
from mematlas.study.schemas.exposures import EXPOSURES
from tests import study_shelf as shelves

SHOWN = pl.DataFrame({"model": ["a", "a", "b"], "row": [0, 1, 0], "times": [3, 0, 1], "first_step": [2, None, 4]})


def test_exposures_are_read_back_from_all_files(tmp_path):
    write_exposures(tmp_path, "first", SHOWN)
    write_exposures(tmp_path, "second", pl.DataFrame({"model": ["c"], "row": [5], "times": [2]}))
    study = Study(tmp_path)
    assert study.has_exposures()
    assert study.scan_exposures().collect().rows() == [
        ("a", 0, 3, 2, None),
        ("a", 1, 0, None, None),
        ("b", 0, 1, 4, None),
        ("c", 5, 2, None, None),
    ]
    assert study.scan_exposures().collect_schema().names() == EXPOSURES.names


def test_a_study_without_exposures_says_so(tmp_path):
    assert not Study(tmp_path).has_exposures()
    with pytest.raises(StudyError, match="does not say which models were trained on which rows"):
        Study(tmp_path).scan_exposures()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"row": [0, 0, 0]}, "have row 0 of a twice; add up"),
        ({"times": [3, -1, 1]}, "show row 1 -1 times to a"),
        ({"times": [0, 0, 1]}, "show row 0 0 times to a"),
    ],
)
def test_contradictions_are_refused(tmp_path, changed, message):
    columns = {name: pl.Series(values) for name, values in changed.items()}
    with pytest.raises(StudyError, match=message):
        write_exposures(tmp_path, "x", SHOWN.with_columns(**columns))
    with pytest.raises(StudyError, match="lack row, times; each record needs"):
        write_exposures(tmp_path, "x", SHOWN.select("model"))
    assert not Study(tmp_path).has_exposures()


def test_other_exposures_give_another_fingerprint(tmp_path):
    shelves.fill(tmp_path)
    study = mematlas.score(
        f"parrot:{tmp_path / 'rows.npy'}",
        corpus=tmp_path / "rows.npy",
        study=tmp_path / "s",
        context=[8],
        continuation=[4],
    )
    run = study.run()
    before = run_fingerprint(study.folder, run)
    write_exposures(study.folder, "x", SHOWN)
    with_exposures = run_fingerprint(study.folder, run)
    write_exposures(study.folder, "x", SHOWN.head(2))
    assert len({before, with_exposures, run_fingerprint(study.folder, run)}) == 3
