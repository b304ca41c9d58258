"""Stress tests of models that were made to forget: gently, by gradient difference, by npo, and until they are destroyed.

    python benchmarks/stress_fixtures.py DEMO [--model STEP-FOLDER] [--rows 24] [--rate 1e-4] [--steps 60]

DEMO is the folder of `mematlas demo`. Of its largest model, rows that it recites are to be forgotten, and as many others to
be kept; its control is the held-out text. Prints one line for each method, with verdict, rows by verdict, held-out
loss and kept rows. Minutes on two cores.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

import mematlas
from mematlas.corpus.opening import open_corpus
from mematlas.experiments.unlearning import Unlearning, unlearn

CONTEXT, CONTINUATION = 32, 32


def recited_rows(demo: Path, wanted: int) -> tuple[str, list[int]]:
    """The largest model of the demo's study, and ids of training rows that it recites."""
    study = mematlas.open_study(demo / "study")
    models = study.models().sort("parameters", "training_step")
    name = models["model"][-1]
    scores = study.scores().filter(model=name, context=CONTEXT, continuation=CONTINUATION, role="train")
    known = scores.filter(pl.col("verbatim") == CONTINUATION)["row"].unique().sort().to_list()
    return models["spec"][-1], [int(row) for row in np.random.default_rng(0).permutation(known)[: 2 * wanted]]


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
    parser.add_argument("demo", type=Path)
    parser.add_argument("--rows", type=int, default=24)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--corpus", default="corpus/rows.npy", help="rows of the demo, below its folder")
    parser.add_argument("--control", default="corpus/control.npy", help="its control, below its folder")
    given = parser.parse_args()
    model, ids = recited_rows(given.demo, given.rows)
    forget, keep = ids[: len(ids) // 2], ids[len(ids) // 2 :]
    tokens = open_corpus(given.demo / given.corpus).read(np.arange(max(ids) + 1), CONTEXT + CONTINUATION).ids
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, rows in (("forget.npy", forget), ("keep.npy", keep)):
            np.save(folder / file, rows)
        for label, how in methods(given.rate, given.steps).items():
            begun = time.perf_counter()
            after = folder / label.replace(", ", "-").replace(" ", "-")
            steps = unlearn(model, after, how, tokens[forget], tokens[keep])
            result = mematlas.stress(
                model, after, corpus=given.demo / given.corpus, rows=f"ids:{folder / 'forget.npy'}",
                retain=f"ids:{folder / 'keep.npy'}", control=given.demo / given.control, out=folder / "out",
            )  # fmt: skip
            print(f"{label} ({steps} steps, {time.perf_counter() - begun:.0f} s): {result.finding.claim}", flush=True)


if __name__ == "__main__":
    main()
