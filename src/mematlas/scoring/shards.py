"""The rows of a run cut into shards, and one shard scored: read, score, settle, write. What an executor maps over."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from mematlas.corpus.row_sets import ShardPlan
from mematlas.scoring.engines.causal import Engine
from mematlas.scoring.engines.served import ServedEngine
from mematlas.scoring.options import ScoringOptions
from mematlas.scoring.records.states import write_states
from mematlas.scoring.records.tables import score_table, signal_tables
from mematlas.scoring.settle import Doubt, settle
from mematlas.study import shard_is_done, shard_name, write_shard


@dataclass(frozen=True, slots=True)
class ShardJob:
    """Where one model's shards go and what stands in their metadata."""

    label: str
    scores: Path
    signals: dict[str, Path]
    states: dict[str, Path]
    options: ScoringOptions
    dtype: str
    metadata: dict[str, str]


def score_shard(
    job: ShardJob,
    plan: ShardPlan,
    index: int,
    engine: Engine | ServedEngine,
    reference: Callable[[], Engine] | None,
    on_rows: Callable[[int], None],
) -> Doubt:
    """Score shard `index` and write its tables; the scores' marker comes last, so it stands for the whole shard."""
    tokens, ids = plan.read(index, job.options.grid.width)
    results = engine.score(tokens, ids, on_rows)
    results, doubt = settle(results, tokens, ids, job.dtype, reference)
    name = shard_name(index, plan.count)
    if shard_is_done(job.scores, name):  # by another process meanwhile: what stands is never touched
        return doubt
    metadata = {**job.metadata, "batch": str(engine.batch), **{k: str(v) for k, v in asdict(doubt).items()}}
    for kind, table in signal_tables(job.label, ids, results, job.options).items():
        write_shard(job.signals[kind], name, table, metadata)
    if job.states:
        write_states(job.states, name, ids, results, job.options, (index, plan.count))
    write_shard(job.scores, name, score_table(job.label, ids, results, job.options), metadata)
    return doubt
