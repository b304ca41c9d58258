"""What scoring an intervened model costs beside the model itself: `python benchmarks/interventions.py [MODEL]`.

MODEL: a folder; the shape of the demo's largest model with random weights without one. Plain, noisy and without four
heads take turns on the same rows, 32 + 32 tokens, graded; printed are medians and their ratios to plain. Wanted: at
most 1.3.
"""

import argparse
import statistics
import time
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from mematlas.experiments import Size
from mematlas.experiments.training.network import neox_config
from mematlas.interventions.blocks import patchable
from mematlas.interventions.heads import ablated, attention_heads
from mematlas.interventions.noise import NoisyModel
from mematlas.models.base import LoadOptions, ModelCard
from mematlas.models.causal import CausalModel
from mematlas.models.resolve import find_model
from mematlas.scoring.engines.causal import Engine
from mematlas.scoring.options import ScoringOptions
from mematlas.types import Grid, TokenRows

ROWS, CONTEXT, CONTINUATION = 256, 32, 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    model, vocabulary = loaded(options.model)
    tokens = np.random.default_rng(0).integers(0, vocabulary, (ROWS, CONTEXT + CONTINUATION))
    blocks = patchable(model, "The model")
    heads = attention_heads(blocks, "The model")
    sides = {"plain": model, "noise 0.3": NoisyModel(blocks, 0.3), "without 4 heads": model}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(options.rounds + 1):
        for name, side in sides.items():
            with ablated(heads, heads.all[:: heads.heads][:4] if name == "without 4 heads" else []):
                seconds[name].append(timed(side, vocabulary, tokens))
    plain = statistics.median(seconds["plain"][1:])
    for name, times in seconds.items():
        middle = statistics.median(times[1:])  # the first round warms up
        print(
            f"{name:16} {middle:7.2f} s, {middle / plain:.2f} x plain ({min(times[1:]):.2f} to {max(times[1:]):.2f} s)"
        )


def loaded(name: str | None) -> tuple[CausalModel, int]:
    """The model and the size of its vocabulary."""
    if name is None:
        torch.manual_seed(0)
        network = AutoModelForCausalLM.from_config(neox_config(Size(128, 4, 4, 1e-3), 4096, 64)).eval()
        return CausalModel(network, 4096, torch.device("cpu")), 4096
    source = find_model(name)
    model = source.load(LoadOptions("cpu"))
    assert isinstance(model, CausalModel)
    return model, source.card.vocabulary


def timed(model: Any, vocabulary: int, tokens: Any) -> float:
    """Seconds to score all rows."""
    options = ScoringOptions(Grid((CONTEXT,), (CONTINUATION,)), batch=128)
    engine = Engine(model, ModelCard("m", "m", "", vocabulary), options)
    started = time.perf_counter()
    for _ in engine.score(TokenRows(tokens.astype(np.int64), np.full(ROWS, CONTEXT + CONTINUATION)), np.arange(ROWS)):
        pass
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
