"""A tracing from its options to the tables: what `mematlas trace-states` and `mematlas.trace_states()` do.

OUT/<model>-<key>/dependency/shard-00000-of-00004.parquet + .done   one row of the corpus each; see `tables.DEPENDENCY`
                 /tokens/shard-00000-of-00004.parquet + .done       its tokens; see `tables.TOKENS`
                 /README.md, facts.json                             what was asked; written last
                 /traces.html, traces-figures/                      the page, written by the command

The key is a hash of everything that can change a number: the same command resumes in its folder, a different one uses
another folder.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mematlas.corpus.base import Corpus
from mematlas.corpus.selection import Positions
from mematlas.errors import CorpusError, OptionError
from mematlas.errors.configurations import resolve_options
from mematlas.errors.functions import public_function
from mematlas.errors.remedies import command_line
from mematlas.models.base import LoadOptions, ModelSource
from mematlas.models.resolve import find_model
from mematlas.probes.state_tracing.config import TraceConfig
from mematlas.probes.state_tracing.keywords import TraceKeywords
from mematlas.probes.state_tracing.tables import DEPENDENCY, TOKENS, card, dependency_table, tokens_table
from mematlas.progress import Progress, Silent
from mematlas.scoring.job import digest_positions
from mematlas.scoring.model_names import model_names
from mematlas.scoring.row_options import select_rows
from mematlas.study import (
    fingerprint,
    missing_shards,
    shard_name,
    translate_os_errors,
    write_json,
    write_shard,
    write_text,
)
from mematlas.study.versions import versions
from mematlas.types import Encoder

if TYPE_CHECKING:
    import polars as pl

    from mematlas.interventions.blocks import PatchableModel
    from mematlas.interventions.tracing import Direction

#: Part of every key; raised when a change of the code can change a number.
VERSION: Final = 1
_TRIES: Final = 8  # random rows that are looked at for every window that is needed


@dataclass(frozen=True, slots=True)
class StateTraces:
    """Traced rows. folder: of the tables; facts: what was asked, as in facts.json."""

    folder: Path
    facts: dict[str, Any]

    def dependency(self) -> "pl.DataFrame":
        """One record per row, direction, token, layer and position; see `tables.DEPENDENCY`."""
        return self._read("dependency")

    def tokens(self) -> "pl.DataFrame":
        """One record per token of every row that is long enough; see `tables.TOKENS`."""
        return self._read("tokens")

    def _read(self, kind: str) -> "pl.DataFrame":
        import polars as pl

        return pl.read_parquet(sorted((self.folder / kind).glob("shard-*.parquet")))


@public_function(TraceConfig)
def trace_states(
    model: str | Path, *, progress: Progress | None = None, **options: Unpack[TraceKeywords]
) -> StateTraces:
    """Which hidden states of a prompt the recited tokens of rows depend on, as `mematlas trace-states` finds out (P3).

    Args:
        model: folder or hub id of a transformers model with attention alone.
        progress: shows the progress; silent by default.
        options: see `TraceConfig`: corpus, rows, sources, twin ...

    Raises:
        MematlasError: one line with value, rule and remedy; finished rows are kept.
    """
    name, *_ = model_names([model])
    return run_tracing(name, resolve_options(TraceConfig, "trace-states", options), progress or Silent())


def run_tracing(model: str, config: TraceConfig, progress: Progress) -> StateTraces:
    """`trace_states` with a validated configuration."""
    source = find_model(model)
    twin = None if config.twin is None else find_model(config.twin)
    for card_ in (source.card, *([] if twin is None else [twin.card])):
        for remark in card_.remarks:
            progress.say(remark)
    job = _open(config, source, twin)
    missing = missing_shards(job.folder / "dependency", len(job.positions))
    try:
        if missing:
            job.folder.mkdir(parents=True, exist_ok=True)
            with translate_os_errors(config.out):
                _trace_rows(job, missing, progress)
        else:
            progress.start(source.card.label, len(job.positions), len(job.positions))
    except PermissionError as error:
        raise OptionError(f"--out {config.out} cannot be written ({error.strerror}); name another folder.") from None
    finally:
        progress.stop()
    return job.finish()


@dataclass(frozen=True, slots=True)
class TracingJob:
    """The rows of a corpus that are traced, one a shard."""

    config: TraceConfig
    source: ModelSource
    twin: ModelSource | None
    corpus: Corpus
    positions: Positions
    encoder: Encoder | None

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that can change a number of the tables."""
        config = self.config
        return {
            "model": self.source.card.fingerprint,
            "twin": None if self.twin is None else self.twin.card.fingerprint,
            "corpus": self.corpus.fingerprint,
            "rows": digest_positions(self.positions),
            "lengths": [config.context, config.continuation],
            "sources": config.sources,
            "positions": config.positions,
            "seed": config.seed,
            "dtype": config.dtype,
            "version": VERSION,
        }

    @property
    def folder(self) -> Path:
        return self.config.out / f"{self.source.card.label.replace('/', '_')}-{fingerprint(self.settings)}"

    @property
    def patched(self) -> int:
        """The number of tokens, from the first, whose states are replaced; the last token predicts nothing."""
        context = self.config.context
        return context if self.config.positions == "prompt" else context + self.config.continuation - 1

    def row(self, index: int) -> tuple[int, NDArray[np.int64] | None]:
        """The id of a selected row and its tokens [C + K]; None instead if it is shorter."""
        position, width = self.positions[index : index + 1], self.config.context + self.config.continuation
        tokens = self.corpus.read(position, width)
        ids = tokens.ids[0].astype(np.int64) if tokens.lengths[0] >= width else None
        return int(self.corpus.row_ids(position)[0]), ids

    def windows(self, row: int, prompt: NDArray[np.int64]) -> NDArray[np.int64]:
        """The first P tokens of random rows that begin otherwise than `prompt`, [sources, P]; by seed and row alone.

        Raises:
            CorpusError: there are fewer.
        """
        count, needed = self.config.sources, self.patched
        random = np.random.default_rng([self.config.seed, row])
        drawn = random.choice(len(self.corpus), min(len(self.corpus), _TRIES * count), replace=False)
        read = self.corpus.read(drawn, needed)
        suitable = (read.lengths >= needed) & (read.ids[:, : len(prompt)] != prompt).any(1)
        if suitable.sum() < count:
            raise CorpusError(
                f"--sources {count}: of {len(drawn)} random rows of {self.config.corpus} only {suitable.sum()} have "
                f"{needed} tokens and begin otherwise than row {row}; give fewer, or a larger corpus."
            )
        return read.ids[suitable][:count].astype(np.int64)

    def texts(self, ids: NDArray[np.int64]) -> list[str] | None:
        """The text of each token; ids beyond the tokenizer's are shown as <id>."""
        if self.encoder is None or self.encoder.decode is None:
            return None
        known = [int(token) for token in ids if token < self.encoder.vocabulary]
        decoded = dict(zip(known, self.encoder.decode(known), strict=True))
        return [decoded.get(int(token), f"<{token}>") for token in ids]

    def finish(self) -> StateTraces:
        """Write the card and the facts."""
        config, twin = self.config, self.twin
        facts = {
            "model": self.source.card.label,
            "twin": None if twin is None else twin.card.label,
            "corpus": config.corpus,
            "selection": config.rows,
            "rows": len(self.positions),
            "context": config.context,
            "continuation": config.continuation,
            "sources": config.sources,
            "positions": config.positions,
            "seed": config.seed,
        }
        write_text(self.folder / "README.md", card(facts, tracing_command(self.source.card.spec, config)))
        details = {"question": self.settings, "configuration": config.model_dump(mode="json"), "versions": versions()}
        write_json(self.folder / "facts.json", facts | details)
        return StateTraces(self.folder, facts)


def tracing_command(model: str, config: TraceConfig) -> str:
    """The command that traces the same rows again."""
    given = {name: value for name, value in config if value != TraceConfig.model_fields[name].default}
    words = [word for name, value in given.items() for word in _words(f"--{name.replace('_', '-')}", value)]
    return command_line("trace-states", model, *words)


def _words(option: str, value: object) -> list[str]:
    return [option] if value is True else [option, str(value)]


def _open(config: TraceConfig, source: ModelSource, twin: ModelSource | None) -> TracingJob:
    """Open the corpus and select the rows.

    Raises:
        CorpusError: the corpus cannot be opened, or no row is selected.
        OptionError: the two models have different tokenizers.
    """
    if twin is not None and twin.card.tokenizer != source.card.tokenizer:
        raise OptionError(
            f"--twin {config.twin} has another tokenizer than {source.card.spec}, so that a row is another text to it; "
            "name a model that was trained beside it."
        )
    corpus, positions, encoder = select_rows(config, source, config.context, config.continuation)
    return TracingJob(config, source, twin, corpus, positions, encoder)


# ---------------------------------------------------------------------------------------------------------------- rows


def _trace_rows(job: TracingJob, missing: list[int], progress: Progress) -> None:
    """Trace the rows with these numbers and write each with its markers."""
    from mematlas.interventions.tracing import require_same_shape, trace_row

    config, count = job.config, len(job.positions)
    model = _load(job.source, config)
    twin = None if job.twin is None else _load(job.twin, config)
    if twin is not None:
        require_same_shape(model, twin, (job.source.card.spec, str(config.twin)))
    per_row = model.layers * job.patched * (config.sources + (2 if twin else 0))
    progress.start(job.source.card.label, per_row * count, per_row * (count - len(missing)), "patches")
    for index in missing:
        row, ids = job.row(index)
        if ids is None:
            dependency, tokens = DEPENDENCY.empty_table(), TOKENS.empty_table()
            progress.advance(per_row)
        else:
            windows = job.windows(row, ids[: config.context])
            directions = trace_row(model, twin, ids, config.context, windows, config.batch, progress.advance)
            dependency, tokens = _tables(job, row, ids, directions)
        metadata = {name: str(value) for name, value in job.settings.items()}
        for kind, table in (("tokens", tokens), ("dependency", dependency)):
            write_shard(job.folder / kind, shard_name(index, count), table, metadata)


def _load(source: ModelSource, config: TraceConfig) -> "PatchableModel":
    from mematlas.interventions.blocks import patchable

    return patchable(source.load(LoadOptions.of(config)), repr(source.card.spec))


def _tables(
    job: TracingJob, row: int, ids: NDArray[np.int64], directions: "Sequence[Direction]"
) -> tuple[pa.Table, pa.Table]:
    """The tables of one row: dependency and tokens."""
    recited = {direction.patched: direction.recited for direction in directions}
    either = np.any(list(recited.values()), axis=0)
    tables = [
        dependency_table(
            row, job.config.context, direction, direction.recited if direction.source == "corpus" else either
        )
        for direction in directions
    ]
    return pa.concat_tables(tables), tokens_table(row, ids, job.texts(ids), recited["model"], recited.get("twin"))
