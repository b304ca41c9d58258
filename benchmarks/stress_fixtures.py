"""Stress tests of models that were made to forget: gently, by gradient difference, by npo, and without end.

    python benchmarks/stress_fixtures.py MODEL TRAIN CONTROL [--rows 24] [--rate 1e-4] [--steps 60]

With the demo: demo/models/neox-1.84m/step-000191 demo/corpus/train.parquet demo/corpus/control.parquet. Rows that the
model recites are to be forgotten, and as many others to be kept; the control is the held-out text. Prints one line for
each method, with verdict, rows by verdict, held-out loss and kept rows. Minutes on two cores.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import mematlas
from mematlas.corpus.opening import open_corpus
from mematlas.experiments.training.probe_sets import measure_model
from mematlas.experiments.unlearning import Unlearning, unlearn
from mematlas.models.base import LoadOptions
from mematlas.models.resolve import find_model

CONTEXT, CONTINUATION = 32, 32


def recited_rows(model: str, tokens: NDArray[Any], wanted: int) -> list[int]:
    """Positions of random rows that the model recites, at most `wanted`."""
    verbatim = measure_model(find_model(model).load(LoadOptions("cpu")), tokens, CONTEXT)["verbatim"]
    known = np.flatnonzero(verbatim == CONTINUATION)
    return [int(row) for row in np.random.default_rng(0).permutation(known)[:wanted]]


def methods(rate: float, steps: int) -> dict[str, Unlearning]:
    """The settings of each unlearned model."""
    return {
        "ga, until prompts fail": Unlearning("ga", steps, rate),
        "ga, without end": Unlearning("ga", steps, 10 * rate, stops=False),
        "grad-diff": Unlearning("grad-diff", steps, 5 * rate, stops=False, weight=2.0),
        "npo": Unlearning("npo", steps, 5 * rate),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "train", "control"):
        parser.add_argument(name)
    parser.add_argument("--rows", type=int, default=24)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--steps", type=int, default=60)
    given = parser.parse_args()
    corpus = open_corpus(given.train)
    tokens = corpus.read(np.arange(len(corpus)), CONTEXT + CONTINUATION).ids
    known = recited_rows(given.model, tokens, 2 * given.rows)
    forget, keep = known[::2], known[1::2]
    print(f"{len(forget)} rows to be forgotten, {len(keep)} to be kept", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, rows in (("forget.npy", forget), ("keep.npy", keep)):
            np.save(folder / file, np.sort(rows))
        for label, how in methods(given.rate, given.steps).items():
            begun = time.perf_counter()
            after = folder / label.replace(", ", "-").replace(" ", "-")
            steps = unlearn(given.model, after, how, tokens[forget], tokens[keep])
            result = mematlas.stress(
                given.model, after, corpus=given.train, rows=f"ids:{folder / 'forget.npy'}",
                retain=f"ids:{folder / 'keep.npy'}", control=given.control, out=folder / "out",
            )  # fmt: skip
            print(f"{label} ({steps} steps, {time.perf_counter() - begun:.0f} s): {result.finding.claim}", flush=True)


if __name__ == "__main__":
    main()
