"""Models with known predictions, and their signals in a form that tests can index."""

import numpy as np
import torch

from mematlas.models.standins.standin import StandIn, one_hot_logits
from mematlas.scoring.records.tables import signal_tables
from tests.tiny_networks import run_engine

BOTH = ("free", "truth")


def signals_by_row(model, rows, options, lengths=None, **card_fields):
    """The signal tables as kind -> (row, context) -> record."""
    results = run_engine(model, rows, options, lengths, **card_fields)
    tables = signal_tables("m", np.arange(len(rows)), results, options)
    return {
        kind: {(record["row"], record["context"]): record for record in table.to_pylist()}
        for kind, table in tables.items()
    }


def random_rows(count=12, width=24, vocabulary=50, seed=0):
    return np.random.default_rng(seed).integers(0, vocabulary, (count, width))


class ScriptedModel(StandIn):
    """Predicts script[t] after any history of t tokens."""

    def __init__(self, script, vocabulary):
        self.script, self.vocabulary = torch.tensor(script), vocabulary

    def states_of(self, history, last):
        end = history.shape[1]
        predicted = self.script[torch.arange(end - last + 1, end + 1)]
        return predicted.expand(len(history), last)[:, :, None]

    def head(self, states):
        return one_hot_logits(states[:, 0], self.vocabulary)


class RowCountingModel(StandIn):
    """A model that records the number of rows of each session, and has memory for `max_rows` rows."""

    def __init__(self, inner, max_rows=10**9):
        self.inner, self.max_rows, self.vocabulary = inner, max_rows, inner.vocabulary
        self.session_rows = []

    def start(self, rows, capacity):
        self.session_rows.append(rows)
        if rows > self.max_rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        return self.inner.start(rows, capacity)

    def head(self, states):
        return self.inner.head(states)
