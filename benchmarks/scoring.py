"""Time per row of mematlas and of transformers' `generate` on the same rows, alternating in one process.

``python benchmarks/scoring.py --model neox70m --model smollm2=FOLDER [--shares 0,1,10,50] [--cells 32+32,32+96,grid]``

neox70m is a randomly initialised GPT-NeoX in the shape of Pythia-70M, trained for a minute on a repetitive synthetic
stream (stored in --work). In the first p % of `--rows` random rows, the tokens after the first 32 are the model's own
greedy text, so these rows are memorized. A cell is CONTEXT+CONTINUATION; `grid` is contexts 32, 48, 64 by continuations
16, 32, 48, 64, 96, start-aligned. mematlas is timed through Engine.score with its tables; `generate` with its key-value
cache at its best batch size, one call per cell. Operations are counted by hooks on body and head, as 2 x parameters per
token (attention is not included).
"""

import argparse
import math
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import transformers
from generate_oracle import greedy_text
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM, GPTNeoXConfig, GPTNeoXForCausalLM

from mematlas.models.causal import CausalModel
from mematlas.scoring.options import ScoringOptions, Signals
from mematlas.types import Depth, Grid, Ids
from rows import Scores, engine_model, markdown_table, score, with_greedy_text, zipf_tokens

ENGINE_VARIANTS: dict[str, tuple[Depth, tuple[Signals, ...]]] = {
    "graded": ("graded", ()),
    "verbatim": ("verbatim", ()),
    "free": ("graded", ("free",)),
    "truth": ("graded", ("truth",)),
    "both": ("graded", ("free", "truth")),
}
CONTESTANTS = (*ENGINE_VARIANTS, "generate")
GRID = Grid((32, 48, 64), (16, 32, 48, 64, 96))
PROMPT, BATCH, CACHELESS_ROWS = 32, 128, 8
Texts = dict[tuple[int, int], NDArray[np.int64]]


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# ------------------------------------------------------------------------------------------------------------- models


def synthetic_stream(tokens: int, vocabulary: int) -> Ids:
    """A stream of 96 phrases of 6 to 16 Zipf-distributed tokens, in random order, some more often than others."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(6, 17, size=96)
    phrases = np.split(zipf_tokens((int(lengths.sum()),), vocabulary, 1), np.cumsum(lengths)[:-1])
    weight = 1.0 / (np.arange(96) + 10.0)
    order = rng.choice(96, size=tokens // 6 + 1, p=weight / weight.sum())
    return np.concatenate([phrases[k] for k in order])[:tokens]


def neox70m(work: Path, steps: int) -> Path:
    """The folder of the briefly trained model, which is trained on the first call."""
    folder = work / f"neox70m-{steps}-steps"
    if (folder / "model.safetensors").exists():
        return folder
    torch.manual_seed(0)
    shape = {"hidden_size": 512, "num_hidden_layers": 6, "num_attention_heads": 8, "intermediate_size": 2048}
    network = GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=50304, **shape)).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    stream = torch.from_numpy(synthetic_stream(max(steps, 1) * 16 * 64, 50304)).view(-1, 16, 64)
    for step in range(steps):
        loss = network(input_ids=stream[step], labels=stream[step]).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if step % 10 == 0 or step == steps - 1:
            log(f"training neox70m: step {step + 1} of {steps}, loss {loss.item():.2f}")
    network.save_pretrained(folder)
    return folder


# -------------------------------------------------------------------------------------------------------- contestants


@dataclass
class OperationCounter:
    """Counts the tokens that a network is fed, and the operations that this takes."""

    tokens: int = 0
    heads: int = 0

    def watch(self, network: Any, model: CausalModel) -> None:
        def count_tokens(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self.tokens += (kwargs["input_ids"] if kwargs.get("input_ids") is not None else args[0]).numel()

        def count_heads(module: Any, args: tuple[Any, ...]) -> None:
            self.heads += math.prod(args[0].shape[:-1])

        def counting_head(
            states: torch.Tensor, head: Callable[[torch.Tensor], torch.Tensor] = model.head
        ) -> torch.Tensor:
            before = self.heads  # the engine may multiply by the head's matrix without calling the head
            logits = head(states)
            self.heads = before + len(states)
            return logits

        model.head = counting_head
        body, head = network.base_model, network.get_output_embeddings()
        body.register_forward_pre_hook(count_tokens, with_kwargs=True)
        head.register_forward_pre_hook(count_heads)
        tables = sum(p.numel() for m in body.modules() if isinstance(m, torch.nn.Embedding) for p in m.parameters())
        self.body_parameters = sum(p.numel() for p in body.parameters()) - tables
        self.head_parameters = head.weight.numel()

    def reset(self) -> float:
        """Floating-point operations since the last call; starts counting again."""
        operations = 2.0 * (self.tokens * self.body_parameters + self.heads * self.head_parameters)
        self.tokens = self.heads = 0
        return operations


@dataclass
class Timings:
    """Runs of one contestant: seconds per row of each, and operations per row of the last."""

    seconds: list[float] = field(default_factory=list)
    operations: float = math.nan
    note: str = ""

    @property
    def median(self) -> float:
        return median(self.seconds)


@dataclass
class Subject:
    """A model under test; `generate_batch` is the best found by `probe`."""

    name: str
    network: Any
    model: CausalModel
    counter: OperationCounter
    generate_batch: int = BATCH

    def measure(self, timings: Timings, rows: int, run: Callable[[], Any]) -> Any:
        """Call `run` once and add its time and operations to `timings`; returns its result."""
        self.counter.reset()
        start = time.perf_counter()
        result = run()
        timings.seconds.append((time.perf_counter() - start) / rows)
        timings.operations = self.counter.reset() / rows
        return result

    def engine(self, rows: Ids, grid: Grid, contestant: str) -> Scores:
        depth, signals = ENGINE_VARIANTS[contestant]
        return score(self.model, rows, ScoringOptions(grid, depth=depth, signals=signals, batch=BATCH))

    def generate(self, rows: Ids, grid: Grid, batch: int, **options: object) -> Texts:
        """Greedy texts of every cell, one call per cell and batch."""
        return {
            (context, length): greedy_text(
                self.network, torch.from_numpy(rows[:, :context].copy()), length, batch, **options
            ).numpy()
            for context in grid.contexts
            for length in grid.continuations
        }

    def probe(self, rows: Ids) -> str:
        """Choose the batch size of `generate`: 32 + 16 on all rows, the better of two alternating runs each."""
        timings: dict[int, Timings] = {batch: Timings() for batch in (32, 64, 128)}
        for _ in range(2):
            for batch, timing in timings.items():
                self.measure(timing, len(rows), lambda batch=batch: self.generate(rows, Grid((32,), (16,)), batch))
        self.generate_batch = min(timings, key=lambda batch: min(timings[batch].seconds))
        times = ", ".join(f"{batch}: {min(timing.seconds) * 1e3:.1f} ms" for batch, timing in timings.items())
        return f"generate's batch size {self.generate_batch} (32+16, per row, by batch size: {times})"


def load_subject(spec: str, work: Path, steps: int) -> Subject:
    """The model of a --model argument, loaded in float32."""
    name, _, folder = spec.partition("=")
    if not folder and name != "neox70m":
        raise SystemExit(f"--model {spec!r} has no folder; write {name}=FOLDER, or neox70m")
    network = AutoModelForCausalLM.from_pretrained(folder or neox70m(work, steps), dtype=torch.float32).eval()
    model, counter = engine_model(network), OperationCounter()
    counter.watch(network, model)
    return Subject(name, network, model, counter)


# --------------------------------------------------------------------------------------------------------------- runs


@dataclass(frozen=True)
class Choices:
    """What to run; rate: the machine's float32 matmul rate in operations per second."""

    rows: int
    repeats: int
    shares: tuple[float, ...]
    cells: tuple[str, ...]
    contestants: tuple[str, ...]
    cacheless: bool
    generate_once: bool
    rate: float


def matmul_rate() -> float:
    """float32 operations per second of a 2048 x 2048 x 2048 product, best of 5."""
    left, right, best = torch.randn(2048, 2048), torch.randn(2048, 2048), math.inf
    for _ in range(6):  # the first run is a warm-up and will hardly be the best
        start = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - start)
    return 2 * 2048**3 / best


def cell_grid(cell: str) -> Grid:
    if cell == "grid":
        return GRID
    context, length = (int(part) for part in cell.split("+"))
    return Grid((context,), (length,))


def with_recited_share(rows: Ids, greedy: Ids, share: float) -> Ids:
    """The rows with the first `share` % replaced by recited rows, at least one if the share is not 0."""
    count = max(1, round(len(rows) * share / 100)) if share else 0
    return np.concatenate([greedy[:count], rows[count:]])


def agreement(scores: Scores, grid: Grid, rows: Ids, texts: Texts, generate_rows: Ids) -> str:
    """How many cells' graded matches differ from those of `generate`, which was run on `generate_rows`."""
    checked, margins = 0, []
    for c, context in enumerate(grid.contexts):
        same = (generate_rows[:, :context] == rows[:, :context]).all(1)  # only equal prompts can be compared
        for k, length in enumerate(grid.continuations):
            matches = (texts[context, length] == rows[:, context : context + length]).sum(1)
            differs = same & (matches != scores.matches[:, c, k])
            checked += int(same.sum())
            margins += scores.margin[differs, c, k].tolist()
    largest = f"; largest margin {max(margins):.1e}" if margins else ""
    return f"{len(margins)} of {checked} row-cells{largest}"


def run_cell(
    subject: Subject, rows: Ids, grid: Grid, choices: Choices, earlier: tuple[Timings, Texts, Ids] | None
) -> Any:
    """Run all contestants, alternating; `earlier`: results of `generate` to use instead of running it again.

    Returns:
        timings; results of `generate` (timings, texts, rows); row-cells where graded differs from `generate`.
    """
    names = [name for name in choices.contestants if name != "generate" or earlier is None]
    timings = {name: Timings() for name in names}
    scores: Scores | None = None
    for repeat in range(choices.repeats):
        for name in names if repeat % 2 == 0 else names[::-1]:
            if name == "generate":
                batch = min(subject.generate_batch, len(rows))
                texts = subject.measure(
                    timings[name], len(rows), lambda batch=batch: subject.generate(rows, grid, batch)
                )
                current = (timings[name], texts, rows)
            else:
                result = subject.measure(timings[name], len(rows), lambda name=name: subject.engine(rows, grid, name))
                scores = result if name == "graded" else scores
            log(f"{subject.name}: {name} {timings[name].seconds[-1] * 1e3:.2f} ms per row")
    generate = earlier or (current if "generate" in names else None)
    if earlier is not None:
        timings["generate"] = Timings(earlier[0].seconds, earlier[0].operations, "timed at the first share")
    check = agreement(scores, grid, rows, *generate[1:]) if generate and scores is not None else "not checked"
    return timings, generate, check


def cacheless(subject: Subject, rows: Ids, grid: Grid) -> Timings:
    """`generate` without a cache, once, on a few rows."""
    few = rows[:CACHELESS_ROWS]
    timings = Timings(note=f"{len(few)} rows, once")
    subject.measure(timings, len(few), lambda: subject.generate(few, grid, CACHELESS_ROWS, use_cache=False))
    return timings


def table_rows(
    subject: Subject, cell: str, share: float, timings: dict[str, Timings], check: str, rate: float
) -> list[list[object]]:
    """Table rows of one cell and share."""
    rows: list[list[object]] = []
    for name, timing in timings.items():
        speed = timing.operations / timing.median
        speedup = f"{timings['generate'].median / timing.median:.2f}" if "generate" in timings else ""
        signals = name in ("free", "truth", "both") and "graded" in timings
        title = {"free": "graded + free", "truth": "graded + truth", "both": "graded + both"}.get(name, name)
        rows.append(
            [
                *(subject.name, cell, f"{share:g} %", f"{title} ({timing.note})" if timing.note else title),
                f"{timing.median:.5f} ({min(timing.seconds):.5f} to {max(timing.seconds):.5f})",
                speedup,
                f"{timing.median / timings['graded'].median:.2f}" if signals else "",
                *(f"{speed / 1e9:.0f}", f"{speed / rate:.0%}"),
                check if name == "graded" else "",
            ]
        )
    return rows


HEADER = (
    *("model", "cell", "memorized", "contestant", "seconds per row: median (min to max)", "times as fast as generate"),
    *("time relative to graded", "GFLOP/s", "of matmul rate", "graded matches that differ from generate's"),
)


def run_model(subject: Subject, choices: Choices, publish: Callable[[list[list[object]], list[str]], None]) -> None:
    """Every cell and share of one model; `publish` is called with new table rows and notes."""
    widest = max([cell_grid(cell).width for cell in choices.cells] + [PROMPT + 1])
    rows = zipf_tokens((choices.rows, widest), subject.model.vocabulary, 3)
    count = max(1, round(len(rows) * max(choices.shares) / 100))
    greedy = with_greedy_text(subject.network, rows[:count], 0, PROMPT, 64)
    variety = float(np.mean([len(np.unique(text)) for text in greedy[:, PROMPT:]]))
    notes = [f"{subject.name}: greedy texts of {widest - PROMPT} tokens have {variety:.0f} distinct tokens on average"]
    for name in choices.contestants:  # warm up
        if name == "generate":
            notes.append(f"{subject.name}: {subject.probe(rows)}")
        else:
            subject.engine(rows[:8, :40], Grid((32,), (8,)), name)
    publish([], notes)
    for cell in choices.cells:
        grid, earlier = cell_grid(cell), None
        for i, share in enumerate(choices.shares):
            cell_rows = with_recited_share(rows, greedy, share)[:, : grid.width]
            timings, generate, check = run_cell(subject, cell_rows, grid, choices, earlier)
            earlier = generate if choices.generate_once else None
            if choices.cacheless and i == 0 and cell != "grid":
                timings["generate, no cache"] = cacheless(subject, cell_rows, grid)
            publish(table_rows(subject, cell, share, timings, check, choices.rate), [])


def resolve_choices(arguments: argparse.Namespace) -> Choices:
    contestants = tuple(arguments.contestants.split(","))
    if unknown := set(contestants) - set(CONTESTANTS):
        raise SystemExit(f"unknown contestants {', '.join(sorted(unknown))}; choose from {', '.join(CONTESTANTS)}")
    return Choices(
        arguments.rows,
        arguments.repeats,
        tuple(float(share) for share in arguments.shares.split(",")),
        tuple(arguments.cells.split(",")),
        contestants,
        arguments.cacheless,
        arguments.generate_once,
        matmul_rate(),
    )


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", required=True, help="neox70m, or NAME=FOLDER; repeatable")
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--shares", default="0,1,10,50", help="memorized rows, percent")
    parser.add_argument("--cells", default="32+32,32+96,grid")
    parser.add_argument("--contestants", default=",".join(CONTESTANTS))
    parser.add_argument("--cacheless", action="store_true", help="also run generate without a cache (not for the grid)")
    parser.add_argument("--generate-once", action="store_true", help="time generate only at the first share")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "mematlas-benchmarks")
    parser.add_argument("--train-steps", type=int, default=60, help="training steps of neox70m")
    parser.add_argument("--threads", type=int, help="torch threads; default: torch's own choice")
    parser.add_argument("--out", type=Path, help="Markdown file, rewritten after each result")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    choices = resolve_choices(arguments)
    table: list[list[object]] = []
    notes = [
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {torch.get_num_threads()} torch threads, "
        f"torch {torch.__version__}, transformers {transformers.__version__}, float32",
        f"float32 matmul rate {choices.rate / 1e9:.0f} GFLOP/s (2048 cubed, best run)",
        f"{choices.rows} rows, {choices.repeats} alternating repeats, mematlas at batch size {BATCH}",
    ]

    def text() -> str:
        return "# Scoring speed\n\n" + "".join(f"- {note}\n" for note in notes) + "\n" + markdown_table(HEADER, table)

    def publish(new_rows: list[list[object]], new_notes: list[str]) -> None:
        table.extend(new_rows)
        notes.extend(new_notes)
        if arguments.out:
            arguments.out.write_text(text(), encoding="utf-8")

    for spec in arguments.model:
        run_model(load_subject(spec, arguments.work, arguments.train_steps), choices, publish)
    print(text())


if __name__ == "__main__":
    main()
