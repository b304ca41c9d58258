"""The finding on the shortest end of a prompt after which a row is recited (K7)."""

from typing import TYPE_CHECKING, Any, Final

from mematlas.findings.finding import Finding, Table
from mematlas.probes.prompts import charts
from mematlas.probes.rows.estimates import SCORE_INTERVAL, class_medians, class_scores, class_shares
from mematlas.probes.rows.findings import CLASS, probe_finding, probed_rows, with_class
from mematlas.probes.rows.stages import ProbeResult
from mematlas.stats.estimates.clustered import INTERVAL as SHARE_INTERVAL

if TYPE_CHECKING:
    import polars as pl

_BINS: Final = 10
_SUMMARY_COLUMNS: Final = {
    "class": CLASS,
    "rows": "rows of the class that are recited whole after some end of the prompt",
    "first": "median of the fewest last tokens of the prompt that recite",
    "first_lower": "lower end of its 95 % interval (order statistics, rows that share 13 tokens being one)",
    "first_upper": "upper end of the same",
    "ratio": "mean of these tokens over those of the prompt",
    "ratio_lower": f"lower end of its {SCORE_INTERVAL}",
    "ratio_upper": "upper end of the same",
    "uneven": "share of these rows of which a longer end does not recite where a shorter one does",
    "uneven_lower": f"lower end of its interval ({SHARE_INTERVAL})",
    "uneven_upper": "upper end of the same",
}
_RATIO_COLUMNS: Final = {
    "needed": "tokens needed over those of the prompt, in tenths: above the first number, at most the second",
    "measure": "first: fewest tokens that recite; stable: fewest from which on all longer ends do",
    "rows": "recited rows for which it is known",
    "share": "share of them",
    "share_lower": f"lower end of its interval ({SHARE_INTERVAL})",
    "share_upper": "upper end of the same",
}
_LENGTHS_COLUMNS: Final = {
    "class": CLASS,
    "tokens": "last tokens of the prompt that are given",
    "rows": "rows of the class",
    "share": "share of the rows whose whole continuation is recited",
    "share_lower": f"lower end of its interval ({SHARE_INTERVAL})",
    "share_upper": "upper end of the same",
}


def shortest_finding(result: ProbeResult) -> Finding:
    """How much of their prompts recited rows need."""
    records = with_class(result.table("shortest"), probed_rows(result))
    context = result.facts["context"]
    summary, lengths = _summary(records), _lengths(records)
    ratio = _ratios(records, context)
    tables = (
        Table("shortest", "Shortest ends that recite", summary, _SUMMARY_COLUMNS),
        Table("ratio", "Share of the prompt that recited rows need", ratio, _RATIO_COLUMNS),
        Table("lengths", "Rows recited whole, by tokens of the prompt", lengths, _LENGTHS_COLUMNS),
    )
    caveats = (
        "Every length was tried: longer prompts need not recite where shorter ones do, so that halving would be wrong.",
        "A row that is recited after few tokens may be common text; the probe of its prior tells.",
    )
    drawn = tuple(chart for chart in charts.SHORTEST if chart.table != "ratio" or len(ratio))
    parts: dict[str, Any] = {"tables": tables, "charts": drawn, "caveats": caveats}
    return probe_finding(result, "shortest", "Shortest context", _texts(summary, context), "K7", **parts)


def _summary(records: "pl.DataFrame") -> "pl.DataFrame":
    import polars as pl

    known = records.filter(pl.col("first").is_not_null())
    uneven = (pl.col("first") != pl.col("stable")).fill_null(value=True)
    known = known.with_columns(pl.col("first").cast(pl.Float64), uneven=uneven)
    parts = [class_medians(known, "first"), class_scores(known, "ratio", []), class_shares(known, "uneven", [])]
    joined = parts[0]
    for part in parts[1:]:
        joined = joined.join(part.drop("rows"), on="class", maintain_order="left")
    return joined.select(*_SUMMARY_COLUMNS)


def _ratios(records: "pl.DataFrame", context: int) -> "pl.DataFrame":
    """The histogram of recited rows, in tenths of the prompt."""
    import polars as pl

    recited = records.filter(pl.col("class") == "recited")
    names = [f"{number / _BINS:.1f} to {(number + 1) / _BINS:.1f}" for number in range(_BINS)]
    parts = []
    for measure in ("first", "stable"):
        known = recited.drop_nulls(measure)
        # of whole numbers, so that a tenth is never missed by rounding: ceil(10 k / C) - 1
        tenth = (known[measure].to_numpy() * _BINS + context - 1) // context - 1
        for number, name in enumerate(names):
            marked = known.with_columns(share=pl.Series(tenth == number, dtype=pl.Boolean), needed=pl.lit(name))
            parts.append(class_shares(marked.with_columns(measure=pl.lit(measure)), "share", ["needed", "measure"]))
    return pl.concat(parts).sort("needed", "measure").select(*_RATIO_COLUMNS)


def _lengths(records: "pl.DataFrame") -> "pl.DataFrame":
    import polars as pl

    by_length = records.select(
        "class", "cluster", share="recited", tokens=pl.int_ranges(1, pl.col("recited").list.len() + 1)
    ).explode("share", "tokens")
    return class_shares(by_length, "share", ["tokens"]).select(*_LENGTHS_COLUMNS)


def _texts(summary: "pl.DataFrame", context: int) -> tuple[str, str]:
    import polars as pl

    recited = summary.filter(pl.col("class") == "recited")
    if recited.is_empty():
        return "No row is recited after the whole prompt", f"No row was recited whole after {context} tokens."
    of = recited.row(0, named=True)
    headline = f"Recited rows need {of['first']:g} of {context} tokens of their prompts"
    sentence = (
        f"Half of {of['rows']} recited rows need at most {of['first']:g} tokens; {100 * of['uneven']:.0f} % fail "
        "after some longer prompt."
    )
    return headline, sentence
