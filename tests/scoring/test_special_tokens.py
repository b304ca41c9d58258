"""End of text in its three policies, and a BOS before each prompt."""

import numpy as np
import pytest

from mematlas.errors import ModelError
from mematlas.models.standins.ngram import NGram
from mematlas.models.standins.parrot import Parrot
from mematlas.models.standins.uniform import Uniform
from mematlas.scoring.options import ScoringOptions
from tests.scoring.standins import BOTH, ScriptedModel, random_rows, signals_by_row
from tests.tiny_networks import grid, run_engine, score_cells

EOS = 9
AFTER_EOS = np.array([[1, 1, 1, 1, 2, EOS, 3, 4], [1, 1, 1, 1, 2, 3, 3, 4]])


def test_end_of_text_is_an_ordinary_token_by_default():
    model = ScriptedModel([0, 0, 0, 0, 2, EOS, 3, 4], 10)
    records = score_cells(model, AFTER_EOS, ScoringOptions(grid([4], [4])), eos=(EOS,))
    assert [(records[row, 4, 4]["matches"], records[row, 4, 4]["verbatim"]) for row in (0, 1)] == [(4, 4), (3, 1)]


@pytest.mark.parametrize("signals", [(), BOTH])
@pytest.mark.parametrize("depth", ["graded", "verbatim"])
def test_a_stopping_end_of_text_counts_itself_and_nothing_after_it(depth, signals):
    model = ScriptedModel([0, 0, 0, 0, 2, EOS, 3, 4], 10)
    options = ScoringOptions(grid([4], [4]), depth, signals, eos="stop")
    records = score_cells(model, AFTER_EOS, options, eos=(EOS,))
    assert [records[row, 4, 4]["verbatim"] for row in (0, 1)] == [2, 1]
    assert [records[row, 4, 4]["matches"] for row in (0, 1)] == ([2, 1] if depth == "graded" else [None, None])
    if signals and depth == "graded":
        free = signals_by_row(model, AFTER_EOS, options, eos=(EOS,))["free"]
        assert free[0, 4]["token"] == [2, EOS, None, None]


@pytest.mark.parametrize("depth", ["graded", "verbatim"])
def test_a_suppressed_end_of_text_is_never_chosen(depth):
    model = NGram({(): {1: 1}, (2,): {EOS: 3, 5: 1}, (1,): {2: 1}, (5,): {1: 1}, (EOS,): {3: 1}}, 10)
    rows = np.array([[1, 2, 5, 1], [1, 2, EOS, 3]])
    options = ScoringOptions(grid([2], [2]), depth, BOTH, eos="suppress")
    records = score_cells(model, rows, options, eos=(EOS,))
    assert [records[row, 2, 2]["verbatim"] for row in (0, 1)] == [2, 0]
    truth = signals_by_row(model, rows, options, eos=(EOS,))["truth"]
    assert truth[0, 2]["log_probability"][2] == pytest.approx(0, abs=1e-5)
    assert truth[1, 2]["log_probability"][2] is None
    ignoring = score_cells(model, rows, ScoringOptions(grid([2], [2]), depth), eos=(EOS,))
    assert [ignoring[row, 2, 2]["verbatim"] for row in (0, 1)] == [0, 2]


@pytest.mark.parametrize("align", ["start", "end"])
def test_a_bos_is_put_before_each_prompt_and_shifts_nothing(align):
    rows, bos = random_rows(6, 16), 52
    known = np.concatenate([np.full((6, 1), bos), rows], axis=1)
    options = ScoringOptions(grid([4, 6], [8], align), signals=BOTH, bos=True)
    model = Parrot(known, 53, other=51)
    records = score_cells(model, rows, options, bos=bos)
    # the parrot does not know a prompt from inside a row once a BOS precedes it
    expected = {4: 8 if align == "start" else 0, 6: 8}
    assert all(records[row, c, 8]["matches"] == expected[c] for row in range(6) for c in (4, 6))
    truth = signals_by_row(model, rows, options, bos=bos)["truth"]
    assert all(len(truth[row, 6]["hit"]) == 14 and all(truth[row, 6]["hit"][3:]) for row in range(6))
    assert all(None not in truth[row, 6]["log_probability"] for row in range(6))
    without = score_cells(Parrot(known, 53, other=51), rows, ScoringOptions(grid([4, 6], [8], align)))
    assert all(record["matches"] == 8 for record in without.values())


def test_bos_is_refused_for_a_model_without_one():
    with pytest.raises(ModelError, match="no BOS token; leave out --bos"):
        run_engine(Uniform(9), random_rows(vocabulary=9), ScoringOptions(grid([8], [8]), bos=True))
