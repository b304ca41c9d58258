"""Headlines claim a direction where numbers show it, and none where they do not: planted rises, falls and nothing."""

import numpy as np
import pytest

from mematlas.analyses import ANALYSES
from mematlas.analyses.family.scaling.headline import scaling_headline
from mematlas.findings.finding import Finding
from tests.analyses.synthetic_tables import tables, with_features

ROWS = 120
DIRECTIONS = ("up", "flat", "down")
_CELL = (32, 32)


def memorized(hits: int, length: int = 32, *, first: int = 0) -> list[int]:
    """Matches of ROWS rows, of which `hits` are memorized, from the row `first` on, and the others missed."""
    return [length * (first <= row < first + hits) for row in range(ROWS)]


def of_sizes(first: int, last: int) -> Finding:
    return ANALYSES.load("size").compute(
        tables({"small": {_CELL: memorized(first)}, "large": {_CELL: memorized(last)}})
    )


def of_continuations(first: int, last: int) -> Finding:
    cells = {(32, 16): memorized(first, 16), (32, 32): memorized(last)}
    return ANALYSES.load("continuation").compute(tables({"m": cells}))


def of_contexts(first: int, last: int) -> Finding:
    return ANALYSES.load("context").compute(tables({"m": {(16, 32): memorized(first), _CELL: memorized(last)}}))


def of_copies(first: int, last: int) -> Finding:
    """Rows with 1, 4, 16 and 64 copies; the memorized share of 30 rows each goes evenly from the first to the last."""
    shares = np.linspace(first, last, 4) / ROWS + np.array([0.01, -0.01, -0.01, 0.01])
    matches = [32 * (row < round(30 * share)) for share in shares for row in range(30)]
    copies = {"window_rows": [copies for copies in (1, 4, 16, 64) for _ in range(30)]}
    return ANALYSES.load("repetition").compute(with_features(tables({"m": {_CELL: matches}}), **copies))


def of_models(first: int, last: int) -> Finding:
    """The small model memorizes 60 rows; the large one keeps half of the numbers given, of these and of others."""
    kept = max(0, min(60, (60 + last - first) // 2))
    large = memorized(60, first=60 - kept)
    return ANALYSES.load("overlap").compute(tables({"small": {_CELL: memorized(60)}, "large": {_CELL: large}}))


def of_control(first: int, last: int) -> Finding:
    roles = ["train"] * ROWS + ["control"] * ROWS
    matches = memorized(last) + memorized(first)
    return ANALYSES.load("distribution").compute(tables({"m": {_CELL: matches}}, roles=roles))


#: analysis -> its finding of numbers that go from one to another; the headlines of a rise, of nothing, of a fall
PLANTED = {
    "size": (
        of_sizes,
        "Bigger models recite more rows",
        "Size makes no clear difference to how many rows are recited",
        "Bigger models recite fewer rows",
    ),
    "continuation": (
        of_continuations,
        "Longer continuations are recited more often",
        "A longer continuation makes no clear difference",
        "Longer continuations are recited less often",
    ),
    "context": (
        of_contexts,
        "A longer context brings out more rows",
        "A longer context makes no clear difference",
        "A longer context loses more rows than it brings out",
    ),
    "repetition": (
        of_copies,
        "Rows with more copies in the corpus are recited more often",
        "Copies in the corpus make no clear difference",
        "Rows with more copies in the corpus are recited less often",
    ),
    "overlap": (
        of_models,
        "The largest model keeps most rows that other models memorize",
        "Whether the largest model keeps most rows that others memorize is unclear",
        "The largest model forgets most rows that other models memorize",
    ),
    "distribution": (
        of_control,
        "Training rows score higher than rows no model was trained on",
        "Training rows do not clearly differ from rows never trained on",
        "Training rows score lower than rows no model was trained on",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize(("direction", "first", "last"), [("up", 30, 90), ("flat", 60, 61), ("down", 90, 30)])
def test_the_headline_follows_what_was_planted(name, direction, first, last):
    compute, *headlines = PLANTED[name]
    assert compute(first, last).headline == headlines[DIRECTIONS.index(direction)]


@pytest.mark.parametrize("seed", range(12))
def test_the_headline_on_size_claims_what_the_intervals_say(seed):
    first, last = np.random.default_rng(seed).integers(0, ROWS, 2).tolist()
    finding = of_sizes(first, last)
    small, large = finding.table("shares").sort("parameters").to_dicts()
    assert ("more" in finding.headline) == (large["memorized_share_lower"] > small["memorized_share_upper"])
    assert ("fewer" in finding.headline) == (large["memorized_share_upper"] < small["memorized_share_lower"])


@pytest.mark.parametrize("name", ["size", "distribution"])
def test_among_samples_without_an_effect_few_headlines_claim_one(name):
    compute, _, flat, _ = PLANTED[name]
    draws = np.random.default_rng(7).binomial(ROWS, 0.5, (20, 2)).tolist()
    assert sum(compute(first, last).headline != flat for first, last in draws) <= 2


def test_transitions_say_that_rows_stay_only_where_the_interval_does():
    def headline(kept: int, of: int) -> str:
        small, large = memorized(of), memorized(of, first=of - kept)
        models = {"small": {_CELL: small}, "large": {_CELL: large}}
        return ANALYSES.load("transitions").compute(tables(models)).headline

    assert headline(60, 60) == "Nearly all memorized rows stay memorized in the largest model"
    assert headline(45, 60) == "Most memorized rows stay memorized in the largest model"
    assert headline(30, 60) == "Whether most memorized rows stay memorized in the largest model is unclear"
    assert headline(10, 60) == "Most memorized rows are no longer memorized in the largest model"
    assert headline(0, 0) == "small memorizes no row that could stay memorized"


def test_laws_are_named_by_what_their_slopes_show():
    def fit(slope: float, half: float | None) -> dict[str, float | None]:
        lower, upper = (None, None) if half is None else (slope - half, slope + half)
        return {"slope": slope, "slope_lower": lower, "slope_upper": upper}

    up, down, flat, unknown = fit(0.2, 0.1), fit(-0.2, 0.1), fit(0.1, 0.2), fit(0.2, None)
    assert scaling_headline({"size": up, "context": flat}, []) == "The recited share grows with size"
    assert scaling_headline({"size": up, "repetitions": up, "context": down}, []) == (
        "The recited share grows with size and repetitions and falls with context"
    )
    assert scaling_headline({"size": flat, "context": flat}, []) == "No clear law in size or context"
    assert scaling_headline({"size": unknown}, []) == "Too few points to say how the recited share grows"
    assert scaling_headline({"size": fit(0.0, None)}, []) == "The recited share is the same at every point"
