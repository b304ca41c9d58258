"""What may come of a damaged input: rows that obey the rules of their format, or an error of one line. Nothing else."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import yaml

from mematlas.corpus.base import Corpus
from mematlas.corpus.opening import open_corpus
from mematlas.errors import MematlasError
from mematlas.pipeline.study_file import StudyFile, read_study_file
from tests.fuzz.inputs import Files, Input, Rows

MOST_ROWS = 5000  # of a damaged file are read from its beginning, and the last one
WIDTH = 40
SECONDS = 20.0
STUDY = """\
# what is asked of whom
models: [&first uniform:60, parrot:rows.npy:12]
corpus: c.npy
study: out/study
context: [8, 16]
continuation: 32
signals: [truth]
temperature: [0.5, 2]
rows: "sample:100:7"
analyses: &names
  - size
  - distribution
batch: 64
settle: false
cache: ~/cache
"""


class Hung(Exception):
    """An input was not done in time."""


@contextmanager
def in_time(seconds: float = SECONDS) -> Iterator[None]:
    """Raises Hung if the block takes longer; in the main thread only."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Hung(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def of_corpus(given: Input, files: Files, folder: Path) -> str:
    """ "rows" or "refused" of these files, written to `folder`, an empty one.

    Raises:
        AssertionError: the rows break a rule or are others than the oracle's, or the error is not one line.
        Exception: whatever the reader lets through, which no reader may.
    """
    _write(files, folder)
    options = replace(given.options, cache=folder / ".cache")
    try:
        with in_time():
            corpus = open_corpus(folder / given.main, format=given.format, options=options)
            rows = _rows(corpus, given.length)
    except MematlasError as error:
        _check_message(str(error))
        return "refused"
    expected = _expected(given, files)
    if expected is not None and len(expected) <= MOST_ROWS:
        shown = [row[:WIDTH] for row in expected]
        assert rows == shown, f"read {_first_difference(rows, shown)} (ours, oracle)"
        return "rows"
    return "rows, oracle fails"


def of_study_file(content: bytes, folder: Path) -> str:
    """ "read" or "refused" of a study file; the numbers in it are those that YAML says."""
    path = folder / "study.yaml"
    path.write_bytes(content)
    try:
        with in_time():
            file = read_study_file(path)
    except MematlasError as error:
        _check_message(str(error))
        return "refused"
    said = yaml.safe_load(content.decode())
    _check_study(file, said)
    return "read"


def _check_study(file: StudyFile, said: dict[str, Any]) -> None:
    assert set(said) <= set(StudyFile.model_fields)
    batch = said.get("batch", 128)
    assert file.batch == int(batch)
    contexts = said.get("context", [32])
    assert file.context == sorted({int(one) for one in (contexts if isinstance(contexts, list) else [contexts])})
    assert len(file.models) == (len(said["models"]) if isinstance(said["models"], list) else 1)


def _write(files: Files, folder: Path) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _check_message(text: str) -> None:
    assert text.strip(), "an empty message"
    assert len(text.splitlines()) == 1, f"more than one line: {text!r}"
    assert text.isprintable(), f"signs that a terminal obeys: {text!r}"
    assert len(text) < 4000, f"a message of {len(text)} characters"


def _rows(corpus: Corpus, length: int | None) -> Rows:
    """The first rows of a corpus, each without what fills it up, once all rules of `Corpus` are checked."""
    count = len(corpus)
    assert count > 0
    positions = np.unique(np.append(np.arange(min(count, MOST_ROWS)), count - 1))
    read = corpus.read(positions, WIDTH)
    assert read.ids.shape == (len(positions), WIDTH)
    assert read.ids.dtype == read.lengths.dtype == np.int64
    assert read.ids.min() >= 0
    assert 0 <= read.lengths.min() <= read.lengths.max() <= WIDTH
    assert length is None or (read.lengths == min(length, WIDTH)).all()
    assert not read.ids[np.arange(WIDTH) >= read.lengths[:, None]].any()
    ids = corpus.row_ids(positions)
    assert ids.shape == positions.shape
    assert ids.dtype == np.int64
    provenance = corpus.provenance(positions)
    for found, kind in ((provenance.document, int), (provenance.source, str), (provenance.repetitions, int)):
        assert len(found) == len(positions)
        assert all(value is None or type(value) is kind for value in found)
    for source in provenance.source:
        (source or "").encode()  # a table of text must be able to hold it
    again = corpus.read(positions[::-1][:3], 3)
    assert (again.ids == read.ids[::-1][:3, :3]).all()
    return [row[:size].tolist() for row, size in zip(read.ids, read.lengths, strict=True)]


def _expected(given: Input, files: Files) -> Rows | None:
    try:
        return given.rows(files)
    except Exception:  # noqa: BLE001  an oracle may fail in any way
        return None


def _first_difference(ours: Rows, oracle: Rows) -> tuple[object, ...]:
    if len(ours) != len(oracle):
        return len(ours), len(oracle)
    return next((a, b) for a, b in zip(ours, oracle, strict=True) if a != b)
