"""Rows flagged in a new corpus: agreement with a study's recorded states, resuming, and what is refused."""

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
from mematlas.predictors.ensemble import check_compatible, open_ensemble
from mematlas.predictors.examples import read_examples
from mematlas.predictors.network import PredictorNetwork
from mematlas.predictors.options import PredictorConfig
from mematlas.predictors.predictor import Predictor, PredictorCard, load_predictors, mean_probabilities, save_predictor
from mematlas.predictors.scaling import Scaling, fit_scaling
from mematlas.predictors.screening import PREDICTED
from mematlas.progress import Silent
from tests.tiny_networks import V, neox, save_network

CONTEXT, LENGTH, WIDTH, ROWS = 8, 12, 32, 40


class RecordingProgress(Silent):
    """Records progress; interrupts the run once more than `limit` rows are done."""

    def __init__(self, limit=None):
        self.messages, self.started, self.done, self._limit = [], [], 0, limit

    def start(self, label, total, done, unit="rows"):
        self.started.append((label, total, done, unit))

    def advance(self, rows):
        self.done += rows
        if self._limit is not None and self.done > self._limit:
            raise KeyboardInterrupt

    def say(self, text):
        self.messages.append(text)


def save_random_predictor(study, *, seed=0, folder=None, **changes):
    """Save an unfitted predictor of random weights where `mematlas fit` would; returns its folder."""
    run = study.run()
    (model,) = run.models
    entry = study.manifest()["runs"][run.key]["models"][model]
    rows, layer = {"fit": 1, "validation": 1, "test": 1}, study.states(model).layer
    config = PredictorConfig(members=1, width=16, layers=1, heads=2)
    outcome = (rows, 3, 0.25, 1, 1, 0.5, (0.8, 0.3), {"predictor": 0.75 + seed / 10}, config.model_dump(), {})
    shape = ("context", ("entropy",), WIDTH, layer, CONTEXT, LENGTH, seed)
    card = replace(PredictorCard(model, entry["fingerprint"], run.key, *shape, *outcome), **changes)
    torch.manual_seed(seed)
    sizes = {"width": card.width, "inputs": len(card.inputs), "context": card.context}
    network = PredictorNetwork(config, card.sees, continuation=card.continuation, **sizes)
    with torch.no_grad():
        network.members[0].label.weight.mul_(3)  # so that rows differ
    fitted = fit_scaling(read_examples(study, model, ["entropy"]), CONTEXT)
    scaling = Scaling(*(np.resize(values, card.width + len(card.inputs)) for values in (fitted.mean, fitted.deviation)))
    folder = folder or study.folder / "predictors" / run.key / run.models[model] / card.sees
    save_predictor(Predictor(network.eval(), scaling, card), folder)
    return folder


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """A tiny model, a corpus of random rows, and a study of both with hidden states and two predictors."""
    home = tmp_path_factory.mktemp("shelf")
    save_network(neox(), home / "model")
    tokens = np.random.default_rng(3).integers(1, V, (ROWS, CONTEXT + LENGTH)).astype(np.uint16)
    tokens[9] = tokens[4]
    np.save(home / "rows.npy", tokens)
    study = scored(home, "study")
    for seed in range(2):
        save_random_predictor(study, seed=seed)
    return home


def scored(home, name, **options):
    defaults = {"signals": ["hidden", "free", "truth"], "context": [CONTEXT], "continuation": [LENGTH]}
    return mematlas.score(str(home / "model"), corpus=str(home / "rows.npy"), study=home / name, **defaults | options)


def predictor_folder(shelf):
    return next((shelf / "study" / "predictors").glob("*/*/context"))


@pytest.fixture
def predicted(shelf, tmp_path):
    """A function that predicts the rows of the corpus with the random predictors; options can be changed."""

    def predict(model=None, progress=None, **options):
        defaults = {"corpus": str(shelf / "rows.npy"), "predictor": predictor_folder(shelf), "out": tmp_path / "out"}
        return predict_rows(str(model or shelf / "model"), progress=progress, **defaults | options)

    return predict


@pytest.fixture(scope="module")
def expected(shelf, tmp_path_factory):
    """[rows, LENGTH]: the predictions for the corpus."""
    options = {"corpus": str(shelf / "rows.npy"), "predictor": predictor_folder(shelf)}
    return probabilities(predict_rows(str(shelf / "model"), out=tmp_path_factory.mktemp("known"), **options))


def probabilities(result):
    return np.array(result.table()["probability"].to_list())


def middle_of(values):
    """A number between two distinct neighbouring values, so that equal rows are on one side."""
    return float(np.unique(values.round(6))[ROWS // 2 - 1 : ROWS // 2 + 1].mean())


# ------------------------------------------------------------------------------------------------------ known answers


@pytest.mark.parametrize(
    "options",
    [{}, {"signals": ["hidden", "free"]}, {"bos": True}, {"hidden_layer": "1"}, {"eos": "suppress"}],
    ids=["plain", "no entropies of the context", "bos", "layer 1", "eos suppressed"],
)
def test_probabilities_are_those_of_the_recorded_states(shelf, tmp_path, options):
    study = scored(shelf, tmp_path / "study", **options)
    folder = save_random_predictor(study)
    result = predict_rows(
        str(shelf / "model"), corpus=str(shelf / "rows.npy"), predictor=folder, out=tmp_path / "out"
    ).table()
    examples = read_examples(study, "model", ["entropy"])
    expected = mean_probabilities(load_predictors(folder), examples.states[:, :CONTEXT], examples.inputs[:, :CONTEXT])
    by_row = dict(result.select("row", "probability").iter_rows())
    assert len(examples.rows) >= 10
    assert expected.std(axis=0).min() > 0.01  # rows differ, so that mixed-up rows would be noticed
    np.testing.assert_allclose([by_row[row] for row in examples.rows.tolist()], expected, atol=1e-5)


def test_the_first_token_follows_the_entropy_that_the_network_itself_has(shelf, predicted, tmp_path):
    """A predictor that reads only the entropy after the context: above the median is recited."""
    tokens = torch.from_numpy(np.load(shelf / "rows.npy").astype(np.int64))
    with torch.inference_mode():
        logits = neox()(tokens[:, :CONTEXT]).logits[:, -1]
    entropy = torch.distributions.Categorical(logits=logits).entropy().numpy()
    folder = save_random_predictor(mematlas.open_study(shelf / "study"), folder=tmp_path / "a" / "context")
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
    result = predicted(predictor=folder).table()
    assert ((result["first"].to_numpy() > 0.5) == (entropy > mean[-1])).all()
    assert 10 < (result["first"] > 0.5).sum() < 30


def test_a_record_agrees_with_its_probabilities(predicted, expected):
    middle = middle_of(expected.mean(1))
    result = predicted(threshold=middle)
    table = result.table()
    each = probabilities(result)
    assert table.columns == PREDICTED.names
    assert table["row"].to_list() == list(range(ROWS))
    np.testing.assert_allclose(table["expected"], each.mean(1), atol=1e-6)
    np.testing.assert_allclose(table["recited_tokens"], each.sum(1), atol=1e-5)
    np.testing.assert_allclose(table["first"], each[:, 0], atol=1e-7)
    assert table["flagged"].to_list() == (table["expected"] >= middle).to_list()
    assert table["flagged"].sum() == (expected.mean(1) > middle).sum()
    assert (result.rows, result.flagged, result.short) == (ROWS, table["flagged"].sum(), 0)
    assert result.expected == pytest.approx(each.mean(), abs=1e-6)
    assert (result.context, result.continuation, result.model) == (CONTEXT, LENGTH, "model")


@pytest.mark.parametrize("options", [{"batch": 3}, {"shards": 7}, {"batch": 1, "shards": 3}])
def test_batches_and_shards_change_no_number(predicted, expected, options):
    np.testing.assert_allclose(probabilities(predicted(**options)), expected, atol=1e-5)


def test_the_order_of_rows_changes_no_number(predicted, expected, shelf, tmp_path):
    np.save(tmp_path / "reversed.npy", np.load(shelf / "rows.npy")[::-1])
    result = predicted(corpus=str(tmp_path / "reversed.npy"))
    np.testing.assert_allclose(probabilities(result)[::-1], expected, atol=1e-5)


def test_only_the_context_is_read(predicted, expected, shelf, tmp_path):
    tokens = np.load(shelf / "rows.npy")
    np.save(tmp_path / "prompts.npy", tokens[:, :CONTEXT])
    tokens[:, CONTEXT:] = 1
    np.save(tmp_path / "others.npy", tokens)
    for name in ("prompts.npy", "others.npy"):
        result = predicted(corpus=str(tmp_path / name))
        np.testing.assert_allclose(probabilities(result), expected, atol=1e-5)


def test_a_batch_that_does_not_fit_is_halved(predicted, expected, monkeypatch):
    start, progress = CausalModel.start, RecordingProgress()

    def small(model, rows, capacity):
        if rows > 6:
            raise MemoryError
        return start(model, rows, capacity)

    monkeypatch.setattr(CausalModel, "start", small)
    result = predicted(progress=progress, rows="first:20", batch=20)
    assert any("Out of memory with 19 rows" in message for message in progress.messages)
    np.testing.assert_allclose(probabilities(result), expected[:20], atol=1e-5)


# ----------------------------------------------------------------------------------------------------------- resuming


def test_an_interrupted_run_resumes(predicted, tmp_path):
    expected = predicted(shards=5).table()
    with pytest.raises(KeyboardInterrupt):
        predicted(progress=RecordingProgress(limit=20), shards=5, out=tmp_path / "again")
    finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "again").rglob("*.parquet")}
    progress = RecordingProgress()
    result = predicted(progress=progress, shards=5, out=tmp_path / "again")
    assert progress.started == [("model", ROWS, 16, "rows")]
    assert progress.done == ROWS - 16
    assert len(finished) == 2
    assert all(path.stat().st_mtime_ns == time for path, time in finished.items())
    assert result.table().equals(expected)


def test_a_finished_run_loads_no_model(predicted, monkeypatch):
    first = predicted()
    monkeypatch.setattr(CausalModel, "__init__", None)
    assert predicted() == first


@pytest.mark.parametrize("options", [{"threshold": 0.6}, {"rows": "first:39"}, {"shards": 2}, {"dtype": "bfloat16"}])
def test_other_options_use_another_folder(predicted, options):
    first = predicted()
    table = first.table()
    assert predicted(**options).folder != first.folder
    assert first.table().equals(table)


def test_another_predictor_uses_another_folder(predicted, shelf, tmp_path):
    (file,) = (path for path in predictor_folder(shelf).iterdir() if path.name == "seed-1.safetensors")
    ensemble, single = predicted(), predicted(predictor=file)
    assert ensemble.folder != single.folder
    assert np.abs(probabilities(ensemble) - probabilities(single)).max() > 0.01


# --------------------------------------------------------------------------------------------------------- flagged rows


def test_flagged_rows_can_be_scored(predicted, expected, shelf, tmp_path):
    result = predicted(threshold=middle_of(expected.mean(1)))
    ids = np.load(result.folder / "flagged.npy")
    assert 10 < len(ids) < 30
    assert ids.tolist() == result.table().filter("flagged")["row"].to_list()
    rows = f"ids:{result.folder / 'flagged.npy'}"
    study = scored(shelf, tmp_path / "flagged", rows=rows)
    assert study.scores()["row"].unique().sort().to_list() == ids.tolist()


def test_no_file_is_written_where_nothing_is_flagged(predicted):
    result = predicted(threshold=1.0)
    assert result.flagged == 0
    assert not (result.folder / "flagged.npy").exists()
    facts = json.loads((result.folder / "facts.json").read_text())
    assert (facts["rows"], facts["flagged"], facts["threshold"]) == (ROWS, 0, 1.0)


def test_ids_documents_and_sources_of_the_corpus_are_kept(predicted, shelf, tmp_path):
    tokens = np.load(shelf / "rows.npy")[:4].astype(np.int64).tolist()
    lists = pa.table({"tokens": tokens, "row_id": [70, 50, 60, 80], "document": [1, 1, None, 2]})
    pq.write_table(lists, tmp_path / "rows.parquet")
    options = {"corpus": str(tmp_path / "rows.parquet")}
    corpus = mematlas.open_corpus(tmp_path / "rows.parquet")
    positions = np.arange(4)
    table = predicted(**options).table()
    assert table["row"].to_list() == corpus.row_ids(positions).tolist()
    assert table["document"].to_list() == corpus.provenance(positions).document
    assert table["source"].to_list() == corpus.provenance(positions).source


def ragged(path, lengths, shelf):
    tokens = np.load(shelf / "rows.npy").astype(np.int64)
    pq.write_table(pa.table({"tokens": [row[:n].tolist() for row, n in zip(tokens, lengths, strict=False)]}), path)
    return str(path)


def test_short_rows_are_left_out_and_counted(predicted, expected, shelf, tmp_path):
    corpus = ragged(tmp_path / "ragged.parquet", [3, 20, 8, 7, 12], shelf)
    progress = RecordingProgress()
    result = predicted(corpus=corpus, progress=progress, shards=2)
    assert result.table()["row"].to_list() == [1, 2, 4]
    assert (result.rows, result.short, progress.done) == (3, 2, 5)
    np.testing.assert_allclose(probabilities(result), expected[[1, 2, 4]], atol=1e-5)


# ------------------------------------------------------------------------------------------------------------ refusals


def check_refused(predicted, error, *parts, **options):
    with pytest.raises(error) as raised:
        predicted(**options)
    text = str(raised.value)
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


def test_tokens_outside_the_models_vocabulary_are_refused(predicted, tmp_path):
    np.save(tmp_path / "foreign.npy", np.full((3, 20), 700, np.uint16))
    check_refused(predicted, CorpusError, "token id 700", corpus=str(tmp_path / "foreign.npy"))


def test_a_predictor_that_needs_decoding_is_refused(predicted, shelf, tmp_path):
    study = mematlas.open_study(shelf / "study")
    folder = save_random_predictor(study, sees="generated", folder=tmp_path / "m" / "generated")
    check_refused(predicted, ModelError, "does not generate", "fit STUDY --sees context", predictor=folder)
    (tmp_path / "m" / "context").mkdir()
    check_refused(predicted, ModelError, f"use {tmp_path / 'm' / 'context'}", predictor=folder)


def test_a_predictor_that_reads_corpus_counts_is_refused(predicted, shelf, tmp_path):
    names = ("entropy", "unigrams", "bigrams")
    folder = save_random_predictor(mematlas.open_study(shelf / "study"), inputs=names, folder=tmp_path / "m")
    check_refused(predicted, ModelError, "(unigrams, bigrams)", "--inputs entropy", predictor=folder)


@pytest.mark.parametrize("changes", [{"width": 48}, {"layer": "3"}], ids=["width", "layer"])
def test_a_model_without_such_states_is_refused(predicted, shelf, tmp_path, changes):
    folder = save_random_predictor(mematlas.open_study(shelf / "study"), folder=tmp_path / "m", **changes)
    words = ["32 numbers", "have 48"] if "width" in changes else ["layer 3", "has 2 layers"]
    check_refused(predicted, ModelError, *words, "fit one to it", predictor=folder)


def test_a_model_of_another_vocabulary_is_refused(predicted, tmp_path):
    other = save_network(neox(vocabulary=300), tmp_path / "other")
    check_refused(predicted, ModelError, "other has another vocabulary than model", model=other)


def test_a_model_of_another_tokenizer_is_refused(shelf):
    ensemble = open_ensemble(predictor_folder(shelf))
    card = find_model(str(shelf / "model")).card
    ours = replace(ensemble, origin=replace(ensemble.origin, tokenizer="ours"))
    with pytest.raises(ModelError, match="model has another tokenizer than model"):
        check_compatible(ours, replace(card, tokenizer="theirs"))
    assert check_compatible(ours, replace(card, tokenizer="ours", vocabulary=V + 5)) == []
    same_ids = replace(ours, origin=replace(ours.origin, tokenizer_rules="rules"))
    assert check_compatible(same_ids, replace(card, tokenizer="saved again", tokenizer_rules="rules")) == []
    with pytest.raises(ModelError, match="model has another tokenizer than model"):
        check_compatible(same_ids, replace(card, tokenizer="ours, changed", tokenizer_rules="others"))


def test_another_model_of_the_same_width_is_warned_about(predicted, tmp_path):
    other, progress = save_network(neox(seed=5), tmp_path / "other"), RecordingProgress()
    assert predicted(other, progress).rows == ROWS
    (message,) = (message for message in progress.messages if "Warning" in message)
    assert "other is not the model that the predictor was fitted to" in message
    assert "AUROC of 0.800 on documents held out was measured on model" in message


def test_the_same_model_needs_no_warning(predicted):
    progress = RecordingProgress()
    predicted(progress=progress)
    assert progress.messages == []


def test_what_is_left_out_of_the_corpus_is_said(predicted, tmp_path):
    longer = [list(range(1, CONTEXT + LENGTH + 3)), [1, 2, 3]]
    (tmp_path / "rows.jsonl").write_text("".join(f'{{"tokens": {tokens}}}\n' for tokens in longer))
    progress, length = RecordingProgress(), CONTEXT + LENGTH
    predicted(progress=progress, corpus=str(tmp_path / "rows.jsonl"), row_length=length, cache=tmp_path / "cache")
    assert progress.messages == [
        f"left out: 1 of 2 documents, shorter than {length} tokens; 5 of {length + 5} tokens, in those documents and "
        "at the ends of documents, where they fill no row"
    ]


def test_a_predictor_away_from_its_study_is_warned_about(predicted, expected, shelf, tmp_path):
    folder, progress = shutil.copytree(predictor_folder(shelf), tmp_path / "moved"), RecordingProgress()
    result = predicted(predictor=folder, progress=progress)
    (message,) = progress.messages
    assert "the predictor is not in the folder of the study that it was fitted in" in message
    np.testing.assert_allclose(probabilities(result), expected, atol=1e-5)


def test_files_that_are_no_predictors_are_refused(predicted, shelf, tmp_path):
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "notes.txt").write_text("x")
    check_refused(predicted, ModelError, "contains no predictor", predictor=tmp_path / "else")
    check_refused(predicted, ModelError, "contains no predictor", predictor=tmp_path / "nowhere")
    folder = Path(shutil.copytree(predictor_folder(shelf), tmp_path / "cut"))
    content = (folder / "seed-0.safetensors").read_bytes()
    (folder / "seed-0.safetensors").write_bytes(content[: len(content) // 2])
    check_refused(predicted, ModelError, "damaged", predictor=folder)


def test_seeds_of_different_predictors_are_refused(predicted, shelf, tmp_path):
    study = mematlas.open_study(shelf / "study")
    folder = save_random_predictor(study, folder=tmp_path / "mixed")
    save_random_predictor(study, seed=1, continuation=5, folder=folder)
    check_refused(predicted, ModelError, "more than their seed", "continuation 12 and 5", predictor=folder)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"threshold": 1.5}, ["--threshold", "1.5", "mematlas predict --help"]),
        ({"shards": 41}, ["--shards 41", "at most 40"]),
        ({"context": [8]}, ["has no option 'context'"]),
        ({"rows": "some"}, ["'some'"]),
    ],
)
def test_options_that_break_a_rule_are_refused(predicted, options, parts):
    check_refused(predicted, OptionError, *parts, **options)


def test_states_that_are_nan_are_refused(predicted, monkeypatch):
    original = CausalModel.states

    def broken(model, tokens, cache, last):
        states, recorded = original(model, tokens, cache, last)
        return states, recorded * float("nan")

    monkeypatch.setattr(CausalModel, "states", broken)
    check_refused(predicted, ModelError, "NaN", "--dtype float32", "check the model's weights")


def test_a_file_in_the_way_of_the_tables_is_refused(predicted, tmp_path):
    (tmp_path / "file").write_text("mine")
    check_refused(predicted, OptionError, "--out", "name another folder", out=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_missing_model_is_refused(predicted, tmp_path):
    check_refused(predicted, MematlasError, "nowhere", model=tmp_path / "nowhere")


def test_the_table_is_read_lazily(predicted):
    assert isinstance(predicted().scan(), pl.LazyFrame)
