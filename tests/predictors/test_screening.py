"""Rows flagged in a new corpus: as a study's recorded states say, resumable, and what is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import mematlas
from mematlas import predict_rows
from mematlas.errors import CorpusError, MematlasError, ModelError, OptionError
from mematlas.models.causal import CausalModel
from mematlas.models.resolve import find_model
from mematlas.predictors.ensemble import check_suits, open_ensemble
from mematlas.predictors.examples import read_examples
from mematlas.predictors.network import PredictorNetwork
from mematlas.predictors.options import PredictorConfig
from mematlas.predictors.predictor import Predictor, PredictorCard, load_predictors, mean_probabilities, save_predictor
from mematlas.predictors.scaling import Scaling, fit_scaling
from mematlas.predictors.screening import PREDICTED
from mematlas.progress import Silent
from tests.tiny_networks import V, neox, saved

CONTEXT, LENGTH, WIDTH, ROWS = 8, 12, 32, 40


class Listening(Silent):
    """Notes what it is told; stops the run once `patience` rows are done."""

    def __init__(self, patience=None):
        self.said, self.started, self.done, self._patience = [], [], 0, patience

    def start(self, label, total, done, unit="rows"):
        self.started.append((label, total, done, unit))

    def advance(self, rows):
        self.done += rows
        if self._patience is not None and self.done > self._patience:
            raise KeyboardInterrupt

    def say(self, text):
        self.said.append(text)


def predictor_of(study, *, seed=0, folder=None, **changed):
    """A predictor of random weights, fitted to nothing, where `mematlas fit` would put it; its folder."""
    run = study.run()
    (model,) = run.models
    noted = study.manifest()["runs"][run.key]["models"][model]
    rows, layer = {"fit": 1, "validation": 1, "test": 1}, study.states(model).layer
    config = PredictorConfig(members=1, width=16, layers=1, heads=2)
    told = (rows, 3, 0.25, 1, 1, 0.5, (0.8, 0.3), {"predictor": 0.75 + seed / 10}, config.model_dump(), {})
    shape = ("context", ("entropy",), WIDTH, layer, CONTEXT, LENGTH, seed)
    card = replace(PredictorCard(model, noted["fingerprint"], run.key, *shape, *told), **changed)
    torch.manual_seed(seed)
    sizes = {"width": card.width, "inputs": len(card.inputs), "context": card.context}
    network = PredictorNetwork(config, card.sees, continuation=card.continuation, **sizes)
    with torch.no_grad():
        network.members[0].label.weight.mul_(3)  # so that rows differ
    real = fit_scaling(read_examples(study, model, ["entropy"]), CONTEXT)
    scaling = Scaling(*(np.resize(values, card.width + len(card.inputs)) for values in (real.mean, real.deviation)))
    folder = folder or study.folder / "predictors" / run.key / run.models[model] / card.sees
    save_predictor(Predictor(network.eval(), scaling, card), folder)
    return folder


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """A tiny model, a corpus of random rows, and a study of both with hidden states and two predictors."""
    home = tmp_path_factory.mktemp("shelf")
    saved(neox(), home / "model")
    tokens = np.random.default_rng(3).integers(1, V, (ROWS, CONTEXT + LENGTH)).astype(np.uint16)
    tokens[9] = tokens[4]
    np.save(home / "rows.npy", tokens)
    study = scored(home, "study")
    for seed in range(2):
        predictor_of(study, seed=seed)
    return home


def scored(home, name, **options):
    asked = {"signals": ["hidden", "free", "truth"], "context": [CONTEXT], "continuation": [LENGTH]}
    return mematlas.score(str(home / "model"), corpus=str(home / "rows.npy"), study=home / name, **asked | options)


def predictor_folder(shelf):
    return next((shelf / "study" / "predictors").glob("*/*/context"))


@pytest.fixture
def predicted(shelf, tmp_path):
    """Predicts the corpus' rows with the planted predictors; the options can be changed."""

    def ask(model=None, progress=None, **options):
        told = {"corpus": str(shelf / "rows.npy"), "predictor": predictor_folder(shelf), "out": tmp_path / "out"}
        return predict_rows(str(model or shelf / "model"), progress=progress, **told | options)

    return ask


@pytest.fixture(scope="module")
def known(shelf, tmp_path_factory):
    """[rows, LENGTH]: what the planted predictors say of the corpus."""
    told = {"corpus": str(shelf / "rows.npy"), "predictor": predictor_folder(shelf)}
    return probabilities(predict_rows(str(shelf / "model"), out=tmp_path_factory.mktemp("known"), **told))


def probabilities(found):
    return np.array(found.table()["probability"].to_list())


def middle_of(values):
    """A number that stands between two values, far from both: equal rows are on one side."""
    return float(np.unique(values.round(6))[ROWS // 2 - 1 : ROWS // 2 + 1].mean())


# ------------------------------------------------------------------------------------------------------ known answers


@pytest.mark.parametrize(
    "options",
    [{}, {"signals": ["hidden", "free"]}, {"bos": True}, {"hidden_layer": "1"}, {"eos": "suppress"}],
    ids=["plain", "no entropies of the context", "bos", "layer 1", "eos suppressed"],
)
def test_probabilities_are_those_of_the_recorded_states(shelf, tmp_path, options):
    study = scored(shelf, tmp_path / "study", **options)
    folder = predictor_of(study)
    found = predict_rows(
        str(shelf / "model"), corpus=str(shelf / "rows.npy"), predictor=folder, out=tmp_path / "out"
    ).table()
    examples = read_examples(study, "model", ["entropy"])
    known = mean_probabilities(load_predictors(folder), examples.states[:, :CONTEXT], examples.inputs[:, :CONTEXT])
    there = dict(found.select("row", "probability").iter_rows())
    assert len(examples.rows) >= 10
    assert known.std(axis=0).min() > 0.01  # rows differ, so that a wrong one would be seen
    np.testing.assert_allclose([there[row] for row in examples.rows.tolist()], known, atol=1e-5)


def test_the_first_token_follows_the_entropy_that_the_network_itself_has_there(shelf, predicted, tmp_path):
    """A predictor that reads nothing but the entropy after the context: more than the median is recited."""
    tokens = torch.from_numpy(np.load(shelf / "rows.npy").astype(np.int64))
    with torch.inference_mode():
        logits = neox()(tokens[:, :CONTEXT]).logits[:, -1]
    entropy = torch.distributions.Categorical(logits=logits).entropy().numpy()
    folder = predictor_of(mematlas.open_study(shelf / "study"), folder=tmp_path / "a" / "context")
    (predictor,) = load_predictors(folder)
    mean = np.append(np.zeros(WIDTH), (np.sort(entropy)[ROWS // 2 - 1] + np.sort(entropy)[ROWS // 2]) / 2)
    with torch.no_grad():
        for values in predictor.network.parameters():
            values.zero_()
        (member,) = predictor.network.members
        member.layers.norm.weight.fill_(1)
        member.inputs.weight[0, 0] = 1e3  # channel 0 is the entropy beyond the median
        member.label.weight[0, 0] = 5
    card = replace(predictor.card, calibration=(1.0, 0.0))
    scaling = Scaling(mean.astype("f4"), np.ones(WIDTH + 1, "f4"))
    save_predictor(Predictor(predictor.network, scaling, card), folder)
    found = predicted(predictor=folder).table()
    assert ((found["first"].to_numpy() > 0.5) == (entropy > mean[-1])).all()
    assert 10 < (found["first"] > 0.5).sum() < 30


def test_a_line_says_what_its_probabilities_say(predicted, known):
    middle = middle_of(known.mean(1))
    found = predicted(threshold=middle)
    table = found.table()
    each = probabilities(found)
    assert table.columns == PREDICTED.names
    assert table["row"].to_list() == list(range(ROWS))
    np.testing.assert_allclose(table["expected"], each.mean(1), atol=1e-6)
    np.testing.assert_allclose(table["recited_tokens"], each.sum(1), atol=1e-5)
    np.testing.assert_allclose(table["first"], each[:, 0], atol=1e-7)
    assert table["flagged"].to_list() == (table["expected"] >= middle).to_list()
    assert table["flagged"].sum() == (known.mean(1) > middle).sum()
    assert (found.rows, found.flagged, found.short) == (ROWS, table["flagged"].sum(), 0)
    assert found.expected == pytest.approx(each.mean(), abs=1e-6)
    assert (found.context, found.continuation, found.model) == (CONTEXT, LENGTH, "model")


@pytest.mark.parametrize("options", [{"batch": 3}, {"shards": 7}, {"batch": 1, "shards": 3}])
def test_batches_and_shards_change_no_number(predicted, known, options):
    np.testing.assert_allclose(probabilities(predicted(**options)), known, atol=1e-5)


def test_the_order_of_rows_changes_no_number(predicted, known, shelf, tmp_path):
    np.save(tmp_path / "turned.npy", np.load(shelf / "rows.npy")[::-1])
    turned = predicted(corpus=str(tmp_path / "turned.npy"))
    np.testing.assert_allclose(probabilities(turned)[::-1], known, atol=1e-5)


def test_only_the_context_is_read(predicted, known, shelf, tmp_path):
    tokens = np.load(shelf / "rows.npy")
    np.save(tmp_path / "prompts.npy", tokens[:, :CONTEXT])
    tokens[:, CONTEXT:] = 1
    np.save(tmp_path / "others.npy", tokens)
    for name in ("prompts.npy", "others.npy"):
        found = predicted(corpus=str(tmp_path / name))
        np.testing.assert_allclose(probabilities(found), known, atol=1e-5)


def test_a_batch_that_does_not_fit_is_halved(predicted, known, monkeypatch):
    start, watcher = CausalModel.start, Listening()

    def small(model, rows, capacity):
        if rows > 6:
            raise MemoryError
        return start(model, rows, capacity)

    monkeypatch.setattr(CausalModel, "start", small)
    found = predicted(progress=watcher, rows="first:20", batch=20)
    assert any("Out of memory with 19 rows" in line for line in watcher.said)
    np.testing.assert_allclose(probabilities(found), known[:20], atol=1e-5)


# ------------------------------------------------------------------------------------------------ stopped and changed


def test_a_stopped_run_goes_on_where_it_stopped(predicted, tmp_path):
    known = predicted(shards=5).table()
    with pytest.raises(KeyboardInterrupt):
        predicted(progress=Listening(patience=20), shards=5, out=tmp_path / "again")
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "again").rglob("*.parquet")}
    watcher = Listening()
    found = predicted(progress=watcher, shards=5, out=tmp_path / "again")
    assert watcher.started == [("model", ROWS, 16, "rows")]
    assert watcher.done == ROWS - 16
    assert len(kept) == 2
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    assert found.table().equals(known)


def test_a_finished_run_loads_no_model(predicted, monkeypatch):
    first = predicted()
    monkeypatch.setattr(CausalModel, "__init__", None)
    assert predicted() == first


@pytest.mark.parametrize("options", [{"threshold": 0.6}, {"rows": "first:39"}, {"shards": 2}, {"dtype": "bfloat16"}])
def test_another_question_goes_elsewhere(predicted, options):
    first = predicted()
    kept = first.table()
    assert predicted(**options).folder != first.folder
    assert first.table().equals(kept)


def test_another_predictor_goes_elsewhere(predicted, shelf, tmp_path):
    (one,) = (path for path in predictor_folder(shelf).iterdir() if path.name == "seed-1.safetensors")
    both, alone = predicted(), predicted(predictor=one)
    assert both.folder != alone.folder
    assert np.abs(probabilities(both) - probabilities(alone)).max() > 0.01


# --------------------------------------------------------------------------------------------------------- flagged rows


def test_flagged_rows_can_be_scored(predicted, known, shelf, tmp_path):
    found = predicted(threshold=middle_of(known.mean(1)))
    ids = np.load(found.folder / "flagged.npy")
    assert 10 < len(ids) < 30
    assert ids.tolist() == found.table().filter("flagged")["row"].to_list()
    rows = f"ids:{found.folder / 'flagged.npy'}"
    study = scored(shelf, tmp_path / "flagged", rows=rows)
    assert study.scores()["row"].unique().sort().to_list() == ids.tolist()


def test_no_file_is_written_where_nothing_is_flagged(predicted):
    found = predicted(threshold=1.0)
    assert found.flagged == 0
    assert not (found.folder / "flagged.npy").exists()
    facts = json.loads((found.folder / "facts.json").read_text())
    assert (facts["rows"], facts["flagged"], facts["threshold"]) == (ROWS, 0, 1.0)


def test_ids_documents_and_sources_of_the_corpus_are_kept(predicted, shelf, tmp_path):
    tokens = np.load(shelf / "rows.npy")[:4].astype(np.int64).tolist()
    lists = pa.table({"tokens": tokens, "row_id": [70, 50, 60, 80], "document": [1, 1, None, 2]})
    pq.write_table(lists, tmp_path / "rows.parquet")
    options = {"corpus": str(tmp_path / "rows.parquet")}
    known = mematlas.open_corpus(tmp_path / "rows.parquet")
    at = np.arange(4)
    table = predicted(**options).table()
    assert table["row"].to_list() == known.row_ids(at).tolist()
    assert table["document"].to_list() == known.provenance(at).document
    assert table["source"].to_list() == known.provenance(at).source


def ragged(path, lengths, shelf):
    tokens = np.load(shelf / "rows.npy").astype(np.int64)
    pq.write_table(pa.table({"tokens": [row[:n].tolist() for row, n in zip(tokens, lengths, strict=False)]}), path)
    return str(path)


def test_short_rows_are_left_out_and_counted(predicted, known, shelf, tmp_path):
    corpus = ragged(tmp_path / "ragged.parquet", [3, 20, 8, 7, 12], shelf)
    watcher = Listening()
    found = predicted(corpus=corpus, progress=watcher, shards=2)
    assert found.table()["row"].to_list() == [1, 2, 4]
    assert (found.rows, found.short, watcher.done) == (3, 2, 5)
    np.testing.assert_allclose(probabilities(found), known[[1, 2, 4]], atol=1e-5)


# ------------------------------------------------------------------------------------------------------------ refusals


def check_refused(predicted, error, *parts, **options):
    with pytest.raises(error) as found:
        predicted(**options)
    text = str(found.value)
    assert "\n" not in text
    for part in parts:
        assert part in text
    return text


def test_rows_that_are_all_too_short_are_refused(predicted, shelf, tmp_path):
    corpus = ragged(tmp_path / "short.parquet", [3, 7], shelf)
    check_refused(predicted, CorpusError, "None of the 2 rows", "the 8 tokens", "longer rows", corpus=corpus)


def test_an_empty_corpus_is_refused(predicted, tmp_path):
    np.save(tmp_path / "empty.npy", np.zeros((0, 20), np.uint16))
    check_refused(predicted, CorpusError, "empty.npy", corpus=str(tmp_path / "empty.npy"))


def test_tokens_that_the_model_has_not_are_refused(predicted, tmp_path):
    np.save(tmp_path / "foreign.npy", np.full((3, 20), 700, np.uint16))
    check_refused(predicted, CorpusError, "token id 700", corpus=str(tmp_path / "foreign.npy"))


def test_a_predictor_that_needs_decoding_is_refused(predicted, shelf, tmp_path):
    study = mematlas.open_study(shelf / "study")
    folder = predictor_of(study, sees="generated", folder=tmp_path / "m" / "generated")
    check_refused(predicted, ModelError, "no row is decoded", "fit STUDY --sees context", predictor=folder)
    (tmp_path / "m" / "context").mkdir()
    check_refused(predicted, ModelError, f"take {tmp_path / 'm' / 'context'}", predictor=folder)


def test_a_predictor_that_reads_corpus_counts_is_refused(predicted, shelf, tmp_path):
    names = ("entropy", "unigrams", "bigrams")
    folder = predictor_of(mematlas.open_study(shelf / "study"), inputs=names, folder=tmp_path / "m")
    check_refused(predicted, ModelError, "(unigrams, bigrams)", "--inputs entropy", predictor=folder)


@pytest.mark.parametrize("more", [{"width": 48}, {"layer": "3"}], ids=["width", "layer"])
def test_a_model_without_such_states_is_refused(predicted, shelf, tmp_path, more):
    folder = predictor_of(mematlas.open_study(shelf / "study"), folder=tmp_path / "m", **more)
    words = ["32 numbers", "have 48"] if "width" in more else ["layer 3", "has 2 layers"]
    check_refused(predicted, ModelError, *words, "fit one to it", predictor=folder)


def test_a_model_of_another_vocabulary_is_refused(predicted, tmp_path):
    other = saved(neox(vocabulary=300), tmp_path / "other")
    check_refused(predicted, ModelError, "other has another vocabulary than model", model=other)


def test_a_model_of_another_tokenizer_is_refused(shelf):
    ensemble = open_ensemble(predictor_folder(shelf))
    card = find_model(str(shelf / "model")).card
    ours = replace(ensemble, origin=replace(ensemble.origin, tokenizer="ours"))
    with pytest.raises(ModelError, match="model has another tokenizer than model"):
        check_suits(ours, replace(card, tokenizer="theirs"))
    assert check_suits(ours, replace(card, tokenizer="ours", vocabulary=V + 5)) == []


def test_another_model_of_the_same_width_is_warned_about(predicted, tmp_path):
    other, watcher = saved(neox(seed=5), tmp_path / "other"), Listening()
    assert predicted(other, watcher).rows == ROWS
    (line,) = (line for line in watcher.said if "Careful" in line)
    assert "other is not the model that the predictor was fitted to" in line
    assert "AUROC of 0.800 on documents held out was measured on model" in line


def test_the_same_model_needs_no_warning(predicted):
    watcher = Listening()
    predicted(progress=watcher)
    assert watcher.said == []


def test_a_predictor_away_from_its_study_is_warned_about(predicted, known, shelf, tmp_path):
    folder, watcher = shutil.copytree(predictor_folder(shelf), tmp_path / "moved"), Listening()
    found = predicted(predictor=folder, progress=watcher)
    (line,) = watcher.said
    assert "the study that the predictor was fitted in is not found" in line
    np.testing.assert_allclose(probabilities(found), known, atol=1e-5)


def test_files_that_are_no_predictors_are_refused(predicted, shelf, tmp_path):
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "notes.txt").write_text("x")
    check_refused(predicted, ModelError, "holds no predictor", predictor=tmp_path / "else")
    check_refused(predicted, ModelError, "holds no predictor", predictor=tmp_path / "nowhere")
    folder = Path(shutil.copytree(predictor_folder(shelf), tmp_path / "cut"))
    whole = (folder / "seed-0.safetensors").read_bytes()
    (folder / "seed-0.safetensors").write_bytes(whole[: len(whole) // 2])
    check_refused(predicted, ModelError, "damaged", predictor=folder)


def test_seeds_of_different_predictors_are_refused(predicted, shelf, tmp_path):
    study = mematlas.open_study(shelf / "study")
    folder = predictor_of(study, folder=tmp_path / "mixed")
    predictor_of(study, seed=1, continuation=5, folder=folder)
    check_refused(predicted, ModelError, "more than their seed", "continuation 12 and 5", predictor=folder)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"threshold": 1.5}, ["--threshold", "1.5", "mematlas predict --help"]),
        ({"shards": 41}, ["--shards 41", "at most 40"]),
        ({"context": [8]}, ["--context"]),
        ({"rows": "some"}, ["'some'"]),
    ],
)
def test_options_that_break_a_rule_are_refused(predicted, options, parts):
    check_refused(predicted, OptionError, *parts, **options)


def test_states_that_are_no_numbers_are_refused(predicted, monkeypatch):
    given = CausalModel.states

    def broken(model, tokens, cache, last):
        states, kept = given(model, tokens, cache, last)
        return states, kept * float("nan")

    monkeypatch.setattr(CausalModel, "states", broken)
    check_refused(predicted, ModelError, "NaN", "--dtype float32", "check the model's weights")


def test_a_file_in_the_way_of_the_tables_is_refused(predicted, tmp_path):
    (tmp_path / "file").write_text("mine")
    check_refused(predicted, OptionError, "--out", "name another folder", out=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_model_that_is_not_there_is_refused(predicted, tmp_path):
    check_refused(predicted, MematlasError, "nowhere", model=tmp_path / "nowhere")


def test_the_table_is_read_lazily(predicted):
    assert isinstance(predicted().scan(), pl.LazyFrame)
