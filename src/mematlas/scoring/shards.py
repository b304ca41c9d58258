"""Score one shard of a run: read its rows, score them, settle doubtful ones, write the tables."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from mematlas.corpus.row_sets import ShardPlan
from mematlas.scoring.engines.causal import Engine
from mematlas.scoring.engines.greedy import GreedyEngine
from mematlas.scoring.engines.masked import MaskedEngine
from mematlas.scoring.engines.results import ContextResult
from mematlas.scoring.options import ScoringOptions
from mematlas.scoring.records.states import write_states
from mematlas.scoring.records.tables import score_table, signal_tables
from mematlas.scoring.settle import SettleCounts, settle
from mematlas.study import is_shard_done, shard_name, write_shard
from mematlas.types import Ids


@dataclass(frozen=True, slots=True)
class ShardTarget:
    """Where one model's shards are written, with which options and metadata. signals, states: folder by kind."""

    label: str
    scores: Path
    signals: dict[str, Path]
    states: dict[str, Path]
    options: ScoringOptions
    dtype: str
    metadata: dict[str, str]


def score_shard(
    target: ShardTarget,
    plan: ShardPlan,
    index: int,
    engine: Engine | MaskedEngine | GreedyEngine,
    reference: Callable[[], Engine | MaskedEngine] | None,
    on_rows: Callable[[int], None],
) -> SettleCounts:
    """Score shard `index` and write its tables; the scores' marker is last: it means that the shard is done."""
    tokens, ids = plan.read(index, target.options.grid.width)
    results = engine.score(tokens, ids, on_rows)
    results, counts = settle(results, tokens, ids, target.dtype, reference)
    write_results(target, (index, plan.count), ids, results, counts, engine.batch)
    return counts


def write_results(
    target: ShardTarget,
    shard: tuple[int, int],
    ids: Ids,
    results: list[ContextResult],
    counts: SettleCounts,
    batch: int | str,
) -> None:
    """Write the tables of a shard that was scored, unless it is there already.

    Args:
        shard: its number, and the number of shards; ids: its row ids; batch: rows that were scored at a time.
    """
    name = shard_name(*shard)
    if is_shard_done(target.scores, name):  # finished by another process meanwhile: a finished shard is never changed
        return
    metadata = {**target.metadata, "batch": str(batch), **{k: str(v) for k, v in asdict(counts).items()}}
    for kind, table in signal_tables(target.label, ids, results, target.options).items():
        write_shard(target.signals[kind], name, table, metadata)
    if target.states:
        write_states(target.states, name, ids, results, target.options, shard)
    write_shard(target.scores, name, score_table(target.label, ids, results, target.options), metadata)
