"""The gallery: which rows it shows, and that every token, hit and log-probability is at its position."""

import numpy as np
import polars as pl
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

import mematlas
from mematlas.findings.finding import Finding, Taxonomy
from mematlas.pipeline.steps.gallery import choose_rows
from mematlas.report.page import write_report
from mematlas.study.schemas.gallery import GALLERY
from tests import study_shelf as shelves
from tests import tiny_networks as networks
from tests.analyses.synthetic_tables import tables, with_copies


@pytest.fixture
def shelf(tmp_path):
    return shelves.fill(tmp_path)


def gallery(shelf, **changed):
    mematlas.run(shelves.study_file(shelf, **{"analyses": "size"} | changed))
    return pl.read_parquet(shelf / "study" / "gallery" / "gallery.parquet")


def ids(texts):
    return [int(text.strip("<>")) for text in texts]


def test_a_parrot_that_knows_half_a_row_is_shown_token_by_token(shelf):
    shown = gallery(shelf, models="parrot:rows.npy:14", order="given")
    rows = np.load(shelf / "rows.npy")
    assert shown.schema == pl.from_arrow(GALLERY.empty_table()).schema
    assert shown["row"].to_list() == [0, 1, 2, 3, 4, 5]
    assert set(shown["why"]) == {"about half recited by parrot-14"}
    for line in shown.iter_rows(named=True):
        true = rows[line["row"], 8:20].tolist()
        assert (line["model"], line["context"], line["continuation"]) == ("parrot-14", 8, 12)
        assert (line["matches"], line["verbatim"]) == (6, 6)
        assert ids(line["context_tokens"]) == rows[line["row"], :8].tolist()
        assert ids(line["true_tokens"]) == true
        assert ids(line["generated_tokens"]) == true[:6] + [shelves.V - 2] * 6
        assert line["hit"] == [True] * 6 + [False] * 6
        assert line["log_probability"] == pytest.approx([0.0] * 6 + [-50.0] * 6, abs=1e-3)


def test_end_aligned_contexts_are_those_before_the_continuation(shelf):
    rows = np.random.default_rng(6).integers(1, shelves.V - 2, (4, 60))
    np.save(shelf / "rows.npy", rows)
    shown = gallery(
        shelf,
        models="parrot:rows.npy",
        order="given",
        control=None,
        align="end",
        context="[30, 40]",
        continuation="[5, 16]",
    )
    assert shown["context"].to_list() == [30] * 4
    for line in shown.iter_rows(named=True):
        assert ids(line["context_tokens"]) == rows[line["row"], 10:40].tolist()
        assert ids(line["true_tokens"]) == ids(line["generated_tokens"]) == rows[line["row"], 40:56].tolist()
        assert line["log_probability"] == pytest.approx([0.0] * 16, abs=1e-3)
        assert line["why"] == "recited whole by parrot"


def test_a_verbatim_study_has_a_graded_gallery(shelf):
    shown = gallery(shelf, models="parrot:half.npy", corpus="rows.npy", order="given", depth="verbatim")
    assert shown["row"].to_list() == [0, 1, 2, 3, 4, 5]
    assert shown["matches"].to_list() == [12] * 6


def test_a_text_that_ends_generates_nothing_behind_its_end(shelf, monkeypatch):
    from mematlas.models.standins import parrot

    resolve = parrot.resolve

    def ending(rest):
        source = resolve(rest)
        source.card = type(source.card)(**{n: getattr(source.card, n) for n in source.card.__slots__} | {"eos": (58,)})
        return source

    monkeypatch.setattr(parrot, "resolve", ending)
    shown = gallery(shelf, models="parrot:rows.npy:14", order="given", eos="stop")
    line = shown.row(0, named=True)
    assert line["generated_tokens"][5:] == [line["true_tokens"][5], "<58>"] + [""] * 5
    assert line["hit"] == [True] * 6 + [False] * 6


def test_rows_of_text_are_the_same_rows_and_shown_as_text(shelf):
    """Text is cut to the grid's width: the gallery, which scores one cell, must not cut it again."""
    words = [f"w{number}" for number in range(1, networks.V - 1)]
    networks.save_network(networks.neox(), shelf / "tiny")
    tokenizer = Tokenizer(WordLevel({word: at for at, word in enumerate(["[UNK]", *words])}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(shelf / "tiny" / "tokenizer.json"))
    (shelf / "tiny" / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    text = [words[at % len(words)] for at in range(900)]
    (shelf / "text.txt").write_text(" ".join(text))
    path = shelves.study_file(
        shelf,
        models="tiny",
        corpus="text.txt",
        control=None,
        context="[28, 40]",
        continuation="[30, 50]",
        cache="cache",
        analyses="size",
    )
    study = mematlas.run(path)
    reasons = pl.read_parquet(shelf / "study" / "gallery" / "gallery.parquet")["why"]
    assert reasons.str.starts_with("nearest to recited by tiny").all()  # random weights recite nothing
    made = named_gallery(study, {7: "seventh", 2: "second"})
    assert made["row"].to_list()[:2] == [7, 2]
    assert made["why"].to_list()[:2] == ["seventh (T)", "second (T)"]
    line = made.row(0, named=True)
    assert [token.strip() for token in line["context_tokens"]] == text[7 * 90 : 7 * 90 + 28]
    assert [token.strip() for token in line["true_tokens"]] == text[7 * 90 + 28 : 7 * 90 + 58]


def named_gallery(study, rows):
    """The gallery that a finding naming `rows` makes of the study of the text."""
    from mematlas.analyses.frames.study_tables import read_tables
    from mematlas.pipeline.steps.gallery import make_gallery
    from mematlas.pipeline.study_file import read_study_file
    from mematlas.progress import Silent
    from mematlas.scoring.job import resolve_job

    file = read_study_file(study.folder.parent / "study.yaml")
    question = resolve_job(file.models, file.config, extend=False)
    path = make_gallery(question, read_tables(study), [finding("t", rows, "T")], 9, Silent())
    return pl.read_parquet(path)


def finding(name, rows, title="Title"):
    return Finding(name, title, "It is so.", "our choice", Taxonomy(), rows=rows)


def test_findings_take_turns_and_share_their_rows():
    made = tables({"small": {(8, 4): [0] * 9}, "large": {(8, 4): [0] * 9}})
    findings = [
        finding("a", {0: "a0", 1: "a1", 2: "a2"}, "A"),
        finding("none", {}),
        finding("b", {5: "b5", 0: "b0"}, "B"),
    ]
    assert choose_rows(made, findings, 3) == {0: "a0 (A); b0 (B)", 5: "b5 (B)", 1: "a1 (A)"}
    assert list(choose_rows(made, findings, 2)) == [0, 5]


def test_control_rows_and_unknown_rows_are_not_shown():
    made = tables({"m": {(8, 4): [0] * 3}}, roles=["train", "control", "train"])
    assert choose_rows(made, [finding("a", {1: "control", 99: "unknown", 2: "train"}, "A")], 9) == {2: "train (A)"}


def test_recited_and_half_recited_rows_are_the_least_shown_of_the_largest_model():
    matches = [32] * 8 + [16, 18, 19, 14, 13, 0]
    repetitions = [8, 1, 8, 4, 2, 2, 8, 8, 9, 3, 1, 1, 1, 1]
    made = tables(
        {"large": {(32, 32): matches}, "small": {(32, 32): [0] * 14}},
        repetitions=repetitions,
        parameters={"large": 100, "small": 10},
    )
    chosen = choose_rows(made, [finding("a", {1: "named"}, "A")], 9)
    assert chosen == {
        1: "named (A)",
        4: "recited whole by large",
        5: "recited whole by large",
        3: "recited whole by large",
        0: "recited whole by large",
        2: "recited whole by large",
        11: "about half recited by large",
        9: "about half recited by large",
        8: "about half recited by large",
    }


def test_where_nothing_is_recited_the_nearest_rows_are_shown():
    matches = [0, 31, 5, 3, 31, 0, 4, 2, 1, 16]
    nearest = "nearest to recited by m, which recites no row whole"
    chosen = choose_rows(tables({"m": {(32, 32): matches}}), [], 9)
    assert list(chosen) == [1, 4, 9, 2, 6, 3]
    assert chosen[9] == "about half recited by m"
    assert {why for row, why in chosen.items() if row != 9} == {nearest}
    verbatim = {"m": {(32, 32): [0, 7, 9]}}
    ungraded = tables({"m": {(32, 32): [None, None, None]}}, verbatim=verbatim, depth="verbatim")
    assert choose_rows(ungraded, [], 9) == {2: nearest, 1: nearest}
    recited = choose_rows(tables({"m": {(32, 32): [32, 31, 30]}}), [], 9)
    assert recited == {0: "recited whole by m"}


def test_a_text_is_shown_once():
    """Rows 0 to 3 have one text, rows 4 and 5 another; findings name rows of both, and all are recited."""
    made = with_copies(tables({"m": {(32, 32): [32] * 8}}), [0, 0, 0, 0, 1, 1, 2, 3])
    findings = [finding("a", {1: "a1", 0: "a0", 5: "a5"}, "A"), finding("b", {2: "b2", 1: "a1"}, "B")]
    assert choose_rows(made, findings, 9) == {
        1: "a1 (A); b2 (B); a0 (A); a1 (B)",
        5: "a5 (A)",
        6: "recited whole by m",
        7: "recited whole by m",
    }
    assert list(choose_rows(made, findings, 1)) == [1, 4, 6, 7]


def test_the_gallery_says_for_how_many_rows_a_row_stands(shelf):
    rows = np.load(shelf / "rows.npy")
    np.save(shelf / "rows.npy", np.concatenate([rows[:6], rows[:1], rows[:1]]))
    shown = gallery(shelf, models="parrot:rows.npy", order="given", features="true")
    assert dict(shown.select("row", "rows_of_text").iter_rows())[0] == 3
    assert set(shown.filter(pl.col("row") > 0)["rows_of_text"]) == {1}
    assert not {6, 7} & set(shown["row"])
    page = write_report(shelf / "study").read_text(encoding="utf-8")
    assert page.count("x3: one of 3 rows with this text") == 1


def test_where_nothing_is_worth_a_look_there_is_no_gallery(shelf):
    mematlas.run(shelves.study_file(shelf, models="uniform:60", analyses="size"))
    assert not (shelf / "study" / "gallery" / "gallery.parquet").exists()


def test_half_a_character_is_the_replacement_sign_and_spaces_stay(tmp_path):
    from mematlas.experiments.data.tokenizer import train_tokenizer
    from mematlas.models.huggingface import FolderSource

    networks.save_network(networks.neox(), tmp_path / "tiny")
    train_tokenizer(["the cat sat on the mat. " * 20], 270, 64).save_pretrained(tmp_path / "tiny")
    encoder = FolderSource(tmp_path / "tiny", "tiny", "tiny").encoder()
    (tokens,) = encoder.encode(["the mat\u00e9\n"])
    texts = encoder.decode(tokens)
    assert len(texts) == len(tokens)
    assert texts.count("\ufffd") == 2
    assert "".join(texts).replace("\ufffd\ufffd", "\u00e9") == "the mat\u00e9\n"
    assert " " not in texts[0]
    assert any(text.startswith(" ") for text in texts)
