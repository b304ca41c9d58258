"""What hidden states cost: seconds a row, and memory and disk of 10,000 rows, beside the same run without them.

    python benchmarks/hidden.py cost [--rows 128] [--repeats 3] [--shares 0,10] [--threads 1] [--work DIR]
    python benchmarks/hidden.py growth [--rows 10000] [--width 2048] [--work DIR]

cost: the neox70m of `scoring.py`, 32 + 32 tokens, one process, contestants alternating; scores, signals and the states
of all rows are written to disk, as `mematlas score` writes a shard.
growth: `mematlas score` of a random model of one layer and 64 token ids, in a process of its own, 32 + 32 tokens: 63
states a row. It is given five times the rows as --hidden-rows: a random model recites next to nothing, and all its rows
are to be kept though they are of one score level.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from rows import engine_model, markdown, with_own_text, zipf_tokens
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from mematlas.corpus.row_sets import default_shards
from mematlas.models.base import ModelCard
from mematlas.models.causal import CausalModel
from mematlas.scoring.engines.causal import Engine
from mematlas.scoring.options import ScoringOptions, Signals
from mematlas.scoring.records.states import announced_size, write_states
from mematlas.scoring.records.tables import score_table, signal_tables
from mematlas.study import write_shard
from mematlas.types import Grid, Ids, TokenRows
from scoring import neox70m, recited, say

GRID = Grid((32,), (32,))
CONTESTANTS: dict[str, tuple[Signals, ...]] = {
    "graded": (),
    "graded + hidden": ("hidden",),
    "graded + free": ("free",),
    "graded + free, hidden": ("free", "hidden"),
}
VOCABULARY, BATCH = 64, 128

# --------------------------------------------------------------------------------------------------------------- cost


def scored(model: CausalModel, rows: Ids, signals: tuple[Signals, ...]) -> float:
    """Seconds to score complete rows and to write all that a shard of them leaves on the disk."""
    options = ScoringOptions(GRID, signals=signals, batch=BATCH, hidden_rows=5 * len(rows))
    card, ids, name = ModelCard("m", "m", "m", model.vocabulary), np.arange(len(rows)), "shard-00000-of-00001"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        began = time.perf_counter()
        results = Engine(model, card, options).score(TokenRows(rows, np.full(len(rows), rows.shape[1])), ids)
        for kind, table in signal_tables(card.label, ids, results, options).items():
            write_shard(folder / kind, name, table, {})
        write_states(
            {kind: folder / "states" / kind for kind in options.hidden_kinds}, name, ids, results, options, (0, 1)
        )
        write_shard(folder / "scores", name, score_table(card.label, ids, results, options), {})
        return time.perf_counter() - began


def cost(arguments: argparse.Namespace) -> None:
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    network = AutoModelForCausalLM.from_pretrained(neox70m(arguments.work, arguments.train_steps), dtype=torch.float32)
    model, shares = engine_model(network), [float(share) for share in arguments.shares.split(",")]
    rows = zipf_tokens((arguments.rows, GRID.width), model.vocabulary, 3)
    greedy = with_own_text(network, rows[: max(1, round(len(rows) * max(shares) / 100))], 0, 32, 64)
    for signals in CONTESTANTS.values():  # warm up
        scored(model, rows[:8], signals)
    table = [
        line for share in shares for line in compared(model, recited(rows, greedy, share), share, arguments.repeats)
    ]
    print(f"{arguments.rows} rows, {arguments.repeats} alternating repeats, {torch.get_num_threads()} torch threads\n")
    print(markdown(("recited", "contestant", "ms a row: median (min to max)", "time relative to graded"), table))


def compared(model: CausalModel, rows: Ids, share: float, repeats: int) -> Iterable[list[object]]:
    """Table lines of one share of recited rows."""
    taken: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    for repeat in range(repeats):
        for name in CONTESTANTS if repeat % 2 == 0 else reversed(CONTESTANTS):
            taken[name].append(scored(model, rows, CONTESTANTS[name]) / len(rows) * 1e3)
            say(f"{share:g} % recited, {name}: {taken[name][-1]:.2f} ms a row")
    for name, times in taken.items():
        spread = f"{median(times):.2f} ({min(times):.2f} to {max(times):.2f})"
        yield [f"{share:g} %", name, spread, f"{median(times) / median(taken['graded']):.3f}"]


# ------------------------------------------------------------------------------------------------------------- growth


def one_layer(folder: Path, width: int) -> Path:
    """A random model of one layer; its narrow inside leaves the states as the main thing."""
    torch.manual_seed(0)
    narrow = {"num_hidden_layers": 1, "num_attention_heads": 1, "head_dim": 64, "intermediate_size": 64}
    LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, hidden_size=width, **narrow)).save_pretrained(folder)
    return folder


#: A child's peak begins with the memory of the process that started it, and this one has torch loaded.
_LAUNCHER = """\
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak_of(model: Path, corpus: Path, study: Path, signals: list[str]) -> tuple[float, float]:
    """Peak resident memory in GB, and seconds, of one `mematlas score`."""
    command = [sys.executable, "-m", "mematlas", "score", str(model), "--corpus", str(corpus), "--study", str(study)]
    began = time.time()
    found = subprocess.run([sys.executable, "-c", _LAUNCHER, *command, *signals], stdout=subprocess.PIPE, check=True)
    scale = 1 if sys.platform == "darwin" else 1024
    return int(found.stdout.split()[-1]) * scale / 1e9, time.time() - began


def growth(arguments: argparse.Namespace) -> None:
    count, width = arguments.rows, arguments.width
    options = ScoringOptions(GRID, signals=("hidden",), hidden_rows=5 * count)
    announced = announced_size(options, count, default_shards(count), width)
    hidden = ["--signals", "hidden", "--hidden-rows", str(options.hidden_rows)]
    table = []
    with tempfile.TemporaryDirectory(dir=arguments.work) as place:
        folder = Path(place)
        model, corpus = one_layer(folder / "one-layer", width), folder / "rows.npy"
        np.save(corpus, np.random.default_rng(0).integers(0, VOCABULARY, (count, GRID.width)))
        for name, signals in (("graded", []), ("graded + hidden", hidden)):
            study = folder / name.replace(" ", "")
            peak, seconds = peak_of(model, corpus, study, signals)
            kept = sum(path.stat().st_size for path in (study / "states").rglob("*.*"))
            table.append([name, f"{peak:.3f}", f"{seconds:.1f}", f"{kept / 1e9:.4f}"])
    print(f"{count:,} rows, states {width:,} wide; announced: {announced / 1e9:.4f} GB\n")
    print(markdown(("run", "peak resident memory, GB", "seconds", "states on disk, GB"), table))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(required=True)
    of_cost, of_growth = kinds.add_parser("cost"), kinds.add_parser("growth")
    of_cost.set_defaults(run=cost)
    of_cost.add_argument("--rows", type=int, default=128)
    of_cost.add_argument("--repeats", type=int, default=3)
    of_cost.add_argument("--shares", default="0,10", help="recited rows, percent")
    of_cost.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "mematlas-benchmarks")
    of_cost.add_argument("--train-steps", type=int, default=60, help="of neox70m")
    of_cost.add_argument("--threads", type=int, help="torch threads; default: torch's own choice")
    of_growth.set_defaults(run=growth)
    of_growth.add_argument("--rows", type=int, default=10_000)
    of_growth.add_argument("--width", type=int, default=2048)
    of_growth.add_argument("--work", type=Path)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
