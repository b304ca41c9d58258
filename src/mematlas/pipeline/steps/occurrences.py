"""Where recited rows stand in the corpus, looked up and kept: the last table of row features, made after the others.

It depends on the scores, too, so that it is made again when a model joins the run. Rows are sought in the corpus as it
is kept, each row once, whatever order training showed them in.
"""

from typing import TYPE_CHECKING, Any, Final

from mematlas.features.occurrences import occurrence_queries, places_table, recited_cells
from mematlas.index.stream import CorpusStream
from mematlas.progress import Progress
from mematlas.scoring.reopen import ScoredRows
from mematlas.study import Study, fingerprint, shard_is_done, shard_name, translate_os_errors, write_shard
from mematlas.study.build_stamps import is_current, places_name, record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from mematlas.corpus.base import Corpus
    from mematlas.features.occurrences import OccurrenceQuery

#: Part of the fingerprint of the table; raised when a change of the code can change a line.
VERSION: Final = 1
_SHARD: Final = shard_name(0, 1)
_ROWS_AT_ONCE: Final = 1 << 16


def write_occurrences(study: Study, scored: ScoredRows, watcher: Progress) -> None:
    """Make features/<run>/places of a run that has its other features, unless it is there; nothing if none is recited.

    Raises:
        StudyError: the run has no features yet.
    """
    from mematlas.corpus.row_sets import ShardPlan

    facts, run = study.feature_facts(scored.run.key), scored.run
    controls = run.question.get("control_models", [])
    family = [model for model in run.models if model not in controls]
    cells = recited_cells(study.scan_scores(run.key), study.scan_rows(run.key), family)
    folder, name = study.features_folder(run.key) / "places", places_name(run)
    source = fingerprint([facts, cells.rows(), VERSION])
    done = is_current(study.folder, name, source) and shard_is_done(folder, _SHARD)
    if facts is None or done or not cells.height:
        return
    plan = ShardPlan(scored.sets, -(-sum(len(rows.positions) for rows in scored.sets) // _ROWS_AT_ONCE))
    sought: list[OccurrenceQuery] = []
    for index in range(plan.count):
        rows, ids = plan.read(index, scored.grid.width)
        sought += occurrence_queries(rows.ids, rows.lengths, ids, cells, scored.grid)
    corpus = next(rows.corpus for rows in scored.sets if rows.role == "train")
    table = locate(corpus, sought, facts, watcher)
    with translate_os_errors(study.folder):
        write_shard(folder, _SHARD, table, {"run": run.key, "scope": facts["scope"]})
    record(study.folder, name, source)


def locate(
    corpus: "Corpus", sought: "Sequence[OccurrenceQuery]", facts: "Mapping[str, Any]", watcher: Progress
) -> "pa.Table":
    """The PLACES table of `sought`, by one pass over the corpus, in the scope and with the borders that facts name."""
    from mematlas.index.scan import Scan

    stream = CorpusStream(corpus, None, facts["eod"], facts["joined"])
    length = stream.length(max((len(one.tokens) for one in sought), default=0))
    known = [one for one in sought if len(one.tokens) <= length]
    # facts count a row as often as it was shown, where training order is known; here it is read once
    watcher.start("seeking recited rows", facts["tokens"] * len(corpus) // facts["rows"], 0, "tokens")
    try:
        return places_table(Scan(stream, on_tokens=watcher.advance), corpus, known, facts["scope"])
    finally:
        watcher.stop()
