"""Scores and signals whose right value is known by construction."""

import math

import numpy as np
import pytest
import torch

from mematlas.models.standins.ngram import NGram
from mematlas.models.standins.parrot import Parrot
from mematlas.models.standins.uniform import Uniform
from mematlas.scoring.options import ScoringOptions
from tests import tiny_networks as networks
from tests.scoring.standins import BOTH, ScriptedModel, random_rows, signals_by_row
from tests.tiny_networks import grid, score_cells

# P1 (f) 1


@pytest.mark.parametrize("batch", [1, 5, 64])
@pytest.mark.parametrize("depth", ["graded", "verbatim"])
def test_a_parrot_recites_known_rows_half_known_rows_and_unknown_rows_as_1_and_a_half_and_0(depth, batch):
    rows = random_rows(12, 24)
    fully_known, half_known = rows[:4], rows[4:8].copy()
    known = np.concatenate([fully_known, np.where(np.arange(24) < 16, half_known, 51)])  # 8 of context, 8 of 16 right
    options = ScoringOptions(grid([8], [16]), depth, batch=batch)
    records = score_cells(Parrot(known, 53, other=52), rows, options)
    graded = depth == "graded"
    assert [records[row, 8, 16]["verbatim"] for row in range(12)] == [16] * 4 + [8] * 4 + [0] * 4
    assert [records[row, 8, 16]["matches"] for row in range(12)] == [16] * 4 + (
        [8] * 4 + [0] * 4 if graded else [None] * 8
    )
    assert [records[row, 8, 16]["reason"] for row in range(12)] == [None] * 4 + [None if graded else "depth"] * 8


def test_a_score_counts_matches_after_the_first_miss_too():
    script = [0] * 4 + [1, 2, 9, 4, 9, 6]
    row = np.array([[7, 7, 7, 7, 1, 2, 3, 4, 5, 6]])
    record = score_cells(ScriptedModel(script, 10), row, ScoringOptions(grid([4], [6])))[0, 4, 6]
    assert (record["matches"], record["verbatim"]) == (4, 2)


# P1 (f) 3


def test_uniform_logits_give_every_signal_its_analytic_value():
    vocabulary, rows = 37, random_rows(vocabulary=37)
    options = ScoringOptions(grid([8], [16]), signals=BOTH, temperatures=(0.5, 2.0))
    records = signals_by_row(Uniform(vocabulary), rows, options)
    log = math.log(vocabulary)
    for row in range(len(rows)):
        truth, free = records["truth"][row, 8], records["free"][row, 8]
        for name in ("entropy",):
            assert truth[name][1:] == pytest.approx([log] * 23, abs=1e-5)
            assert free[name] == pytest.approx([log] * 16, abs=1e-5)
        for name in ("log_probability", "mean_log_probability", "log_probability_t0.5", "log_probability_t2"):
            assert truth[name][1:] == pytest.approx([-log] * 23, abs=1e-5)
        assert truth["variance_log_probability"][1:] == pytest.approx([0] * 23, abs=1e-6)
        assert truth["rank"][1:] == [1] * 23
        assert truth["margin"][1:] == [0] * 23
        assert free["token"] == [0] * 16
        assert {values[0] for values in truth.values() if isinstance(values, list)} == {None}


def test_among_equal_logits_the_lowest_id_is_chosen_so_a_uniform_model_scores_the_share_of_token_0():
    rows = random_rows(200, 24, vocabulary=3)
    records = score_cells(Uniform(3), rows, ScoringOptions(grid([8], [16])))
    assert [records[row, 8, 16]["matches"] for row in range(200)] == (rows[:, 8:] == 0).sum(1).tolist()


def test_ties_that_leave_out_the_first_tokens_go_to_the_lowest_of_the_tied():
    class Tied(Uniform):
        def head(self, states):
            logits = torch.zeros((len(states), self.vocabulary))
            logits[:, [70, 130, 131]] = 3.0
            return logits

    records = signals_by_row(Tied(200), random_rows(vocabulary=200), ScoringOptions(grid([8], [16]), signals=("free",)))
    assert all(record["token"] == [70] * 16 and record["margin"] == [0] * 16 for record in records["free"].values())


def test_a_certain_model_has_entropy_0_and_no_spread():
    rows = random_rows()
    options = ScoringOptions(grid([8], [16]), signals=BOTH)
    records = signals_by_row(Parrot(rows, 51), rows, options)
    assert len(records["truth"]) == len(rows)
    for record in records["truth"].values():
        assert record["entropy"][8:] == pytest.approx([0] * 16, abs=1e-6)
        assert record["variance_log_probability"][8:] == pytest.approx([0] * 16, abs=1e-6)
        assert record["log_probability"][8:] == pytest.approx([0] * 16, abs=1e-6)
        assert record["hit"][8:] == [True] * 16


# P1 (f) 5


@pytest.mark.parametrize("batch", [7, 64])
def test_the_rows_that_are_wholly_recited_are_those_whose_teacher_forced_hits_are_all_true(batch):
    shape = grid([8, 12], [12])
    network = networks.neox()
    rows = networks.partly_recited_rows(network, shape)
    model = networks.causal_model(network)
    scores = score_cells(model, rows, ScoringOptions(shape, batch=batch))
    truth = signals_by_row(model, rows, ScoringOptions(shape, signals=("truth",), batch=batch))["truth"]
    for context in (8, 12):
        recited = {row for row in range(len(rows)) if scores[row, context, 12]["matches"] == 12}
        hits = {row for row in range(len(rows)) if all(truth[row, 12]["hit"][context : context + 12])}
        assert recited == hits
        assert 10 < len(recited) < 90


# 1.4.1


def bigram():
    """p(1|0) = 3/4, p(2|0) = 1/4, p(0|1) = 1, p(0|2) = 1/2, p(1|2) = 1/2."""
    return NGram({(): {0: 1}, (0,): {1: 3, 2: 1}, (1,): {0: 1}, (2,): {0: 1, 1: 1}}, 3)


@pytest.mark.parametrize("batch", [1, 64])
def test_the_signal_at_a_position_is_that_of_the_token_at_this_position(batch):
    row = np.array([[0, 1, 0, 2, 1, 0, 2, 0]])
    signals = signals_by_row(bigram(), row, ScoringOptions(grid([3], [5]), signals=BOTH, batch=batch))
    truth = signals["truth"][0, 3]
    third, quarter, half = math.log(3 / 4), math.log(1 / 4), math.log(1 / 2)
    split = -(3 / 4) * third - (1 / 4) * quarter
    assert truth["log_probability"][0] is None
    assert truth["log_probability"][1:] == pytest.approx([third, 0, quarter, half, 0, quarter, half], abs=1e-6)
    assert truth["entropy"][1:] == pytest.approx([split, 0, split, -half, 0, split, -half], abs=1e-6)
    assert truth["hit"][1:] == [True, True, False, False, True, False, True]
    assert truth["rank"][1:] == [1, 1, 2, 1, 1, 2, 1]
    assert signals["free"][0, 3]["token"] == [1, 0, 1, 0, 1]
    assert signals["free"][0, 3]["log_probability"] == pytest.approx([third, 0, third, 0, third], abs=1e-6)


def test_the_probability_of_a_continuation_is_the_product_of_its_tokens():
    row = np.array([[0, 2, 1, 0, 1, 0, 2, 0]])
    truth = signals_by_row(bigram(), row, ScoringOptions(grid([3], [5]), signals=("truth",)))["truth"][0, 3]
    assert math.exp(sum(truth["log_probability"][3:])) == pytest.approx(1 * 3 / 4 * 1 * 1 / 4 * 1 / 2, rel=1e-5)


# signals against a naive reading of the network's own logits


@pytest.fixture(scope="module")
def naive():
    network, shape = networks.neox(), grid([8, 12], [12])
    rows = networks.partly_recited_rows(network, shape, 30)
    with torch.inference_mode():
        logits = network.double()(input_ids=torch.from_numpy(rows)).logits
    network.float()
    return network, shape, rows, logits


@pytest.mark.parametrize("batch", [7, 64])
def test_teacher_forced_signals_equal_a_naive_float64_reading_of_the_logits(naive, batch):
    network, shape, rows, logits = naive
    options = ScoringOptions(shape, signals=("truth",), temperatures=(0.5, 3.0), batch=batch)
    records = signals_by_row(networks.causal_model(network), rows, options)["truth"]
    for row in range(len(rows)):
        record = records[row, 12]
        assert len(record["hit"]) == 24
        for position in range(1, 24):
            at, token = logits[row, position - 1], int(rows[row, position])
            log = at.log_softmax(0)
            p = log.exp()
            mean = float((p * log).sum())
            top = at.topk(40).values
            expected = {
                "log_probability": float(log[token]),
                "entropy": -mean,
                "margin": float(top[0] - top[1]),
                "mean_log_probability": mean,
                "variance_log_probability": float((p * (log - mean) ** 2).sum()),
                "log_probability_t0.5": float((at / 0.5).log_softmax(0)[token]),
                "log_probability_t3": float((at / 3).log_softmax(0)[token]),
            }
            for name, value in expected.items():
                assert record[name][position] == pytest.approx(value, abs=1e-4), (name, row, position)
            if abs(float(at[token] - top[-1])) > 1e-5:
                inside = float(at[token]) >= float(top[-1])
                assert record["log_probability_top40"][position] == (
                    pytest.approx(float(at[token] - top.logsumexp(0)), abs=1e-4) if inside else None
                )
            close = int(((at - at[token]).abs() < 1e-5).sum()) - 1
            assert abs(record["rank"][position] - 1 - int((at > at[token]).sum())) <= close
            if expected["margin"] > 1e-5:
                assert record["hit"][position] == (int(at.argmax()) == token)


def test_free_running_signals_equal_a_naive_float64_reading_along_the_greedy_text(naive):
    network, shape, rows, _ = naive
    records = signals_by_row(networks.causal_model(network), rows, ScoringOptions(shape, signals=("free",), batch=7))[
        "free"
    ]
    model = network.double()
    try:
        for row in range(len(rows)):
            for context in (8, 12):
                record = records[row, context]
                text = torch.tensor([*rows[row, :context], *record["token"]])[None]
                with torch.inference_mode():
                    logits = model(input_ids=text).logits[0, context - 1 : -1]
                log = logits.log_softmax(1)
                top = logits.topk(2, dim=1)
                assert record["token"] == top.indices[:, 0].tolist()
                assert record["log_probability"] == pytest.approx(log.amax(1).tolist(), abs=1e-4)
                assert record["entropy"] == pytest.approx((-(log.exp() * log).sum(1)).tolist(), abs=1e-4)
                assert record["margin"] == pytest.approx((top.values[:, 0] - top.values[:, 1]).tolist(), abs=1e-4)
    finally:
        network.float()
