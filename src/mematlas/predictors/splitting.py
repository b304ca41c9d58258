"""Splitting documents into those to fit to, those to stop the training by, and those to test on."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from mematlas.errors import StudyError
from mematlas.predictors.examples import Examples, Mask

TEST_SHARE: Final = 0.2  # of the rows; our choice
VALIDATION_SHARE: Final = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Masks [n] over examples; no group of documents is in two of them, and control rows are in none."""

    fit: Mask
    validation: Mask
    test: Mask


def split(examples: Examples, seed: int) -> Split:
    """Split training rows into three parts; every group of documents is in one part.

    Raises:
        StudyError: there are too few documents, or the rows to fit to or to stop by have no token of one class.
    """
    groups, sizes = np.unique(examples.groups[examples.train], return_counts=True)
    if len(groups) < 3:
        raise StudyError(
            f"The rows with hidden states come from {len(groups)} groups of documents; at least 3 are needed to hold "
            "some out. Score rows of more documents, or more of them with --hidden-rows."
        )
    order = np.random.default_rng((1, seed)).permutation(len(groups))
    ends = np.cumsum(sizes[order]) - sizes[order] / 2
    part = np.searchsorted([TEST_SHARE, TEST_SHARE + VALIDATION_SHARE], ends / sizes.sum(), side="right")
    part[0], part[-1] = 0, 2
    if not (part == 1).any():
        part[1] = 1
    masks = [np.isin(examples.groups, groups[order[part == number]]) & examples.train for number in range(3)]
    parts = Split(fit=masks[2], validation=masks[1], test=masks[0])
    _check_classes(examples, parts)
    return parts


def _check_classes(examples: Examples, parts: Split) -> None:
    for purpose, mask in (("fit to", parts.fit), ("stop by", parts.validation)):
        hits = examples.hits[mask]
        for value, label in ((1, "recited"), (0, "missed")):
            if not (hits == value).any():
                raise StudyError(
                    f"Among the {mask.sum()} rows to {purpose} no token is {label}: there is nothing to distinguish. "
                    "Score more rows, or a model that recites some and misses some."
                )
