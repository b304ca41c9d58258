"""Sentences about other occurrences of a gallery row, and their place on the page."""

import polars as pl
import pytest

from mematlas.errors import StudyError
from mematlas.report.gallery import read_gallery
from mematlas.report.occurrences import describe_occurrences, read_occurrences
from mematlas.report.page import write_report
from tests.report import sample_findings as sample


def occurrence(number, elsewhere=1, **changed):
    record = {
        "row": 7,
        "context": 2,
        "continuation": 4,
        "elsewhere": elsewhere,
        "place": number,
        "corpus_row": 10 + (number or 0),
    }
    return record | {"offset": 3, "same_row": False, "source": "os.py", "training_step": None} | changed


def write(folder, records, run=sample.RUN):
    (folder / "gallery").mkdir(exist_ok=True)
    frame = pl.DataFrame(records, infer_schema_length=None, schema_overrides={"source": pl.String})
    frame.write_parquet(folder / "gallery" / "places.parquet", metadata={"mematlas.run": run})


@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        ([occurrence(1)], "This continuation also occurs in: os.py, row 11, offset 3 tokens."),
        (
            [occurrence(at, 4) for at in (1, 2, 3, 4)],
            "This continuation also occurs in: os.py, row 11, offset 3 tokens; os.py, row 12, offset 3 tokens; os.py, "
            "row 13, offset 3 tokens; 1 more place.",
        ),
        (
            [occurrence(at, 2003) for at in range(1, 11)],
            "This continuation also occurs in: os.py, row 11, offset 3 tokens; os.py, row 12, offset 3 tokens; os.py, "
            "row 13, offset 3 tokens; 2,000 more places.",
        ),
        (
            [occurrence(1, source=None, same_row=True, training_step=5)],
            "This continuation also occurs in: this row itself, offset 3 tokens, shown at training step 5.",
        ),
        ([occurrence(None, 0)], "This continuation occurs nowhere else in the corpus."),
        (
            [occurrence(None, None)],
            "Whether this continuation occurs elsewhere is unknown: it crosses the end of a document.",
        ),
    ],
)
def test_occurrences_are_described_in_a_sentence(records, sentence):
    assert describe_occurrences(records) == sentence


def test_occurrences_are_listed_in_order_for_each_cell(tmp_path):
    write(tmp_path, [occurrence(2, 2), occurrence(1, 2), occurrence(1, 1, row=8), occurrence(None, 0, continuation=9)])
    sentences = read_occurrences(tmp_path, sample.RUN)
    assert set(sentences) == {(7, 2, 4), (8, 2, 4), (7, 2, 9)}
    assert sentences[7, 2, 4].index("row 11") < sentences[7, 2, 4].index("row 12")


def test_occurrences_are_on_the_page_as_text_without_scripts(tmp_path):
    study = sample.study(tmp_path, [sample.lines()])
    write(tmp_path, [occurrence(1, source=sample.HOSTILE)])
    page = write_report(study).read_text()
    assert page.count('<p class="small occurrences">') == 1
    assert "occurs in: &lt;script&gt;alert" in page
    assert sample.HOSTILE not in page
    assert page.index('id="row-7"') < page.index('class="small occurrences"') < page.index('id="row-300"')
    assert "shown 32 times in training" in page


def test_a_gallery_without_occurrences_does_not_mention_them(tmp_path):
    study = sample.study(tmp_path, [sample.lines()])
    assert [entry.occurrences for entry in read_gallery(tmp_path, sample.RUN)] == [None, None]
    assert 'class="small occurrences"' not in write_report(study).read_text()


def test_occurrences_of_another_run_are_not_shown(tmp_path):
    write(tmp_path, [occurrence(1)], "another")
    assert read_occurrences(tmp_path, sample.RUN) == {}
    assert len(read_occurrences(tmp_path, "another")) == 1


def test_a_damaged_table_is_reported_in_one_line(tmp_path):
    write(tmp_path, [{"row": 7}])
    with pytest.raises(StudyError, match=r"places\.parquet is damaged .*context"):
        read_occurrences(tmp_path, sample.RUN)


def test_the_finding_and_the_pages_own_section_have_different_anchors(tmp_path):
    page = write_report(sample.study(tmp_path, [sample.finding_with(sample.lines(), name="provenance")])).read_text()
    assert page.count('id="provenance"') == 1
    assert page.count('id="run-provenance"') == 1
