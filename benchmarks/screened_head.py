"""The screened output head against the full one, on the same states: `python benchmarks/screened_head.py MODEL`.

Random rows of MODEL's tokens are continued greedily by the full float32 head; at every step the screened head reads the
same states. Printed: decisions with another token, split into ties of float32 (margins of both heads below --tie) and
others; the largest difference of a margin; logits computed anew per decision; and the time of both heads, alternating.

Wanted: no decision of 10,000 rows outside ties.
"""

import argparse
import time
from pathlib import Path
from statistics import median

import torch

from mematlas.models.base import LoadOptions
from mematlas.models.causal import CausalModel
from mematlas.models.output_head.screened import ScreenedHead
from mematlas.models.resolve import find_model
from mematlas.scoring.engines.readout import Readout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--context", type=int, default=32)
    parser.add_argument("--continuation", type=int, default=32)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--tie", type=float, default=1e-4, help="margin up to which float32 cannot tell (%(default)s)")
    options = parser.parse_args()
    model = find_model(str(options.model)).load(LoadOptions("cpu"))
    assert isinstance(model, CausalModel)
    screened = model.screened
    if screened is None:
        raise SystemExit("This model or this processor has no screened head.")
    compare(model, screened, options)


@torch.inference_mode()
def compare(model: CausalModel, screened: ScreenedHead, options: argparse.Namespace) -> None:
    full = Readout(_WithoutScreen(model))
    generator = torch.Generator().manual_seed(0)
    decisions = ties = others = candidates = 0
    largest, seconds = 0.0, ([], [])
    for start in range(0, options.rows, options.batch):
        rows = min(options.batch, options.rows - start)
        tokens = torch.randint(model.vocabulary, (rows, options.context), generator=generator)
        session = model.start(rows, options.context + options.continuation)
        for _ in range(options.continuation):
            states = session.feed(tokens, 1)[:, -1]
            begun = time.perf_counter()
            expected = full.choose(states)
            middle = time.perf_counter()
            found = screened.top_two(states)
            seconds[0].append(middle - begun)
            seconds[1].append(time.perf_counter() - middle)
            tokens = expected["token"][:, None]
            if found is not None:
                differs = found.token != expected["token"]
                is_tie = (found.margin < options.tie) & (expected["margin"] < options.tie)
                ties += int((differs & is_tie).sum())
                others += int((differs & ~is_tie).sum())
                largest = max(largest, float((found.margin - expected["margin"]).abs().max()))
                candidates += found.candidates
                decisions += rows
    print(f"{decisions:,} decisions on {options.rows:,} rows: {others} other tokens, and {ties} more in ties")
    print(f"largest difference of a margin {largest:.2g}; {candidates / decisions:.2f} logits anew per decision")
    plain, quick = (1e3 * median(times) for times in seconds)
    print(f"full {plain:.2f} ms, screened {quick:.2f} ms for {options.batch} states: {plain / quick:.2f} times as fast")


class _WithoutScreen:
    """A model's head alone."""

    def __init__(self, model: CausalModel) -> None:
        self.vocabulary, self.device, self.head = model.vocabulary, model.device, model.head


if __name__ == "__main__":
    main()
