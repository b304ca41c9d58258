"""Scores a random sample of a finished run's rows again with its models, and compares the scores."""

import gc
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from mematlas.errors import MematlasError, ModelError, StudyError
from mematlas.errors.libraries import is_own_module, missing_library
from mematlas.models.base import LoadOptions
from mematlas.models.resolve import find_model
from mematlas.scoring.options import DOUBTFUL_MARGIN, ScoringOptions
from mematlas.study import Run
from mematlas.types import TokenRows
from mematlas.verification.files import StudyCheck
from mematlas.verification.obstacles import obstacle

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from mematlas.models.base import ModelSource
    from mematlas.progress import Progress
    from mematlas.scoring.engines.causal import Engine
    from mematlas.scoring.engines.masked import MaskedEngine
    from mematlas.scoring.reopen import ScoredRows
    from mematlas.types import Ids

_KEY = ("row", "context", "continuation")
_SCORE = ("matches", "verbatim", "reason")
_BATCH_ROWS = 128  # rows per batch, for a run whose batch size was automatic


@dataclass(frozen=True, slots=True)
class Difference:
    """A cell whose score differs. before, now: (matches, verbatim, reason); margin: the smaller one of both, in logits,
    None if neither has one; explained: the margin is so small that rounding decides."""

    row: int
    context: int
    continuation: int
    before: tuple[int | None, int | None, str | None]
    now: tuple[int | None, int | None, str | None]
    margin: float | None
    explained: bool


@dataclass(frozen=True, slots=True)
class Agreement:
    """How one model's new scores agree with the stored ones.

    rows: number of rows scored again; cells: number of cells compared; threshold: margin in logits below which a
    decision is doubtful in the run's precision; margin_difference: the largest between equal cells, in logits, or None.
    """

    model: str
    rows: int
    cells: int
    threshold: float
    margin_difference: float | None
    differences: tuple[Difference, ...]

    @property
    def unexplained(self) -> tuple[Difference, ...]:
        return tuple(difference for difference in self.differences if not difference.explained)


def score_again(
    check: StudyCheck, run: Run, manifest_entry: dict[str, Any], rows: int, seed: int, progress: "Progress"
) -> list[Agreement]:
    """Score `rows` random rows of the run with each model; a model that cannot be checked is recorded with the reason.

    Args:
        manifest_entry: the run's entry in the manifest, {} if there is none.
    """
    unfinished = [label for label in run.models if label not in manifest_entry.get("models", {})]
    if unfinished and manifest_entry:
        check.unchecked.append(
            f"No row of run {run.key} was scored again: {unfinished[0]} is not finished; run the same command again."
        )
        return []
    try:
        sample = _Sample.draw(check, run, rows, seed)
    except (MematlasError, ImportError, OSError) as error:
        check.unchecked.append(f"No row of run {run.key} was scored again: {_reason(error)}")
        return []
    agreements = []
    try:
        for label in run.models:
            try:
                card, configuration = manifest_entry["models"][label], manifest_entry["configuration"]
                agreements.append(sample.compare(label, card, configuration, progress))
            except (MematlasError, ImportError, OSError) as error:
                check.unchecked.append(f"{label} scored no row again: {_reason(error)}")
            gc.collect()
    finally:
        progress.stop()
    return agreements


def _reason(error: Exception) -> str:
    """Why nothing was scored: an error of ours, or of a library or permission that this machine lacks.

    Raises:
        Exception: the error itself, if it is neither.
    """
    if isinstance(error, MematlasError):
        return str(error)
    if isinstance(error, ImportError) and not is_own_module(error):
        return f"it {missing_library(error)}"
    if (reason := obstacle(error)) is None:
        raise error
    return f"{reason}."


@dataclass(frozen=True, slots=True)
class _Sample:
    """A sample of a run's rows: their tokens, their ids, and the options they were scored with."""

    check: StudyCheck
    run: Run
    rows: "TokenRows"
    ids: "Ids"
    options: "ScoringOptions"

    @classmethod
    def draw(cls, check: StudyCheck, run: Run, count: int, seed: int) -> "_Sample":
        from mematlas.scoring.reopen import reopen_rows

        scored = reopen_rows(check.original, run.key)  # relative paths are relative to the original study
        settings = run.settings
        rows, ids = _random_rows(scored, count, seed)
        options = ScoringOptions(
            scored.grid,
            settings["depth"],
            (),
            settings["eos"],
            settings["bos"],
            batch=min(_BATCH_ROWS if settings["batch"] == "auto" else settings["batch"], len(ids)),
        )
        return cls(check, run, rows, ids, options)

    def compare(
        self, label: str, card: dict[str, Any], configuration: dict[str, Any], progress: "Progress"
    ) -> Agreement:
        """Score these rows with a model, and compare the scores with the stored ones.

        Raises:
            MematlasError: the model is missing, is another one, or cannot be loaded on this machine.
        """
        from mematlas.scoring.records.tables import score_table
        from mematlas.scoring.settle import settle

        dtype = self.run.settings["dtype"]
        source = find_model(card["spec"])
        if source.card.fingerprint != card["fingerprint"]:
            raise ModelError(f"{card['spec']} is not the model that was scored: its fingerprint is another.")
        load = LoadOptions("auto", dtype, configuration["device_map"])  # never code that a manifest names
        progress.start(f"{label} again", len(self.ids), 0)
        tokenizer = configuration["tokenizer"]
        results = self._engine(source, load, tokenizer, progress).score(self.rows, self.ids, progress.advance)
        exact = replace(load, dtype="float32")
        reference = partial(self._engine, source, exact, tokenizer, progress)
        settled = settle(results, self.rows, self.ids, dtype, reference if self.run.settings["settle"] else None)[0]
        new_scores = score_table(label, self.ids, settled, self.options)
        return _compare(label, self._stored_scores(label), new_scores, DOUBTFUL_MARGIN[dtype])

    def _engine(
        self, source: "ModelSource", load: LoadOptions, tokenizer: str | None, progress: "Progress"
    ) -> "Engine | MaskedEngine":
        from mematlas.scoring.engines.causal import Engine
        from mematlas.scoring.engines.masked import load_masked_engine

        if self.options.masked:
            return load_masked_engine(source, load, self.options, tokenizer, progress.say)
        return Engine(source.load(load), source.card, self.options, progress.say)

    def _stored_scores(self, label: str) -> "pl.DataFrame":
        """The sample's scores in sound shards, without those of row ids that occur more than once in the corpus."""
        import polars as pl

        folder = self.check.study.folder / "scores" / self.run.key / self.run.models[label]
        paths = [path for path in sorted(folder.glob("shard-*.parquet")) if self.check.is_sound(path)]
        if not paths:
            raise StudyError("no shard of its scores is sound.")
        scores = pl.scan_parquet(paths).filter(pl.col("row").is_in(self.ids.tolist()))
        return scores.collect(engine="streaming").filter(pl.struct(_KEY).is_unique())


def _random_rows(scored: "ScoredRows", count: int, seed: int) -> "tuple[TokenRows, Ids]":
    """At most `count` random rows of all row sets, in their order; of equal ids only the first."""
    import numpy as np

    sizes = [len(rows.positions) for rows in scored.sets]
    total = sum(sizes)
    drawn = np.sort(np.random.default_rng(seed).choice(total, min(count, total), replace=False))
    tokens, lengths, ids, start = [], [], [], 0
    for rows, size in zip(scored.sets, sizes, strict=True):
        positions = rows.positions[drawn[(drawn >= start) & (drawn < start + size)] - start]
        token_rows = rows.corpus.read(positions, scored.grid.width)
        tokens.append(token_rows.ids)
        lengths.append(token_rows.lengths)
        ids.append(rows.corpus.row_ids(positions) + rows.offset)
        start += size
    joined = np.concatenate(ids)
    first = np.sort(np.unique(joined, return_index=True)[1])
    return TokenRows(np.concatenate(tokens)[first], np.concatenate(lengths)[first]), joined[first]


def _compare(label: str, stored: "pl.DataFrame", new_scores: "pa.Table", threshold: float) -> Agreement:
    """Compare the cells that both have."""
    import polars as pl

    new = pl.from_arrow(new_scores)
    both = stored.join(new.drop("model"), on=_KEY, how="inner", suffix="_now", maintain_order="left")  # type: ignore[union-attr]
    is_equal = pl.all_horizontal(pl.col(name).eq_missing(pl.col(f"{name}_now")) for name in _SCORE)
    margin_difference = both.filter(is_equal).select((pl.col("margin") - pl.col("margin_now")).abs().max()).item()
    differences = []
    for cell in both.filter(~is_equal).iter_rows(named=True):
        margins = [cell[name] for name in ("margin", "margin_now") if cell[name] is not None]
        smallest = min(margins, default=None)
        differences.append(
            Difference(
                cell["row"],
                cell["context"],
                cell["continuation"],
                (cell["matches"], cell["verbatim"], cell["reason"]),
                (cell["matches_now"], cell["verbatim_now"], cell["reason_now"]),
                smallest,
                smallest is not None and smallest < threshold,
            )
        )
    return Agreement(label, both["row"].n_unique(), both.height, threshold, margin_difference, tuple(differences))
