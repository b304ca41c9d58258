"""The permitted outcomes of a damaged input: rows that obey the rules of their format, or an error of one line."""

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

MAX_ROWS = 5000  # read from the beginning of a damaged file, and its last row
WIDTH = 40
SECONDS = 20.0
STUDY = """\
# which models score which rows
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


class TimedOut(Exception):
    """An input took too long."""


@contextmanager
def time_limit(seconds: float = SECONDS) -> Iterator[None]:
    """Raise TimedOut if the block takes longer; in the main thread only."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimedOut(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def corpus_outcome(source: Input, files: Files, folder: Path) -> str:
    """Read these files, written to the empty `folder`; returns "rows", "rows, oracle fails" or "refused".

    Raises:
        AssertionError: the rows break a rule or differ from the oracle's, or the error is not one line.
        Exception: any other error that the reader raises, which is a defect.
    """
    _write(files, folder)
    options = replace(source.options, cache=folder / ".cache")
    try:
        with time_limit():
            corpus = open_corpus(folder / source.main, format=source.format, options=options)
            rows = _rows(corpus, source.length)
    except MematlasError as error:
        _check_message(str(error))
        return "refused"
    expected = _expected(source, files)
    if expected is not None and len(expected) <= MAX_ROWS:
        cut = [row[:WIDTH] for row in expected]
        assert rows == cut, f"read {_first_difference(rows, cut)} (ours, oracle)"
        return "rows"
    return "rows, oracle fails"


def study_file_outcome(content: bytes, folder: Path) -> str:
    """Read a study file and compare its numbers with those of YAML; returns "read" or "refused"."""
    path = folder / "study.yaml"
    path.write_bytes(content)
    try:
        with time_limit():
            file = read_study_file(path)
    except MematlasError as error:
        _check_message(str(error))
        return "refused"
    content_as_yaml = yaml.safe_load(content.decode())
    _check_study(file, content_as_yaml)
    return "read"


def _check_study(file: StudyFile, expected: dict[str, Any]) -> None:
    assert set(expected) <= set(StudyFile.model_fields)
    batch = expected.get("batch", 128)
    assert file.batch == int(batch)
    contexts = expected.get("context", [32])
    assert file.context == sorted(
        {int(context) for context in (contexts if isinstance(contexts, list) else [contexts])}
    )
    assert len(file.models) == (len(expected["models"]) if isinstance(expected["models"], list) else 1)


def _write(files: Files, folder: Path) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _check_message(text: str) -> None:
    assert text.strip(), "an empty message"
    assert len(text.splitlines()) == 1, f"more than one line: {text!r}"
    assert text.isprintable(), f"control characters: {text!r}"
    assert len(text) < 4000, f"a message of {len(text)} characters"


def _rows(corpus: Corpus, length: int | None) -> Rows:
    """The first rows of a corpus without padding, after checking all rules of `Corpus`."""
    count = len(corpus)
    assert count > 0
    positions = np.unique(np.append(np.arange(min(count, MAX_ROWS)), count - 1))
    rows = corpus.read(positions, WIDTH)
    assert rows.ids.shape == (len(positions), WIDTH)
    assert rows.ids.dtype == rows.lengths.dtype == np.int64
    assert rows.ids.min() >= 0
    assert 0 <= rows.lengths.min() <= rows.lengths.max() <= WIDTH
    assert length is None or (rows.lengths == min(length, WIDTH)).all()
    assert not rows.ids[np.arange(WIDTH) >= rows.lengths[:, None]].any()
    ids = corpus.row_ids(positions)
    assert ids.shape == positions.shape
    assert ids.dtype == np.int64
    provenance = corpus.provenance(positions)
    for values, kind in ((provenance.document, int), (provenance.source, str), (provenance.repetitions, int)):
        assert len(values) == len(positions)
        assert all(value is None or type(value) is kind for value in values)
    for source in provenance.source:
        (source or "").encode()  # must be encodable, to be written to a table
    again = corpus.read(positions[::-1][:3], 3)
    assert (again.ids == rows.ids[::-1][:3, :3]).all()
    return [row[:size].tolist() for row, size in zip(rows.ids, rows.lengths, strict=True)]


def _expected(source: Input, files: Files) -> Rows | None:
    try:
        return source.rows(files)
    except Exception:  # noqa: BLE001  an oracle may fail in any way
        return None


def _first_difference(ours: Rows, oracle: Rows) -> tuple[object, ...]:
    if len(ours) != len(oracle):
        return len(ours), len(oracle)
    return next((a, b) for a, b in zip(ours, oracle, strict=True) if a != b)
