"""Compare the engine with transformers' `generate`, cell by cell, with one call of `generate` per cell.

``python benchmarks/agreement.py [--rows 2000] [--demo DIR] [--out FILE.md]`` scores random-weight models of three
shapes, and with --demo (a folder made by `mematlas demo`) its smallest and its largest final model, in float32 with
end-of-text as an ordinary token on both sides: every cell of a grid of three contexts and four continuations, depth
graded and verbatim, both alignments. The exit status is 1 if a cell differs whose margin is not below 2e-4 logits, or
if more than 0.1 % of the cells differ. The margin of a cell is that of its closest decision.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from generate_oracle import oracle
from numpy.typing import NDArray
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)

from mematlas.models.causal import CausalModel
from mematlas.scoring.options import ScoringOptions
from mematlas.types import Align, Depth, Grid, Ids
from rows import Scores, engine_model, markdown_table, perturb, score, with_greedy_text

CONTEXTS, CONTINUATIONS = (16, 24, 32), (8, 16, 32, 64)
WIDTH = max(CONTEXTS) + max(CONTINUATIONS)
VOCABULARY = 1003
NEAR_TIE = 2e-4
MAX_DIFFERING_SHARE = 1e-3
MAX_LISTED = 20
BATCH = 256
HEADER = (
    "model",
    "alignment",
    "depth",
    "rows",
    "cells",
    "recited in full",
    "first miss inside",
    "cells that differ",
    "share",
    "largest margin of a differing cell",
    f"cells with margin < {NEAR_TIE:g}",
)


@dataclass(frozen=True)
class Comparison:
    """Engine and `generate` on one model, alignment and depth; expected_matches is -1 where the depth decides none."""

    model: str
    align: Align
    depth: Depth
    scores: Scores
    expected_matches: NDArray[np.int64]
    expected_verbatim: NDArray[np.int64]

    @property
    def differs(self) -> NDArray[np.bool_]:
        """[rows, contexts, continuations]"""
        return (self.scores.matches != self.expected_matches) | (self.scores.verbatim != self.expected_verbatim)

    @property
    def close(self) -> NDArray[np.bool_]:
        return self.scores.margin < NEAR_TIE

    @property
    def failed(self) -> bool:
        return bool((self.differs & ~self.close).any() or self.differs.mean() > MAX_DIFFERING_SHARE)

    def table_row(self) -> list[object]:
        differs, verbatim = self.differs, self.expected_verbatim
        full = verbatim == np.array(CONTINUATIONS)
        largest = f"{self.scores.margin[differs].max():.2g}" if differs.any() else "none differs"
        return [
            *(self.model, self.align, self.depth, len(verbatim), differs.size),
            f"{full.mean():.1%}",
            f"{((verbatim > 0) & ~full).mean():.1%}",
            *(int(differs.sum()), f"{differs.mean():.4%}", largest, int(self.close.sum())),
        ]

    def near_ties(self) -> Iterator[list[object]]:
        """The near-tie cells, those that differ first."""
        positions = sorted(np.argwhere(self.close).tolist(), key=lambda position: not self.differs[tuple(position)])
        for row, c, k in positions[:MAX_LISTED]:
            cell = (row, c, k)
            yield [
                *(self.align, self.depth, row, CONTEXTS[c], CONTINUATIONS[k], f"{self.scores.margin[cell]:.1e}"),
                f"{self.scores.matches[cell]} / {self.expected_matches[cell]}",
                f"{self.scores.verbatim[cell]} / {self.expected_verbatim[cell]}",
                "differs" if self.differs[cell] else "agrees",
            ]


def random_networks() -> dict[str, Any]:
    """Three untrained models with larger weights than usual, so that logits are spread and greedy text varies."""
    shape = {"vocab_size": VOCABULARY, "initializer_range": 0.1, "tie_word_embeddings": False}
    no_ends = {"bos_token_id": None, "eos_token_id": None}  # the defaults are outside this vocabulary
    wide = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128}
    torch.manual_seed(0)
    return {
        "random GPT-NeoX": GPTNeoXForCausalLM(GPTNeoXConfig(**shape, **wide, max_position_embeddings=256)),
        "random Llama": LlamaForCausalLM(
            LlamaConfig(**shape, **wide, num_key_value_heads=2, max_position_embeddings=256)
        ),
        "random GPT-2": GPT2LMHeadModel(
            GPT2Config(**shape, **no_ends, n_embd=64, n_layer=3, n_head=4, n_positions=256)
        ),
    }


def random_rows(network: Any, count: int) -> Ids:
    """A sixth of the rows is random; the rest is the model's own text after some context, half of it corrupted.

    After a corruption the row continues as before, so that graded scores count hits after first misses.
    """
    rng = np.random.default_rng(1)
    rows = rng.integers(0, VOCABULARY, (count, WIDTH))
    starts = [(0, context) for context in CONTEXTS] + [(max(CONTEXTS) - c, c) for c in CONTEXTS[:-1]]
    for kind, (start, context) in enumerate(starts):
        part = slice(kind, count, len(starts) + 1)
        rows[part] = with_greedy_text(network.eval(), rows[part], start, context, BATCH)
        broken = rows[part][::2]
        rows[part][::2] = perturb(broken, VOCABULARY, 3, rng, first=start + context)
    return rows


def demo_rows(folder: Path, count: int, vocabulary: int) -> Ids:
    """Training rows of the demo; if there are too few, they are repeated with one to three tokens replaced."""
    column = pq.read_table(folder / "corpus" / "train.parquet", columns=["tokens"])["tokens"].combine_chunks()
    offsets = column.offsets.to_numpy()
    long = np.diff(offsets) >= WIDTH
    values = column.values.to_numpy(zero_copy_only=False)
    rows = values[offsets[:-1][long][:, None] + np.arange(WIDTH)].astype(np.int64)
    if not len(rows):
        raise SystemExit(f"no row of the demo corpus has {WIDTH} tokens; make the demo with longer rows")
    rng = np.random.default_rng(2)
    parts = [rows[rng.permutation(len(rows))[:count]]]
    while (available := sum(len(part) for part in parts)) < count:
        parts.append(perturb(rows[: count - available], vocabulary, 3, rng))
    return np.concatenate(parts)


def demo_networks(folder: Path) -> dict[str, Any]:
    """The smallest and the largest model of the demo, each at its last checkpoint."""
    finals = [max(model.glob("step-*")) for model in (folder / "models").iterdir() if any(model.glob("step-*"))]
    if not finals:
        raise SystemExit("the demo folder contains no models/*/step-*; run `mematlas demo` first")
    networks = {
        f"demo {path.parent.name} {path.name}": AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
        for path in finals
    }
    ordered = sorted(networks.items(), key=lambda item: item[1].num_parameters())
    return dict([ordered[0], ordered[-1]])


def compare(name: str, network: Any, rows: Ids) -> Iterator[Comparison]:
    """Both alignments and depths; `generate` is called once per alignment and cell."""
    model: CausalModel = engine_model(network)
    shape = (len(rows), len(CONTEXTS), len(CONTINUATIONS))
    aligns: tuple[Align, ...] = ("start", "end")
    depths: tuple[Depth, ...] = ("graded", "verbatim")
    for align in aligns:
        start = time.perf_counter()
        cells = oracle(network, rows, CONTEXTS, CONTINUATIONS, align=align, batch=BATCH)
        matches = np.stack([cells[c, k][0] for c in CONTEXTS for k in CONTINUATIONS], axis=1).reshape(shape)
        verbatim = np.stack([cells[c, k][1] for c in CONTEXTS for k in CONTINUATIONS], axis=1).reshape(shape)
        generate_end = time.perf_counter()
        for depth in depths:
            options = ScoringOptions(Grid(CONTEXTS, CONTINUATIONS, align), depth=depth, batch=BATCH)
            decided = np.where(verbatim == np.array(CONTINUATIONS), verbatim, -1)
            expected = matches if depth == "graded" else decided
            yield Comparison(name, align, depth, score(model, rows, options), expected, verbatim)
        engine_seconds = time.perf_counter() - generate_end
        print(
            f"{name}, {align}: generate {generate_end - start:.1f} s, mematlas both depths {engine_seconds:.1f} s",
            file=sys.stderr,
        )


def report(comparisons: list[Comparison]) -> str:
    """One model's table, and its near ties."""
    text = f"## {comparisons[0].model}\n\n" + markdown_table(
        HEADER, [comparison.table_row() for comparison in comparisons]
    )
    ties = [row for comparison in comparisons for row in comparison.near_ties()]
    ties.sort(key=lambda row: row[-1] != "differs")
    if ties:
        header = ("alignment", "depth", "row", "context", "continuation", "margin", "matches", "verbatim", "")
        text += f"\nNear ties, at most {MAX_LISTED} (mematlas / generate; -1: not decided at this depth):\n\n"
        text += markdown_table(header, ties[:MAX_LISTED])
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--demo", type=Path, help="folder made by `mematlas demo`")
    parser.add_argument("--out", type=Path, help="markdown file to write as well")
    arguments = parser.parse_args()
    tasks = [(name, network, None) for name, network in random_networks().items()]
    if arguments.demo:
        tasks += [(name, network, arguments.demo) for name, network in demo_networks(arguments.demo).items()]
    text, failed, cells, differing = "# Agreement with generate, float32\n\n", False, 0, 0
    for name, network, folder in tasks:
        vocabulary = int(network.config.vocab_size)
        rows = random_rows(network, arguments.rows) if folder is None else demo_rows(folder, arguments.rows, vocabulary)
        comparisons = list(compare(name, network, rows))
        failed |= any(comparison.failed for comparison in comparisons)
        cells += sum(comparison.differs.size for comparison in comparisons)
        differing += sum(int(comparison.differs.sum()) for comparison in comparisons)
        text += report(comparisons) + "\n"
    text += f"{differing} of {cells} cells differ: {'FAILED' if failed else 'passed'}.\n"
    print(text)
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
