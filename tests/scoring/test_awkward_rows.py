"""Rows too short for a cell, duplicate rows, batches that do not fit into memory, invalid tokens."""

import numpy as np
import pytest

from mematlas.errors import CorpusError, ModelError, OutOfMemory
from mematlas.models.standins.parrot import Parrot
from mematlas.models.standins.uniform import Uniform
from mematlas.scoring.engines.causal import Engine
from mematlas.scoring.options import ScoringOptions
from mematlas.scoring.records.tables import score_table
from mematlas.types import TokenRows
from tests import tiny_networks as networks
from tests.scoring.standins import BOTH, RowCountingModel, random_rows, signals_by_row
from tests.tiny_networks import grid, run_engine, score_cells


@pytest.mark.parametrize("align", ["start", "end"])
@pytest.mark.parametrize("batch", [1, 3, 64])
def test_cells_that_a_row_is_too_short_for_are_null_with_the_reason(batch, align):
    rows, lengths = random_rows(8, 24), [24, 3, 12, 15, 16, 23, 0, 20]
    shape = grid([4, 8], [4, 8, 16], align)
    records = score_cells(Parrot(rows, 51), rows, ScoringOptions(shape, signals=BOTH, batch=batch), lengths)
    for (row, context, continuation), record in records.items():
        fits = lengths[row] >= shape.continuation_start(context) + continuation
        value = continuation if fits else None
        assert (record["matches"], record["verbatim"]) == (value, value)
        assert record["reason"] == (None if fits else "short")
        assert (record["margin"] is None) == (not fits)


@pytest.mark.parametrize("batch", [1, 64])
def test_signals_reach_as_far_as_the_row_whatever_else_is_in_the_batch(batch):
    rows, lengths = random_rows(4, 24), [24, 15, 20, 9]
    records = signals_by_row(
        Parrot(rows, 51), rows, ScoringOptions(grid([4, 8], [4, 16]), signals=BOTH, batch=batch), lengths
    )
    for (row, context), record in records["free"].items():
        assert len(record["token"]) == record["continuation"] == min(16, lengths[row] - context)
    # one teacher-forced record per row, stored with the longest context that the row allows
    assert {key: len(record["hit"]) for key, record in records["truth"].items()} == {
        (0, 8): 24,
        (1, 8): 15,
        (2, 8): 20,
        (3, 4): 9,
    }


def test_verbatim_depth_leaves_matches_unmeasured_after_a_miss_with_the_reason():
    rows = random_rows()
    records = score_cells(Parrot(rows[:6], 51), rows, ScoringOptions(grid([8], [4, 16]), "verbatim"))
    for (row, _, continuation), record in records.items():
        known = row < 6
        assert record["matches"] == (continuation if known else None)
        assert record["reason"] == (None if known else "depth")


def test_duplicates_are_scored_once_and_every_copy_gets_the_result():
    rows = random_rows(5)[[0, 1, 0, 2, 0, 3, 4, 1]]
    model = RowCountingModel(Parrot(rows[:2], 51))
    options = ScoringOptions(grid([8], [16]), batch=2, signals=BOTH)
    done_rows = []
    engine = Engine(model, networks.card(51), options)
    results = engine.score(TokenRows(rows, np.full(8, 24)), np.arange(8), done_rows.append)
    matches = score_table("m", np.arange(8), results, options)["matches"].to_pylist()
    assert model.session_rows == [2, 2, 1]
    assert sum(done_rows) == 8
    assert matches == [16, 16, 16, 0, 16, 0, 0, 16]


def test_rows_that_differ_only_in_length_are_no_duplicates():
    rows = np.zeros((2, 24), dtype=np.int64)
    records = score_cells(Uniform(5), rows, ScoringOptions(grid([8], [8, 16])), [24, 16])
    assert records[0, 8, 16]["matches"] == 16
    assert records[1, 8, 16]["reason"] == "short"


# memory


@pytest.mark.parametrize("max_rows", [1, 3, 5])
def test_out_of_memory_halves_the_batch_with_a_message_and_changes_no_number(max_rows):
    rows = random_rows(20)
    options = ScoringOptions(grid([8], [8, 16]), batch=16)
    model = RowCountingModel(Parrot(rows[:7], 51), max_rows)
    messages = []
    engine = Engine(model, networks.card(51), options, messages.append)
    results = engine.score(TokenRows(rows, np.full(20, 24)), np.arange(20))
    records = score_table("m", np.arange(20), results, options)
    plain = Engine(Parrot(rows[:7], 51), networks.card(51), options)
    expected = score_table("m", np.arange(20), plain.score(TokenRows(rows, np.full(20, 24)), np.arange(20)), options)
    assert records.equals(expected)
    assert engine.batch <= max_rows
    assert messages[0] == "Out of memory with 16 rows at a time; continuing with 8."


def test_one_row_that_does_not_fit_is_an_error_with_a_remedy():
    with pytest.raises(OutOfMemory, match=r"One row of 24 tokens does not fit into memory .* use a shorter grid"):
        run_engine(RowCountingModel(Uniform(51), 0), random_rows(), ScoringOptions(grid([8], [16])))


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
    with pytest.raises(CorpusError, match="Row 5 contains the token id 51 at position 7, outside the vocabulary"):
        run_engine(Uniform(51), rows, ScoringOptions(grid([8], [16])))


def test_a_grid_longer_than_the_model_is_refused():
    with pytest.raises(ModelError, match="was built for 16 tokens, but the grid needs 24"):
        run_engine(Uniform(51), random_rows(), ScoringOptions(grid([8], [16])), max_length=16)
