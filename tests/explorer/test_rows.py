"""One row in full agrees with the study's tables, on every kind of study; what is missing has a reason."""

import json
import math
import shutil

import fsspec
import numpy as np
import polars as pl
import pytest

import mematlas
from mematlas.explorer.routes import Explorer
from mematlas.study import open_study
from tests.analyses import awkward_studies as studies
from tests.analyses.study_folders import write_study
from tests.analyses.synthetic_tables import with_features
from tests.explorer.asking import ask, refusal
from tests.tiny_networks import V, neox, save_network

#: Studies that lack something, or are of an odd shape.
AWKWARD = (
    *("one model", "one row", "odd lengths", "only control rows", "a control model", "verbatim depth"),
    *("recited rows only", "holes in the grid", "models of other rows", "no common row", "sizes and steps unknown"),
    *("nothing scored", "features without text", "features without copies", "features in verbatim depth"),
    *("features, holes in the grid", "features with places", "signals and features with tags", "signals"),
    *("imported random-sampled", "imported memorized-evals", "imported memorized-flags"),
)


NOT_SCORED = {"reason": "not scored yet"}


def explore(name, folder):
    if name.startswith("imported"):
        studies.imported_study(folder, name.removeprefix("imported "))
        return Explorer(open_study(folder / "s"))
    return Explorer(write_study(studies.CASES[name](), folder / "study"))


@pytest.mark.parametrize("name", AWKWARD)
def test_every_kind_of_study_is_shown(tmp_path, name):
    explorer = explore(name, tmp_path)
    study = explorer.lines.study
    shown = ask(explorer, "/api/study")
    assert shown["rows"] == study.rows().height
    assert [model["label"] for model in shown["models"]] == list(study.run().models)
    for field in shown["fields"]:
        parameters = {"sort": field["name"], "compare": shown["models"][-1]["label"]}
        if field["unavailable"] is not None:
            assert field["unavailable"] in refusal(explorer, "/api/rows", **parameters)
        else:
            assert ask(explorer, "/api/rows", **parameters)["total"] == shown["rows"]
    for cell in shown["cells"]:
        page = ask(explorer, "/api/rows", **cell, limit=1000)["rows"]
        assert sum(each["n"] for each in ask(explorer, "/api/strip", **cell)["bins"]) == shown["rows"]
        scores = study.scores().filter(model=shown["default"]["model"], **cell)
        expected = dict(scores.select("row", "matches").iter_rows())
        assert {record["row"]: record["matches"] for record in page} == {
            record["row"]: expected.get(record["row"]) for record in page
        }
        row = ask(explorer, "/api/row", row=page[0]["row"], **cell)
        assert [model["label"] for model in row["models"]] == list(study.run().models)
        for part, reason in shown["has"].items():
            assert reason is None or len(reason) > 20, part
    assert (
        refusal(explorer, "/api/row", 404, row=10**9)
        == "The study has no row 1000000000; /api/rows lists those it has."
    )


@pytest.mark.parametrize("cell", [(16, 16), (32, 16), (32, 64)])
@pytest.mark.parametrize("model", ["s1", "s4"])
def test_a_row_in_full_agrees_with_the_tables(full, cell, model):
    study, (context, length) = full.lines.study, cell
    key = {"context": context, "continuation": length}
    for row in (4, 7, 8):
        shown = ask(full, "/api/row", row=row, **key)
        facts = study.rows().filter(row=row).row(0, named=True)
        assert {name: shown["facts"][name] for name in ("role", "repetitions", "document", "source")} == {
            name: facts[name] for name in ("role", "repetitions", "document", "source")
        }
        tokens = study.features("tokens").filter(row=row)["tokens"][0].to_list()
        assert shown["tokens"]["ids"] == tokens[: context + length]
        counts = study.features("counts").filter(row=row)
        for name in ("unigrams", "bigrams", "trigrams"):
            assert shown["counts"][name] == counts[name][0].to_list()[: context + length]
        own = next(each for each in shown["models"] if each["label"] == model)
        scores = study.scores().filter(row=row, model=model, **key).select("matches", "verbatim", "margin", "reason")
        expected = scores.row(0, named=True) if scores.height else dict.fromkeys(scores.columns) | NOT_SCORED
        assert {name: own[name] for name in expected} == expected
        for kind, part, width in (("truth", "truth", context + length), ("free", "generated", length)):
            record = study.signals(kind, **key).filter(row=row, model=model)
            assert (own[part] is None) == (record.height == 0)
            if record.height:
                assert own[part]["entropy"] == record["entropy"][0].to_list()
                assert len(own[part]["log_probability"]) == min(width, len(record["log_probability"][0]))


def test_hits_are_those_of_the_models_own_text(shelf, monkeypatch):
    monkeypatch.chdir(shelf)
    explorer, seen = Explorer(open_study("study")), set()
    for row in range(40):
        shown = ask(explorer, "/api/row", row=row, continuation=12)
        true = shown["tokens"]["ids"][8:]
        for model in shown["models"]:
            assert model["hit"] == [a == b for a, b in zip(model["generated"]["ids"], true, strict=True)]
            assert sum(model["hit"]) == model["matches"]
            assert [*model["hit"], False].index(False) == model["verbatim"]
            seen.add(model["matches"])
    assert seen >= {0, 8, 12}


def test_rows_of_masked_models_are_shown_whole(tmp_path):
    """Hidden tokens stand anywhere in the row, which has no continuation."""
    tables = with_features(studies.family(models=("s1",), cells=((32, 5),), count=20))
    masking = {"masking": {"share": 0.15, "masks": 4, "seed": 0}}
    study = write_study(studies.replace(tables, settings=tables.settings | masking), tmp_path)
    explorer = Explorer(study)
    tokens = study.features("tokens").filter(row=3)["tokens"][0].to_list()
    shown = ask(explorer, "/api/row", row=3)
    assert (shown["cell"]["align"], shown["tokens"]["ids"]) == ("masked", tokens[:32])
    assert shown["models"][0]["hit"] is None
    assert "masked models have none" in shown["missing"]["free"]
    assert ask(explorer, "/api/rows", row_min=3, row_max=3)["rows"][0]["context_text"] == " ".join(
        map(str, tokens[:32])
    )


def test_places_name_the_rows_that_can_be_opened(full):
    shown = ask(full, "/api/row", row=4, context=32, continuation=32)
    assert shown["facts"]["places_total"] == 2
    assert [place["row"] for place in shown["places"]] == [5, 5]
    assert all(place["in_study"] for place in shown["places"])
    assert ask(full, "/api/row", row=5, context=32, continuation=32)["places"] is None


def test_predictions_are_means_over_seeds(full):
    study = full.lines.study
    found = study.scan_predictions().filter(model="s3", tested="s3", sees="context", method="predictor").collect()
    row = found["row"][0]
    lists = found.filter(row=row)["probability"].to_list()
    shown = ask(full, "/api/row", row=row, context=32, continuation=16)
    own = next(model for model in shown["models"] if model["label"] == "s3")
    assert own["predicted"] == pytest.approx(np.mean(lists, axis=0)[:16].tolist(), rel=1e-6)


def test_rows_of_a_corpus_without_row_features_are_read_from_the_corpus(shelf, monkeypatch):
    monkeypatch.chdir(shelf)
    explorer = Explorer(open_study("study"))
    rows, control = np.load("rows.npy"), np.load("control.npy")
    for row, tokens in ((0, rows[0]), (17, rows[17]), (29, rows[29]), (30, control[0]), (39, control[9])):
        assert ask(explorer, "/api/row", row=row, continuation=12)["tokens"]["ids"] == tokens[:20].tolist()
    page = ask(explorer, "/api/rows", continuation=4, sort="row", descending=1)["rows"]
    assert page[0]["context_text"] == " ".join(map(str, control[9][:8]))
    assert page[0]["true_text"] == " ".join(map(str, control[9][8:12]))
    assert "no tokenizer" in ask(explorer, "/api/study")["has"]["texts"]
    assert ask(explorer, "/api/study")["has"]["tokens"] is None


def test_a_corpus_that_is_gone_leaves_the_numbers(shelf, tmp_path, monkeypatch):
    shutil.copytree(shelf / "study", tmp_path / "a" / "study")
    monkeypatch.chdir(tmp_path)
    explorer = Explorer(open_study("a/study"))
    record = ask(explorer, "/api/rows")["rows"][0]
    assert (record["true_text"], record["matches"]) == (None, 12)
    assert ask(explorer, "/api/row", row=0)["tokens"] is None
    reason = ask(explorer, "/api/study")["has"]["tokens"]
    assert "rows.npy" in reason
    assert reason in refusal(explorer, "/api/rows", search="1")


def test_shards_that_are_not_finished_yet_are_not_scored_yet(shelf, tmp_path):
    study = shutil.copytree(shelf / "study", tmp_path / "study")
    run = open_study(study).run()
    for path in (study / "scores" / run.key / run.models["parrot"]).glob("shard-00002*.done"):
        path.unlink()
    explorer = Explorer(open_study(study))
    page = ask(explorer, "/api/rows", model="parrot", continuation=12, limit=1000)["rows"]
    unknown = [record["row"] for record in page if record["matches"] is None]
    assert len(page) == 40
    assert 5 < len(unknown) < 8
    model = ask(explorer, "/api/row", row=unknown[0], continuation=12)["models"][0]
    assert (model["label"], model["matches"], model["reason"]) == ("parrot", None, "not scored yet")


def test_a_study_in_an_object_store_has_the_rows_of_one_in_a_folder(full_folder, full):
    store = fsspec.filesystem("memory")
    store.put(str(full_folder), "/explored/study", recursive=True)
    explorer = Explorer(open_study("memory://explored/study"))
    for path, parameters in (
        ("/api/rows", {"sort": "margin", "matches_min": 3, "limit": 20}),
        ("/api/strip", {"role": "train"}),
        ("/api/row", {"row": 8, "context": 32, "continuation": 32}),
        ("/api/export", {"format": "ids"}),
    ):
        ours, theirs = (ask(each, path, **parameters) for each in (explorer, full))
        for answer in (ours, theirs):
            if isinstance(answer, dict):
                answer.pop("seconds", None)
                answer.pop("missing", None)  # names the study's folder
        assert ours == theirs
    assert ask(explorer, "/api/study")["name"] == "study"


# ------------------------------------------------------------------------------------------------------- hostile text


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A study whose texts, sources and names contain markup, directions of text, and characters of several tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("hostile")
    save_network(neox(), folder / "model")
    characters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({character: id for id, character in enumerate(characters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "model" / "tokenizer.json"))
    (folder / "model" / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    texts = [
        "<script>alert(1)</script><img src=x onerror=alert(2)>" * 2,
        "left \u202eright\u202c \u2066isolated\u2069 \x00\x07\x1b[31m end of it all" * 2,
        "Wörter, 漢字 und 😀 sind mehrere Token lang, hier wie dort. Ja!" * 2,
        "a plain text of more than sixteen tokens, and nothing else in it" * 2,
    ]
    lines = [json.dumps({"text": text}) for text in texts]
    (folder / "<b>&quot;.jsonl").write_text("\n".join(lines) + "\n")
    study = mematlas.score(
        str(folder / "model"),
        corpus=folder / "<b>&quot;.jsonl",
        **{"context": 8, "continuation": 8, "row_length": 40, "cut": "window", "cache": folder / "cache"},
        study=folder / "study",
    )
    return Explorer(study), texts


def test_texts_of_a_corpus_arrive_as_they_are(hostile):
    explorer, texts = hostile
    assert len(set(range(V))) > 256
    page = ask(explorer, "/api/rows", sort="row", limit=10)["rows"]
    for record, text in zip(page, texts, strict=True):
        shown = record["context_text"] + record["true_text"]
        whole = text.encode()[:16]
        assert shown.encode()[: len(whole) - 3] == whole[: len(whole) - 3] or "\ufffd" in shown
        row = ask(explorer, "/api/row", row=record["row"])
        assert len(row["tokens"]["texts"]) == len(row["tokens"]["ids"]) == 16
        assert row["tokens"]["texts"][0] == text[0]
    assert page[0]["context_text"].startswith("<script>")
    answer = explorer.answer("/api/rows", "")
    assert answer.type == "application/json; charset=utf-8"  # no browser reads it as a page


def test_searched_text_may_be_anything(hostile):
    explorer, _ = hostile
    for wanted, rows in (("<SCRIPT>", 1), ("\u202e", 1), ("漢", 1), ("plain", 1), (".*", 0), ("%", 0), ("'; --", 0)):
        found = ask(explorer, "/api/rows", search=wanted)
        assert (found["total"], found["searched"]) == (rows, {"complete": True, "rows": 4}), wanted


def test_numbers_that_json_does_not_have_are_null(tmp_path):
    tables = studies.family(models=("s1",), cells=((8, 8),), count=3)
    margins = pl.Series("margin", [math.nan, math.inf, 1.0], pl.Float32)
    study = write_study(studies.replace(tables, scores=tables.scores.collect().with_columns(margins).lazy()), tmp_path)
    shown = ask(Explorer(study), "/api/rows", sort="row")["rows"]
    assert [record["margin"] for record in shown] == [None, None, 1.0]
