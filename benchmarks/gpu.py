"""Measure small models on a GPU: ``python benchmarks/gpu.py [--shapes 70M,160M] [--dtypes float32,bfloat16]``.

The models have random weights in the shapes of Pythia; nothing is downloaded. The results are the time of a decoding
step, plain and replayed as a CUDA graph (median, alternating step by step); the batch size that `--batch auto` chooses;
rows per second of scoring 32 + 32; and the effective rate that follows, for `mematlas plan --tflops`. Without a GPU it
prints one line. ``--check`` runs the same code with a tiny shape on the CPU, where no graph is captured and the numbers
are meaningless.
"""

import argparse
import time
from dataclasses import dataclass
from statistics import median

import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from mematlas.models.base import Model, ModelCard
from mematlas.models.causal import CausalModel
from mematlas.models.cuda.graph_choice import compare_decoding
from mematlas.models.cuda.graphs import GraphedModel
from mematlas.scoring.cost import ModelShape, scoring_cost
from mematlas.scoring.engines.causal import Engine
from mematlas.scoring.options import ScoringOptions
from mematlas.types import Grid, TokenRows
from rows import engine_model, markdown_table, zipf_tokens


@dataclass(frozen=True)
class NetworkShape:
    """A GPT-NeoX shape, and the batch sizes and number of rows to measure it with."""

    width: int
    layers: int
    heads: int
    vocabulary: int = 50_304
    batches: tuple[int, ...] = (1, 32, 128, 1024)
    rows: int = 4096


SHAPES = {
    "70M": NetworkShape(512, 6, 8),
    "160M": NetworkShape(768, 12, 12),
    "410M": NetworkShape(1024, 24, 16),
    "1.4B": NetworkShape(2048, 24, 16),
}
TINY = NetworkShape(32, 2, 4, 211, (1, 8), 16)
GRID = Grid((32,), (32,))


def random_model(sizes: NetworkShape, dtype: str, device: str) -> CausalModel:
    """A model with random weights."""
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


def rows_per_second(model: Model, sizes: NetworkShape, batch: int, repeats: int = 3) -> float:
    """Speed of scoring random rows, none of which is recited: the median of `repeats` runs after a warm-up."""
    ids = zipf_tokens((min(sizes.rows, 4 * batch), GRID.width), sizes.vocabulary, 0)
    rows, lengths = TokenRows(ids, torch.full((len(ids),), GRID.width).numpy()), torch.arange(len(ids)).numpy()
    engine = Engine(model, card(sizes), ScoringOptions(GRID, batch=batch))
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        engine.score(rows, lengths)
        seconds.append(time.perf_counter() - start)
    return len(ids) / median(seconds[1:])


def card(sizes: NetworkShape) -> ModelCard:
    return ModelCard("benchmark", "benchmark", "benchmark", sizes.vocabulary)


def measure(name: str, sizes: NetworkShape, dtype: str, device: str) -> tuple[list[list[object]], list[object]]:
    """Rows of the table of decoding steps, and one row with batch size and rate."""
    model = random_model(sizes, dtype, device)
    graphed, steps = GraphedModel(model), []
    for batch in sizes.batches:
        comparison = compare_decoding(model, graphed, batch)
        ratio = comparison.plain_seconds / comparison.replayed_seconds
        times = [f"{1e3 * seconds:.3f}" for seconds in (comparison.plain_seconds, comparison.replayed_seconds)]
        steps.append([name, dtype, batch, *times, f"{ratio:.2f}", f"{comparison.logit_difference:.1e}"])
    messages: list[str] = []
    auto = Engine(graphed, card(sizes), ScoringOptions(GRID, batch="auto"), messages.append, sizes.rows).batch
    shape = ModelShape(
        name, sum(weight.numel() for weight in model.network.parameters()), sizes.width, sizes.vocabulary
    )
    rates = [rows_per_second(way, sizes, auto) for way in (model, graphed)]
    flop = scoring_cost(shape, 1, ScoringOptions(GRID)).flop
    return steps, [name, dtype, auto, *(f"{rate:,.0f}" for rate in rates), f"{max(rates) * flop / 1e12:.3g}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default="70M,160M,410M,1.4B", help=f"of {', '.join(SHAPES)}")
    parser.add_argument("--dtypes", default="float32,bfloat16")
    parser.add_argument("--check", action="store_true", help="run the code with a tiny shape on the CPU")
    given = parser.parse_args()
    if not (given.check or torch.cuda.is_available()):
        print("benchmarks/gpu.py needs a CUDA device, and there is none; --check runs the code on the CPU.")
        return
    shapes = {"tiny": TINY} if given.check else {name: SHAPES[name] for name in given.shapes.split(",")}
    device, dtypes = ("cpu", ["float32"]) if given.check else ("cuda", given.dtypes.split(","))
    print("no measurement: a tiny shape on the CPU" if given.check else torch.cuda.get_device_name())
    steps, rates = [], []
    for name, sizes in shapes.items():
        for dtype in dtypes:
            step_rows, rate_row = measure(name, sizes, dtype, device)
            steps += step_rows
            rates.append(rate_row)
    header = ["shape", "dtype", "rows", "plain, ms per step", "replayed, ms per step", "ratio", "logit difference"]
    print("\n" + markdown_table(header, steps))
    print(
        markdown_table(["shape", "dtype", "batch auto", "rows/s plain", "rows/s replayed", "effective TFLOP/s"], rates)
    )


if __name__ == "__main__":
    main()
