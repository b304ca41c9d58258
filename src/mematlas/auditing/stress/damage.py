"""What unlearning cost: loss on text that no model was trained on, and rows that were to be kept.

    over-unlearned   the held-out loss rises by more than 5 %
    destroyed        it rises by more than 10 %, and half or more of the kept rows are lost, if there are any; or the
                     model guesses, whatever it kept: a loss of 99 % or more of log V, which the original's is below

These limits are our choice. Rises are means over rows, in clusters of documents.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from mematlas.stats.estimates.averages import means
from mematlas.stats.estimates.clustered import cluster_sums, clustered_shares

OVER_UNLEARNED: Final = 0.05
DESTROYED: Final = 0.10
LOST: Final = 0.5
_GUESSES: Final = 0.99
_KNOWS: Final = 0.95

State = Literal["none", "over-unlearned", "destroyed", "not measured"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval over documents; None where there is none."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    clusters: int = 0


NOT_MEASURED: Final = Estimate(None)


@dataclass(frozen=True, slots=True)
class Damage:
    """losses: held-out loss before and after, nats per token; rise: of it, relative; lost: share of the kept rows that
    the original recites and the unlearned model does not; kept_rise: rise of the loss on kept rows; guessing: log V."""

    losses: tuple[float, float] | None
    rise: Estimate
    kept_losses: tuple[float, float] | None
    kept_rise: Estimate
    lost: Estimate
    guessing: float

    @property
    def guesses(self) -> bool:
        """Whether the unlearned model predicts held-out text no better than at random, and the original does."""
        if self.losses is None:
            return False
        before, after = self.losses
        return before < _KNOWS * self.guessing and after >= _GUESSES * self.guessing

    @property
    def state(self) -> State:
        """How much damage was done, by the limits above."""
        if self.rise.value is None:
            return "not measured"
        keeps = self.lost.value is not None and self.lost.value < LOST
        if self.guesses or (self.rise.value > DESTROYED and not keeps):
            return "destroyed"
        return "over-unlearned" if self.rise.value > OVER_UNLEARNED else "none"

    @property
    def shows_nothing(self) -> bool:
        """Whether the held-out loss cannot rise, because the original guesses, too."""
        return self.losses is not None and self.losses[0] >= _KNOWS * self.guessing


def share_of(hits: NDArray[np.bool_], clusters: NDArray[np.str_]) -> Estimate:
    """The share of rows that are hits."""
    if not len(hits):
        return NOT_MEASURED
    labels = np.unique(clusters, return_inverse=True)[1]
    sums = cluster_sums(np.bincount(labels, hits), np.bincount(labels))
    share = clustered_shares(sums)
    numbers = (share.estimate[0], share.lower[0], share.upper[0])
    return _estimate(*numbers, n=len(hits), clusters=int(labels.max()) + 1)


def mean_of(values: NDArray[np.float64], clusters: NDArray[np.str_]) -> Estimate:
    """The mean of rows."""
    if not len(values):
        return NOT_MEASURED
    found = means(values[:, None], clusters=np.unique(clusters, return_inverse=True)[1])
    numbers = (found.estimate[0], found.lower[0], found.upper[0])
    return _estimate(*numbers, n=int(found.count[0]), clusters=int(found.clusters[0]))


def _estimate(*numbers: float, n: int, clusters: int) -> Estimate:
    value, low, high = (None if np.isnan(number) else float(number) for number in numbers)
    return Estimate(value, low, high, n, clusters)


def rise_of(
    before: NDArray[np.float64], after: NDArray[np.float64], clusters: NDArray[np.str_]
) -> tuple[tuple[float, float] | None, Estimate]:
    """Mean losses of both models on the same rows, and the relative rise: of row by row differences, in units of the
    mean before, which counts as exact; none of a loss of 0."""
    base = float(before.mean()) if len(before) else 0.0
    if not base:
        return (base, float(after.mean())) if len(before) else None, NOT_MEASURED
    change = mean_of((after - before) / base, clusters)
    return (base, float(after.mean())), change
