"""A study's folder: fingerprints, atomic writes, shards with completion markers, and the manifest written last.

    STUDY/manifest.json                                     what was asked, by which versions, how long it took
    STUDY/runs/<run>.json                                   the resolved question of one run
    STUDY/models/<label>-<fingerprint>.parquet              one line a model
    STUDY/rows/<rows>/shard-00000-of-00004.parquet          one line a row, shared by all models
    STUDY/scores/<run>/<model>/shard-00000-of-00004.parquet
    STUDY/signals/<run>/<kind>/<model>/shard-...parquet
    STUDY/states/<run>/<kind>/<model>/shard-...safetensors  hidden states of some rows (scoring/hidden.py)
    STUDY/predictions/<run>/<model>/*.parquet               what predictors fitted to states said of rows held out
    STUDY/features/<run>/<kind>/shard-...parquet            what is known of rows without a model; facts.json beside

A run is one question (corpus, rows, grid, depth, policies); its key is a hash of all that can change a number, so
a changed option never meets an old shard. A shard counts once its `.done` marker stands beside it: the rows, bytes and
BLAKE2b digest of the file. Reading compares the size alone; `mematlas verify` the digest, too.
"""

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from mematlas.errors import StudyError

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray


def fingerprint(value: object) -> str:
    """20 hexadecimal digits of a hash of `value` as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()


@contextmanager
def telling(folder: Path) -> Iterator[None]:
    """Turn what the operating system says about `folder` into one line with a remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StudyError(
                f"No room on the disk that holds {folder} ({error.strerror}). Free some space and run the same "
                "command again: finished shards are kept."
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise StudyError(
                f"{folder} cannot be written ({error.strerror}); choose another --study folder."
            ) from error
        raise


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in place in one step, flushed to the disk."""
    with telling(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            write(temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    text = json.dumps(value, indent=2, default=str) + "\n"
    write_atomically(path, lambda temporary: _write_text(temporary, text))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def write_table(path: Path, table: pa.Table, metadata: dict[str, str] | None = None) -> None:
    """Write a Parquet file atomically; `metadata` goes into its schema."""
    merged = {**(table.schema.metadata or {}), **{f"mematlas.{k}": str(v) for k, v in (metadata or {}).items()}}
    table = table.replace_schema_metadata(merged)
    write_atomically(path, lambda temporary: pq.write_table(table, temporary, compression="zstd"))


def write_model(study: Path, name: str, line: dict[str, Any]) -> None:
    """The line of a model in the `models/` table; what `line` does not tell is null."""
    text, number = pa.string(), pa.int64()
    schema = pa.schema(
        [
            pa.field("model", text, nullable=False),
            pa.field("spec", text),
            pa.field("parameters", number),
            pa.field("training_step", number),
            pa.field("tokenizer", text),
            pa.field("vocabulary", number),
            pa.field("fingerprint", text),
        ]
    )
    known = {field: line.get(field) for field in schema.names}
    write_table(study / "models" / f"{name}.parquet", pa.Table.from_pylist([known], schema=schema))


def shard_name(index: int, count: int) -> str:
    return f"shard-{index:05d}-of-{count:05d}"


def write_shard(folder: Path, name: str, table: pa.Table, metadata: dict[str, str]) -> None:
    """Write one shard, then its marker."""
    path = folder / f"{name}.parquet"
    write_table(path, table, metadata)
    write_marker(path, table.num_rows)


def digest(path: Path) -> str:
    """32 hexadecimal digits of the BLAKE2b hash of a file, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def marker_of(path: Path) -> Path:
    """Where the marker of a shard's file stands."""
    return path.with_suffix(".done")


def write_marker(path: Path, rows: int) -> None:
    """Write the marker of a finished file; again if another process has put its own file there meanwhile."""
    with telling(path.parent):
        while True:
            written = path.stat()
            told = {"rows": rows, "bytes": written.st_size, "blake2b": digest(path)}
            write_json(marker_of(path), told)
            now = path.stat()
            if (now.st_ino, now.st_mtime_ns) == (written.st_ino, written.st_mtime_ns):
                return


def shard_is_done(folder: Path, name: str) -> bool:
    """Whether the shard and its marker are there and agree; a damaged marker or a cut file means it is not."""
    path = folder / f"{name}.parquet"
    try:
        marker = json.loads((folder / f"{name}.done").read_text(encoding="utf-8"))
        return bool(path.stat().st_size == marker["bytes"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return False


@dataclass(frozen=True, slots=True, eq=False)
class HiddenStates:
    """Hidden states of some rows of a model, as `mematlas.scoring.hidden` keeps them.

    rows: [n] row ids; levels: [n] score level, 0 to 4; hits: [n, continuation] 1 where the token of the free-running
    text is the true one, 0 where not, -1 where the row has none; states: [n, positions, width] float16, NaN where a row
    has none; context: how many of the positions belong to the context; layer: "last", or its number as transformers'
    `output_hidden_states` counts (0: the embeddings).
    """

    rows: "NDArray[np.int64]"
    levels: "NDArray[np.int8]"
    hits: "NDArray[np.int8]"
    states: "NDArray[np.float16]"
    context: int
    layer: str = "last"


@dataclass(frozen=True, slots=True)
class Run:
    """One question of a study. shards: how many each model has; models: label -> folder name.

    Raises:
        ValueError: a name is no name of a single folder, so that it could lead out of the study.
    """

    key: str
    rows_key: str
    shards: int
    models: dict[str, str]
    question: dict[str, Any]
    asked: float

    def __post_init__(self) -> None:
        for name in (self.key, self.rows_key, *self.models.values()):
            if not is_folder_name(name):
                raise ValueError(f"{name!r} is not the name of a folder in the study")


def is_folder_name(name: object) -> bool:
    """Whether `name` is one part of a path, and leads neither up nor elsewhere."""
    return isinstance(name, str) and name not in ("", ".", "..") and not set(name) & set("/\\\0")


def read_run(path: Path) -> Run:
    """The run noted in a file of runs/.

    Raises:
        StudyError: it is damaged, or names folders outside the study.
    """
    try:
        return Run(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, AttributeError) as error:
        raise StudyError(f"{path} is damaged ({error}); delete it and run the same command again.") from None


def read_facts(path: Path, remedy: str) -> dict[str, Any] | None:
    """What a JSON file of the study says; None where there is none.

    Raises:
        StudyError: it is damaged.
    """
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StudyError(f"{path} is damaged ({error}); {remedy}.") from None
    if not isinstance(found, dict):
        raise StudyError(f"{path} is damaged (it holds no object); {remedy}.")
    return found


class Study:
    """A study folder, for reading. Tables come as polars frames."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def runs(self) -> list[Run]:
        """All runs, the latest last."""
        runs = [read_run(path) for path in sorted((self.folder / "runs").glob("*.json"))]
        return sorted(runs, key=lambda run: run.asked)

    def run(self, key: str | None = None) -> Run:
        """The run whose key starts with `key`, or the latest."""
        found = [run for run in self.runs() if key is None or run.key.startswith(key)]
        if not found:
            raise StudyError(f"{self.folder} holds no run {key or ''}".rstrip() + "; `mematlas score` makes one.")
        return found[-1]

    def manifest(self) -> dict[str, Any]:
        """The manifest; {} before the first command has finished."""
        return read_facts(self.folder / "manifest.json", "delete it and run the same command again") or {}

    def done(self, run: Run, label: str) -> int:
        """How many of the model's shards are finished."""
        folder = self.folder / "scores" / run.key / run.models[label]
        return sum(shard_is_done(folder, shard_name(index, run.shards)) for index in range(run.shards))

    def _is_complete(self, run: Run) -> bool:
        return all(self.done(run, label) == run.shards for label in run.models)

    def scores(self, run: str | None = None, *, partial: bool = False) -> "pl.DataFrame":
        """One line a (model, row, context, continuation) of a run, the latest by default.

        Raises:
            StudyError: shards are missing and `partial` was not asked for.
        """
        return self.scan_scores(run, partial=partial).collect()

    def scan_scores(self, run: str | None = None, *, partial: bool = False) -> "pl.LazyFrame":
        """As `scores`, unread: for tables larger than memory."""
        found = self.run(run)
        return self._read(found, lambda model: Path("scores") / found.key / model, partial)

    def signals(
        self,
        kind: str,
        run: str | None = None,
        *,
        context: int | None = None,
        continuation: int | None = None,
        partial: bool = False,
    ) -> "pl.DataFrame":
        """Per-token records of `kind` ("truth" or "free"), one line a (model, row, context).

        With `context` and `continuation` they are cut to that cell: the lists of free-running signals to the
        continuation, those of teacher-forced ones to context + continuation.
        """
        return self.scan_signals(kind, run, context=context, continuation=continuation, partial=partial).collect()

    def scan_signals(
        self,
        kind: str,
        run: str | None = None,
        *,
        context: int | None = None,
        continuation: int | None = None,
        partial: bool = False,
    ) -> "pl.LazyFrame":
        """As `signals`, unread."""
        found = self.run(run)
        if kind not in found.question["signals"]:
            raise StudyError(
                f"Run {found.key} of {self.folder} has no signals {kind!r}, only "
                f"{found.question['signals'] or 'scores'}; score with --signals {kind}."
            )
        frame = self._read(found, lambda model: Path("signals") / found.key / kind / model, partial)
        if context is None or continuation is None:
            return frame
        return cut_signals(frame, kind, found.question["align"], context, continuation)

    def states(self, model: str, kind: str = "free", run: str | None = None) -> HiddenStates:
        """The hidden states of a model's sample of rows, along its own text ("free") or the true one ("truth").

        Raises:
            StudyError: the run kept none, or is not finished.
        """
        found = self.run(run)
        folder = self.folder / "states" / found.key / kind / found.models.get(model, model)
        if model not in found.models or not folder.is_dir():
            raise StudyError(
                f"Run {found.key} of {self.folder} has no hidden states {kind!r} of {model!r}; score with --signals "
                f"hidden{' --signals truth' if kind == 'truth' else ''}."
            )
        if self.done(found, model) < found.shards:
            raise StudyError(f"Run {found.key} of {self.folder} is not finished: run the same command again.")
        return _read_states(
            [folder / f"{shard_name(index, found.shards)}.safetensors" for index in range(found.shards)]
        )

    def state_kinds(self, run: str | None = None) -> list[str]:
        """The kinds of hidden states that the run keeps: "free", "truth", or none."""
        folder = self.folder / "states" / self.run(run).key
        return sorted(path.name for path in folder.glob("*") if path.is_dir())

    def predictions_folder(self, run: str | None = None) -> Path:
        """Where what predictors said of held-out rows is kept, a folder a model (`mematlas.predictions`)."""
        return self.folder / "predictions" / self.run(run).key

    def has_predictions(self, run: str | None = None) -> bool:
        return any(self.predictions_folder(run).glob("*/*.parquet"))

    def scan_predictions(self, run: str | None = None) -> "pl.LazyFrame":
        """What predictors of memorization said of rows held out, one line a predictor, seed and row, unread.

        Raises:
            StudyError: none was fitted yet.
        """
        import polars as pl

        paths = sorted(self.predictions_folder(run).glob("*/*.parquet"))
        if not paths:
            raise StudyError(f"{self.folder} has no predictors yet; `mematlas fit {self.folder}` makes them.")
        return pl.scan_parquet(paths)

    def rows(self, run: str | None = None) -> "pl.DataFrame":
        """One line a row: row, role (train or control), repetitions, document, source."""
        return self.scan_rows(run).collect()

    def scan_rows(self, run: str | None = None) -> "pl.LazyFrame":
        """As `rows`, unread."""
        found = self.run(run)
        folder = self.folder / "rows" / found.rows_key
        if self._is_complete(found):
            self._check_whole(found, folder)
        return self._scan([folder])

    def features_folder(self, run: str | None = None) -> Path:
        """Where the row features of a run are kept; facts.json in it is written last."""
        return self.folder / "features" / self.run(run).key

    def feature_facts(self, run: str | None = None) -> dict[str, Any] | None:
        """What the row features were made from (scope, tokens of the corpus ...); None before they are complete."""
        path = self.features_folder(run) / "facts.json"
        return read_facts(path, f"delete it; `mematlas features {self.folder}` writes it again")

    def features(self, kind: str, run: str | None = None) -> "pl.DataFrame":
        """Row features of `kind` ("counts", "copies", "texts"), see `mematlas.features.schema`.

        Raises:
            StudyError: they were not made yet, or there is no such kind.
        """
        return self.scan_features(kind, run).collect()

    def feature_kinds(self, run: str | None = None) -> list[str]:
        """The kinds of row features that are there, none before they are complete."""
        folder = self.features_folder(run)
        made = {path.parent.name for path in folder.glob("*/*.done")} if self.feature_facts(run) is not None else set()
        return sorted(made)

    def scan_features(self, kind: str, run: str | None = None) -> "pl.LazyFrame":
        """As `features`, unread."""
        folder = self.features_folder(run)
        if self.feature_facts(run) is None:
            raise StudyError(f"{self.folder} has no row features yet; `mematlas features {self.folder}` makes them.")
        if kind not in self.feature_kinds(run):
            known = ", ".join(self.feature_kinds(run))
            raise StudyError(f"{self.folder} has no features {kind!r}; there are {known}.")
        return self._scan([folder / kind])

    def models(self, run: str | None = None) -> "pl.DataFrame":
        """One line a model of the run, in the order it was asked for."""
        import polars as pl

        found = self.run(run)
        return pl.concat(
            [pl.read_parquet(self.folder / "models" / f"{name}.parquet") for name in found.models.values()]
        )

    def _read(self, run: Run, place: Callable[[str], Path], partial: bool) -> "pl.LazyFrame":
        for label in run.models:
            done = self.done(run, label)
            if done < run.shards and not partial:
                finished = [other.key for other in self.runs() if self._is_complete(other)]
                raise StudyError(
                    f"Run {run.key} of {self.folder} has {done} of {run.shards} shards of {label}: run the same "
                    "command again to finish it, or read what is there with partial=True. "
                    f"Finished runs: {', '.join(finished) or 'none'}."
                )
        folders = [self.folder / place(model) for model in run.models.values()]
        for folder in folders if not partial else []:
            self._check_whole(run, folder)
        return self._scan(folders)

    def _check_whole(self, run: Run, folder: Path) -> None:
        """Refuse to read a part of what a finished run has written, as if it were all."""
        for index in range(run.shards):
            if not shard_is_done(folder, shard_name(index, run.shards)):
                raise StudyError(
                    f"{folder / shard_name(index, run.shards)}.parquet of a finished run is gone or damaged; "
                    f"`mematlas verify {self.folder}` says how to make it again."
                )

    def _scan(self, folders: list[Path]) -> "pl.LazyFrame":
        import polars as pl

        paths = [
            path
            for folder in folders
            for path in sorted(folder.glob("shard-*.parquet"))
            if shard_is_done(folder, path.stem)
        ]
        if not paths:
            raise StudyError(f"{self.folder} has no finished shard yet; run `mematlas score` again.")
        return pl.scan_parquet(paths)


def _read_states(paths: list[Path]) -> HiddenStates:
    import numpy as np
    from safetensors import safe_open

    parts, context, layer = [], 0, "last"
    for path in paths:
        with safe_open(path, framework="numpy") as file:
            if len(file.get_tensor("rows")):
                context, layer = int(file.metadata()["context"]), file.metadata()["layer"]
                parts.append({name: file.get_tensor(name) for name in ("rows", "levels", "hits", "states")})
    if not parts:
        raise StudyError(f"{paths[0].parent} holds the states of no row: none was long enough for its cell.")
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return HiddenStates(**joined, context=context, layer=layer)


def cut_signals(frame: "pl.LazyFrame", kind: str, align: str, context: int, continuation: int) -> "pl.LazyFrame":
    """Cut per-token lists to one cell of a grid; see `Study.signals`."""
    import polars as pl

    lists = [name for name, dtype in frame.collect_schema().items() if isinstance(dtype, pl.List)]
    cell = (pl.lit(context).cast(pl.Int32).alias("context"), pl.lit(continuation).cast(pl.Int32).alias("continuation"))
    if kind == "free" or align == "end":
        length = continuation if kind == "free" else context + continuation
        kept = frame.filter((pl.col("context") == context) & (pl.col("continuation") >= continuation))
    else:
        length = context + continuation
        kept = frame.filter(pl.col("context") + pl.col("continuation") >= length)
    return kept.with_columns(pl.col(name).list.head(length) for name in lists).with_columns(*cell)


def open_study(folder: str | Path) -> Study:
    """Open a study folder for reading.

    Raises:
        StudyError: there is none.
    """
    study = Study(folder)
    if not (study.folder / "runs").is_dir():
        raise StudyError(
            f"{folder} is no study: it has no runs/ folder. `mematlas score ... --study {folder}` makes one."
        )
    return study
