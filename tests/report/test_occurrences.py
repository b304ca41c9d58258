"""Where else a row of the gallery stands, in words, and on the page."""

import polars as pl
import pytest

from mematlas.errors import StudyError
from mematlas.report.gallery import read_gallery
from mematlas.report.occurrences import read_places, stands
from mematlas.report.page import write_report
from tests.report import sample_findings as made


def place(number, elsewhere=1, **changed):
    line = {
        "row": 7,
        "context": 2,
        "continuation": 4,
        "elsewhere": elsewhere,
        "place": number,
        "corpus_row": 10 + (number or 0),
    }
    return line | {"offset": 3, "same_row": False, "source": "os.py", "training_step": None} | changed


def write(folder, lines, run=made.RUN):
    (folder / "gallery").mkdir(exist_ok=True)
    frame = pl.DataFrame(lines, infer_schema_length=None, schema_overrides={"source": pl.String})
    frame.write_parquet(folder / "gallery" / "places.parquet", metadata={"mematlas.run": run})


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([place(1)], "This continuation also stands in: os.py, row 11, offset 3 tokens."),
        (
            [place(at, 4) for at in (1, 2, 3, 4)],
            "This continuation also stands in: os.py, row 11, offset 3 tokens; os.py, row 12, offset 3 tokens; os.py, "
            "row 13, offset 3 tokens; 1 more place.",
        ),
        (
            [place(at, 2003) for at in range(1, 11)],
            "This continuation also stands in: os.py, row 11, offset 3 tokens; os.py, row 12, offset 3 tokens; os.py, "
            "row 13, offset 3 tokens; 2,000 more places.",
        ),
        (
            [place(1, source=None, same_row=True, training_step=5)],
            "This continuation also stands in: this row itself, offset 3 tokens, shown at training step 5.",
        ),
        ([place(None, 0)], "This continuation stands nowhere else in the corpus."),
        (
            [place(None, None)],
            "Where else this continuation stands is not known: it crosses the end of a document.",
        ),
    ],
)
def test_places_in_words(lines, words):
    assert stands(lines) == words


def test_places_are_told_in_order_under_their_own_cell(tmp_path):
    write(tmp_path, [place(2, 2), place(1, 2), place(1, 1, row=8), place(None, 0, continuation=9)])
    found = read_places(tmp_path, made.RUN)
    assert set(found) == {(7, 2, 4), (8, 2, 4), (7, 2, 9)}
    assert found[7, 2, 4].index("row 11") < found[7, 2, 4].index("row 12")


def test_places_stand_on_the_page_as_text_that_needs_no_script(tmp_path):
    study = made.study(tmp_path, [made.lines()])
    write(tmp_path, [place(1, source=made.HOSTILE)])
    page = write_report(study).read_text()
    assert page.count('<p class="small stands">') == 1
    assert "stands in: &lt;script&gt;alert" in page
    assert made.HOSTILE not in page
    assert page.index('id="row-7"') < page.index('class="small stands"') < page.index('id="row-300"')
    assert "shown 32 times in training" in page


def test_a_gallery_without_places_says_nothing_of_them(tmp_path):
    study = made.study(tmp_path, [made.lines()])
    assert [entry.stands for entry in read_gallery(tmp_path, made.RUN)] == [None, None]
    assert 'class="small stands"' not in write_report(study).read_text()


def test_places_of_another_run_are_not_shown(tmp_path):
    write(tmp_path, [place(1)], "another")
    assert read_places(tmp_path, made.RUN) == {}
    assert len(read_places(tmp_path, "another")) == 1


def test_damaged_places_are_one_line(tmp_path):
    write(tmp_path, [{"row": 7}])
    with pytest.raises(StudyError, match=r"places\.parquet is damaged .*context"):
        read_places(tmp_path, made.RUN)


def test_the_finding_and_the_pages_own_section_have_different_anchors(tmp_path):
    page = write_report(made.study(tmp_path, [made.finding_with(made.lines(), name="provenance")])).read_text()
    assert page.count('id="provenance"') == 1
    assert page.count('id="made"') == 1
