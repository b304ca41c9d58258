"""Scores and signals whose right value is known by construction."""

import math

import numpy as np
import pytest
import torch

import mematlas
from mematlas.errors import CorpusError, ModelError, OutOfMemory
from mematlas.models.ngram import NGram
from mematlas.models.parrot import Parrot
from mematlas.models.standin import StandIn, one_hot_logits
from mematlas.models.uniform import Uniform
from mematlas.records import TokenRows
from mematlas.scoring.engine import Engine
from mematlas.scoring.options import ScoringOptions
from mematlas.scoring.tables import score_table, signal_tables
from tests import networks
from tests.networks import cells, grid, run_engine

BOTH = ("free", "truth")


def tables(model, rows, options, lengths=None, **of_card):
    """The signal tables, as kind -> (row, context) -> line."""
    results = run_engine(model, rows, options, lengths, **of_card)
    found = signal_tables("m", np.arange(len(rows)), results, options)
    return {kind: {(line["row"], line["context"]): line for line in table.to_pylist()} for kind, table in found.items()}


def random_rows(count=12, width=24, vocabulary=50, seed=0):
    return np.random.default_rng(seed).integers(0, vocabulary, (count, width))


class Scripted(StandIn):
    """Says the same tokens whatever was said before: after t tokens it says script[t]."""

    def __init__(self, script, vocabulary):
        self.script, self.vocabulary = torch.tensor(script), vocabulary

    def states_of(self, history, last):
        end = history.shape[1]
        said = self.script[torch.arange(end - last + 1, end + 1)]
        return said.expand(len(history), last)[:, :, None]

    def head(self, states):
        return one_hot_logits(states[:, 0], self.vocabulary)


class Counting(StandIn):
    """A parrot that notes how many rows each of its sessions had, and has memory for `fits` of them."""

    def __init__(self, inner, fits=10**9):
        self.inner, self.fits, self.seen, self.vocabulary = inner, fits, [], inner.vocabulary

    def start(self, rows, capacity):
        self.seen.append(rows)
        if rows > self.fits:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        return self.inner.start(rows, capacity)

    def head(self, states):
        return self.inner.head(states)


# P1 (f) 1


@pytest.mark.parametrize("batch", [1, 5, 64])
@pytest.mark.parametrize("depth", ["graded", "verbatim"])
def test_a_parrot_recites_known_rows_half_known_rows_and_unknown_rows_as_1_and_a_half_and_0(depth, batch):
    rows = random_rows(12, 24)
    whole, half = rows[:4], rows[4:8].copy()
    known = np.concatenate([whole, np.where(np.arange(24) < 16, half, 51)])  # 8 of context, 8 of 16 right
    options = ScoringOptions(grid([8], [16]), depth, batch=batch)
    found = cells(Parrot(known, 53, other=52), rows, options)
    graded = depth == "graded"
    assert [found[row, 8, 16]["verbatim"] for row in range(12)] == [16] * 4 + [8] * 4 + [0] * 4
    assert [found[row, 8, 16]["matches"] for row in range(12)] == [16] * 4 + (
        [8] * 4 + [0] * 4 if graded else [None] * 8
    )
    assert [found[row, 8, 16]["reason"] for row in range(12)] == [None] * 4 + [None if graded else "depth"] * 8


def test_a_score_counts_matches_after_the_first_miss_too():
    script = [0] * 4 + [1, 2, 9, 4, 9, 6]
    row = np.array([[7, 7, 7, 7, 1, 2, 3, 4, 5, 6]])
    line = cells(Scripted(script, 10), row, ScoringOptions(grid([4], [6])))[0, 4, 6]
    assert (line["matches"], line["verbatim"]) == (4, 2)


# P1 (f) 3


def test_uniform_logits_give_every_signal_its_analytic_value():
    vocabulary, rows = 37, random_rows(vocabulary=37)
    options = ScoringOptions(grid([8], [16]), signals=BOTH, temperatures=(0.5, 2.0))
    found = tables(Uniform(vocabulary), rows, options)
    log = math.log(vocabulary)
    for row in range(len(rows)):
        truth, free = found["truth"][row, 8], found["free"][row, 8]
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
    found = cells(Uniform(3), rows, ScoringOptions(grid([8], [16])))
    assert [found[row, 8, 16]["matches"] for row in range(200)] == (rows[:, 8:] == 0).sum(1).tolist()


def test_ties_that_leave_out_the_first_tokens_go_to_the_lowest_of_the_tied():
    class Tied(Uniform):
        def head(self, states):
            logits = torch.zeros((len(states), self.vocabulary))
            logits[:, [70, 130, 131]] = 3.0
            return logits

    found = tables(Tied(200), random_rows(vocabulary=200), ScoringOptions(grid([8], [16]), signals=("free",)))
    assert all(line["token"] == [70] * 16 and line["margin"] == [0] * 16 for line in found["free"].values())


def test_a_certain_model_has_entropy_0_and_no_spread():
    rows = random_rows()
    options = ScoringOptions(grid([8], [16]), signals=BOTH)
    found = tables(Parrot(rows, 51), rows, options)
    assert len(found["truth"]) == len(rows)
    for line in found["truth"].values():
        assert line["entropy"][8:] == pytest.approx([0] * 16, abs=1e-6)
        assert line["variance_log_probability"][8:] == pytest.approx([0] * 16, abs=1e-6)
        assert line["log_probability"][8:] == pytest.approx([0] * 16, abs=1e-6)
        assert line["hit"][8:] == [True] * 16


# P1 (f) 5


@pytest.mark.parametrize("batch", [7, 64])
def test_the_rows_that_are_wholly_recited_are_those_whose_teacher_forced_hits_are_all_true(batch):
    shape = grid([8, 12], [12])
    network = networks.neox()
    rows = networks.half_recited(network, shape)
    model = networks.asked(network)
    scores = cells(model, rows, ScoringOptions(shape, batch=batch))
    truth = tables(model, rows, ScoringOptions(shape, signals=("truth",), batch=batch))["truth"]
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
    line = tables(bigram(), row, ScoringOptions(grid([3], [5]), signals=BOTH, batch=batch))
    truth = line["truth"][0, 3]
    third, quarter, half = math.log(3 / 4), math.log(1 / 4), math.log(1 / 2)
    split = -(3 / 4) * third - (1 / 4) * quarter
    assert truth["log_probability"][0] is None
    assert truth["log_probability"][1:] == pytest.approx([third, 0, quarter, half, 0, quarter, half], abs=1e-6)
    assert truth["entropy"][1:] == pytest.approx([split, 0, split, -half, 0, split, -half], abs=1e-6)
    assert truth["hit"][1:] == [True, True, False, False, True, False, True]
    assert truth["rank"][1:] == [1, 1, 2, 1, 1, 2, 1]
    assert line["free"][0, 3]["token"] == [1, 0, 1, 0, 1]
    assert line["free"][0, 3]["log_probability"] == pytest.approx([third, 0, third, 0, third], abs=1e-6)


def test_the_probability_of_a_continuation_is_the_product_of_its_tokens():
    row = np.array([[0, 2, 1, 0, 1, 0, 2, 0]])
    truth = tables(bigram(), row, ScoringOptions(grid([3], [5]), signals=("truth",)))["truth"][0, 3]
    assert math.exp(sum(truth["log_probability"][3:])) == pytest.approx(1 * 3 / 4 * 1 * 1 / 4 * 1 / 2, rel=1e-5)


# signals against a naive reading of the network's own logits


@pytest.fixture(scope="module")
def naive():
    network, shape = networks.neox(), grid([8, 12], [12])
    rows = networks.half_recited(network, shape, 30)
    with torch.inference_mode():
        logits = network.double()(input_ids=torch.from_numpy(rows)).logits
    network.float()
    return network, shape, rows, logits


@pytest.mark.parametrize("batch", [7, 64])
def test_teacher_forced_signals_equal_a_naive_float64_reading_of_the_logits(naive, batch):
    network, shape, rows, logits = naive
    options = ScoringOptions(shape, signals=("truth",), temperatures=(0.5, 3.0), batch=batch)
    found = tables(networks.asked(network), rows, options)["truth"]
    for row in range(len(rows)):
        line = found[row, 12]
        assert len(line["hit"]) == 24
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
                assert line[name][position] == pytest.approx(value, abs=1e-4), (name, row, position)
            if abs(float(at[token] - top[-1])) > 1e-5:
                inside = float(at[token]) >= float(top[-1])
                assert line["log_probability_top40"][position] == (
                    pytest.approx(float(at[token] - top.logsumexp(0)), abs=1e-4) if inside else None
                )
            close = int(((at - at[token]).abs() < 1e-5).sum()) - 1
            assert abs(line["rank"][position] - 1 - int((at > at[token]).sum())) <= close
            if expected["margin"] > 1e-5:
                assert line["hit"][position] == (int(at.argmax()) == token)


def test_free_running_signals_equal_a_naive_float64_reading_along_the_greedy_text(naive):
    network, shape, rows, _ = naive
    found = tables(networks.asked(network), rows, ScoringOptions(shape, signals=("free",), batch=7))["free"]
    model = network.double()
    try:
        for row in range(len(rows)):
            for context in (8, 12):
                line = found[row, context]
                text = torch.tensor([*rows[row, :context], *line["token"]])[None]
                with torch.inference_mode():
                    logits = model(input_ids=text).logits[0, context - 1 : -1]
                log = logits.log_softmax(1)
                top = logits.topk(2, dim=1)
                assert line["token"] == top.indices[:, 0].tolist()
                assert line["log_probability"] == pytest.approx(log.amax(1).tolist(), abs=1e-4)
                assert line["entropy"] == pytest.approx((-(log.exp() * log).sum(1)).tolist(), abs=1e-4)
                assert line["margin"] == pytest.approx((top.values[:, 0] - top.values[:, 1]).tolist(), abs=1e-4)
    finally:
        network.float()


# end of text, BOS


EOS = 9
AFTER_EOS = np.array([[1, 1, 1, 1, 2, EOS, 3, 4], [1, 1, 1, 1, 2, 3, 3, 4]])


def test_end_of_text_is_an_ordinary_token_unless_told_otherwise():
    model = Scripted([0, 0, 0, 0, 2, EOS, 3, 4], 10)
    found = cells(model, AFTER_EOS, ScoringOptions(grid([4], [4])), eos=(EOS,))
    assert [(found[row, 4, 4]["matches"], found[row, 4, 4]["verbatim"]) for row in (0, 1)] == [(4, 4), (3, 1)]


@pytest.mark.parametrize("signals", [(), BOTH])
@pytest.mark.parametrize("depth", ["graded", "verbatim"])
def test_a_stopping_end_of_text_counts_itself_and_nothing_after_it(depth, signals):
    model = Scripted([0, 0, 0, 0, 2, EOS, 3, 4], 10)
    options = ScoringOptions(grid([4], [4]), depth, signals, eos="stop")
    found = cells(model, AFTER_EOS, options, eos=(EOS,))
    assert [found[row, 4, 4]["verbatim"] for row in (0, 1)] == [2, 1]
    assert [found[row, 4, 4]["matches"] for row in (0, 1)] == ([2, 1] if depth == "graded" else [None, None])
    if signals and depth == "graded":
        free = tables(model, AFTER_EOS, options, eos=(EOS,))["free"]
        assert free[0, 4]["token"] == [2, EOS, None, None]


@pytest.mark.parametrize("depth", ["graded", "verbatim"])
def test_a_suppressed_end_of_text_is_never_chosen(depth):
    model = NGram({(): {1: 1}, (2,): {EOS: 3, 5: 1}, (1,): {2: 1}, (5,): {1: 1}, (EOS,): {3: 1}}, 10)
    rows = np.array([[1, 2, 5, 1], [1, 2, EOS, 3]])
    options = ScoringOptions(grid([2], [2]), depth, BOTH, eos="suppress")
    found = cells(model, rows, options, eos=(EOS,))
    assert [found[row, 2, 2]["verbatim"] for row in (0, 1)] == [2, 0]
    truth = tables(model, rows, options, eos=(EOS,))["truth"]
    assert truth[0, 2]["log_probability"][2] == pytest.approx(0, abs=1e-5)
    assert truth[1, 2]["log_probability"][2] is None
    ignoring = cells(model, rows, ScoringOptions(grid([2], [2]), depth), eos=(EOS,))
    assert [ignoring[row, 2, 2]["verbatim"] for row in (0, 1)] == [0, 2]


@pytest.mark.parametrize("align", ["start", "end"])
def test_a_bos_is_put_before_each_prompt_and_shifts_nothing(align):
    rows, bos = random_rows(6, 16), 52
    known = np.concatenate([np.full((6, 1), bos), rows], axis=1)
    options = ScoringOptions(grid([4, 6], [8], align), signals=BOTH, bos=True)
    model = Parrot(known, 53, other=51)
    found = cells(model, rows, options, bos=bos)
    # a prompt that starts inside the row is unknown to the parrot once BOS stands before it
    expected = {4: 8 if align == "start" else 0, 6: 8}
    assert all(found[row, c, 8]["matches"] == expected[c] for row in range(6) for c in (4, 6))
    truth = tables(model, rows, options, bos=bos)["truth"]
    assert all(len(truth[row, 6]["hit"]) == 14 and all(truth[row, 6]["hit"][3:]) for row in range(6))
    assert all(None not in truth[row, 6]["log_probability"] for row in range(6))
    without = cells(Parrot(known, 53, other=51), rows, ScoringOptions(grid([4, 6], [8], align)))
    assert all(line["matches"] == 8 for line in without.values())


def test_bos_is_refused_where_the_model_has_none():
    with pytest.raises(ModelError, match="no BOS token; leave out --bos"):
        run_engine(Uniform(9), random_rows(vocabulary=9), ScoringOptions(grid([8], [8]), bos=True))


# ragged rows, depth, duplicates


@pytest.mark.parametrize("align", ["start", "end"])
@pytest.mark.parametrize("batch", [1, 3, 64])
def test_cells_that_a_row_is_too_short_for_are_null_with_the_reason(batch, align):
    rows, lengths = random_rows(8, 24), [24, 3, 12, 15, 16, 23, 0, 20]
    shape = grid([4, 8], [4, 8, 16], align)
    found = cells(Parrot(rows, 51), rows, ScoringOptions(shape, signals=BOTH, batch=batch), lengths)
    for (row, context, continuation), line in found.items():
        fits = lengths[row] >= shape.split(context) + continuation
        value = continuation if fits else None
        assert (line["matches"], line["verbatim"]) == (value, value)
        assert line["reason"] == (None if fits else "short")
        assert (line["margin"] is None) == (not fits)


@pytest.mark.parametrize("batch", [1, 64])
def test_signals_reach_as_far_as_the_row_whatever_is_scored_beside_it(batch):
    rows, lengths = random_rows(4, 24), [24, 15, 20, 9]
    found = tables(Parrot(rows, 51), rows, ScoringOptions(grid([4, 8], [4, 16]), signals=BOTH, batch=batch), lengths)
    for (row, context), line in found["free"].items():
        assert len(line["token"]) == line["continuation"] == min(16, lengths[row] - context)
    # one teacher-forced record a row, kept with the longest context that the row allows
    assert {key: len(line["hit"]) for key, line in found["truth"].items()} == {
        (0, 8): 24,
        (1, 8): 15,
        (2, 8): 20,
        (3, 4): 9,
    }


def test_verbatim_depth_leaves_matches_unmeasured_after_a_miss_and_says_so():
    rows = random_rows()
    found = cells(Parrot(rows[:6], 51), rows, ScoringOptions(grid([8], [4, 16]), "verbatim"))
    for (row, _, continuation), line in found.items():
        known = row < 6
        assert line["matches"] == (continuation if known else None)
        assert line["reason"] == (None if known else "depth")


def test_duplicates_are_scored_once_and_every_copy_gets_the_answer():
    rows = random_rows(5)[[0, 1, 0, 2, 0, 3, 4, 1]]
    model = Counting(Parrot(rows[:2], 51))
    options = ScoringOptions(grid([8], [16]), batch=2, signals=BOTH)
    told = []
    engine = Engine(model, networks.card(51), options)
    results = engine.score(TokenRows(rows, np.full(8, 24)), np.arange(8), told.append)
    matches = score_table("m", np.arange(8), results, options)["matches"].to_pylist()
    assert model.seen == [2, 2, 1]
    assert sum(told) == 8
    assert matches == [16, 16, 16, 0, 16, 0, 0, 16]


def test_rows_that_differ_only_in_length_are_no_duplicates():
    rows = np.zeros((2, 24), dtype=np.int64)
    found = cells(Uniform(5), rows, ScoringOptions(grid([8], [8, 16])), [24, 16])
    assert found[0, 8, 16]["matches"] == 16
    assert found[1, 8, 16]["reason"] == "short"


# memory


@pytest.mark.parametrize("fits", [1, 3, 5])
def test_out_of_memory_halves_the_batch_says_so_and_changes_no_number(fits):
    rows = random_rows(20)
    options = ScoringOptions(grid([8], [8, 16]), batch=16)
    model = Counting(Parrot(rows[:7], 51), fits)
    said = []
    engine = Engine(model, networks.card(51), options, said.append)
    results = engine.score(TokenRows(rows, np.full(20, 24)), np.arange(20))
    found = score_table("m", np.arange(20), results, options)
    plain = Engine(Parrot(rows[:7], 51), networks.card(51), options)
    expected = score_table("m", np.arange(20), plain.score(TokenRows(rows, np.full(20, 24)), np.arange(20)), options)
    assert found.equals(expected)
    assert engine.batch <= fits
    assert said[0] == "Out of memory with 16 rows at a time; going on with 8."


def test_one_row_that_does_not_fit_is_an_error_with_a_remedy():
    with pytest.raises(OutOfMemory, match=r"One row of 24 tokens does not fit into memory .* use a shorter grid"):
        run_engine(Counting(Uniform(51), 0), random_rows(), ScoringOptions(grid([8], [16])))


def test_other_errors_of_the_network_are_not_taken_for_memory():
    class Broken(Uniform):
        def head(self, states):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        run_engine(Broken(51), random_rows(), ScoringOptions(grid([8], [16])))


# refusals


def test_a_token_outside_the_vocabulary_is_named_with_its_row_and_position():
    rows = random_rows()
    rows[5, 7] = 51
    with pytest.raises(CorpusError, match="Row 5 holds the token id 51 at position 7, outside the vocabulary"):
        run_engine(Uniform(51), rows, ScoringOptions(grid([8], [16])))


def test_a_grid_longer_than_the_model_is_refused():
    with pytest.raises(ModelError, match="was built for 16 tokens, but the grid needs 24"):
        run_engine(Uniform(51), random_rows(), ScoringOptions(grid([8], [16])), max_length=16)


# tables do not depend on how the work is cut


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("invariance")
    network, shape = networks.neox(), grid([8, 12], [4, 12])
    rows = networks.half_recited(network, shape, 40)
    rows[5] = rows[11]
    np.save(folder / "rows.npy", rows)
    networks.saved(network, folder / "model")
    return folder, rows


def scored(folder, study, corpus="rows.npy", **options):
    found = mematlas.score(
        str(folder / "model"),
        corpus=str(folder / corpus),
        study=study,
        context=[8, 12],
        continuation=[4, 12],
        **options,
    )
    return found.scores()


@pytest.mark.parametrize("options", [{"batch": 1}, {"batch": 7, "shards": 4}, {"shards": 10}, {"signals": ["truth"]}])
def test_scores_do_not_depend_on_batch_shards_or_signals(corpus, tmp_path, options):
    folder, _ = corpus
    plain, other = scored(folder, tmp_path / "a"), scored(folder, tmp_path / "b", **options)
    exact = ["model", "row", "context", "continuation", "matches", "verbatim", "reason"]
    assert plain.select(exact).equals(other.select(exact))
    assert np.allclose(plain["margin"], other["margin"], atol=1e-4)


def test_scores_do_not_depend_on_the_order_of_the_rows(corpus, tmp_path):
    folder, rows = corpus
    order = np.random.default_rng(3).permutation(len(rows))
    np.save(folder / "shuffled.npy", rows[order])
    exact = ["context", "continuation", "matches", "verbatim"]
    plain = scored(folder, tmp_path / "a")
    other = scored(folder, tmp_path / "b", "shuffled.npy", batch=7)
    for place, row in enumerate(order.tolist()):
        assert plain.filter(row=row).select(exact).equals(other.filter(row=place).select(exact))
