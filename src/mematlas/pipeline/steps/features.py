"""Row features, a step of a study: what `mematlas features` and `mematlas.make_features()` do.

The corpus is read as one stream: once to count its tokens, then once for every group of scored rows, whose n-grams
are all counted in the same pass. Each group is a shard of each table (`mematlas.study.schemas.features`). Finished
shards are kept: features are computed again only if rows, grid, corpus, tokenizer or options changed. The texts of rows
need no corpus: where they alone are missing or outdated, nothing is counted again.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, Unpack

from mematlas.corpus.row_sets import ShardPlan
from mematlas.errors import StudyError
from mematlas.errors.functions import public_function
from mematlas.errors.remedies import command_line
from mematlas.executors.options import WorkerKeywords, WorkerOptions, resolve_worker_options
from mematlas.features.taggers import load_tagger
from mematlas.features.texts import TEXTS_VERSION
from mematlas.index.base import Scope
from mematlas.index.stream import MeteredStream
from mematlas.io.paths import delete_folder, translate_os_errors, write_json
from mematlas.pipeline.step import StepContext, StepStatus, TaskStep, run_tasks
from mematlas.pipeline.steps.count import (
    CountOptions,
    CountTask,
    CountTotals,
    PartCounts,
    PrecomputedCounter,
    count_workers,
    part_count,
)
from mematlas.pipeline.steps.feature_inputs import begun_sources, check_document_ends
from mematlas.pipeline.steps.near import make_near_copies
from mematlas.pipeline.steps.occurrences import OccurrencesStep
from mematlas.pipeline.steps.score import worker_options
from mematlas.pipeline.steps.tags import make_tags
from mematlas.progress import Progress, Silent
from mematlas.scoring.reopen import ScoredRows, reopen_rows
from mematlas.study import Run, Study, fingerprint, missing_shards, open_study, shard_name, write_shard
from mematlas.study.build_stamps import features_name, forget, is_current, record
from mematlas.study.schemas.features import GROUP_ROWS
from mematlas.types import Grid

if TYPE_CHECKING:
    import pyarrow as pa

    from mematlas.executors.base import WorkerFactory
    from mematlas.features.counts import NGramCounter
    from mematlas.index.stream import CorpusStream, RowSource
    from mematlas.types import Ids, TokenRows

#: Part of the fingerprint of features; raised when a change of the code can change a number.
VERSION: Final = 3
#: The same for counts in training order alone, which the other features are not to be recomputed for.
ORDER_VERSION: Final = 2
#: Our choice: n-grams of so many tokens in all are counted in one pass, which bounds its memory (below 1.5 GB on two
#: cores). That is 36,000 rows per pass for one cell of 32 + 32 tokens, and 14,000 for the demo's eight cells.
PASS_TOKENS: Final = 1 << 24
COUNTED_KINDS: Final = ("tokens", "counts", "copies")  # written once the n-grams of a group of rows are counted


@public_function(WorkerOptions)
def make_features(
    study: Study | str | Path,
    *,
    scope: Scope = "documents",
    eod: int | None = None,
    joined: bool = False,
    training_order: str | Path | None = None,
    tagger: str | None = None,
    near: bool = False,
    run: str | None = None,
    progress: Progress | None = None,
    **workers: Unpack[WorkerKeywords],
) -> Path:
    """Compute the row features of a finished run and return their folder, as `mematlas features` does.

    Args:
        study: an open study or its folder.
        scope: the unit within which 1- to 3-grams are counted: "rows", "documents" or "stream".
        eod: id of the token that ends a document within a row.
        joined: a document may continue in the next row; needs `eod`.
        training_order: .npy file of row positions in training order; that stream is then counted.
        tagger: KIND:NAME such as "spacy:en_core_web_sm", which tags a sample of the rows; none by default.
        near: also find near-copies among the scored rows.
        run: the beginning of a run's key; the latest run by default.
        progress: display of the progress; none by default.
        workers: options of the workers (workers=4, executor="ray", address="auto"); they do not change the tables.

    Raises:
        StudyError, CorpusError: see `mematlas.scoring.reopen.reopen_rows`.
        IndexFault: `eod` does not occur in the corpus, or `joined` lacks it.
        OptionError: an option of `workers` breaks a rule, or `tagger` names no model.
        MissingExtra: the tagger's library is not installed.
    """
    words = None if tagger is None else load_tagger(tagger)
    options = resolve_worker_options("features", **workers)
    opened = study if isinstance(study, Study) else open_study(study)
    _refuse_masked(opened, run)
    counted = CountOptions(scope, eod, joined, None if training_order is None else Path(training_order))
    scored, display = reopen_rows(opened, run), progress or Silent()
    features = FeaturesStep(opened, scored, counted, options)
    features.execute(options, display)
    OccurrencesStep(opened, scored).execute(options, display)
    if near:
        make_near_copies(opened, run, display)
    if words is not None:
        make_tags(opened, run, scored.tokenizer, words, display)
    return features.output_folder


def _refuse_masked(opened: Study, run: str | None) -> None:
    if "masking" in opened.run(run).settings:
        raise StudyError(
            f"Row features count the contexts and continuations of causal models, but the objective of run "
            f"{opened.run(run).key} is masked; analyse it without: {command_line('analyze', opened.folder)}"
        )


class FeaturesStep(TaskStep[int, None]):
    """Counts the n-grams of the scored rows in the corpus; a task is the number of a group of rows.

    workers: options of the workers that would count, on which it depends how often the corpus is read.
    """

    name: ClassVar[str] = "features"
    announcement: ClassVar[str | None] = "Row features: what the corpus contains of the rows"
    units: ClassVar[str] = "parts"
    remedy: ClassVar[str] = (
        "tables of rows that were counted in all parts are kept. Use fewer --workers, and run the same command again."
    )

    def __init__(self, study: Study, scored: ScoredRows, options: CountOptions, workers: WorkerOptions) -> None:
        self.study, self.scored, self.options = study, scored, options
        self.output_folder = study.folder / "features" / scored.run.key
        self._workers = workers
        self._totals = CountTotals()
        self._facts: dict[str, Any] = {}

    @classmethod
    def from_context(cls, context: StepContext) -> Self:
        file = context.file
        options = CountOptions(file.scope, file.eod, file.joined, file.training_order)
        step = cls(context.study, context.scored_rows, options, worker_options(file))
        step.enabled = file.features and file.objective == "causal"
        return step

    @property
    def folder(self) -> Path:
        return self.study.folder

    def tasks(self) -> list[int]:
        """The groups whose n-grams are not counted."""
        return self._missing("source", self.counting_source, COUNTED_KINDS)

    def split(self, tasks: list[int]) -> list[CountTask]:
        """A task for every group of rows and part of the corpus."""
        parts = part_count(self.corpus)
        return [CountTask(group, self.plan.count, number, parts) for group in tasks for number in range(parts)]

    def is_current(self) -> bool:
        stamped = is_current(self.study.folder, features_name(self.scored.run), self.source)
        is_complete = stamped and (self.output_folder / "facts.json").is_file()
        return is_complete and not self.tasks() and not self._groups_without_texts()

    def execute(self, workers: WorkerOptions, progress: Progress) -> None:
        """Compute missing features; facts.json is written last.

        Raises:
            IndexFault: the end-of-document token does not occur in the corpus.
            StudyError: a part was given up because its workers kept dying.
        """
        if self.is_current():
            progress.say(f"Row features exist already: {self.output_folder}")
            return
        self._facts = self._recorded_facts()
        if not self._facts:
            run_tasks(self, workers, progress)
        self._write_missing_texts()
        write_json(self.output_folder / "facts.json", self._facts)
        record(self.study.folder, features_name(self.scored.run), self.source)

    def run_here(self, tasks: list[int], progress: Progress) -> None:
        """One pass over the corpus to measure it, then one for each task."""
        from mematlas.index.scan import Scan

        stream = self.options.stream(self.corpus)
        tokens = self._measure(stream, progress)
        self._clear_outdated()
        tables, finished = _TableWriter(self), self.plan.count - len(tasks)
        progress.start("counting n-grams", self.plan.count * tokens, finished * tokens, "tokens")
        scan = Scan(stream, on_tokens=progress.advance)
        for group in tasks:
            tables.write(group, scan)

    def start_shared(self, tasks: Sequence[CountTask], workers: int, progress: Progress) -> None:
        rows, groups = len(self.corpus), self.plan.count
        finished = groups - len({task.group for task in tasks})
        progress.start(f"counting n-grams, {workers} workers", groups * rows, finished * rows)

    def prepare(self, tasks: list[int]) -> None:
        """Look for the end-of-document token, before existing features are replaced."""
        check_document_ends(self.options.stream(self.corpus), self.options.eod)

    def worker_factory(self) -> "WorkerFactory[CountTask, PartCounts]":
        return count_workers(self.study, self.scored, self.options, self.corpus.fingerprint, self.plan.count)

    def store(self, result: PartCounts, progress: Progress) -> None:
        """Workers measure the corpus as they count; a group's tables are written once all its parts are counted."""
        from mematlas.index.scan import Scan

        if self._totals.is_empty:  # a worker runs: if none could, older features would be deleted for nothing
            self._clear_outdated()
        totals = self._totals.add(result)
        if totals is not None:
            scan = Scan(self.options.stream(self.corpus))
            _TableWriter(self).write(result.task.group, PrecomputedCounter(scan, totals))
        self._facts = self._describe(self._totals.tokens, self._totals.documents)
        progress.advance(result.rows)

    def passes_left(self) -> int:
        """How often `execute` would read the rows of the corpus; 0 if everything is current."""
        if self.is_current() or self._recorded_facts():
            return 0
        tasks = self.tasks()
        return len(tasks) + (0 if self._workers.uses_workers(len(self.split(tasks))) else 1)

    def status(self, upstream_pending: bool) -> StepStatus:
        """Features do not depend on scores."""
        passes = self.passes_left() if self.enabled else 0  # none if only texts are missing
        if passes:
            return StepStatus(False, f"to do, reads the whole corpus {passes} times")
        return super().status(False)

    def summary(self) -> str | None:
        return f"Row features: {self.output_folder} (study.features in Python)" if self.enabled else None

    @classmethod
    def output(cls, study: Study, run: Run) -> Path | None:
        folder = study.folder / "features" / run.key
        return folder if (folder / "facts.json").is_file() else None

    @cached_property
    def corpus(self) -> "RowSource":
        """What is counted: the corpus, in training order if that is known."""
        return self.options.corpus(self.scored)

    @cached_property
    def plan(self) -> ShardPlan:
        """The scored rows, a shard for each pass."""
        rows = sum(len(row_set.positions) for row_set in self.scored.sets)
        return ShardPlan(self.scored.sets, -(-rows // rows_per_pass(self.scored.grid)))

    @cached_property
    def source(self) -> str:
        """The fingerprint of what all features, texts among them, are computed from."""
        encoder = self.scored.tokenizer
        if encoder is None or encoder.decode_windows is None:
            return self.counting_source
        return fingerprint([self.counting_source, "texts", TEXTS_VERSION])

    @cached_property
    def counting_source(self) -> str:
        """The fingerprint of what the features except texts are computed from."""
        encoder, grid, options = self.scored.tokenizer, self.scored.grid, self.options
        return fingerprint(
            {
                "rows": self.scored.run.settings["fingerprints"],
                "grid": [grid.contexts, grid.continuations, grid.align],
                "corpus": self.corpus.fingerprint,
                "tokenizer": encoder and [encoder.fingerprint, encoder.vocabulary],
                "counting": [options.scope, options.eod, options.joined],
                "shards": self.plan.count,
                "version": VERSION,
                **({} if options.order is None else {"order_version": ORDER_VERSION}),
            }
        )

    def _missing(self, name: str, source: str, kinds: Sequence[str]) -> list[int]:
        """The groups without finished shards of these kinds from `source`; name: of its fingerprint in begun.json."""
        if begun_sources(self.output_folder).get(name) != source:
            return list(range(self.plan.count))
        return sorted(set().union(*(missing_shards(self.output_folder / kind, self.plan.count) for kind in kinds)))

    def _groups_without_texts(self) -> list[int]:
        return self._missing("texts", self.source, ("texts",))

    def _recorded_facts(self) -> dict[str, Any]:
        """The content of facts.json if everything is counted; else {}."""
        return {} if self.tasks() else self.study.feature_facts(self.scored.run.key) or {}

    def _write_missing_texts(self) -> None:
        groups = self._groups_without_texts()
        if groups:
            self._clear_outdated()
            writer = _TableWriter(self)
            for group in groups:
                writer.write_texts(group)

    def _clear_outdated(self) -> None:
        """Delete features that were computed from other inputs: their shards must not be mixed with new ones."""
        with translate_os_errors(self.study.folder):
            forget(self.study.folder, features_name(self.scored.run))
            (self.output_folder / "facts.json").unlink(missing_ok=True)
            begun = begun_sources(self.output_folder)
            now = {"source": self.counting_source, "texts": self.source}
            if begun == now:
                return
            is_counting_current = begun.get("source") == self.counting_source
            delete_folder(self.output_folder / "texts" if is_counting_current else self.output_folder)
            write_json(self.output_folder / "begun.json", now)

    def _measure(self, stream: "CorpusStream", progress: Progress) -> int:
        """Read the corpus once, for its facts; returns its number of tokens."""
        progress.start("reading the corpus", len(self.corpus), 0)
        measured = MeteredStream(stream)
        for chunk in measured.chunks(0):
            progress.advance(len(chunk.rows.starts))
        self._facts = self._describe(measured.tokens, measured.documents)
        return measured.tokens

    def _describe(self, tokens: int, documents: int) -> dict[str, Any]:
        """The facts: what the features are computed from; tokens, documents: of the whole corpus."""
        return {
            "scope": self.options.scope,
            "tokens": tokens,
            "corpus": self.corpus.fingerprint,
            "eod": self.options.eod,
            "joined": self.options.joined,
            "ordered": self.options.order is not None,
            "rows": len(self.corpus),
            "documents": documents,
            "version": VERSION,
        }


def rows_per_pass(grid: Grid) -> int:
    """How many rows' n-grams are counted in one pass."""
    from mematlas.features.counts import counted_spans

    return max(1, PASS_TOKENS // sum(stop - start for start, stop in counted_spans(grid)))


class _TableWriter:
    """Writes the tables of a group of rows, a shard each."""

    def __init__(self, step: FeaturesStep) -> None:
        from mematlas.features.texts import decoder_and_token_kinds

        self._step = step
        self._decode, self._token_kinds = decoder_and_token_kinds(step.scored.tokenizer)
        self._tokens = step.options.stream(step.corpus).length(step.scored.grid.width)

    def write(self, group: int, counter: "NGramCounter") -> None:
        """All tables of a group."""
        from mematlas.features.counts import count_tables
        from mematlas.features.tokens import tokens_table

        grid, scope = self._step.scored.grid, self._step.options.scope
        rows, ids = self.write_texts(group)
        self._write("tokens", group, tokens_table(rows, ids))
        counts = count_tables(rows, ids, grid, counter, self._tokens, scope, self._token_kinds)
        for kind, table in zip(("counts", "copies"), counts, strict=True):
            self._write(kind, group, table)

    def write_texts(self, group: int) -> "tuple[TokenRows, Ids]":
        """The texts of a group; returns its rows and their ids."""
        from mematlas.features.texts import texts_table

        grid = self._step.scored.grid
        with translate_os_errors(self._step.study.folder):
            rows, ids = self._step.plan.read(group, grid.width)
        self._write("texts", group, texts_table(rows.ids, rows.lengths, ids, grid, self._decode))
        return rows, ids

    def _write(self, kind: str, group: int, table: "pa.Table") -> None:
        step = self._step
        source = step.source if kind == "texts" else step.counting_source
        metadata = {"run": step.scored.run.key, "scope": step.options.scope, "source": source}
        with translate_os_errors(step.study.folder):
            name = shard_name(group, step.plan.count)
            write_shard(step.output_folder / kind, name, table, metadata, GROUP_ROWS.get(kind))
