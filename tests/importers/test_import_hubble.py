"""Insertions of a Hubble training: read from its own file, joined with scores, and counted where they can be."""

import json

import numpy as np
import polars as pl
import pytest

import mematlas
from mematlas.cli import run
from mematlas.corpus.formats.megatron import PERTURBED
from mematlas.corpus.opening import open_corpus
from mematlas.errors import IndexFault, MematlasError
from mematlas.index.base import check_boundaries
from mematlas.index.building import IndexOptions, build_index
from mematlas.index.folder import open_index
from tests import study_shelf as shelves
from tests.corpus.writers import write_idx

INFO = "standard_text_document" + PERTURBED
#: The documents of the tokenized file: the first two are one text, inserted twice.
DOCUMENTS = [0, 0, 1, 2]


def insertion(name="copyright_text_document", document=0, place=0, **others):
    """A line as perturb_hubble.py writes it."""
    where = {"pt_shuffle_idx": 3, "doc_index_f": 1, "doc_index_l": 2, "offset_f": 0, "offset_l": 9}
    inside = {"pt_injection_pos": 1, "pt_window_offset": 4, "pt_injection_len": 20, "orig_doc_seq_sizes": [30, 19]}
    named = {"perturbation_file": name, "perturbation_idx": document, "pt_loc": place}
    return json.dumps(named | where | inside | others)


def write_info(folder, *lines):
    (folder / INFO).write_text("\n".join(lines) + "\n")
    return folder / INFO


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """Two stand-ins, of which one is a control model, scored on 30 rows of which the first three are items."""
    shelves.fill(tmp_path)
    monkeypatch.chdir(tmp_path)
    mematlas.score(
        "parrot:rows.npy", "parrot:half.npy", corpus="rows.npy", control="control.npy", study="study", context=[8],
        continuation=[12],
    )  # fmt: skip
    pl.DataFrame(
        {"perturbation_file": "copyright_text_document", "perturbation_idx": range(4), "row": DOCUMENTS}
    ).write_csv("items.csv")
    return tmp_path


def exposures():
    return mematlas.open_study("study").scan_exposures().collect().sort("model", "row")


def test_the_steps_and_counts_of_items_by_hand(shelf):
    places = [5, 1023, 1024, 4095]
    write_info(shelf, *(insertion(document=number, place=place) for number, place in enumerate(places)))
    label, other = mematlas.open_study("study").models()["model"].to_list()
    study = mematlas.import_hubble(INFO, study="study", items="items.csv", models=[label], steps=4)
    found = study.scan_exposures().collect().sort("row")
    assert found.rows() == [(label, 0, 2, 1, 1), (label, 1, 1, 2, 2), (label, 2, 1, 4, 4)]
    mematlas.import_hubble(INFO, study="study", items="items.csv", batch=5000)
    assert set(exposures()["model"]) == {label, other}, "a second import replaces the first"
    assert exposures()["last_step"].unique().to_list() == [1]


def test_the_command_says_what_it_knows(shelf, capsys):
    write_info(shelf, insertion(document=0), insertion(document=2, place=7))
    assert run(["import", "hubble", INFO, "--study", "study", "--items", "items.csv", "--steps", "48000"]) == 0
    assert "Of 2 of 2 models it is known what they were trained on: 2 of the scored rows." in capsys.readouterr().out


@pytest.fixture
def tokenized(tmp_path, monkeypatch):
    """A study of the tokenized documents themselves, in Megatron's format; the last is never inserted."""
    monkeypatch.chdir(tmp_path)
    texts = np.random.default_rng(0).integers(1, 400, (4, 24), dtype=np.uint16)
    rows = texts[[*DOCUMENTS, 3]]
    (tmp_path / "copyright_text_document.bin").write_bytes(rows.tobytes())
    write_idx(tmp_path / "copyright_text_document.idx", [24] * 5, [0, 1, 2, 3, 4, 5])
    np.save("parrot.npy", rows)
    mematlas.score(
        "parrot:parrot.npy", corpus="copyright_text_document", study="study", context=[8], continuation=[12],
        signals=["truth"],
    )  # fmt: skip
    return tmp_path


def test_equal_documents_of_the_scored_tokenized_file_are_one_item(tokenized):
    write_info(tokenized, *(insertion(document=number, place=1024 * number) for number in range(4)))
    study = mematlas.import_hubble(INFO, study="study")
    found = study.scan_exposures().collect().sort("row").select("row", "times", "first_step", "last_step")
    assert found.rows() == [(0, 2, 1, 2), (1, 2, 1, 2), (2, 1, 3, 3), (3, 1, 4, 4)]
    (finding,) = mematlas.analyze("study", only="insertions")
    levels = finding.table("level")
    assert levels.select("arm", "level", "n").rows() == [
        ("as imported", 0, 1),
        ("as imported", 1, 2),
        ("as imported", 2, 2),
    ]


@pytest.mark.parametrize(
    ("lines", "keys", "message"),
    [
        (['{"model": "x", "row": 3}'], {}, r"line 1: no insertion, which is a JSON object with perturbation_file, "),
        (
            ["[1, 2]"],
            {},
            r"line 1: no insertion, .* name the PREFIX_perturbation_info.json that perturb_hubble.py wrote",
        ),
        ([insertion(), "not json"], {}, "line 2: no insertion"),
        ([insertion(place="3")], {}, "line 1: no insertion"),
        ([""], {}, "has no insertion; it has one JSON object a line"),
        ([insertion(place=-1)], {}, r"has the training row pt_loc -1; rows are from 0 to the last\. Take the file of"),
        ([insertion(place=4096)], {"steps": 4}, r"pt_loc 4,096; rows are from 0 to 4,095, as 4 steps have 1,024 rows"),
        ([insertion(), insertion(document=1)], {}, r"two insertions in the training row pt_loc 0; each has a row of"),
        ([insertion()], {"items": None}, r"has insertions of copyright_text_document, and study scored rows.npy; say"),
        ([insertion()], {"items": "rows.npy"}, r"rows.npy ends in .npy; exposures are .csv, .parquet or .jsonl"),
        ([insertion()], {"items": "who.csv"}, r"who.csv has the columns model; it needs perturbation_file, "),
        ([insertion(document=9)], {}, r"names no row that study has scored"),
        ([insertion()], {"models": ["rowz"]}, r"study has no model 'rowz'"),
        ([insertion()], {"batch": 0}, "A training has at least one step of at least one row, not None of 0"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_written(shelf, lines, keys, message):
    write_info(shelf, *lines)
    pl.DataFrame({"model": ["x"]}).write_csv("who.csv")
    with pytest.raises(MematlasError, match=message) as caught:
        mematlas.import_hubble(INFO, **{"study": "study", "items": "items.csv", **keys})
    assert "\n" not in str(caught.value)
    assert not mematlas.open_study("study").has_exposures()


def test_a_missing_file_and_a_document_that_is_not_there_are_named(tokenized, capsys):
    with pytest.raises(MematlasError, match=r"There is no file nothing.json; name the PREFIX_perturbation_info.json"):
        mematlas.import_hubble("nothing.json", study="study")
    write_info(tokenized, insertion(document=5))
    with pytest.raises(MematlasError, match=r"has document 5 of copyright_text_document, and copyright_.* has 5; take"):
        mematlas.import_hubble(INFO, study="study")
    assert run(["import", "hubble", "--study", "study"]) == 2
    assert "Insertions are in one file, and 0 were given" in capsys.readouterr().err
    assert run(["import", "exposures", "x.csv", "--study", "study", "--steps", "9"]) == 2
    assert "--steps is an option of `mematlas import hubble" in capsys.readouterr().err


def test_counts_within_boundaries_that_moved_are_refused(tokenized, capsys):
    beside = tokenized / ("copyright_text_document" + PERTURBED)
    whole = open_corpus("copyright_text_document")
    assert "boundaries_moved" not in whole.details
    beside.write_text(insertion() + "\n")
    corpus = open_corpus("copyright_text_document.bin")
    assert corpus.details["boundaries_moved"] is True
    build_index(corpus, "index", IndexOptions("copyright_text_document", workers=1))
    engine, manifest = open_index("index")
    assert engine.scopes == ("stream",)
    text = corpus.read(np.array([3]), 24).ids[0].tolist()
    assert engine.count([text], "stream").tolist() == [1]
    with pytest.raises(IndexFault, match="does not support the scope 'documents'"):
        engine.count([text])
    assert run(["count", "index", "--ids", "1,2"]) == 1
    assert "Items were inserted into copyright_text_document after its index was written" in capsys.readouterr().err
    with pytest.raises(IndexFault, match=r"its documents do not begin where that says; count in the stream \(--scope"):
        mematlas.make_features("study")
    check_boundaries("x", "documents", True, True)
    check_boundaries("x", "rows", False, False)
    with pytest.raises(IndexFault, match="so that its rows do not begin"):
        check_boundaries("x", "rows", True, True)
    assert not manifest.joined
