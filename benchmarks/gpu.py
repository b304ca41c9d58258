"""What a GPU does with small models: ``python benchmarks/gpu.py [--shapes 70M,160M] [--dtypes float32,bfloat16]``.

Random weights in the shapes of Pythia: nothing is fetched. Three tables: one decoding step plain and replayed as
a CUDA graph (median seconds, alternating step by step); what `--batch auto` chooses; rows a second of scoring 32 + 32,
and the effective rate that follows, which is what `mematlas plan --tflops` wants. Without a GPU one line says so;
``--check`` walks the same path with a tiny shape on the CPU, where nothing is recorded and no number means anything.
"""

import argparse
import time
from dataclasses import dataclass
from statistics import median

import torch
from rows import engine_model, markdown, zipf_tokens
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from mematlas.models.base import Model, ModelCard
from mematlas.models.causal import CausalModel
from mematlas.models.cuda_graph_choice import compare
from mematlas.models.cuda_graphs import GraphedModel
from mematlas.scoring.cost import Shape, cost
from mematlas.scoring.engines.causal import Engine
from mematlas.scoring.options import ScoringOptions
from mematlas.types import Grid, TokenRows


@dataclass(frozen=True)
class Sizes:
    """A GPT-NeoX shape, and the batches that it is asked with."""

    width: int
    layers: int
    heads: int
    vocabulary: int = 50_304
    batches: tuple[int, ...] = (1, 32, 128, 1024)
    rows: int = 4096


SHAPES = {
    "70M": Sizes(512, 6, 8),
    "160M": Sizes(768, 12, 12),
    "410M": Sizes(1024, 24, 16),
    "1.4B": Sizes(2048, 24, 16),
}
TINY = Sizes(32, 2, 4, 211, (1, 8), 16)
GRID = Grid((32,), (32,))


def built(sizes: Sizes, dtype: str, device: str) -> CausalModel:
    """A network of random weights."""
    torch.manual_seed(0)
    config = GPTNeoXConfig(
        vocab_size=sizes.vocabulary,
        hidden_size=sizes.width,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        intermediate_size=4 * sizes.width,
        max_position_embeddings=2048,
    )
    with torch.inference_mode():
        return engine_model(GPTNeoXForCausalLM(config).to(device, getattr(torch, dtype)))


def rows_a_second(model: Model, sizes: Sizes, batch: int, repeats: int = 3) -> float:
    """Of scoring random rows, of which none is recited: the median of `repeats`, after one that is not counted."""
    ids = zipf_tokens((min(sizes.rows, 4 * batch), GRID.width), sizes.vocabulary, 0)
    rows, lengths = TokenRows(ids, torch.full((len(ids),), GRID.width).numpy()), torch.arange(len(ids)).numpy()
    engine = Engine(model, card(sizes), ScoringOptions(GRID, batch=batch))
    taken = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        engine.score(rows, lengths)
        taken.append(time.perf_counter() - began)
    return len(ids) / median(taken[1:])


def card(sizes: Sizes) -> ModelCard:
    return ModelCard("benchmark", "benchmark", "benchmark", sizes.vocabulary)


def measured(name: str, sizes: Sizes, dtype: str, device: str) -> tuple[list[list[object]], list[object]]:
    """Lines of the table of steps, and the line of batch and rate."""
    model = built(sizes, dtype, device)
    graphed, steps = GraphedModel(model), []
    for batch in sizes.batches:
        found = compare(model, graphed, batch)
        ratio = found.plain / found.replayed
        times = [f"{1e3 * seconds:.3f}" for seconds in (found.plain, found.replayed)]
        steps.append([name, dtype, batch, *times, f"{ratio:.2f}", f"{found.apart:.1e}"])
    said: list[str] = []
    auto = Engine(graphed, card(sizes), ScoringOptions(GRID, batch="auto"), said.append, sizes.rows).batch
    shape = Shape(name, sum(weight.numel() for weight in model.network.parameters()), sizes.width, sizes.vocabulary)
    rates = [rows_a_second(way, sizes, auto) for way in (model, graphed)]
    flop = cost(shape, 1, ScoringOptions(GRID)).flop
    return steps, [name, dtype, auto, *(f"{rate:,.0f}" for rate in rates), f"{max(rates) * flop / 1e12:.3g}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default="70M,160M,410M,1.4B", help=f"of {', '.join(SHAPES)}")
    parser.add_argument("--dtypes", default="float32,bfloat16")
    parser.add_argument("--check", action="store_true", help="walk the path with a tiny shape on the CPU")
    given = parser.parse_args()
    if not (given.check or torch.cuda.is_available()):
        print("benchmarks/gpu.py needs a CUDA device, and there is none here; --check walks its path on the CPU.")
        return
    asked = {"tiny": TINY} if given.check else {name: SHAPES[name] for name in given.shapes.split(",")}
    device, dtypes = ("cpu", ["float32"]) if given.check else ("cuda", given.dtypes.split(","))
    print("no measurement: a tiny shape on the CPU" if given.check else torch.cuda.get_device_name())
    steps, rates = [], []
    for name, sizes in asked.items():
        for dtype in dtypes:
            of_steps, of_rate = measured(name, sizes, dtype, device)
            steps += of_steps
            rates.append(of_rate)
    head = ["shape", "dtype", "rows", "plain, ms a step", "replayed, ms a step", "ratio", "logits apart by"]
    print("\n" + markdown(head, steps))
    print(markdown(["shape", "dtype", "batch auto", "rows/s plain", "rows/s replayed", "effective TFLOP/s"], rates))


if __name__ == "__main__":
    main()
