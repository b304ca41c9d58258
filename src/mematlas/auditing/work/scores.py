"""A model's numbers for a work: the probability of every window, the heat of every character, the longest run."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mematlas.auditing.work.text import Work
from mematlas.auditing.work.windows import Windows, heat
from mematlas.io.paths import make_folder, write_atomically
from mematlas.models.base import Model, ModelCard
from mematlas.progress import Progress
from mematlas.scoring.engines.windows import WindowScores, greedy_run, score_windows

_PART: Final = 512  # windows between two savings
_LONGEST_PASS: Final = 2_048  # tokens that are read at once while a run is followed


@dataclass(frozen=True, slots=True)
class Run:
    """The longest passage that greedy decoding gives: tokens; start, stop: its characters; prompt: the first character
    of the prefix before it; is_cut: it ended with the text or the model's length, not with an error."""

    tokens: int
    start: int
    stop: int
    prompt: int
    is_cut: bool


@dataclass(frozen=True, slots=True, eq=False)
class WorkScores:
    """of: whose; windows, scores: of each window; heat: [characters] of the work, see `windows.heat`; run: the longest,
    None if not one token is right."""

    of: str
    work: Work
    windows: Windows
    scores: WindowScores
    heat: NDArray[np.float64]
    run: Run | None

    def coverage(self, tau: float) -> float:
        """Share of the work's characters in suffixes with a probability of at least `tau`."""
        return float((self.heat >= tau).mean())

    def table(self) -> pl.DataFrame:
        """One record a window; log-probabilities in nats, characters of the document."""
        offsets = np.array(self.work.offsets, np.int64)[self.windows.document]
        return pl.DataFrame(
            {
                "of": [self.of] * len(offsets),
                "document": [self.work.documents[number][0] for number in self.windows.document.tolist()],
                "character": self.windows.start - offsets,
                "stop": self.windows.stop - offsets,
                "log_probability_top40": self.scores.log_probability_top40,
                "log_probability": self.scores.log_probability,
                "right": self.scores.right,
            },
            schema_overrides={"of": pl.String, "document": pl.String},
        )


def score_work(
    model: Model, card: ModelCard, of: str, work: Work, windows: Windows, folder: Path, progress: Progress
) -> WorkScores:
    """Score every window of a work, and follow the longest run.

    folder: finished parts are kept there, so that a stopped audit goes on where it was.
    """
    progress.start(of, len(windows.start), 0, "windows")
    parts = list(_scored_parts(model, windows, folder / _fingerprint(model, card, windows), progress))
    progress.stop()
    scores = WindowScores(
        *(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(parts[0]))
    )
    values = heat(windows, scores.log_probability_top40, work.characters)
    longest = min(_LONGEST_PASS, card.max_length or _LONGEST_PASS)
    return WorkScores(of, work, windows, scores, values, longest_run(model, work, windows, scores, longest))


def _scored_parts(model: Model, windows: Windows, folder: Path, progress: Progress) -> Iterator[WindowScores]:
    """The scores of _PART windows at a time, read where they were finished before."""
    for start in range(0, len(windows.start), _PART):
        path, ids = folder / f"{start}.parquet", windows.ids[start : start + _PART]
        if path.is_file():
            frame = pl.read_parquet(path)
            progress.advance(len(ids))
            yield WindowScores(*(frame[field.name].to_numpy() for field in fields(WindowScores)))
            continue
        scores = score_windows(model, ids, windows.prefix, progress.advance)
        make_folder(folder)
        frame = pl.DataFrame({field.name: getattr(scores, field.name) for field in fields(WindowScores)})
        write_atomically(path, frame.write_parquet)
        yield scores


def _fingerprint(model: Model, card: ModelCard, windows: Windows) -> str:
    """Of all that the scores depend on."""
    of_windows = f"{card.fingerprint} {model.dtype} {model.device.type} {windows.prefix} {windows.ids.shape}"
    return sha256(of_windows.encode() + windows.ids.tobytes()).hexdigest()[:16]


def longest_run(model: Model, work: Work, windows: Windows, scores: WindowScores, longest: int) -> Run | None:
    """The longest passage that greedy decoding gives after the prefix of a window.

    A window that is right to its end is followed further, by itself: its suffix and the text after it, as far as one
    pass of `longest` tokens goes. Windows inside a run that was followed are not, to save time, those whose suffix ends
    beyond it are: where the model errs after one beginning and not after a later one, a run may be longer than found.
    """
    prefix, suffix = windows.prefix, windows.suffix
    best, followed = (0, 0, 0), (-1, -1)  # tokens, document, first token of the run; document and end of the last one
    for document, token, right in zip(
        windows.document.tolist(), windows.token.tolist(), scores.right.tolist(), strict=True
    ):
        start, length = token + prefix, right
        if right == suffix:
            if followed[0] == document and start + suffix <= followed[1]:
                continue
            ids = work.tokens[document]
            text = ids[start : token + max(longest, prefix + suffix)]
            length = max(right, greedy_run(model, ids[token:start], text)) if len(text) > suffix else right
            followed = document, start + length
        if length > best[0]:
            best = length, document, start
    return _run(work, *best, prefix, longest) if best[0] else None


def _run(work: Work, length: int, document: int, start: int, prefix: int, longest: int) -> Run:
    ends, offset = work.ends[document], work.offsets[document]
    first = start - prefix
    is_cut = start + length == len(ends) or length + prefix >= longest
    prompt = offset + int(ends[first - 1]) if first else offset
    return Run(length, offset + int(ends[start - 1]), offset + int(ends[start + length - 1]), prompt, is_cut)
