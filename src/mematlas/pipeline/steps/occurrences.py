"""Other occurrences of recited rows in the corpus, a step of a study: the last table of row features.

It depends on the scores, too, so that it is computed again when a model joins the run. Rows are looked up in the corpus
as it is stored, each row once, no matter in which order training showed them.
"""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from mematlas.corpus.row_sets import ShardPlan
from mematlas.features.occurrences import occurrence_queries, occurrences_table, recited_cells
from mematlas.index.stream import CorpusStream
from mematlas.pipeline.step import Step, StepContext
from mematlas.progress import Progress
from mematlas.scoring.reopen import ScoredRows
from mematlas.study import Run, Study, fingerprint, is_shard_done, shard_name, translate_os_errors, write_shard
from mematlas.study.build_stamps import is_current, occurrences_name, record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl
    import pyarrow as pa

    from mematlas.corpus.base import Corpus
    from mematlas.executors.options import WorkerOptions
    from mematlas.features.occurrences import OccurrenceQuery

#: Part of the fingerprint of the table; raised when a change of the code can change a row.
VERSION: Final = 1
_SHARD: Final = shard_name(0, 1)
_ROWS_AT_ONCE: Final = 1 << 16


class OccurrencesStep(Step):
    """Looks up where else in the corpus recited continuations occur: features/<run>/places.

    Needs the other row features; no table is written if no row is recited.
    """

    name: ClassVar[str] = "occurrences"

    def __init__(self, study: Study, scored: ScoredRows) -> None:
        self.study, self.scored, self.run = study, scored, scored.run

    @classmethod
    def from_context(cls, context: StepContext) -> Self:
        step = cls(context.study, context.scored_rows)
        step.enabled = context.file.features and context.file.objective == "causal"
        return step

    def is_current(self) -> bool:
        folder = self.study.features_folder(self.run.key) / "places"
        stamped = is_current(self.study.folder, occurrences_name(self.run), self._source)
        return not self._recited.height or (stamped and is_shard_done(folder, _SHARD))

    def execute(self, workers: "WorkerOptions", progress: Progress) -> None:
        """One pass over the corpus in this process.

        Raises:
            StudyError: the run has no features yet.
        """
        facts = self._facts
        if facts is None or self.is_current():
            return
        corpus = next(rows.corpus for rows in self.scored.sets if rows.role == "train")
        table = locate(corpus, self._queries(), facts, progress)
        with translate_os_errors(self.study.folder):
            folder = self.study.features_folder(self.run.key) / "places"
            write_shard(folder, _SHARD, table, {"run": self.run.key, "scope": facts["scope"]})
        record(self.study.folder, occurrences_name(self.run), self._source)

    @classmethod
    def output(cls, study: Study, run: Run) -> Path | None:
        folder = study.folder / "features" / run.key / "places"
        return folder if is_shard_done(folder, _SHARD) else None

    @cached_property
    def _facts(self) -> dict[str, Any] | None:
        return self.study.feature_facts(self.run.key)

    @cached_property
    def _recited(self) -> "pl.DataFrame":
        """The recited cells of the family's models, control models left out."""
        controls = self.run.settings.get("control_models", [])
        family = [model for model in self.run.models if model not in controls]
        return recited_cells(self.study.scan_scores(self.run.key), self.study.scan_rows(self.run.key), family)

    @property
    def _source(self) -> str:
        """The fingerprint of what the table is computed from."""
        return fingerprint([self._facts, self._recited.rows(), VERSION])

    def _queries(self) -> "list[OccurrenceQuery]":
        sets, grid = self.scored.sets, self.scored.grid
        plan = ShardPlan(sets, -(-sum(len(rows.positions) for rows in sets) // _ROWS_AT_ONCE))
        queries: list[OccurrenceQuery] = []
        for index in range(plan.count):
            rows, ids = plan.read(index, grid.width)
            queries += occurrence_queries(rows.ids, rows.lengths, ids, self._recited, grid)
        return queries


def locate(
    corpus: "Corpus", queries: "Sequence[OccurrenceQuery]", facts: "Mapping[str, Any]", progress: Progress
) -> "pa.Table":
    """The OCCURRENCES table of `queries`, by one pass over the corpus, in the scope that facts name."""
    from mematlas.index.scan import Scan

    stream = CorpusStream(corpus, None, facts["eod"], facts["joined"])
    longest = stream.length(max((len(query.tokens) for query in queries), default=0))
    possible = [query for query in queries if len(query.tokens) <= longest]
    # facts count a row as often as it was shown, if training order is known; here it is read once
    progress.start("looking up recited rows", facts["tokens"] * len(corpus) // facts["rows"], 0, "tokens")
    try:
        return occurrences_table(Scan(stream, on_tokens=progress.advance), corpus, possible, facts["scope"])
    finally:
        progress.stop()
