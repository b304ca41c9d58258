"""The finding on prompts with tokens replaced, taken out or moved (K8)."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mematlas.findings.finding import Finding, Table
from mematlas.probes.prompts import charts
from mematlas.probes.rows.estimates import INTERVAL, SCORE_INTERVAL, class_changes, class_means, class_scores
from mematlas.probes.rows.findings import CLASS, NAMES, ROWS_CAVEAT, leading, probe_finding, probed_rows, with_class
from mematlas.probes.rows.stages import ProbeResult
from mematlas.stats.estimates.contrasts import stratified_difference

if TYPE_CHECKING:
    import polars as pl

_CHANGE: Final = "what was done to tokens of the prompt: substitute, delete, swap, shuffle"
_PART: Final = "where: in the whole prompt, its far half, or the near half, next to the continuation"
_STRENGTH: Final = "share of the prompt's tokens that are changed"
_DROP: Final = "mean fall of M from the unchanged prompt"
_STRENGTHS_COLUMNS: Final = {
    "class": CLASS,
    "change": _CHANGE,
    "part": _PART,
    "strength": _STRENGTH,
    "rows": "rows of the class",
    "displacement": "mean distance of tokens from their places, over the prompt's length",
    "share": "share of the continuation's tokens that are recited (M)",
    "share_lower": f"lower end of its {SCORE_INTERVAL}",
    "share_upper": "upper end of the same",
    "drop": _DROP,
    "drop_lower": f"lower end of its {INTERVAL}",
    "drop_upper": "upper end of the same",
}
_HALVES_COLUMNS: Final = {
    "class": CLASS,
    "change": _CHANGE,
    "strength": _STRENGTH,
    "rows": "rows of the class",
    "difference": "drop by changes of the near half less the drop by changes of the far half, mean over rows",
    "difference_lower": f"lower end of its {INTERVAL}",
    "difference_upper": "upper end of the same",
}
_GAPS_COLUMNS: Final = {
    "change": _CHANGE,
    "strength": _STRENGTH,
    "beside": "rows that recited ones are compared with: other or control",
    "recited": "recited rows",
    "compared": "rows beside them",
    "gap": "drop of recited rows less that of the others, with changes in the whole prompt",
    "gap_lower": "lower end of its 95 % interval (Welch, rows that share 13 tokens being one)",
    "gap_upper": "upper end of the same",
}
_REDUNDANCY_COLUMNS: Final = {
    "class": CLASS,
    "change": f"{_CHANGE}; in the whole prompt, at the highest strength",
    "redundant": "whether the prompt's redundancy is above the median of its class",
    "rows": "rows of the class",
    "redundancy": "mean of 1 - distinct pairs of neighbouring tokens over all of the prompt",
    "drop": _DROP,
    "drop_lower": f"lower end of its {INTERVAL}",
    "drop_upper": "upper end of the same",
}


def perturbation_finding(result: ProbeResult) -> Finding:
    """What recited rows lose when their prompts are changed."""
    by_row = _drops(result)
    strengths = _strengths(by_row)
    redundancy = _by_redundancy(by_row, result.table("redundancy"))
    tables = (
        Table("strengths", "Tokens recited after changed prompts", strengths, _STRENGTHS_COLUMNS),
        Table("halves", "Near against far half of the prompt", _halves(by_row), _HALVES_COLUMNS),
        Table("gaps", "Recited rows against others", _gaps(by_row), _GAPS_COLUMNS),
        Table("redundancy", "Rows of redundant prompts and others", redundancy, _REDUNDANCY_COLUMNS),
    )
    drawn = [charts.STRENGTHS] if "whole" in result.facts["parts"] else []
    if {"far", "near"} <= set(result.facts["parts"]):
        drawn.append(charts.halves_chart(leading(strengths)))
    caveats = (
        ROWS_CAVEAT,
        "Substitutes are about as frequent as the tokens they replace, but need not make sense in their places.",
        "Formulas of the source are not published; its abstract gives both directions for redundancy. These are ours.",
    )
    parts: dict[str, Any] = {"tables": tables, "charts": tuple(drawn), "caveats": caveats}
    return probe_finding(result, "perturbation", "Changed prompts", _texts(strengths), "K8", **parts)


def _drops(result: ProbeResult) -> "pl.DataFrame":
    """row, control, class, cluster, change, part, strength, displacement, share and drop; means over draws."""
    import polars as pl

    length = result.facts["continuation"]
    clean = result.table("rows").select("row", "control", clean=pl.col("matches") / length)
    keys = ["row", "control", "change", "part", "strength"]
    means = result.table("perturbed").group_by(keys, maintain_order=True).agg(pl.col("displacement", "matches").mean())
    joined = means.join(clean, on=["row", "control"], maintain_order="left")
    drops = joined.with_columns(share=pl.col("matches") / length).with_columns(drop=pl.col("clean") - pl.col("share"))
    return with_class(drops.drop("matches", "clean"), probed_rows(result))


def _strengths(by_row: "pl.DataFrame") -> "pl.DataFrame":
    import polars as pl

    by = ["change", "part", "strength"]
    shares, drops = class_scores(by_row, "share", by), class_changes(by_row, "drop", by)
    moved = by_row.group_by("class", *by).agg(pl.col("displacement").mean())
    moved = moved.with_columns(pl.col("class").cast(shares.schema["class"]))
    keys = ["class", *by]
    joined = shares.join(drops.drop("rows"), on=keys, maintain_order="left")
    return joined.join(moved, on=keys, maintain_order="left").select(*_STRENGTHS_COLUMNS)


def _halves(by_row: "pl.DataFrame") -> "pl.DataFrame":
    """Row by row, so that what a row is does not count."""
    import polars as pl

    keys = ["row", "control", "class", "cluster", "change", "strength"]
    near, far = (by_row.filter(part=part).select(*keys, **{part: "drop"}) for part in ("near", "far"))
    paired = near.join(far, on=keys, maintain_order="left").filter(pl.col("strength") > 0)
    differences = paired.with_columns(difference=pl.col("near") - pl.col("far"))
    return class_means(differences, "difference", ["change", "strength"]).select(*_HALVES_COLUMNS)


def _gaps(by_row: "pl.DataFrame") -> "pl.DataFrame":
    import polars as pl

    whole = by_row.filter(pl.col("part") == "whole", pl.col("strength") > 0).drop_nulls("drop")
    types = {"change": pl.String, "beside": pl.String, "recited": pl.Int64, "compared": pl.Int64}
    schema = {name: types.get(name, pl.Float64) for name in _GAPS_COLUMNS}
    return pl.DataFrame(list(_gap_records(whole)), schema=schema).with_columns(pl.col(pl.Float64).fill_nan(None))


def _gap_records(whole: "pl.DataFrame") -> Iterator[dict[str, Any]]:
    import polars as pl

    for (change, strength), group in whole.group_by("change", "strength", maintain_order=True):
        for beside in ("other", "control"):
            both = group.filter(pl.col("class").is_in(["recited", beside]))
            member = (both["class"] == "recited").to_numpy()
            if member.all() or not member.any():
                continue
            values = both["drop"].to_numpy()[:, None]
            gap = stratified_difference(values, member, clusters=both["cluster"].to_numpy())
            yield {
                "change": change,
                "strength": strength,
                "beside": beside,
                "recited": int(member.sum()),
                "compared": int((~member).sum()),
                "gap": float(gap.estimate[0]),
                "gap_lower": float(gap.lower[0]),
                "gap_upper": float(gap.upper[0]),
            }


def _by_redundancy(by_row: "pl.DataFrame", redundancy: "pl.DataFrame") -> "pl.DataFrame":
    """Rows above and up to the median redundancy of their class."""
    import polars as pl

    whole = by_row.filter(pl.col("part") == "whole").drop_nulls("drop")
    strongest = whole.filter(pl.col("strength") == pl.col("strength").max().over("change"))
    known = strongest.join(redundancy, on=["row", "control"], maintain_order="left").drop_nulls("redundancy")
    split = known.with_columns(redundant=pl.col("redundancy") > pl.col("redundancy").median().over("class", "change"))
    by = ["change", "redundant"]
    drops = class_changes(split, "drop", by)
    levels = class_means(split, "redundancy", by).select("class", *by, "redundancy")
    return drops.join(levels, on=["class", *by], maintain_order="left").select(*_REDUNDANCY_COLUMNS)


def _texts(strengths: "pl.DataFrame") -> tuple[str, str]:
    """About the change that costs most at the highest strength, in the whole prompt if that was changed."""
    import polars as pl

    part = "whole" if "whole" in strengths["part"] else strengths["part"][0]
    name = leading(strengths)
    own = strengths.filter(pl.col("class") == name, pl.col("part") == part)
    highest = own.filter(pl.col("strength") == pl.col("strength").max().over("change"))
    most = highest.sort("drop", descending=True, maintain_order=True).row(0, named=True)
    least = highest.sort("drop", maintain_order=True).row(0, named=True)
    headline = f"{NAMES[name]} lose most by {_NOUNS[most['change']]}: {_points(most['drop'])} of 100 tokens"
    sentence = (
        f"With {100 * most['strength']:g} % changed, {_points(most['share'])} of 100 tokens are recited after "
        f"{_NOUNS[most['change']]}"
    )
    if least["change"] != most["change"]:
        sentence += f", {_points(least['share'])} after {_NOUNS[least['change']]}"
    return headline, f"{sentence}."


_NOUNS: Final = {
    "substitute": "substitution",
    "delete": "deletion",
    "swap": "swapped pairs",
    "shuffle": "shuffling",
}


def _points(share: float) -> str:
    return f"{np.round(100 * share):.0f}"
