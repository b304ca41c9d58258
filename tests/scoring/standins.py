"""Models whose answers are known, and their signals as a test reads them."""

import numpy as np
import torch

from mematlas.models.standins.standin import StandIn, one_hot_logits
from mematlas.scoring.records.tables import signal_tables
from tests.tiny_networks import run_engine

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
