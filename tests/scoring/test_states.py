"""Hidden states compared with a plain forward pass, and the sample of rows whose states are stored."""

import shutil
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from generate_oracle import greedy_text

import mematlas
from mematlas.errors import ModelError, OptionError, StudyError
from mematlas.models.standins.uniform import Uniform
from mematlas.scoring.engines.causal import Engine
from mematlas.scoring.options import ScoringOptions, layer_number
from mematlas.scoring.records.states import hidden_cell, max_states_bytes, rows_per_level, states_per_row, write_states
from mematlas.study.signals import read_states
from tests import tiny_networks as networks
from tests.tiny_networks import grid, partly_recited_rows, run_engine, save_network

CLOSE = 4e-3  # float16 of numbers around 1


def plain_states(network, tokens):
    """All layers' states [layers, tokens, width] of one row of token ids, from one forward pass."""
    with torch.inference_mode():
        states = network(torch.from_numpy(np.array([tokens])), output_hidden_states=True).hidden_states
    return torch.cat(states).numpy()


def agree(states, expected):
    """Whether float16 states equal `expected`; CLOSE would be too coarse for the small numbers of embeddings."""
    return np.allclose(states, expected, rtol=2e-3, atol=3e-5)


@pytest.mark.parametrize("make", [networks.neox, networks.llama, networks.gpt2])
@pytest.mark.parametrize("align", ["start", "end"])
@pytest.mark.parametrize("signals", [("hidden",), ("hidden", "truth")])
@pytest.mark.parametrize("contexts", [(32,), (16, 32, 40)])
def test_states_are_those_of_the_plain_forward_pass(make, align, signals, contexts):
    network, shape = make(), grid(contexts, (8, 16), align)
    rows, split = partly_recited_rows(network, shape, 12), shape.continuation_start(32)
    texts = greedy_text(network, torch.from_numpy(rows[:, split - 32 : split]), 16, 12).numpy()
    plain = {
        "free": [
            plain_states(network, [*row[split - 32 : split], *text[:-1]]) for row, text in zip(rows, texts, strict=True)
        ],
        "truth": [plain_states(network, row[split - 32 : split + 15]) for row in rows],
    }
    kinds = ScoringOptions(shape, signals=signals).hidden_kinds
    for name, layer in (("last", 2), ("0", 0), ("-2", 1), ("0.5", 1)):
        options = ScoringOptions(shape, signals=signals, batch=7, hidden_layer=name)
        results = run_engine(networks.causal_model(network), rows, options)
        assert all(set(result.states) == (set(kinds) if result.context == 32 else set()) for result in results)
        comparisons = [
            (kind, agree(values, plain[kind][row][layer]), agree(values, plain[kind][row][layer - 1]))
            for result in results
            for kind, states in result.states.items()
            for row, values in zip(result.rows.tolist(), states, strict=True)
        ]
        assert sorted(comparisons) == sorted((kind, True, False) for kind in kinds for _ in rows)


def test_scores_are_the_same_with_and_without_states():
    network, shape = networks.neox(), grid((16, 32), (8, 16))
    rows = partly_recited_rows(network, shape, 40)
    model = networks.causal_model(network)
    without = networks.score_cells(model, rows, ScoringOptions(shape, batch=7))
    for layer in ("last", "0", "1"):
        options = ScoringOptions(shape, signals=("hidden",), batch=7, hidden_layer=layer)
        assert networks.score_cells(model, rows, options) == without


def test_states_are_never_logits():
    """If the network cannot be split into body and head, the engine reads logits, but it still stores states."""
    network, shape = networks.neox(), grid((32,), (16,))
    rows, model = partly_recited_rows(network, shape, 5, corrupted=False), networks.causal_model(network)
    model._head = None
    (result,) = run_engine(model, rows, ScoringOptions(shape, signals=("hidden", "truth")))
    for row, index in zip(rows, result.rows.tolist(), strict=True):
        assert agree(result.states["truth"][index], plain_states(network, row[:47])[2])


@pytest.fixture
def study(tmp_path):
    """A function that scores 60 rows of all levels, storing the states of at most 20 of them."""
    network = networks.neox()
    save_network(network, tmp_path / "net")
    rows = partly_recited_rows(network, grid((32,), (16,)), 60)
    rows[20:30, 40:], rows[50:55, 44:] = 3, 3  # the first half or three quarters recited
    np.save(tmp_path / "rows.npy", rows)

    def score(folder="study", **options):
        defaults = {
            "context": [32],
            "continuation": [16],
            "signals": ["hidden", "truth"],
            "hidden_rows": 20,
            "shards": 2,
        }
        path = {"corpus": str(tmp_path / "rows.npy"), "study": tmp_path / folder}
        return mematlas.score(str(tmp_path / "net"), **(path | defaults | options))

    return score


def test_the_sample_is_balanced_bounded_and_the_same_each_time(study):
    states = study().states("net")
    counts = Counter(states.levels.tolist())
    assert max(counts.values()) <= 2 * 2  # two shards, two rows a level
    assert len(counts) >= 3
    assert len(states.rows) == len(set(states.rows.tolist())) <= 20
    assert states.states.shape == (len(states.rows), 32 + 16 - 1, 32)
    assert (states.states.dtype, states.context) == (np.float16, 32)
    again = study("other", batch=9).states("net")
    assert again.rows.tolist() == states.rows.tolist()
    assert np.abs(again.states - states.states).max() < CLOSE


def test_levels_are_those_of_the_scores(study):
    scored = study()
    states, scores = scored.states("net"), scored.scores()
    matches = dict(zip(scores["row"].to_list(), scores["matches"].to_list(), strict=True))
    assert states.levels.tolist() == [min(4, 5 * matches[row] // 16) for row in states.rows.tolist()]
    assert states.hits.sum(1).tolist() == [matches[row] for row in states.rows.tolist()]


def test_both_texts_agree_up_to_the_first_miss(study):
    scored = study()
    free, truth = scored.states("net"), scored.states("net", "truth")
    verbatim = dict(scored.scores().select("row", "verbatim").iter_rows())
    assert free.rows.tolist() == truth.rows.tolist()
    for free_states, true_states, row in zip(free.states, truth.states, free.rows.tolist(), strict=True):
        same = np.abs(free_states - true_states).max(1) < CLOSE
        assert same[: 32 + verbatim[row]].all()
        assert verbatim[row] >= 15 or not same[32 + verbatim[row] :].all()


def test_only_a_lost_shard_is_scored_again(study, tmp_path):
    scored = study()
    before = scored.states("net")
    scores = next((tmp_path / "study" / "scores").rglob("shard-00001-of-00002.done"))
    scores.unlink()
    next((tmp_path / "study" / "states").rglob("free/*/shard-00001-of-00002.safetensors")).unlink()
    with pytest.raises(StudyError, match=r"is not finished: run the same command again"):
        scored.states("net")
    after = study().states("net")
    assert after.rows.tolist() == before.rows.tolist()
    assert np.array_equal(after.states, before.states)


def test_rows_that_end_early_have_no_states_there(tmp_path):
    network, shape = networks.neox(), grid((32,), (30, 38))
    rows = partly_recited_rows(network, shape, 20)
    options = ScoringOptions(shape, signals=("hidden",), hidden_rows=500)
    lengths = [50] * 2 + [66] * 3 + [70] * 15  # too short for 30; long enough for 30 alone; long enough for both
    results = run_engine(networks.causal_model(network), rows, options, lengths=lengths)
    write_states({"free": tmp_path}, "shard-00000-of-00001", np.arange(20), results, options, (0, 1))
    states = read_states([tmp_path / "shard-00000-of-00001.safetensors"])
    assert states.rows.tolist() == list(range(2, 20))
    empty = np.isnan(states.states).all(2)
    assert empty[:3, 65:].all()
    assert not empty[:3, :65].any()
    assert not empty[3:].any()
    assert (states.hits[:3, 34:] == -1).all()
    assert (states.hits[:3, :34] >= 0).all()
    assert (states.hits[3:] >= 0).all()


def test_a_text_that_stops_has_no_states_after_its_end():
    network, shape = networks.neox(), grid((32,), (16,))
    rows = partly_recited_rows(network, shape, 20)
    first = int(rows[0, 34])  # ends some texts early
    options = ScoringOptions(shape, signals=("hidden", "free"), eos="stop")
    (result,) = run_engine(networks.causal_model(network), rows, options, eos=(first,))
    ended = result.free["token"][0].tolist().index(first)
    assert np.isnan(result.states["free"][0, 32 + ended :]).all()
    assert not np.isnan(result.states["free"][0, : 32 + ended]).any()


def test_the_size_of_states_is_reported_and_refused_on_a_full_disk(study, monkeypatch, tmp_path):
    messages = []
    progress = SimpleNamespace(
        start=lambda *a, **k: None, advance=lambda n: None, stop=lambda: None, say=messages.append
    )
    study(progress=progress)
    options = ScoringOptions(grid((32,), (16,)), signals=("hidden", "truth"), hidden_rows=20)
    size = max_states_bytes(options, 60, 2, 32)
    assert size == 2 * (20 * (47 * 32 * 2 + 16 + 9) + 2 * 512)  # hits; row and level; two files' headers
    kept = sum(path.stat().st_size for path in (tmp_path / "study" / "states").rglob("*.*"))
    assert 0.5 * size < kept < size
    assert any("net: hidden states of at most 0 MB go to" in text for text in messages)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(
        StudyError, match=r"Hidden states of 20 rows per model may take 0.0 GB, but only 0.0 GB are free on the disk of"
    ):
        study("full")
    assert not list((tmp_path / "full").rglob("shard-*"))


def test_states_that_cannot_be_stored_are_refused(study):
    with pytest.raises(
        OptionError,
        match=r"--signals hidden stores the states of generated tokens, but --depth verbatim generates none",
    ):
        study("verbatim", depth="verbatim", signals=["hidden"])
    plain = study("plain", signals=["free"])
    with pytest.raises(StudyError, match=r"has no hidden states 'free' of 'net'; score with --signals hidden\."):
        plain.states("net")
    with pytest.raises(
        StudyError, match=r"has no hidden states 'truth' of 'net'; score with --signals hidden --signals tr"
    ):
        study("free only", signals=["hidden"]).states("net", "truth")


def test_the_number_of_rows_is_part_of_the_key_only_with_hidden_states(study):
    keys = {study("a", signals=["free"], hidden_rows=rows).run().key for rows in (5, 6)}
    assert len(keys) == 1
    assert len({study("b", hidden_rows=rows).run().key for rows in (5, 6)}) == 2


def test_another_layer_is_another_run_and_recorded_with_the_states(study):
    scored = [study(), study(hidden_layer="-2"), study(hidden_layer="0.5")][-1]
    keys = {run.settings.get("hidden_layer", "last"): run.key for run in scored.runs()}
    assert len(set(keys.values())) == 3
    states = {name: scored.states("net", run=key) for name, key in keys.items()}
    assert {name: states.layer for name, states in states.items()} == {"last": "last", "-2": "1", "0.5": "1"}
    assert states["-2"].rows.tolist() == states["last"].rows.tolist()
    assert np.array_equal(states["-2"].states, states["0.5"].states)
    assert not np.array_equal(states["-2"].states, states["last"].states)


def test_the_last_layer_has_one_name(study):
    assert study(hidden_layer="2").states("net").layer == "last"
    assert layer_number("-1", 6, "m") == layer_number("1.0", 6, "m") == layer_number("6", 6, "m") == 6
    assert layer_number("0.5", 5, "m") == 3  # the upper one of two middles
    assert layer_number("-7", 6, "m") == layer_number("0.0", 6, "m") == layer_number("0", 6, "m") == 0


def test_a_missing_layer_is_refused_before_a_row_is_scored(study, tmp_path):
    beyond = r"--hidden-layer 3 is beyond net, which has the layers 0 \(embeddings\) to 2 \(last\), or -3 to -1; name "
    with pytest.raises(ModelError, match=beyond):
        study("beyond", hidden_layer="3")
    assert not list((tmp_path / "beyond").rglob("shard-*"))
    with pytest.raises(ModelError, match=r"--hidden-layer -4 is beyond net"):
        study("before", hidden_layer="-4")
    options = ScoringOptions(grid((32,), (16,)), signals=("hidden",), hidden_layer="1")
    with pytest.raises(ModelError, match=r"--hidden-layer 1 is beyond m, which has one layer only; leave it out\."):
        Engine(Uniform(60), networks.card(60), options)


@pytest.mark.parametrize("value", ["first", "1.5", "2.0", "-0.5", "", "3 4", "nan", True])
def test_an_invalid_layer_is_refused(study, value):
    with pytest.raises(OptionError, match=r"--hidden-layer: a layer is last, a whole number, or a share from 0.0 to 1"):
        study("odd", hidden_layer=value)


def test_a_layer_may_be_a_number_in_a_study_file(study):
    assert study("number", hidden_layer=1).states("net").layer == "1"
    assert study("share", hidden_layer=0.5).states("net").layer == "1"
    with pytest.raises(OptionError, match=r"--hidden-layer names the layer of hidden states: add --signals hidden, or"):
        study("without", signals=["free"], hidden_layer="1")


def test_the_cell_is_the_nearest_to_32():
    assert hidden_cell(grid((16, 30, 64), (8, 40))) == (30, 40)
    assert states_per_row(grid((16, 30, 64), (8, 40))) == 30 + 40 - 1
    assert rows_per_level(ScoringOptions(grid((8,), (8,)), hidden_rows=101), 10) == 3
