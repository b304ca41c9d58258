"""What a probe of layers shows: how firmly rows are recited, where they are decided, and which heads they need (K7)."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from mematlas.findings.finding import Finding, Table
from mematlas.literature.published import TABLES
from mematlas.probes.layers import charts
from mematlas.probes.layers.heads_tables import HEAD_COLUMNS, TOP_COLUMNS, head_drops, top_heads
from mematlas.probes.layers.trends import head_trends, noise_trends
from mematlas.probes.rows.estimates import INTERVAL, SCORE_INTERVAL, class_changes, class_means, class_scores
from mematlas.probes.rows.findings import (
    CLASS,
    NAMES,
    ROWS_CAVEAT,
    leading,
    probe_finding,
    probed_rows,
    with_class,
)
from mematlas.probes.rows.stages import ProbeResult

if TYPE_CHECKING:
    import polars as pl

_ROBUSTNESS_COLUMNS: Final = {
    "class": CLASS,
    "strength": "noise after the first block, relative to the norm of each state",
    "rows": "rows of the class",
    "share": "share of the continuation's tokens that are recited (M)",
    "share_lower": f"lower end of its {SCORE_INTERVAL}",
    "share_upper": "upper end of the same",
    "kept": "share over that without noise; null if that is 0",
}
_RECOVERY_COLUMNS: Final = {
    "class": CLASS,
    "strength": _ROBUSTNESS_COLUMNS["strength"],
    "layer": "block behind which states are compared, from 1",
    "rows": "rows of the class, the first 64 of corpus and control",
    "cosine": "mean cosine of the states with and without noise",
    "cosine_lower": f"lower end of its {INTERVAL}",
    "cosine_upper": "upper end of the same",
}
_LENS_COLUMNS: Final = {
    "class": CLASS,
    "layer": "layer whose states the output head reads; 0 is the embeddings, the last the model itself",
    "rows": "rows of the class",
    "share": "share of the continuation's tokens that are the most probable ones there",
    "share_lower": f"lower end of its {SCORE_INTERVAL}",
    "share_upper": "upper end of the same",
    "log_probability": "mean of the true token there, in nats",
    "rank": "median over rows of the median number of tokens with a higher logit",
    "entropy": "mean entropy of the distribution over tokens there, in nats",
    "entropy_lower": f"lower end of its {INTERVAL}",
    "entropy_upper": "upper end of the same",
}


def layer_findings(result: ProbeResult) -> list[Finding]:
    """A finding for each look of a finished probe, in order."""
    rows = probed_rows(result)
    makers: Mapping[str, Callable[[ProbeResult, pl.DataFrame], Finding]] = {
        "noise": _robustness,
        "lens": _lens,
        "heads": _heads,
    }
    return [make(result, rows) for look, make in makers.items() if look in result.facts["looks"]]


# --------------------------------------------------------------------------------------------------------------- noise


def _robustness(result: ProbeResult, rows: "pl.DataFrame") -> Finding:
    import polars as pl

    length = result.facts["continuation"]
    noise, recovery = (with_class(result.table(name), rows) for name in ("noise", "recovery"))
    by_row = noise.group_by("row", "control", "class", "cluster", "strength", maintain_order=True).agg(
        pl.col("matches").mean()
    )
    by_row = by_row.with_columns(share=pl.col("matches") / length)
    robustness = class_scores(by_row, "share", ["strength"])
    clean = robustness.filter(strength=0.0).select("class", of_clean="share")
    robustness = robustness.join(clean, on="class", maintain_order="left").with_columns(
        kept=pl.when(pl.col("of_clean") > 0).then(pl.col("share") / pl.col("of_clean"))
    )
    states = class_changes(recovery, "cosine", ["strength", "layer"])
    states = states.filter(pl.col("strength") > 0)
    tables = (
        Table("robustness", "Tokens recited under noise", robustness.select(*_ROBUSTNESS_COLUMNS), _ROBUSTNESS_COLUMNS),
        Table("recovery", "States with and without noise", states.select(*_RECOVERY_COLUMNS), _RECOVERY_COLUMNS),
    )
    texts = _robustness_texts(robustness)
    trends = noise_trends(noise, recovery, length)
    parts = {"tables": tables, "charts": charts.ROBUSTNESS, "caveats": (ROWS_CAVEAT,), "trends": trends}
    return probe_finding(result, "robustness", "Robustness to noise", texts, "K7", **parts)


def _robustness_texts(robustness: "pl.DataFrame") -> tuple[str, str]:
    first_class = leading(robustness)
    own = robustness.filter(**{"class": first_class}).sort("strength")
    clean, noisy = own.row(0, named=True), own.row(-1, named=True)
    half = next((r for r in own.iter_rows(named=True) if r["kept"] is not None and r["kept"] < 0.5), None)
    name = NAMES[first_class]
    headline = (
        f"{name} lose half their tokens at noise {half['strength']:g}"
        if half
        else f"{name} keep {100 * (noisy['kept'] or 0):.0f} % of their tokens at noise {noisy['strength']:g}"
    )
    sentence = (
        f"{name} ({clean['rows']}): {100 * clean['share']:.0f} % of tokens without noise, "
        f"{100 * noisy['share']:.0f} % at {noisy['strength']:g}."
    )
    return headline, sentence


# ---------------------------------------------------------------------------------------------------------------- lens


def _lens(result: ProbeResult, rows: "pl.DataFrame") -> Finding:
    import polars as pl

    by_row = (
        result.table("lens")
        .group_by("row", "control", "layer", maintain_order=True)
        .agg(
            share=pl.col("hit").mean(),
            log_probability=pl.col("log_probability").mean().cast(pl.Float64),
            entropy=pl.col("entropy").mean().cast(pl.Float64),
            rank=pl.col("rank").median(),
        )
    )
    named = with_class(by_row, rows)
    shares, entropies = class_scores(named, "share", ["layer"]), class_means(named, "entropy", ["layer"])
    keys = ["class", "layer"]
    others = named.group_by(keys).agg(pl.col("log_probability").mean(), pl.col("rank").median())
    others = others.with_columns(pl.col("class").cast(shares.schema["class"]))
    lens = shares.join(entropies.drop("rows"), on=keys, maintain_order="left").join(
        others, on=keys, maintain_order="left"
    )
    table = Table("lens", "What each layer would say", lens.select(*_LENS_COLUMNS), _LENS_COLUMNS)
    tuned = result.facts.get("lens")
    reads = (
        f"The maps of {tuned} were fitted to text: they may add what a layer does not say by itself."
        if tuned
        else "The head was trained for the last layer's states: an earlier layer may know what this lens does not read."
    )
    caveats = (reads, ROWS_CAVEAT)
    parts = {"tables": (table,), "charts": charts.LENS, "caveats": caveats}
    title, source = ("Tuned lens", "Belrose et al. 2023") if tuned else ("Logit lens", "K7")
    return probe_finding(result, "lens", title, _lens_texts(lens), source, **parts)


def _lens_texts(lens: "pl.DataFrame") -> tuple[str, str]:
    first_class = leading(lens)
    own = lens.filter(**{"class": first_class}).sort("layer").to_dicts()
    last = own[-1]
    half = next(record for record in own if record["share"] >= last["share"] / 2)
    headline = f"{NAMES[first_class]}: half of the right tokens stand at layer {half['layer']} of {last['layer']}"
    before = own[-2] if len(own) > 1 else last
    sentence = (
        f"{NAMES[first_class]}: {100 * before['share']:.0f} % of tokens are right before the last block, "
        f"{100 * last['share']:.0f} % after it."
    )
    return headline, sentence


# --------------------------------------------------------------------------------------------------------------- heads


def _heads(result: ProbeResult, rows: "pl.DataFrame") -> Finding:
    drops = head_drops(with_class(result.table("heads"), rows), result.facts["continuation"])
    top = top_heads(drops)
    first_class = leading(drops)
    most = drops.filter(**{"class": first_class}).sort("drop", descending=True, maintain_order=True).row(0, named=True)
    name, points = NAMES[first_class].lower(), 100 * most["drop"]
    if points > 0:
        headline = f"The head that {name} need most costs {points:.1f} points"
        sentence = f"Without head {most['head']} of layer {most['layer']}, {points:.1f} % of the tokens are lost."
    else:
        headline, sentence = f"No single head costs {name} a token", "Each head was switched off alone."
    if len(top):
        first = top.row(0, named=True)
        overlap = f"{first['jaccard']:.2f}, random sets by {first['expected']:.2f}"
        sentence += f" The top heads of {first['first']} and {first['second']} rows overlap by {overlap}."
    tables = [Table("heads", "Tokens lost without each head", drops.select(*HEAD_COLUMNS), HEAD_COLUMNS)]
    if len(top):
        tables.append(Table("top", "Heads that two classes need most", top, TOP_COLUMNS))
    tables.append(_published_heads())
    caveats = (
        "Heads are switched off one at a time: two that do the same work hide each other.",
        "Tokens are predicted from the true ones before them, so that a missed one does not spoil those after it.",
    )
    parts = {"tables": tuple(tables), "charts": charts.HEADS, "caveats": caveats, "trends": head_trends(top)}
    return probe_finding(result, "heads", "Attention heads", (headline, sentence), "K7", **parts)


def _published_heads() -> Table:
    """What K7 has of other models, of domains instead of classes."""
    import polars as pl

    published = TABLES["head-overlap"]
    frame = pl.DataFrame(published.lines, [name for name, _ in published.columns], orient="row")
    return Table("published", f"{published.title} ({published.source})", frame, dict(published.columns))
