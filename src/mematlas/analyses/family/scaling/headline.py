"""The headline and the short sentence of the analysis `scaling`."""

from typing import Any, Final

from mematlas.analyses.frames.proportions import format_share
from mematlas.analyses.phrasing import by_interval, format_points, format_sizes, join_with_and

UNITS: Final = {"size": "parameters", "repetitions": "repetitions", "context": "tokens of context"}
_GROWS, _FALLS, _UNCLEAR = "grows with", "falls with", "unclear"
Record = dict[str, Any]


def scaling_headline(fits: dict[str, Record], steps: list[Record]) -> str:
    """What the share grows and falls with, by the intervals of the slopes; without any law, by those of checkpoints.

    Args:
        fits: law -> the fit that the claim reports, in the order of UNITS.
        steps: the first to the last checkpoint of a size, as returned by `headline_steps`.
    """
    if not fits:
        return _of_checkpoints(steps[0], steps[-1])
    known = {law: fit for law, fit in fits.items() if fit["slope_lower"] is not None}
    if not known and all(abs(fit["slope"]) < 1e-9 for fit in fits.values()):
        return "The recited share is the same at every point"
    if not known:
        return "Too few points to say how the recited share grows"
    laws: dict[str, list[str]] = {}
    for law, fit in known.items():
        laws.setdefault(by_interval(fit["slope_lower"], fit["slope_upper"], _GROWS, _FALLS, _UNCLEAR), []).append(law)
    clauses = [f"{change} {join_with_and(laws[change])}" for change in (_GROWS, _FALLS) if change in laws]
    return f"The recited share {' and '.join(clauses)}" if clauses else f"No clear law in {' or '.join(laws[_UNCLEAR])}"


def _of_checkpoints(first: Record, last: Record) -> str:
    """Whether later checkpoints recite more, where the two intervals are apart."""
    bounds = [record[f"share_{end}"] for record in (first, last) for end in ("lower", "upper")]
    apart = None not in bounds
    if apart and bounds[2] > bounds[1]:
        return "Later checkpoints recite more rows"
    if apart and bounds[3] < bounds[0]:
        return "Later checkpoints recite fewer rows"
    return "Further training makes no clear difference to the rows recited"


def scaling_sentence(fits: dict[str, Record], steps: list[Record]) -> str:
    """The slope of the first law with an interval, or else of the first law; without any, the shares of checkpoints."""
    if not fits:
        first, last = steps[0], steps[-1]
        of = format_sizes([first["rows"], last["rows"]])
        shares = [f"{format_share(record, 'share')} at step {record['training_step']:,}" for record in (first, last)]
        return f"{last['series']} recites {shares[0]} and {shares[1]}, of {of}."
    lead = next((fit for fit in fits.values() if fit["slope_lower"] is not None), next(iter(fits.values())))
    slope = f"{format_points(lead, 'slope')} per tenfold of {UNITS[lead['law']]}"
    return f"The share changes by {slope}, over {lead['points']} points."
