"""What a probe of layers shows: how firmly rows are recited, where they are decided, and which heads they need (K7)."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from mematlas.findings.finding import Finding, Table, Taxonomy
from mematlas.probes.layers import charts
from mematlas.probes.layers.heads_tables import HEAD_COLUMNS, TOP_COLUMNS, head_drops, top_heads
from mematlas.probes.rows.estimates import INTERVAL, class_means
from mematlas.probes.rows.stages import ProbeResult

if TYPE_CHECKING:
    import polars as pl

_CLASS: Final = "rows recited whole without an intervention (recited), other rows of the corpus, rows of the control"
_ROWS_CAVEAT: Final = (
    "Recited rows are chosen for having no miss, so that they can only fall; read their fall beside that of others."
)


_ROBUSTNESS_COLUMNS: Final = {
    "class": _CLASS,
    "strength": "noise after the first block, relative to the norm of each state",
    "rows": "rows of the class",
    "share": "share of the continuation's tokens that are recited (M)",
    "share_lower": f"lower end of its {INTERVAL}",
    "share_upper": "upper end of the same",
    "kept": "share over that without noise; null if that is 0",
}
_RECOVERY_COLUMNS: Final = {
    "class": _CLASS,
    "strength": _ROBUSTNESS_COLUMNS["strength"],
    "layer": "block behind which states are compared, from 1",
    "rows": "rows of the class, the first 64 of corpus and control",
    "cosine": "mean cosine of the states with and without noise",
    "cosine_lower": f"lower end of its {INTERVAL}",
    "cosine_upper": "upper end of the same",
}
_LENS_COLUMNS: Final = {
    "class": _CLASS,
    "layer": "layer whose states the output head reads; 0 is the embeddings, the last the model itself",
    "rows": "rows of the class",
    "share": "share of the continuation's tokens that are the most probable ones there",
    "share_lower": f"lower end of its {INTERVAL}",
    "share_upper": "upper end of the same",
    "log_probability": "mean of the true token there, in nats",
    "rank": "median over rows of the median number of tokens with a higher logit",
    "entropy": "mean entropy of the distribution over tokens there, in nats",
    "entropy_lower": f"lower end of its {INTERVAL}",
    "entropy_upper": "upper end of the same",
}


def layer_findings(result: ProbeResult) -> list[Finding]:
    """A finding for each look of a finished probe, in order."""
    rows = result.table("rows").select("row", "control", "class", "cluster")
    makers: Mapping[str, Callable[[ProbeResult, pl.DataFrame], Finding]] = {
        "noise": _robustness,
        "lens": _lens,
        "heads": _heads,
    }
    return [make(result, rows) for look, make in makers.items() if look in result.facts["looks"]]


def _with_class(records: "pl.DataFrame", rows: "pl.DataFrame") -> "pl.DataFrame":
    return records.join(rows, on=["row", "control"], maintain_order="left")


def _finding(result: ProbeResult, name: str, title: str, texts: tuple[str, str], **parts: Any) -> Finding:
    """A finding with what all of a probe share; texts: headline and sentence."""
    facts = result.facts
    control = None if facts["control"] is None else f"The same rows' classes beside rows of {facts['control']}."
    taxonomy = Taxonomy(k=(facts["context"],), content="the probed rows")
    return Finding(
        name, title, texts[1], "K7", taxonomy, control=control, headline=texts[0], sentence=texts[1], **parts
    )


def _leading(frame: "pl.DataFrame") -> str:
    """The class that sentences are about: recited rows if there are any."""
    present = frame["class"].unique().to_list()
    return next(name for name in ("recited", "other", "control") if name in present)


# --------------------------------------------------------------------------------------------------------------- noise


def _robustness(result: ProbeResult, rows: "pl.DataFrame") -> Finding:
    import polars as pl

    length = result.facts["continuation"]
    by_row = (
        result.table("noise").group_by("row", "control", "strength", maintain_order=True).agg(pl.col("matches").mean())
    )
    by_row = by_row.with_columns(share=pl.col("matches") / length)
    robustness = class_means(_with_class(by_row, rows), "share", ["strength"])
    clean = robustness.filter(strength=0.0).select("class", of_clean="share")
    robustness = robustness.join(clean, on="class", maintain_order="left").with_columns(
        kept=pl.when(pl.col("of_clean") > 0).then(pl.col("share") / pl.col("of_clean"))
    )
    states = class_means(_with_class(result.table("recovery"), rows), "cosine", ["strength", "layer"])
    states = states.filter(pl.col("strength") > 0)
    tables = (
        Table("robustness", "Tokens recited under noise", robustness.select(*_ROBUSTNESS_COLUMNS), _ROBUSTNESS_COLUMNS),
        Table("recovery", "States with and without noise", states.select(*_RECOVERY_COLUMNS), _RECOVERY_COLUMNS),
    )
    texts = _robustness_texts(robustness)
    parts = {"tables": tables, "charts": charts.ROBUSTNESS, "caveats": (_ROWS_CAVEAT,)}
    return _finding(result, "robustness", "Robustness to noise", texts, **parts)


def _robustness_texts(robustness: "pl.DataFrame") -> tuple[str, str]:
    leading = _leading(robustness)
    own = robustness.filter(**{"class": leading}).sort("strength")
    clean, noisy = own.row(0, named=True), own.row(-1, named=True)
    half = next((r for r in own.iter_rows(named=True) if r["kept"] is not None and r["kept"] < 0.5), None)
    headline = (
        f"{_NAMES[leading]} lose half their tokens at noise {half['strength']:g}"
        if half
        else f"{_NAMES[leading]} keep {100 * (noisy['kept'] or 0):.0f} % of their tokens at noise {noisy['strength']:g}"
    )
    sentence = (
        f"{_NAMES[leading]} ({clean['rows']}): {100 * clean['share']:.0f} % of tokens without noise, "
        f"{100 * noisy['share']:.0f} % at {noisy['strength']:g}."
    )
    return headline, sentence


_NAMES: Final = {"recited": "Recited rows", "other": "Rows not recited", "control": "Control rows"}


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
    named = _with_class(by_row, rows)
    shares, entropies = (class_means(named, name, ["layer"]) for name in ("share", "entropy"))
    keys = ["class", "layer"]
    others = named.group_by(keys).agg(pl.col("log_probability").mean(), pl.col("rank").median())
    others = others.with_columns(pl.col("class").cast(shares.schema["class"]))
    lens = shares.join(entropies.drop("rows"), on=keys, maintain_order="left").join(
        others, on=keys, maintain_order="left"
    )
    table = Table("lens", "What each layer would say", lens.select(*_LENS_COLUMNS), _LENS_COLUMNS)
    caveats = (
        "The head was trained for the last layer's states: an earlier layer may know what this lens does not read.",
        _ROWS_CAVEAT,
    )
    parts = {"tables": (table,), "charts": charts.LENS, "caveats": caveats}
    return _finding(result, "lens", "Logit lens", _lens_texts(lens), **parts)


def _lens_texts(lens: "pl.DataFrame") -> tuple[str, str]:
    leading = _leading(lens)
    own = lens.filter(**{"class": leading}).sort("layer").to_dicts()
    last = own[-1]
    half = next(record for record in own if record["share"] >= last["share"] / 2)
    headline = f"{_NAMES[leading]}: half of the right tokens stand at layer {half['layer']} of {last['layer']}"
    before = own[-2] if len(own) > 1 else last
    sentence = (
        f"{_NAMES[leading]}: {100 * before['share']:.0f} % of tokens are right before the last block, "
        f"{100 * last['share']:.0f} % after it."
    )
    return headline, sentence


# --------------------------------------------------------------------------------------------------------------- heads


def _heads(result: ProbeResult, rows: "pl.DataFrame") -> Finding:
    drops = head_drops(_with_class(result.table("heads"), rows), result.facts["continuation"])
    top = top_heads(drops)
    leading = _leading(drops)
    most = drops.filter(**{"class": leading}).sort("drop", descending=True, maintain_order=True).row(0, named=True)
    headline = f"The head that {_NAMES[leading].lower()} need most costs {100 * most['drop']:.1f} points"
    sentence = (
        f"Without head {most['head']} of layer {most['layer']}, {100 * most['drop']:.1f} % of the tokens are lost."
    )
    if len(top):
        first = top.row(0, named=True)
        sentence += f" The top heads of {first['first']} and {first['second']} rows overlap by {first['jaccard']:.2f}."
    tables = [Table("heads", "Tokens lost without each head", drops.select(*HEAD_COLUMNS), HEAD_COLUMNS)]
    if len(top):
        tables.append(Table("top", "Heads that two classes need most", top, TOP_COLUMNS))
    caveats = (
        "Heads are switched off one at a time: two that do the same work hide each other.",
        "Tokens are predicted from the true ones before them, so that a missed one does not spoil those after it.",
    )
    parts = {"tables": tuple(tables), "charts": charts.HEADS, "caveats": caveats}
    return _finding(result, "heads", "Attention heads", (headline, sentence), **parts)
