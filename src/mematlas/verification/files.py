"""The shards of a run, checked one by one: markers, checksums, lines, and that no key stands twice and none is lost.

Every check notes its faults and goes on. Memory is bounded by one shard, and by 8 bytes a row for the row ids.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mematlas.study import Run, Study, digest, marker_of, shard_is_done, shard_name

if TYPE_CHECKING:
    import polars as pl

AGAIN: Final = "run the same command again"
_KEY: Final = ("row", "context", "continuation")


@dataclass(frozen=True, slots=True)
class Fault:
    """file: within the study; wrong: what is wrong with it; remedy: what mends it."""

    file: str
    wrong: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}: {self.wrong}; {self.remedy}."


@dataclass(slots=True)
class Checked:
    """What was looked at. study: it, or a copy of it; origin: where it lies; files, size: shards and their bytes;
    unsummed: of them those whose older marker has no checksum; unfinished: shards of scores that are still to be
    written; unchecked: what could not be checked, and why.
    """

    study: Study
    origin: Study
    files: int = 0
    size: int = 0
    unsummed: int = 0
    unfinished: int = 0
    faults: list[Fault] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)

    def fault(self, path: Path, wrong: str, remedy: str) -> None:
        self.faults.append(Fault(self.name(path), wrong, remedy))

    def name(self, path: Path) -> str:
        return path.relative_to(self.study.folder).as_posix()

    def is_sound(self, path: Path) -> bool:
        """Whether a shard is there and nothing was found wrong with it."""
        return shard_is_done(path.parent, path.stem) and all(fault.file != self.name(path) for fault in self.faults)


def check_shards(checked: Checked, run: Run, finished: set[str]) -> None:
    """Every shard of a run's rows, scores, signals and states, then the keys in them.

    Args:
        finished: labels of the models that the manifest says are scored whole.
    """
    place = checked.study.folder
    rows = place / "rows" / run.rows_key
    _check_folder(checked, run, rows, lambda name: any(_is_scored(place, run, model, name) for model in run.models))
    for label, model in run.models.items():
        _check_folder(checked, run, place / "scores" / run.key / model, partial(_is_in, finished, label))
        for folder in _beside(place, run, model):
            _check_folder(checked, run, folder, partial(_is_scored, place, run, label))
        for name in _names(run):
            _check_keys(checked, run, label, name)
    _check_row_ids(checked, run)


def _names(run: Run) -> list[str]:
    return [shard_name(index, run.shards) for index in range(run.shards)]


def _is_in(finished: set[str], label: str, name: str) -> bool:
    return label in finished


def _is_scored(place: Path, run: Run, label: str, name: str) -> bool:
    return (place / "scores" / run.key / run.models[label] / f"{name}.done").is_file()


def _beside(place: Path, run: Run, model: str) -> Iterator[Path]:
    """The folders of what is kept beside a model's scores."""
    asked = run.question["signals"]
    kinds = [kind for kind in ("free", "truth") if kind in asked]
    yield from (place / "signals" / run.key / kind / model for kind in kinds)
    if "hidden" in asked:
        yield from (place / "states" / run.key / kind / model for kind in ("free", *(["truth"] * ("truth" in kinds))))


# ------------------------------------------------------------------------------------------------ files and markers


def _check_folder(checked: Checked, run: Run, folder: Path, must: Callable[[str], bool]) -> None:
    """The shards of a folder. must: whether the one of this name has to be there."""
    is_states = folder.is_relative_to(checked.study.folder / "states")
    is_scores = folder.is_relative_to(checked.study.folder / "scores")
    for name in _names(run):
        path = folder / f"{name}{'.safetensors' if is_states else '.parquet'}"
        if must(name) or marker_of(path).is_file():
            check_shard(checked, path, _mending(checked, run, path))
        else:
            checked.unfinished += is_scores


def check_shard(checked: Checked, path: Path, mending: str) -> None:
    """A file that has to be there, against its marker. mending: what mends it after it was deleted."""
    wrong = _difference(checked, path)
    if wrong is not None:
        there = [word for word, file in (("it", path), ("its marker", marker_of(path))) if file.is_file()]
        checked.fault(path, wrong, f"delete {' and '.join(there)}, and {mending}" if there else mending)


def _mending(checked: Checked, run: Run, path: Path) -> str:
    """How a shard is made again: the marker of the scores stands for the whole shard, so that one must go, too."""
    if "imported" in run.question or path.is_relative_to(checked.study.folder / "scores"):
        return AGAIN
    model = path.parent.name if path.parent.name in run.models.values() else next(iter(run.models.values()))
    return f"delete scores/{run.key}/{model}/{path.stem}.done, and {AGAIN}"


def _difference(checked: Checked, path: Path) -> str | None:
    """What is wrong with a file or its marker, if anything."""
    marker = marker_of(path)
    if not path.is_file():
        return "its marker stands without it" if marker.is_file() else "it is lost, and its marker"
    if not marker.is_file():
        return "it stands without its marker"
    checked.files, checked.size = checked.files + 1, checked.size + path.stat().st_size
    try:
        told = json.loads(marker.read_text(encoding="utf-8"))
        size, rows, summed = told["bytes"], told.get("rows"), told.get("blake2b")
    except (ValueError, KeyError, TypeError, AttributeError):
        return "its marker is damaged"
    checked.unsummed += summed is None
    if path.stat().st_size != size:
        return f"it has {path.stat().st_size:,} bytes instead of {size:,}: it is cut or changed"
    if summed is not None and digest(path) != summed:
        return "its bytes are not those that were written (checksum)"
    try:
        found = _lines(path)
    except Exception as error:  # noqa: BLE001  what readers raise at damage is not documented
        return unreadable(error)
    return None if rows in (None, found) else f"it has {found:,} lines, but its marker says {rows:,}"


def unreadable(error: Exception) -> str:
    """That a file cannot be read, with the first line of what the reader said."""
    return f"it cannot be read ({(str(error).splitlines() or [type(error).__name__])[0].rstrip('.')})"


def _lines(path: Path) -> int:
    """Lines of a table, or rows whose states a file holds, from its head alone."""
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        return int(pq.read_metadata(path).num_rows)
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return int(file.get_slice("rows").get_shape()[0])


# -------------------------------------------------------------------------------------------------------------- keys


def _check_keys(checked: Checked, run: Run, label: str, name: str) -> None:
    """That a finished shard of scores has every row of the shard in every cell once, and a margin with every score."""
    import polars as pl

    place = checked.study.folder
    path = place / "scores" / run.key / run.models[label] / f"{name}.parquet"
    rows = place / "rows" / run.rows_key / f"{name}.parquet"
    if not (checked.is_sound(path) and checked.is_sound(rows)):
        return
    try:
        wrong = list(_wrong_keys(run, label, pl.read_parquet(path), pl.read_parquet(rows, columns=["row"])))
    except (pl.exceptions.PolarsError, OSError) as error:  # a flipped byte under an older marker
        wrong = [unreadable(error)]
    for fault in wrong:
        checked.fault(path, fault, f"delete it and its marker, and {_mending(checked, run, path)}")


def _wrong_keys(run: Run, label: str, scores: "pl.DataFrame", rows: "pl.DataFrame") -> Iterator[str]:
    """A corpus may carry a row id more than once: its lines are counted against those of the rows."""
    import polars as pl

    others = scores.filter(pl.col("model") != label).height
    if others:
        yield f"{others:,} lines are of another model than {label}"
    grid = [(context, length) for context in run.question["context"] for length in run.question["continuation"]]
    cells = pl.DataFrame(grid, schema={"context": pl.Int32, "continuation": pl.Int32}, orient="row")
    asked = rows.group_by("row").len("asked").join(cells, how="cross")
    both = scores.group_by(_KEY).len("found").join(asked, on=_KEY, how="full", coalesce=True)
    more = pl.col("found").cast(pl.Int64).fill_null(0) - pl.col("asked").cast(pl.Int64).fill_null(0)
    twice, lost = both.select(more.clip(lower_bound=0).sum(), (-more).clip(lower_bound=0).sum().alias("lost")).row(0)
    if twice:
        yield f"{twice:,} lines stand twice, or belong to no row of the shard"
    if "imported" in run.question:  # what is not published is not lost, and margins are not published
        return
    if lost:
        yield f"{lost:,} lines are lost: rows of the shard without a score at a context and continuation"
    bare = scores.filter(pl.col("verbatim").is_not_null() & pl.col("margin").is_null()).height
    if bare:
        yield f"{bare:,} scores have no margin: the model gave logits that are not numbers"


def _check_row_ids(checked: Checked, run: Run) -> None:
    """That the rows are as many as were asked about, and no id stands in them twice."""
    import polars as pl

    folder = checked.study.folder / "rows" / run.rows_key
    paths = [folder / f"{name}.parquet" for name in _names(run)]
    if not all(map(checked.is_sound, paths)):
        return
    ids = pl.scan_parquet(paths).select(pl.len(), pl.col("row").n_unique().alias("ids"))
    lines, distinct = ids.collect(engine="streaming").row(0)
    expected, again = sum(run.question["row_counts"].values()), f"delete it and scores/{run.key}, and {AGAIN}"
    if lines != expected:
        checked.fault(folder, f"it has {lines:,} rows, but {expected:,} were asked about", again)
    if distinct != lines and run.question.get("corpus_details", {}).get("own_row_ids"):
        checked.unchecked.append(
            f"{lines - distinct:,} row ids of run {run.key} stand more than once; the corpus brought its own, and may."
        )
    elif distinct != lines:
        checked.fault(folder, f"{lines - distinct:,} row ids stand more than once", again)
