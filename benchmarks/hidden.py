"""The cost of hidden states: time per row, and memory and disk of 10,000 rows, compared with a run without them.

    python benchmarks/hidden.py cost [--rows 128] [--repeats 3] [--shares 0,10] [--threads 1] [--work DIR]
    python benchmarks/hidden.py growth [--rows 10000] [--width 2048] [--work DIR]

cost: the neox70m of `scoring.py`, 32 + 32 tokens, one process, contestants alternating; scores, signals and the states
of all rows are written to disk, as `mematlas score` writes a shard.
growth: `mematlas score` of a random model with one layer and 64 token ids, in a separate process, 32 + 32 tokens: 63
states per row. --hidden-rows is five times the number of rows: a random model recites almost nothing, and the states of
all rows must be kept although all rows have the same score level.
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
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from mematlas.corpus.row_sets import default_shard_count
from mematlas.models.base import ModelCard
from mematlas.models.causal import CausalModel
from mematlas.scoring.engines.causal import Engine
from mematlas.scoring.options import ScoringOptions, Signals
from mematlas.scoring.records.states import max_states_bytes, write_states
from mematlas.scoring.records.tables import score_table, signal_tables
from mematlas.study import write_shard
from mematlas.types import Grid, Ids, TokenRows
from rows import engine_model, markdown_table, with_greedy_text, zipf_tokens
from scoring import log, neox70m, with_recited_share

GRID = Grid((32,), (32,))
CONTESTANTS: dict[str, tuple[Signals, ...]] = {
    "graded": (),
    "graded + hidden": ("hidden",),
    "graded + free": ("free",),
    "graded + free, hidden": ("free", "hidden"),
}
VOCABULARY, BATCH = 64, 128

# --------------------------------------------------------------------------------------------------------------- cost


def time_scoring(model: CausalModel, rows: Ids, signals: tuple[Signals, ...]) -> float:
    """Seconds to score complete rows and to write everything that a shard writes to disk."""
    options = ScoringOptions(GRID, signals=signals, batch=BATCH, hidden_rows=5 * len(rows))
    card, ids, name = ModelCard("m", "m", "m", model.vocabulary), np.arange(len(rows)), "shard-00000-of-00001"
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        start = time.perf_counter()
        results = Engine(model, card, options).score(TokenRows(rows, np.full(len(rows), rows.shape[1])), ids)
        for kind, table in signal_tables(card.label, ids, results, options).items():
            write_shard(folder / kind, name, table, {})
        write_states(
            {kind: folder / "states" / kind for kind in options.hidden_kinds}, name, ids, results, options, (0, 1)
        )
        write_shard(folder / "scores", name, score_table(card.label, ids, results, options), {})
        return time.perf_counter() - start


def cost(arguments: argparse.Namespace) -> None:
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    network = AutoModelForCausalLM.from_pretrained(neox70m(arguments.work, arguments.train_steps), dtype=torch.float32)
    model, shares = engine_model(network), [float(share) for share in arguments.shares.split(",")]
    rows = zipf_tokens((arguments.rows, GRID.width), model.vocabulary, 3)
    greedy = with_greedy_text(network, rows[: max(1, round(len(rows) * max(shares) / 100))], 0, 32, 64)
    for signals in CONTESTANTS.values():  # warm up
        time_scoring(model, rows[:8], signals)
    table = [
        row
        for share in shares
        for row in compare_contestants(model, with_recited_share(rows, greedy, share), share, arguments.repeats)
    ]
    print(f"{arguments.rows} rows, {arguments.repeats} alternating repeats, {torch.get_num_threads()} torch threads\n")
    print(
        markdown_table(("recited", "contestant", "ms per row: median (min to max)", "time relative to graded"), table)
    )


def compare_contestants(model: CausalModel, rows: Ids, share: float, repeats: int) -> Iterable[list[object]]:
    """Table rows of one share of recited rows."""
    timings: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    for repeat in range(repeats):
        for name in CONTESTANTS if repeat % 2 == 0 else reversed(CONTESTANTS):
            timings[name].append(time_scoring(model, rows, CONTESTANTS[name]) / len(rows) * 1e3)
            log(f"{share:g} % recited, {name}: {timings[name][-1]:.2f} ms per row")
    for name, times in timings.items():
        spread = f"{median(times):.2f} ({min(times):.2f} to {max(times):.2f})"
        yield [f"{share:g} %", name, spread, f"{median(times) / median(timings['graded']):.3f}"]


# ------------------------------------------------------------------------------------------------------------- growth


def save_one_layer_model(folder: Path, width: int) -> Path:
    """A random model with one narrow layer, so that the hidden states dominate memory and disk."""
    torch.manual_seed(0)
    narrow = {"num_hidden_layers": 1, "num_attention_heads": 1, "head_dim": 64, "intermediate_size": 64}
    LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, hidden_size=width, **narrow)).save_pretrained(folder)
    return folder


#: The peak memory of a child includes the memory of the process that started it, and this process has loaded torch.
_LAUNCHER = """\
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def measure_peak(model: Path, corpus: Path, study: Path, signals: list[str]) -> tuple[float, float]:
    """Peak resident memory in GB, and seconds, of one `mematlas score`."""
    command = [sys.executable, "-m", "mematlas", "score", str(model), "--corpus", str(corpus), "--study", str(study)]
    start = time.time()
    completed = subprocess.run(
        [sys.executable, "-c", _LAUNCHER, *command, *signals], stdout=subprocess.PIPE, check=True
    )
    scale = 1 if sys.platform == "darwin" else 1024
    return int(completed.stdout.split()[-1]) * scale / 1e9, time.time() - start


def growth(arguments: argparse.Namespace) -> None:
    count, width = arguments.rows, arguments.width
    options = ScoringOptions(GRID, signals=("hidden",), hidden_rows=5 * count)
    max_bytes = max_states_bytes(options, count, default_shard_count(count), width)
    hidden = ["--signals", "hidden", "--hidden-rows", str(options.hidden_rows)]
    table = []
    with tempfile.TemporaryDirectory(dir=arguments.work) as path:
        folder = Path(path)
        model, corpus = save_one_layer_model(folder / "one-layer", width), folder / "rows.npy"
        np.save(corpus, np.random.default_rng(0).integers(0, VOCABULARY, (count, GRID.width)))
        for name, signals in (("graded", []), ("graded + hidden", hidden)):
            study = folder / name.replace(" ", "")
            peak, seconds = measure_peak(model, corpus, study, signals)
            disk_bytes = sum(path.stat().st_size for path in (study / "states").rglob("*.*"))
            table.append([name, f"{peak:.3f}", f"{seconds:.1f}", f"{disk_bytes / 1e9:.4f}"])
    print(f"{count:,} rows, states of width {width:,}; announced: {max_bytes / 1e9:.4f} GB\n")
    print(markdown_table(("run", "peak resident memory, GB", "seconds", "states on disk, GB"), table))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(required=True)
    cost_parser, growth_parser = kinds.add_parser("cost"), kinds.add_parser("growth")
    cost_parser.set_defaults(run=cost)
    cost_parser.add_argument("--rows", type=int, default=128)
    cost_parser.add_argument("--repeats", type=int, default=3)
    cost_parser.add_argument("--shares", default="0,10", help="recited rows, percent")
    cost_parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "mematlas-benchmarks")
    cost_parser.add_argument("--train-steps", type=int, default=60, help="of neox70m")
    cost_parser.add_argument("--threads", type=int, help="torch threads; default: torch's own choice")
    growth_parser.set_defaults(run=growth)
    growth_parser.add_argument("--rows", type=int, default=10_000)
    growth_parser.add_argument("--width", type=int, default=2048)
    growth_parser.add_argument("--work", type=Path)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
