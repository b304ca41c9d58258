"""Rows in full: tokens, hits and texts of a hand-made study whose answers are known."""

from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest

import mematlas
from mematlas.display import on_one_line
from mematlas.errors import ModelError, OptionError, StudyError
from mematlas.rows import reading
from mematlas.rows.reading import read_rows
from mematlas.study.row import Piece
from tests import tiny_networks as networks
from tests.analyses.study_folders import write_study
from tests.analyses.synthetic_tables import tables, with_features, with_signals
from tests.byte_level_tokenizer import byte_level_encoder
from tests.report import sample_findings as sample

HOSTILE = "<script>alert(1)</script>\u202e\x1b[31m&\n"
TRUE = [[1, 2, 10, 11, 12, 13], [3, 4, 20, 21, 22, 23]]
#: What two models say at 2 + 4 tokens: all of row 0; its second and fourth token; nothing of row 1.
SAID = {"big": [[10, 11, 12, 13], [9, 9, 9, 9]], "small": [[9, 11, 9, 13], [9, 9, 9, None]]}


def study(folder, *, tokens=True, free=True, source=None):
    found = tables(
        {"small": {(2, 4): [2, 0]}, "big": {(2, 4): [4, 0]}},
        verbatim={"small": {(2, 4): [0, 0]}, "big": {(2, 4): [4, 0]}},
        repetitions=[7, None],
    )
    if tokens:
        found = with_features(found)
        frame = pl.DataFrame({"row": [0, 1], "tokens": TRUE}, schema={"row": pl.Int64, "tokens": pl.List(pl.Int32)})
        found = replace(found, features=found.features | {"tokens": frame.lazy()})
    if free:
        found = with_signals(found, kinds=["free"], free_token=SAID)
    columns = pl.Series("source", [source, None], pl.String)
    return write_study(replace(found, rows=found.rows.with_columns(columns)), folder)


@pytest.fixture
def decoded(monkeypatch):
    """Every token's text: its id between letters, and one that is hostile."""

    def texts(study, run, ids, tokenizer):
        return {token: HOSTILE if token == 12 else f"t{token} " for token in ids}, None

    monkeypatch.setattr(reading, "token_texts", texts)


def test_a_row_has_its_tokens_and_what_each_model_recites(tmp_path, decoded):
    row = study(tmp_path).row(0)
    assert (row.context_tokens, row.true_tokens) == ((1, 2), (10, 11, 12, 13))
    small, big = row.recitals
    assert (small.model, small.matches, small.verbatim) == ("small", 2, 0)
    assert small.hits == (False, True, False, True)
    assert big.hits == (True, True, True, True)
    assert row.prompt() == "t1 t2 "
    assert row.generated(small) == [
        *(Piece("t9 ", False), Piece("t11 ", True), Piece("t9 ", False), Piece("t13 ", True)),
    ]
    assert row.true(small)[0] == Piece("t10 ", False)
    assert row.true(big) == [Piece(f"t10 t11 {HOSTILE}t13 ", True)]


def test_an_end_of_text_ends_the_generated_text(tmp_path, decoded):
    row = study(tmp_path).row(1)
    assert row.generated(row.recitals[0]) == [Piece("t9 t9 t9 ", False)]
    assert row.recitals[0].hits == (False, False, False, False)


def test_without_the_greedy_text_only_what_the_scores_say_is_marked(tmp_path, decoded):
    row = study(tmp_path, free=False).row(0)
    small, big = row.recitals
    assert small.hits == (False,)  # the first token is missed; whether later ones are right is not known
    assert row.generated(small) is None
    assert row.true(small) == [Piece("t10 ", False), Piece(f"t11 {HOSTILE}t13 ", None)]
    assert row.generated(big) == row.true(big)


def test_without_tokens_the_row_says_what_to_do(tmp_path):
    row = study(tmp_path / "a", tokens=False).row(0)
    assert row.prompt() is None
    assert row.true(row.recitals[1]) is None
    assert any(f"`mematlas features {tmp_path / 'a'}` adds them" in remark for remark in row.remarks)


def test_wrong_rows_and_cells_are_refused(tmp_path):
    opened = study(tmp_path)
    with pytest.raises(StudyError, match=r"has no row 5; `mematlas rows .*` prints some"):
        opened.row(5)
    with pytest.raises(OptionError, match=r"--context 3: run k has none of 3 tokens, only 2\."):
        opened.row(0, context=3)
    with pytest.raises(ModelError, match="nowhere"):
        opened.row(0, tokenizer="./nowhere")


def test_rows_are_in_the_order_that_was_asked_for(tmp_path):
    opened = study(tmp_path)
    assert [row.row for row in read_rows(opened, [1, 0, 1], opened.run(), (2, 4))] == [1, 0]


# ------------------------------------------------------------------------------------------------------------ notebooks


class Tags(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.attributes = [], "", []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attributes]

    def handle_data(self, data):
        self.text += data


def check_harmless(html):
    """No script, no event handler, nothing that moves text; returns what is seen."""
    page = Tags(html)
    assert not {"script", "iframe", "object", "link", "style"} & set(page.tags)
    assert not [name for name in page.attributes if name.startswith("on")]
    assert not set("\u202e\x1b") & set(page.text)
    return page.text


def test_a_notebook_shows_a_row_with_its_hits_marked(tmp_path, decoded):
    html = study(tmp_path, source=HOSTILE).row(0)._repr_html_()
    text = check_harmless(html)
    assert "shown 7 times" in text
    assert "<script>alert(1)</script>\ufffd\u241b[31m&⏎" in text
    assert html.count('title="recited"') == 2 + 2 + 1 + 1  # small: two tokens, true and generated; big: both whole
    assert html.count('title="missed"') == 2 + 2


def test_a_notebook_shows_a_study(tmp_path):
    opened = study(tmp_path / HOSTILE.replace("/", "").replace("\n", ""))
    text = check_harmless(opened._repr_html_())
    assert "contexts [2] × continuations [4] tokens" in text
    assert "small1 of 1big1 of 1" in text
    assert repr(opened) == f"Study({str(opened.folder)!r})"


def test_a_notebook_shows_a_finding_and_its_tables():
    found = sample.hostile()
    text = check_harmless(found._repr_html_())
    assert found.claim[:5] in text
    assert sum("<table>" in table._repr_html_() for table in found.tables) == len(found.tables) > 0
    for table in found.tables:
        check_harmless(table._repr_html_())


@pytest.mark.parametrize(
    ("text", "shown"), [("a\nb\tc", "a⏎b⇥c"), ("\x1b[0m\x7f", "\u241b[0m\ufffd"), ("\u2028\u202e", "\ufffd" * 2)]
)
def test_nothing_leaves_its_line(text, shown):
    assert on_one_line(text) == shown


def test_a_tokenizer_of_the_model_gives_the_text(tmp_path):
    """It is read from the folder of the model, without its weights: they are gone."""
    encoder = byte_level_encoder(tmp_path / "model", ("a plain text", "Wörter und mehr"))
    np.save(tmp_path / "rows.npy", np.array([encoder.encode(["other words"])[0][:6]] * 3))
    model = networks.save_network(networks.neox(300), tmp_path / "model")
    asked = {"context": [2], "continuation": [4], "study": tmp_path / "study"}
    opened = mematlas.score(str(model), corpus=str(tmp_path / "rows.npy"), **asked)
    mematlas.make_features(opened)
    (model / "model.safetensors").unlink()
    row = opened.row(0)
    shown = row.prompt() + "".join(piece.text for piece in row.true(row.recitals[0]))
    assert shown == encoder.decode_windows([[*row.context_tokens, *row.true_tokens]])[0]
    assert not any("Token ids" in remark for remark in row.remarks)
    text = (model / "tokenizer.json").read_text()
    (model / "tokenizer.json").write_text(text.replace('"s"', '"S"', 1))
    changed = opened.row(0)
    assert changed.prompt() == " ".join(map(str, row.context_tokens))
    assert "has changed since it was scored; put the former one back" in " ".join(changed.remarks)


def test_models_without_a_tokenizer_show_ids(tmp_path):
    np.save(tmp_path / "rows.npy", np.arange(18).reshape(3, 6))
    asked = {"context": [2], "continuation": [4], "study": tmp_path / "study"}
    opened = mematlas.score("uniform:41", corpus=str(tmp_path / "rows.npy"), **asked)
    mematlas.make_features(opened)
    row = opened.row(1)
    assert row.prompt() == "6 7"
    assert "Token ids are shown: the models of this study have no tokenizer." in row.remarks
