"""A random sample of a finished run's rows, scored again by its models: which scores come out as they were?"""

import gc
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mematlas.errors import MematlasError, ModelError, StudyError
from mematlas.scoring.options import DOUBTFUL, ScoringOptions
from mematlas.study import Run
from mematlas.types import TokenRows
from mematlas.verification.files import Checked

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from mematlas.progress import Progress
    from mematlas.scoring.reopen import ScoredRows
    from mematlas.types import Ids

_KEY = ("row", "context", "continuation")
_SCORE = ("matches", "verbatim", "reason")
_ROWS = 128  # scored at a time, of a run that left the number to the machine


@dataclass(frozen=True, slots=True)
class Difference:
    """A cell that came out otherwise. before, now: (matches, verbatim, reason); margin: the smaller of both, in logits,
    None where neither run decided anything; explained: it is so small that rounding decides."""

    row: int
    context: int
    continuation: int
    before: tuple[int | None, int | None, str | None]
    now: tuple[int | None, int | None, str | None]
    margin: float | None
    explained: bool


@dataclass(frozen=True, slots=True)
class Agreement:
    """One model. rows: scored again; cells: compared; threshold: margin in logits under which a decision is in doubt in
    the run's precision; apart: the largest difference between the margins of equal cells, in logits; None if none."""

    model: str
    rows: int
    cells: int
    threshold: float
    apart: float | None
    differences: tuple[Difference, ...]

    @property
    def unexplained(self) -> tuple[Difference, ...]:
        return tuple(difference for difference in self.differences if not difference.explained)


def score_again(
    checked: Checked, run: Run, noted: dict[str, Any], rows: int, seed: int, watcher: "Progress"
) -> list[Agreement]:
    """Score `rows` random rows of the run by each model; what cannot be scored is noted as unchecked, with the reason.

    Args:
        noted: what the manifest says of the run, {} if nothing.
    """
    unknown = [label for label in run.models if label not in noted.get("models", {})]
    if unknown and noted:
        checked.unchecked.append(
            f"No row of run {run.key} was scored again: {unknown[0]} is not finished; run the same command again."
        )
        return []
    try:
        sample = _Sample.of(checked, run, rows, seed)
    except MematlasError as error:
        checked.unchecked.append(f"No row of run {run.key} was scored again: {error}")
        return []
    found = []
    try:
        for label in run.models:
            try:
                found.append(sample.agreement(label, noted["models"][label], noted["configuration"], watcher))
            except MematlasError as error:
                checked.unchecked.append(f"{label} scored no row again: {error}")
            gc.collect()
    finally:
        watcher.stop()
    return found


@dataclass(frozen=True, slots=True)
class _Sample:
    """Some rows of a run: their tokens, ids, and the options they were scored with."""

    checked: Checked
    run: Run
    rows: "TokenRows"
    ids: "Ids"
    options: "ScoringOptions"

    @classmethod
    def of(cls, checked: Checked, run: Run, count: int, seed: int) -> "_Sample":
        from mematlas.scoring.reopen import reopen_rows

        scored = reopen_rows(checked.origin, run.key)  # what relative paths are seen from
        asked = run.question
        rows, ids = _drawn(scored, count, seed)
        options = ScoringOptions(
            scored.grid,
            asked["depth"],
            (),
            asked["eos"],
            asked["bos"],
            batch=min(_ROWS if asked["batch"] == "auto" else asked["batch"], len(ids)),
        )
        return cls(checked, run, rows, ids, options)

    def agreement(
        self, label: str, card: dict[str, Any], configuration: dict[str, Any], watcher: "Progress"
    ) -> Agreement:
        """How a model's scores of these rows compare with those that are kept.

        Raises:
            MematlasError: the model is gone, is another one, or cannot be loaded here.
        """
        from mematlas.models.base import LoadOptions
        from mematlas.models.resolve import find_model
        from mematlas.scoring.engines.causal import Engine
        from mematlas.scoring.records.tables import score_table
        from mematlas.scoring.settle import settle

        dtype = self.run.question["dtype"]
        source = find_model(card["spec"])
        if source.card.fingerprint != card["fingerprint"]:
            raise ModelError(f"{card['spec']} is not the model that was scored: its fingerprint is another.")
        load = LoadOptions("auto", dtype, configuration["device_map"])  # never code that a manifest asks for
        watcher.start(f"{label} again", len(self.ids), 0)
        engine = Engine(source.load(load), source.card, self.options, watcher.say)
        results = engine.score(self.rows, self.ids, watcher.advance)
        exact = replace(load, dtype="float32")
        reference = lambda: Engine(source.load(exact), source.card, self.options, watcher.say)  # noqa: E731
        settled = settle(results, self.rows, self.ids, dtype, reference if self.run.question["settle"] else None)[0]
        again = score_table(label, self.ids, settled, self.options)
        return _compared(label, self._kept(label), again, DOUBTFUL[dtype])

    def _kept(self, label: str) -> "pl.DataFrame":
        """The sample's lines as they are kept in sound shards, without ids that the corpus carries more than once."""
        import polars as pl

        folder = self.checked.study.folder / "scores" / self.run.key / self.run.models[label]
        paths = [path for path in sorted(folder.glob("shard-*.parquet")) if self.checked.is_sound(path)]
        if not paths:
            raise StudyError("no shard of its scores is sound.")
        lines = pl.scan_parquet(paths).filter(pl.col("row").is_in(self.ids.tolist()))
        return lines.collect(engine="streaming").filter(pl.struct(_KEY).is_unique())


def _drawn(scored: "ScoredRows", count: int, seed: int) -> "tuple[TokenRows, Ids]":
    """At most `count` random rows of all sets, in their order; of equal ids the first."""
    import numpy as np

    sizes = [len(rows.positions) for rows in scored.sets]
    total = sum(sizes)
    places = np.sort(np.random.default_rng(seed).choice(total, min(count, total), replace=False))
    tokens, lengths, ids, before = [], [], [], 0
    for rows, size in zip(scored.sets, sizes, strict=True):
        picked = rows.positions[places[(places >= before) & (places < before + size)] - before]
        read = rows.corpus.read(picked, scored.grid.width)
        tokens.append(read.ids)
        lengths.append(read.lengths)
        ids.append(rows.corpus.row_ids(picked) + rows.offset)
        before += size
    joined = np.concatenate(ids)
    first = np.sort(np.unique(joined, return_index=True)[1])
    return TokenRows(np.concatenate(tokens)[first], np.concatenate(lengths)[first]), joined[first]


def _compared(label: str, before: "pl.DataFrame", again: "pa.Table", threshold: float) -> Agreement:
    """The cells that both have."""
    import polars as pl

    now = pl.from_arrow(again)
    both = before.join(now.drop("model"), on=_KEY, how="inner", suffix="_now", maintain_order="left")  # type: ignore[union-attr]
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(f"{name}_now")) for name in _SCORE)
    apart = both.filter(same).select((pl.col("margin") - pl.col("margin_now")).abs().max()).item()
    differences = []
    for line in both.filter(~same).iter_rows(named=True):
        margins = [line[name] for name in ("margin", "margin_now") if line[name] is not None]
        smallest = min(margins, default=None)
        differences.append(
            Difference(
                line["row"],
                line["context"],
                line["continuation"],
                (line["matches"], line["verbatim"], line["reason"]),
                (line["matches_now"], line["verbatim_now"], line["reason_now"]),
                smallest,
                smallest is not None and smallest < threshold,
            )
        )
    return Agreement(label, both["row"].n_unique(), both.height, threshold, apart, tuple(differences))
