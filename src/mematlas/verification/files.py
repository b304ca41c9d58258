"""Checks the shards of a run one by one: markers, checksums, row counts, and that no key is duplicated or missing.

Every check records its faults and goes on. Memory is bounded by one shard, and by 8 bytes per row for the row ids.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mematlas.study import Run, Study, digest, is_shard_done, marker_path, shard_name
from mematlas.verification.obstacles import is_there, obstacle

if TYPE_CHECKING:
    import polars as pl

AGAIN: Final = "run the same command again"
_KEY: Final = ("row", "context", "continuation")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. file: its path within the study; problem: what is wrong with it; remedy: what to do about it."""

    file: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}: {self.problem}; {self.remedy}."


@dataclass(slots=True)
class StudyCheck:
    """The state of verifying one study.

    Args:
        study: the study, or a local copy of it; original: where the study really is.
        files, size: number of checked shards, and their bytes.
        without_checksum: number of checked shards whose older marker has no checksum.
        unfinished: number of shards of scores that are still to be written.
        unchecked: what could not be checked, and why.
        unread: reason -> the files that this machine could not read for it, which are no faults.
    """

    study: Study
    original: Study
    files: int = 0
    size: int = 0
    without_checksum: int = 0
    unfinished: int = 0
    faults: list[Fault] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    unread: dict[str, list[str]] = field(default_factory=dict)

    def add_fault(self, path: Path, problem: str, remedy: str) -> None:
        self.faults.append(Fault(self.relative_path(path), problem, remedy))

    def add_unreadable(self, path: Path, error: Exception, remedy: str) -> None:
        """Record a file that could not be read: as not checked if the reason is this machine, otherwise as a fault."""
        if (reason := obstacle(error)) is None:
            self.add_fault(path, unreadable(error), remedy)
        else:
            self.unread.setdefault(reason, []).append(self.relative_path(path))

    def files_in(self, folder: Path, pattern: str = "*") -> list[Path]:
        """The files and folders in a folder, sorted; none if there is no such folder, or if it may not be read."""
        try:
            return sorted(path for path in folder.iterdir() if path.match(pattern))
        except OSError as error:
            if obstacle(error) is not None:
                self.add_unreadable(folder, error, "")
            return []

    def not_checked(self) -> list[str]:
        """What was not checked, one line for each reason."""
        unread = [
            f"{files[0]}{f' and {len(files) - 1:,} other files' if len(files) > 1 else ''}: {reason}."
            for reason, files in self.unread.items()
        ]
        return self.unchecked + unread

    def relative_path(self, path: Path) -> str:
        return path.relative_to(self.study.folder).as_posix()

    def is_sound(self, path: Path) -> bool:
        """Whether a shard is finished and no fault was found in it."""
        name = self.relative_path(path)
        is_known = all(fault.file != name for fault in self.faults)
        is_known &= all(name not in files for files in self.unread.values())
        return is_known and is_there(marker_path(path)) and is_shard_done(path.parent, path.stem)


def check_shards(check: StudyCheck, run: Run, finished_models: set[str]) -> None:
    """Check every shard of a run's rows, scores, signals and states, then the keys in them.

    Args:
        finished_models: labels of the models that the manifest records as finished.
    """
    study = check.study.folder
    rows = study / "rows" / run.rows_key
    _check_folder(check, run, rows, lambda name: any(_is_scored(study, run, label, name) for label in run.models))
    for label, model in run.models.items():
        _check_folder(check, run, study / "scores" / run.key / model, partial(_is_finished, finished_models, label))
        for folder in _record_folders(study, run, model):
            _check_folder(check, run, folder, partial(_is_scored, study, run, label))
        for name in _shard_names(run):
            _check_keys(check, run, label, name)
    _check_row_ids(check, run)


def _shard_names(run: Run) -> list[str]:
    return [shard_name(index, run.shards) for index in range(run.shards)]


def _is_finished(finished_models: set[str], label: str, name: str) -> bool:
    return label in finished_models


def _is_scored(study: Path, run: Run, label: str, name: str) -> bool:
    return is_there(study / "scores" / run.key / run.models[label] / f"{name}.done")


def _record_folders(study: Path, run: Run, model: str) -> Iterator[Path]:
    """The folders of the signals and states that were recorded together with a model's scores."""
    signals = run.settings["signals"]
    kinds = [kind for kind in ("free", "truth") if kind in signals]
    yield from (study / "signals" / run.key / kind / model for kind in kinds)
    if "hidden" in signals:
        yield from (study / "states" / run.key / kind / model for kind in ("free", *(["truth"] * ("truth" in kinds))))


# ------------------------------------------------------------------------------------------------ files and markers


def _check_folder(check: StudyCheck, run: Run, folder: Path, is_required: Callable[[str], bool]) -> None:
    """Check the shards in a folder; is_required: whether the shard of a given name must exist."""
    is_states = folder.is_relative_to(check.study.folder / "states")
    is_scores = folder.is_relative_to(check.study.folder / "scores")
    for name in _shard_names(run):
        path = folder / f"{name}{'.safetensors' if is_states else '.parquet'}"
        if is_required(name) or is_there(marker_path(path)):
            check_shard(check, path, _restoring(check, run, path))
        else:
            check.unfinished += is_scores


def check_shard(check: StudyCheck, path: Path, restoring: str) -> None:
    """Check a required file against its marker; restoring: what writes it again after it was deleted."""
    try:
        problem = _problem_of(check, path)
    except (OSError, ImportError, MemoryError) as error:
        check.add_unreadable(path, error, restoring)
        return
    if problem is not None:
        existing = [word for word, file in (("it", path), ("its marker", marker_path(path))) if is_there(file)]
        check.add_fault(path, problem, f"delete {' and '.join(existing)}, and {restoring}" if existing else restoring)


def _restoring(check: StudyCheck, run: Run, path: Path) -> str:
    """How to write a shard again: the marker of its scores covers all of its records, so it must be deleted, too."""
    if "imported" in run.settings or path.is_relative_to(check.study.folder / "scores"):
        return AGAIN
    model = path.parent.name if path.parent.name in run.models.values() else next(iter(run.models.values()))
    return f"delete scores/{run.key}/{model}/{path.stem}.done, and {AGAIN}"


def _problem_of(check: StudyCheck, path: Path) -> str | None:
    """What is wrong with a file or its marker; None if nothing is.

    Raises:
        OSError, ImportError, MemoryError: this machine cannot read it.
    """
    marker = marker_path(path)
    if not is_there(path):
        return "it is missing, but its marker exists" if is_there(marker) else "it and its marker are missing"
    if not is_there(marker):
        return "it has no marker"
    check.files, check.size = check.files + 1, check.size + path.stat().st_size
    try:
        recorded = json.loads(marker.read_text(encoding="utf-8"))
        size, rows, checksum = recorded["bytes"], recorded.get("rows"), recorded.get("blake2b")
    except (ValueError, KeyError, TypeError, AttributeError):
        return "its marker is damaged"
    check.without_checksum += checksum is None
    if path.stat().st_size != size:
        return f"it has {path.stat().st_size:,} bytes instead of {size:,}: it is truncated or changed"
    if checksum is not None and digest(path) != checksum:
        return "its content is not what was written (checksum)"
    try:
        actual_rows = _row_count(path)
    except Exception as error:
        if obstacle(error) is not None:
            raise
        return unreadable(error)
    return None if rows in (None, actual_rows) else f"it has {actual_rows:,} rows, but its marker says {rows:,}"


def unreadable(error: Exception) -> str:
    """The problem that a file cannot be read, with the first line of the reader's error."""
    return f"it cannot be read ({(str(error).splitlines() or [type(error).__name__])[0].rstrip('.')})"


def _row_count(path: Path) -> int:
    """Rows of a table or of a file of states, from the file's metadata."""
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        return int(pq.read_metadata(path).num_rows)
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return int(file.get_slice("rows").get_shape()[0])


# -------------------------------------------------------------------------------------------------------------- keys


def _check_keys(check: StudyCheck, run: Run, label: str, name: str) -> None:
    """Check that a finished shard of scores has each of its rows once per cell, and a margin with every score."""
    import polars as pl

    study = check.study.folder
    path = study / "scores" / run.key / run.models[label] / f"{name}.parquet"
    rows = study / "rows" / run.rows_key / f"{name}.parquet"
    if not (check.is_sound(path) and check.is_sound(rows)):
        return
    remedy = f"delete it and its marker, and {_restoring(check, run, path)}"
    try:
        problems = list(_key_problems(run, label, pl.read_parquet(path), pl.read_parquet(rows, columns=["row"])))
    except (pl.exceptions.PolarsError, OSError, MemoryError) as error:  # a flipped byte under an older marker
        check.add_unreadable(path, error, remedy)
        return
    for problem in problems:
        check.add_fault(path, problem, remedy)


def _key_problems(run: Run, label: str, scores: "pl.DataFrame", rows: "pl.DataFrame") -> Iterator[str]:
    """What is wrong with the keys of a shard. A corpus may have a row id repeatedly, so scores are counted per id."""
    import polars as pl

    foreign = scores.filter(pl.col("model") != label).height
    if foreign:
        yield f"{foreign:,} scores are of another model than {label}"
    grid = [(context, length) for context in run.settings["context"] for length in run.settings["continuation"]]
    cells = pl.DataFrame(grid, schema={"context": pl.Int32, "continuation": pl.Int32}, orient="row")
    expected = rows.group_by("row").len("expected").join(cells, how="cross")
    both = scores.group_by(_KEY).len("actual").join(expected, on=_KEY, how="full", coalesce=True)
    excess = pl.col("actual").cast(pl.Int64).fill_null(0) - pl.col("expected").cast(pl.Int64).fill_null(0)
    surplus = excess.clip(lower_bound=0).sum().alias("surplus")
    surplus_count, missing_count = both.select(surplus, (-excess).clip(lower_bound=0).sum().alias("missing")).row(0)
    if surplus_count:
        yield f"{surplus_count:,} scores are duplicates, or belong to no row of the shard"
    if "imported" in run.settings:  # publications may lack scores, and have no margins
        return
    if missing_count:
        yield f"{missing_count:,} scores are missing: rows of the shard have none at a context and continuation"
    is_scored = pl.col("matches").is_not_null() | pl.col("verbatim").is_not_null()
    without_margin = scores.filter(is_scored & pl.col("margin").is_null()).height
    if without_margin:
        yield f"{without_margin:,} scores have no margin: the model's logits were not numbers"


def _check_row_ids(check: StudyCheck, run: Run) -> None:
    """Check that the run has the expected number of rows, and no row id twice."""
    import polars as pl

    folder = check.study.folder / "rows" / run.rows_key
    paths = [folder / f"{name}.parquet" for name in _shard_names(run)]
    if not all(map(check.is_sound, paths)):
        return
    counts = pl.scan_parquet(paths).select(pl.len(), pl.col("row").n_unique().alias("ids"))
    rows, distinct = counts.collect(engine="streaming").row(0)
    expected, remedy = sum(run.settings["row_counts"].values()), f"delete it and scores/{run.key}, and {AGAIN}"
    if rows != expected:
        check.add_fault(folder, f"it has {rows:,} rows, but the run has {expected:,}", remedy)
    if distinct != rows and run.settings.get("corpus_details", {}).get("own_row_ids"):
        check.unchecked.append(
            f"{rows - distinct:,} row ids of run {run.key} are duplicates; this is not a fault: the corpus has its own."
        )
    elif distinct != rows:
        check.add_fault(folder, f"{rows - distinct:,} row ids are duplicates", remedy)
