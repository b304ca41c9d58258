"""Sliding windows over a work, and what their probabilities say about its characters (K11: Cooper et al. 2505.12546).

A window is `prefix` tokens, after which the model is asked for the next `suffix` tokens. Windows start every `stride`
characters, at the next token; the text is tokenized once, as in training, so that no window starts inside a word. (The
paper cuts characters first.) No window crosses from one document to the next.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mematlas.auditing.work.text import Section, Work
from mematlas.types import Ids

PREFIX: Final = 50  # tokens, K11
SUFFIX: Final = 50
PAPER_STRIDE: Final = 10  # characters, K11
TAUS: Final = (0.001, 0.01, 0.1, 0.5, 0.75)
"""Chances from which on a window counts as recited; the paper's, .1 % being its threshold of extraction."""
_WINDOWS: Final = 1_000  # of a text of moderate length by default, our choice


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """prefix, suffix: tokens; ids: [windows, prefix + suffix]; start, stop: [windows], the work's characters that the
    suffix takes; document, token: [windows], where the window's first token is."""

    prefix: int
    suffix: int
    ids: Ids
    start: Ids
    stop: Ids
    document: Ids
    token: Ids


def default_stride(work: Work, suffix: int) -> int:
    """10 characters as in the paper for short texts; then so many that about 1,000 windows result, but at most half a
    suffix, so that every character stays in two suffixes."""
    half_suffix = suffix * work.characters / max(1, work.token_count) / 2
    return max(PAPER_STRIDE, min(work.characters // _WINDOWS, int(half_suffix)))


def cut_windows(work: Work, prefix: int, suffix: int, stride: int) -> Windows:
    """The windows of every document; the last one of each ends with it."""
    width, parts = prefix + suffix, []
    for number, (ids, ends, offset) in enumerate(zip(work.tokens, work.ends, work.offsets, strict=True)):
        if len(ids) < width:
            continue
        starts = np.concatenate([[0], ends[:-1]])
        first = np.searchsorted(starts, np.arange(0, int(starts[-1]) + 1, stride))
        first = np.unique(np.append(first[first <= len(ids) - width], len(ids) - width))
        begin, end = offset + ends[first + prefix - 1], offset + ends[first + width - 1]
        rows = np.lib.stride_tricks.sliding_window_view(ids, width)[first]
        parts.append((rows, begin, end, np.full(len(first), number, np.int64), first))
    if not parts:
        none = np.empty(0, np.int64)
        return Windows(prefix, suffix, np.empty((0, width), np.int64), none, none, none, none)
    return Windows(prefix, suffix, *(np.concatenate(part) for part in zip(*parts, strict=True)))


def heat(windows: Windows, log_probability: NDArray[np.float64], characters: int) -> NDArray[np.float64]:
    """The highest probability among the suffixes that contain each character: [characters], 0 where none does."""
    values = np.zeros(characters)
    for number in np.argsort(log_probability, kind="stable"):
        values[windows.start[number] : windows.stop[number]] = np.exp(log_probability[number])
    return values


def covered_characters(values: NDArray[np.float64], tau: float, parts: list[Section]) -> NDArray[np.float64]:
    """Characters of each part with a heat of at least `tau`: [parts]."""
    total = np.concatenate([[0], np.cumsum(values >= tau)])
    return np.array([total[part.stop] - total[part.start] for part in parts], np.float64)


def reachable_characters(windows: Windows, characters: int) -> int:
    """The number of characters that are in any suffix."""
    return int((heat(windows, np.zeros(len(windows.start)), characters) > 0).sum())
