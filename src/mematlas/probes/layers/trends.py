"""Whether a probed model shows what K7 reports of noise, of states under it, and of attention heads.

K7's tests are not published; these, and their limits, are ours. Its sets of heads are of domains of text; ours are of
recited rows and others.
"""

from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from mematlas.findings.finding import Trend
from mematlas.probes.rows.estimates import clustered_share
from mematlas.probes.rows.opening import CLASSES
from mematlas.stats.estimates.contrasts import stratified_difference
from mematlas.stats.random_sets import overlap_tails

if TYPE_CHECKING:
    import polars as pl

_NOISE: Final = "noise-ends-reciting"
_RECOVERY: Final = "states-of-memorized-rows-recover-less"
_HEADS: Final = "needed-heads-are-shared"
NOISE_TRENDS: Final = (_NOISE, _RECOVERY)
HEAD_TRENDS: Final = (_HEADS,)
#: The strongest noise of K7, at which it states how many rows are still recited.
STRENGTH: Final = 0.5
_ALPHA: Final = 0.025
_NO_NOISE: Final = f"--strengths lacks {STRENGTH:g}, the noise of K7"

Verdict = Literal["shows", "contradicts", "cannot tell"]


def noise_trends(noise: "pl.DataFrame", recovery: "pl.DataFrame", continuation: int) -> tuple[Trend, ...]:
    """The verdicts on NOISE_TRENDS.

    Args:
        noise, recovery: the probe's tables with class and cluster; continuation: tokens.
    """
    return _noise_trend(noise, continuation), _recovery_trend(recovery)


def _noise_trend(noise: "pl.DataFrame", continuation: int) -> Trend:
    """Of the first draw, so that a row counts once."""
    import polars as pl

    first = noise.filter(strength=STRENGTH, draw=0).with_columns(whole=pl.col("matches") == continuation)
    if first.is_empty():
        return Trend(_NOISE, "cannot tell", _NO_NOISE)
    recited, other = (first.filter(pl.col("class") == name) for name in ("recited", "other"))
    if recited.is_empty():
        return Trend(_NOISE, "cannot tell", "no row is recited without noise")
    share, lower, upper = clustered_share(recited, "whole")
    interval = "" if np.isnan(lower) else f", 95 % interval {lower:.2f} to {upper:.2f}"
    test = (
        f"of {recited.height} rows recited whole without noise, {int(recited['whole'].sum())} still are at strength "
        f"{STRENGTH:g} (share {share:.2f}{interval}), and {int(other['whole'].sum())} of {other.height} others; K7 has "
        "about 1 in 100. Shown if the interval lies below one half, contradicted if above"
    )
    return Trend(_NOISE, _side(0.5 - upper, 0.5 - lower), test)


def _recovery_trend(recovery: "pl.DataFrame") -> Trend:
    """How much of the similarity lost to the noise is back after the last block, recited rows against others."""
    import polars as pl

    disturbed = recovery.filter(strength=STRENGTH)
    if disturbed.is_empty():
        return Trend(_RECOVERY, "cannot tell", _NO_NOISE)
    by_row = disturbed.sort("layer").group_by("row", "control", "class", "cluster", maintain_order=True)
    gained = by_row.agg(gain=pl.col("cosine").last() - pl.col("cosine").first())
    both = gained.filter(pl.col("class").is_in(["recited", "other"]))
    member = (both["class"] == "recited").to_numpy()
    if member.all() or not member.any():
        return Trend(_RECOVERY, "cannot tell", "the probe has no recited rows beside others of the corpus")
    found = stratified_difference(both["gain"].to_numpy()[:, None], member, clusters=both["cluster"].to_numpy())
    gap, lower, upper = (float(values[0]) for values in (found.estimate, found.lower, found.upper))
    interval = "no interval" if np.isnan(lower) else f"95 % interval {lower:.3f} to {upper:.3f}"
    test = (
        f"cosine to the undisturbed state after the last block less that after the first, at strength {STRENGTH:g}: "
        f"{gap:+.3f} in {int(member.sum())} recited rows beside {int((~member).sum())} others ({interval}). Shown if "
        "the interval lies below 0, contradicted if above"
    )
    return Trend(_RECOVERY, _side(-upper, -lower), test)


def head_trends(top: "pl.DataFrame") -> tuple[Trend, ...]:
    """The verdict on HEAD_TRENDS. top: of `heads_tables.top_heads`."""
    if top.is_empty():
        return (Trend(_HEADS, "cannot tell", f"all rows are of one class of {', '.join(CLASSES)}"),)
    record: dict[str, Any] = top.row(0, named=True)
    shared = round(2 * record["top"] * record["jaccard"] / (1 + record["jaccard"]))
    as_many, as_few = overlap_tails(record["heads"], record["top"], shared)
    test = (
        f"of the {record['top']} of {record['heads']} heads that {record['first']} and {record['second']} rows need "
        f"most, {shared} are the same (Jaccard {record['jaccard']:.2f}, random sets {record['expected']:.2f}, "
        f"p = {as_many:.2g}). Shown if random sets share as many in at most {100 * _ALPHA:g} % of draws, contradicted "
        "if as few"
    )
    verdict: Verdict = "shows" if as_many <= _ALPHA else "contradicts" if as_few <= _ALPHA else "cannot tell"
    return (Trend(_HEADS, verdict, test),)


def _side(lower: float, upper: float) -> Verdict:
    """Whether an interval lies above 0 (shows) or below; NaN tells nothing."""
    return "shows" if lower > 0 else "contradicts" if upper < 0 else "cannot tell"
