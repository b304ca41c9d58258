"""Synthetic examples, options that fit in a second, and a scored study that predictors can be fitted to."""

from pathlib import Path

import numpy as np

import mematlas
from mematlas.predictors.examples import Examples
from mematlas.predictors.options import PredictorConfig, predictor_config
from mematlas.progress import Silent
from mematlas.study import Study
from tests import tiny_networks as networks

CONTEXT, LENGTH, WIDTH = 4, 5, 3
POSITIONS = CONTEXT + LENGTH - 1
FAMILY = ("a", "b", "wide")


def quick_config(**options) -> PredictorConfig:
    """Options of a network that learns the planted labels within a second."""
    small = {
        "members": 1,
        "width": 8,
        "layers": 1,
        "heads": 2,
        "epochs": 30,
        "patience": 6,
        "learning_rate": 1e-2,
        "dropout": 0.0,
    }
    return predictor_config(**(small | options))


def examples(rows: int = 200, control: int = 0, seed: int = 0, width: int = WIDTH, **fields) -> Examples:
    """Examples of pure noise: the last `control` rows are the control's, each row is a document and has weight 1.

    fields: fields of Examples that are not noise.
    """
    random = np.random.default_rng(seed)
    noise = {
        "rows": 100 + np.arange(rows),
        "train": np.arange(rows) < rows - control,
        "groups": np.arange(rows),
        "levels": random.integers(0, 5, rows).astype(np.int8),
        "weights": np.ones(rows),
        "states": random.normal(size=(rows, POSITIONS, width)).astype(np.float16),
        "inputs": random.gamma(2, size=(rows, POSITIONS, 1)).astype(np.float32),
        "names": ("entropy",),
        "hits": random.integers(0, 2, (rows, LENGTH)).astype(np.int8),
        "context": CONTEXT,
        "layer": "last",
    }
    return Examples(**(noise | fields))


def planted(sees: str, rows: int = 300, seed: int = 0) -> Examples:
    """A token is recited where dimension 1 is 2 and not -1: at its own index, or in the last state of the context."""
    random = np.random.default_rng(seed)
    noise = examples(rows, seed=seed + 1)
    hits = (random.random((rows, LENGTH)) < 0.4).astype(np.int8)
    if sees == "context":
        hits[:] = hits[:, :1]
        noise.states[:, CONTEXT - 1, 1] = 3 * hits[:, 0] - 1
    else:
        noise.states[:, CONTEXT - 1 :, 1] = 3 * hits - 1
    return examples(rows, states=noise.states, hits=hits, inputs=noise.inputs)


def study(folder: Path, models: tuple[str, ...] = FAMILY, **options) -> Study:
    """A study of the models a and b (of equal width) and wide: 120 rows, of which each model recites its own, and a
    control of 20 rows. Rows n, n + 40 and n + 80 have the same context."""
    if not (folder / "rows.npy").exists():
        _write_inputs(folder)
    defaults = {"context": [32], "continuation": [8, 16], "signals": ["hidden", "free", "truth"], "hidden_rows": 100}
    paths = {"corpus": str(folder / "rows.npy"), "control": str(folder / "control.npy"), "study": folder / "study"}
    return mematlas.score(*(str(folder / name) for name in models), **(paths | defaults | options))


def _write_inputs(folder: Path) -> None:
    shape = networks.grid((32,), (16,))
    models = (networks.neox(), networks.neox(seed=1), networks.neox(seed=2, hidden_size=48))
    for name, network in zip(FAMILY, models, strict=True):
        networks.save_network(network, folder / name)
    np.save(
        folder / "rows.npy", np.concatenate([networks.partly_recited_rows(network, shape, 40) for network in models])
    )
    np.save(folder / "control.npy", np.random.default_rng(9).integers(0, networks.V - 1, (20, 48)))


class RecordingProgress(Silent):
    """Records the calls of a progress display."""

    def __init__(self):
        self.messages, self.started, self.done = [], [], 0

    def say(self, text):
        self.messages.append(text)

    def start(self, label, total, done, unit="rows"):
        self.started.append((label, total, done, unit))

    def advance(self, rows):
        self.done += rows
