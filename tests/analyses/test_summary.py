"""The summary of a study in which rows are copies of each other."""

import pytest

from mematlas.analyses.summary import summarize
from tests.analyses.awkward_studies import full_study, recited_only
from tests.analyses.frames.test_distinct_texts import mails
from tests.analyses.study_folders import write_study
from tests.analyses.synthetic_tables import tables, with_copies

TEXT_COLUMNS = ("texts", "recited_texts", "text_share", "text_lower", "text_upper")


def test_texts_stand_beside_rows(tmp_path):
    record = summarize(write_study(mails(), tmp_path)).row(0, named=True)
    assert (record["rows"], record["recited"], record["texts"], record["recited_texts"]) == (294, 128, 150, 8)
    assert [record[name] for name in TEXT_COLUMNS[2:]] == pytest.approx([8 / 150, 0.02727, 0.10170], abs=1e-5)


@pytest.mark.parametrize("study", [full_study, lambda: with_copies(full_study(), range(200)), recited_only])
def test_without_copies_or_without_all_scores_texts_are_null(tmp_path, study):
    summary = summarize(write_study(study(), tmp_path))
    assert summary.select(TEXT_COLUMNS).null_count().row(0) == (summary.height,) * len(TEXT_COLUMNS)


def test_texts_are_counted_within_each_group(tmp_path):
    study = with_copies(tables({"m": {(32, 32): [32, 32, 0, 0]}}, repetitions=[1, 2, 2, 2]), [0, 0, 1, 1])
    found = summarize(write_study(study, tmp_path), ("model", "repetitions")).sort("repetitions")
    assert found.select("repetitions", "rows", "texts", "recited_texts").rows() == [(1, 1, 1, 1), (2, 3, 2, 1)]
