"""What the style of a model's continuations shows: authors in its training beside others (P6)."""

from collections.abc import Iterator, Mapping
from math import comb
from typing import Any, Final

import polars as pl

from mematlas.findings.finding import Axis, Chart, Finding, Table, Taxonomy
from mematlas.probes.rows.stages import ProbeResult
from mematlas.probes.style.run import table_of_style
from mematlas.probes.style.tables import (
    ACCURACY_COLUMNS,
    DIFFERENCE_COLUMNS,
    GENERATION,
    IN,
    OUT,
    PROMPT,
    TRUTH,
)

_LEVEL: Final = 0.05


def style_finding(result: ProbeResult) -> Finding:
    """The finding of a finished probe."""
    accuracy, difference = table_of_style(result, "accuracy"), table_of_style(result, "difference")
    headline, sentence = _texts(accuracy, difference, result.facts)
    taxonomy = Taxonomy(
        "content",
        "discoverable",
        content="writing styles of authors",
        decoding="greedy" if result.facts["temperature"] == 0 else f"sampled, T = {result.facts['temperature']:g}",
        prompts=f"first {result.facts['prompt_words']} words of the authors' texts",
    )
    chart = Chart(
        "accuracy",
        "Texts attributed to their author",
        "bars",
        "accuracy",
        Axis("what", "what is attributed", "nominal"),
        Axis("share", "attributed to the author", share=True, bounds=(0, 1)),
        Axis("authors", "authors", "nominal"),
        "low",
        "high",
        count="texts",
    )
    return Finding(
        "style",
        "Writing styles",
        sentence,
        "P6, writing styles",
        taxonomy,
        control="Authors who are not in the training; authors permuted among texts; the author's own continuation.",
        tables=(
            Table("accuracy", "Texts attributed to their author", accuracy, ACCURACY_COLUMNS),
            Table("difference", "Authors in training beside others", difference, DIFFERENCE_COLUMNS),
        ),
        charts=(chart,),
        caveats=tuple(_caveats(accuracy, difference, result.facts)),
        deviations=("The survey names the question and no measure; classifier and statistics are our choice.",),
        headline=headline,
        sentence=sentence,
    )


def knows_styles(difference: pl.DataFrame) -> bool:
    """Whether continuations betray authors in training more often: the interval is above 0, and p below 0.05."""
    (row,) = difference.filter(what=GENERATION).to_dicts()
    return row["low"] is not None and row["low"] > 0 and row["p"] < _LEVEL


def _texts(accuracy: pl.DataFrame, difference: pl.DataFrame, facts: Mapping[str, Any]) -> tuple[str, str]:
    verb = "writes" if knows_styles(difference) else "does not write"
    (row,) = difference.filter(what=GENERATION).to_dicts()
    inside, outside = (_share(accuracy, GENERATION, group) for group in (IN, OUT))
    interval = "" if row["low"] is None else f" ({100 * row['low']:.0f} to {100 * row['high']:.0f})"
    return (
        f"{facts['model']} {verb} more like authors in its training",
        f"{100 * inside['share']:.0f} % of its continuations are attributed to authors in training, "
        f"{100 * outside['share']:.0f} % to others: {100 * row['difference']:+.0f} points{interval}, p = "
        f"{row['p']:.3f}.",
    )


def _share(accuracy: pl.DataFrame, what: str, authors: str) -> dict[str, Any]:
    return accuracy.filter(what=what, authors=authors).row(0, named=True)


def _caveats(accuracy: pl.DataFrame, difference: pl.DataFrame, facts: Mapping[str, Any]) -> Iterator[str]:
    (own,) = difference.filter(what=TRUTH).to_dicts()
    if own["low"] is None or not own["low"] <= 0 <= own["high"]:
        inside, outside = (_share(accuracy, TRUTH, group)["share"] for group in (IN, OUT))
        yield (
            f"Authors of both kinds are not as easy to tell by their own words ({100 * inside:.0f} and "
            f"{100 * outside:.0f} %): part of a difference may come from that."
        )
    for group in (IN, OUT):
        row = _share(accuracy, TRUTH, group)
        if row["low"] is not None and row["low"] <= row["permuted"]:
            yield f"Authors {group} are not told by their own words: their styles cannot be found in a model's."
    given = max(_share(accuracy, PROMPT, group)["share"] for group in (IN, OUT))
    yield (
        f"Beginnings alone are attributed rightly in up to {100 * given:.0f} % of texts: a model that stays with their "
        "topic and names betrays authors without knowing their style."
    )
    known, authors = facts["authors_in_training"], facts["authors_in_training"] + facts["authors_not_in_training"]
    ways = comb(authors, known)
    if ways * _LEVEL <= 1:
        yield (
            f"There are only {ways} ways to choose {known} of {authors} authors, so that p cannot fall below "
            f"{_LEVEL:g}; give texts of more authors."
        )
    if facts["too_short"]:
        yield f"{facts['too_short']:,} texts have fewer than {2 * facts['prompt_words']} words and were left out."
    if facts["empty"]:
        yield f"{facts['empty']:,} continuations have no characters and count as attributed to nobody."
    yield "Text that is recited has its author's style, too; score the texts to tell style from recitation."
