"""Seconds a row: mematlas against transformers' `generate`, the same rows, alternating in one process.

``python benchmarks/scoring.py --model neox70m --model smollm2=FOLDER [--shares 0,1,10,50] [--cells 32+32,32+96,grid]``

neox70m is a randomly initialised GPT-NeoX of Pythia-70M's shape, trained for a minute on a repetitive synthetic stream
(kept in --work). Of `--rows` random rows, the first p % are the model's own greedy text after 32 tokens: memorized.
A cell is CONTEXT+CONTINUATION; `grid` is contexts 32, 48, 64 by continuations 16, 32, 48, 64, 96, start-aligned.
mematlas is timed through Engine.score with its tables; `generate` with its key-value cache at its best batch size, one
call a cell. Arithmetic is counted, by hooks on body and head, as 2 x parameters a token (attention is left out).
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
from generate_oracle import generated
from numpy.typing import NDArray
from rows import Scores, engine_model, markdown, score, with_own_text, zipf_tokens
from transformers import AutoModelForCausalLM, GPTNeoXConfig, GPTNeoXForCausalLM

from mematlas.models.causal import CausalModel
from mematlas.scoring.options import ScoringOptions, Signals
from mematlas.types import Depth, Grid, Ids

ENGINE: dict[str, tuple[Depth, tuple[Signals, ...]]] = {
    "graded": ("graded", ()),
    "verbatim": ("verbatim", ()),
    "free": ("graded", ("free",)),
    "truth": ("graded", ("truth",)),
    "both": ("graded", ("free", "truth")),
}
CONTESTANTS = (*ENGINE, "generate")
GRID = Grid((32, 48, 64), (16, 32, 48, 64, 96))
PROMPT, BATCH, CACHELESS_ROWS = 32, 128, 8
Texts = dict[tuple[int, int], NDArray[np.int64]]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# ------------------------------------------------------------------------------------------------------------- models


def synthetic_stream(tokens: int, vocabulary: int) -> Ids:
    """Phrases of 6 to 16 Zipf-like tokens, 96 of them, in random order with frequent ones more often."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(6, 17, size=96)
    phrases = np.split(zipf_tokens((int(lengths.sum()),), vocabulary, 1), np.cumsum(lengths)[:-1])
    weight = 1.0 / (np.arange(96) + 10.0)
    order = rng.choice(96, size=tokens // 6 + 1, p=weight / weight.sum())
    return np.concatenate([phrases[k] for k in order])[:tokens]


def neox70m(work: Path, steps: int) -> Path:
    """The folder of the briefly trained model; made once."""
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
            say(f"training neox70m: step {step + 1} of {steps}, loss {loss.item():.2f}")
    network.save_pretrained(folder)
    return folder


# -------------------------------------------------------------------------------------------------------- contestants


@dataclass
class Meter:
    """Counts what a network is fed, and states what that costs."""

    tokens: int = 0
    heads: int = 0

    def watch(self, network: Any, model: CausalModel) -> None:
        def count_tokens(module: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            self.tokens += (named["input_ids"] if named.get("input_ids") is not None else given[0]).numel()

        def count_heads(module: Any, given: tuple[Any, ...]) -> None:
            self.heads += math.prod(given[0].shape[:-1])

        def counted(states: torch.Tensor, answer: Callable[[torch.Tensor], torch.Tensor] = model.head) -> torch.Tensor:
            before = self.heads  # the engine may multiply by the head's matrix without calling the head
            logits = answer(states)
            self.heads = before + len(states)
            return logits

        model.head = counted
        body, head = network.base_model, network.get_output_embeddings()
        body.register_forward_pre_hook(count_tokens, with_kwargs=True)
        head.register_forward_pre_hook(count_heads)
        tables = sum(p.numel() for m in body.modules() if isinstance(m, torch.nn.Embedding) for p in m.parameters())
        self.body_parameters = sum(p.numel() for p in body.parameters()) - tables
        self.head_parameters = head.weight.numel()

    def take(self) -> float:
        """Floating-point operations since the last call."""
        spent = 2.0 * (self.tokens * self.body_parameters + self.heads * self.head_parameters)
        self.tokens = self.heads = 0
        return spent


@dataclass
class Timed:
    """Runs of one contestant: seconds a row of each, and operations a row of the last."""

    seconds: list[float] = field(default_factory=list)
    operations: float = math.nan
    note: str = ""

    @property
    def middle(self) -> float:
        return median(self.seconds)


@dataclass
class Subject:
    """A model under test; `generate_batch` is the best found by `probe`."""

    name: str
    network: Any
    model: CausalModel
    meter: Meter
    generate_batch: int = BATCH

    def timed(self, into: Timed, rows: int, ask: Callable[[], Any]) -> Any:
        """Run once, and note what it took."""
        self.meter.take()
        began = time.perf_counter()
        answer = ask()
        into.seconds.append((time.perf_counter() - began) / rows)
        into.operations = self.meter.take() / rows
        return answer

    def engine(self, rows: Ids, grid: Grid, contestant: str) -> Scores:
        depth, signals = ENGINE[contestant]
        return score(self.model, rows, ScoringOptions(grid, depth=depth, signals=signals, batch=BATCH))

    def generate(self, rows: Ids, grid: Grid, batch: int, **options: object) -> Texts:
        """Greedy texts of every cell, one call a cell and batch."""
        return {
            (context, length): generated(
                self.network, torch.from_numpy(rows[:, :context].copy()), length, batch, **options
            ).numpy()
            for context in grid.contexts
            for length in grid.continuations
        }

    def probe(self, rows: Ids) -> str:
        """Choose the batch size of `generate`: 32 + 16 on all rows, the better of two alternating runs each."""
        seconds: dict[int, Timed] = {batch: Timed() for batch in (32, 64, 128)}
        for _ in range(2):
            for batch, into in seconds.items():
                self.timed(into, len(rows), lambda batch=batch: self.generate(rows, Grid((32,), (16,)), batch))
        self.generate_batch = min(seconds, key=lambda batch: min(seconds[batch].seconds))
        tried = ", ".join(f"{batch}: {min(into.seconds) * 1e3:.1f} ms" for batch, into in seconds.items())
        return f"generate's batch size {self.generate_batch} (32+16, a row, by batch size: {tried})"


def subject(spec: str, work: Path, steps: int) -> Subject:
    """The model of a --model argument, loaded in float32."""
    name, _, folder = spec.partition("=")
    if not folder and name != "neox70m":
        raise SystemExit(f"--model {spec!r} names no folder; write {name}=FOLDER, or neox70m")
    network = AutoModelForCausalLM.from_pretrained(folder or neox70m(work, steps), dtype=torch.float32).eval()
    model, meter = engine_model(network), Meter()
    meter.watch(network, model)
    return Subject(name, network, model, meter)


# --------------------------------------------------------------------------------------------------------------- runs


@dataclass(frozen=True)
class Choices:
    """What is run; rate: the machine's float32 matmul rate, operations a second."""

    rows: int
    repeats: int
    shares: tuple[float, ...]
    cells: tuple[str, ...]
    contestants: tuple[str, ...]
    cacheless: bool
    generate_once: bool
    rate: float


def matmul_rate() -> float:
    """float32 operations a second of a 2048 x 2048 x 2048 product, best of 5."""
    left, right, best = torch.randn(2048, 2048), torch.randn(2048, 2048), math.inf
    for _ in range(6):  # the first warms up, and cannot win by much
        began = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - began)
    return 2 * 2048**3 / best


def cell_grid(cell: str) -> Grid:
    if cell == "grid":
        return GRID
    context, length = (int(part) for part in cell.split("+"))
    return Grid((context,), (length,))


def recited(rows: Ids, greedy: Ids, share: float) -> Ids:
    """The rows with the first `share` % replaced by those that recite, at least one if the share is not 0."""
    count = max(1, round(len(rows) * share / 100)) if share else 0
    return np.concatenate([greedy[:count], rows[count:]])


def agreement(scores: Scores, grid: Grid, rows: Ids, texts: Texts, asked: Ids) -> str:
    """How many cells' graded matches differ from `generate`'s; `asked`: the rows that `generate` was given."""
    checked, margins = 0, []
    for c, context in enumerate(grid.contexts):
        same = (asked[:, :context] == rows[:, :context]).all(1)  # with other prompts, nothing can be said
        for k, length in enumerate(grid.continuations):
            matches = (texts[context, length] == rows[:, context : context + length]).sum(1)
            differs = same & (matches != scores.matches[:, c, k])
            checked += int(same.sum())
            margins += scores.margin[differs, c, k].tolist()
    found = f"; largest margin {max(margins):.1e}" if margins else ""
    return f"{len(margins)} of {checked} row-cells{found}"


def run_cell(who: Subject, rows: Ids, grid: Grid, choices: Choices, held: tuple[Timed, Texts, Ids] | None) -> Any:
    """All contestants, alternating; (timings, what generate said, row-cells where graded differs from generate)."""
    names = [name for name in choices.contestants if name != "generate" or held is None]
    timings = {name: Timed() for name in names}
    scores: Scores | None = None
    for repeat in range(choices.repeats):
        for name in names if repeat % 2 == 0 else names[::-1]:
            if name == "generate":
                texts = who.timed(
                    timings[name], len(rows), lambda: who.generate(rows, grid, min(who.generate_batch, len(rows)))
                )
                held_now = (timings[name], texts, rows)
            else:
                answer = who.timed(timings[name], len(rows), lambda name=name: who.engine(rows, grid, name))
                scores = answer if name == "graded" else scores
            say(f"{who.name}: {name} {timings[name].seconds[-1] * 1e3:.2f} ms a row")
    said = held or (held_now if "generate" in names else None)
    if held is not None:
        timings["generate"] = Timed(held[0].seconds, held[0].operations, "timed at the first share")
    check = agreement(scores, grid, rows, said[1], said[2]) if said and scores is not None else "not checked"
    return timings, said, check


def cacheless(who: Subject, rows: Ids, grid: Grid) -> Timed:
    """`generate` without a cache, once, on a few rows."""
    few = rows[:CACHELESS_ROWS]
    into = Timed(note=f"{len(few)} rows, once")
    who.timed(into, len(few), lambda: who.generate(few, grid, CACHELESS_ROWS, use_cache=False))
    return into


def lines(
    who: Subject, cell: str, share: float, timings: dict[str, Timed], check: str, rate: float
) -> list[list[object]]:
    """Table rows of one cell and share."""
    found: list[list[object]] = []
    for name, timed in timings.items():
        own = timed.operations / timed.middle
        against = f"{timings['generate'].middle / timed.middle:.2f}" if "generate" in timings else ""
        signals = name in ("free", "truth", "both") and "graded" in timings
        called = {"free": "graded + free", "truth": "graded + truth", "both": "graded + both"}.get(name, name)
        found.append(
            [
                *(who.name, cell, f"{share:g} %", f"{called} ({timed.note})" if timed.note else called),
                f"{timed.middle:.5f} ({min(timed.seconds):.5f} to {max(timed.seconds):.5f})",
                against,
                f"{timed.middle / timings['graded'].middle:.2f}" if signals else "",
                *(f"{own / 1e9:.0f}", f"{own / rate:.0%}"),
                check if name == "graded" else "",
            ]
        )
    return found


HEAD = (
    *("model", "cell", "memorized", "contestant", "seconds a row: median (min to max)", "times as fast as generate"),
    *("time relative to graded", "GFLOP/s", "of matmul rate", "graded matches that differ from generate's"),
)


def run_model(who: Subject, choices: Choices, publish: Callable[[list[list[object]], list[str]], None]) -> None:
    """Every cell and share of one model; `publish` gets table rows and notes as they come."""
    widest = max([cell_grid(cell).width for cell in choices.cells] + [PROMPT + 1])
    rows = zipf_tokens((choices.rows, widest), who.model.vocabulary, 3)
    count = max(1, round(len(rows) * max(choices.shares) / 100))
    greedy = with_own_text(who.network, rows[:count], 0, PROMPT, 64)
    variety = float(np.mean([len(np.unique(text)) for text in greedy[:, PROMPT:]]))
    notes = [f"{who.name}: greedy texts of {widest - PROMPT} tokens hold {variety:.0f} distinct tokens on average"]
    for name in choices.contestants:  # warm up
        if name == "generate":
            notes.append(f"{who.name}: {who.probe(rows)}")
        else:
            who.engine(rows[:8, :40], Grid((32,), (8,)), name)
    publish([], notes)
    for cell in choices.cells:
        grid, held = cell_grid(cell), None
        for place, share in enumerate(choices.shares):
            some = recited(rows, greedy, share)[:, : grid.width]
            timings, said, check = run_cell(who, some, grid, choices, held)
            held = said if choices.generate_once else None
            if choices.cacheless and place == 0 and cell != "grid":
                timings["generate, no cache"] = cacheless(who, some, grid)
            publish(lines(who, cell, share, timings, check, choices.rate), [])


def chosen(arguments: argparse.Namespace) -> Choices:
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


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", required=True, help="neox70m, or NAME=FOLDER; repeatable")
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--shares", default="0,1,10,50", help="memorized rows, percent")
    parser.add_argument("--cells", default="32+32,32+96,grid")
    parser.add_argument("--contestants", default=",".join(CONTESTANTS))
    parser.add_argument("--cacheless", action="store_true", help="also generate without a cache (not for the grid)")
    parser.add_argument("--generate-once", action="store_true", help="time generate only at the first share")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "mematlas-benchmarks")
    parser.add_argument("--train-steps", type=int, default=60, help="of neox70m")
    parser.add_argument("--threads", type=int, help="torch threads; default: torch's own choice")
    parser.add_argument("--out", type=Path, help="markdown file, rewritten as results come")
    return parser.parse_args()


def main() -> None:
    arguments = parsed()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    choices = chosen(arguments)
    table: list[list[object]] = []
    notes = [
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {torch.get_num_threads()} torch threads, "
        f"torch {torch.__version__}, transformers {transformers.__version__}, float32",
        f"float32 matmul rate {choices.rate / 1e9:.0f} GFLOP/s (2048 cubed, best run)",
        f"{choices.rows} rows, {choices.repeats} alternating repeats, mematlas at batch size {BATCH}",
    ]

    def text() -> str:
        return "# Scoring speed\n\n" + "".join(f"- {note}\n" for note in notes) + "\n" + markdown(HEAD, table)

    def publish(more: list[list[object]], said: list[str]) -> None:
        table.extend(more)
        notes.extend(said)
        if arguments.out:
            arguments.out.write_text(text(), encoding="utf-8")

    for spec in arguments.model:
        run_model(subject(spec, arguments.work, arguments.train_steps), choices, publish)
    print(text())


if __name__ == "__main__":
    main()
