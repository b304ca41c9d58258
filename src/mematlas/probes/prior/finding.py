"""What a probe of the prior shows: which extractable rows are memorized, and which are generic (K10)."""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from mematlas.findings.finding import Finding, Table
from mematlas.probes.prior import charts
from mematlas.probes.prior.verdicts import (
    OF_CONTROL,
    OF_USER,
    THRESHOLDS_COLUMNS,
    VERDICTS_COLUMNS,
    judged,
    thresholds,
    verdicts,
)
from mematlas.probes.rows.estimates import class_medians, class_shares
from mematlas.probes.rows.findings import CLASS, probe_finding, probed_rows, with_class
from mematlas.stats.estimates.clustered import INTERVAL as SHARE_INTERVAL
from mematlas.stats.prior_ratio import FEWEST_EFFECTIVE

if TYPE_CHECKING:
    from mematlas.probes.rows.stages import ProbeResult

_BINS: Final = 24
_UNKNOWN: Final = "no threshold"
SHUFFLED: Final = "shuffled prompts"
_MEDIAN_INTERVAL: Final = "95 % interval (order statistics, rows that share 13 tokens being one)"
_RATIOS_COLUMNS: Final = {
    "class": CLASS,
    "rows": "rows with a ratio",
    "log_ratio": "median of r = log P(s|p) - log v, in nats",
    "log_ratio_lower": f"lower end of its {_MEDIAN_INTERVAL}",
    "log_ratio_upper": "upper end of the same",
    "mean_log_ratio": "median of the same with logs averaged over prompts instead, at least r",
    "mean_log_ratio_lower": f"lower end of its {_MEDIAN_INTERVAL}",
    "mean_log_ratio_upper": "upper end of the same",
    "shuffled_log_ratio": "median of r with the prompt of another row in place of the own one, a control",
    "shuffled_log_ratio_lower": f"lower end of its {_MEDIAN_INTERVAL}",
    "shuffled_log_ratio_upper": "upper end of the same",
    "carried": "share of rows whose mean is carried by less than 2 prompts, and whose r has no interval",
    "carried_lower": f"lower end of its interval ({SHARE_INTERVAL})",
    "carried_upper": "upper end of the same",
}
_ROWS_COLUMNS: Final = {
    "row": "id of the row in its corpus",
    "class": CLASS,
    "log_probability": "log P(s|p), in nats",
    "log_prior": "log v, in nats",
    "log_ratio": "r, in nats",
    "verdict": "memorized, generic or not extractable, by the control's threshold, or by --ratio without one",
}
_HISTOGRAM_COLUMNS: Final = {
    "kind": f"class of rows; {SHUFFLED}: all rows, with the prompt of another row in place of the own one",
    "log_ratio": "middle of the bin of r, in nats",
    "rows": "rows of the kind",
    "share": "share of them in the bin",
}


def prior_findings(result: "ProbeResult") -> list[Finding]:
    """The finding of a finished probe."""
    facts = result.facts
    rows = with_class(result.table("prior"), probed_rows(result))
    found = thresholds(rows, facts["ratio"])
    counted = verdicts(rows, facts["probability"], found)
    known = found.drop_nulls("log_ratio")
    judged_rows = (
        judged(rows, facts["probability"], known["log_ratio"][0])
        if len(known)
        else rows.drop_nulls("log_ratio").with_columns(verdict=pl.lit(_UNKNOWN))
    )
    tables = [
        Table("verdicts", "Extractable rows, memorized or generic", counted, VERDICTS_COLUMNS),
        Table("thresholds", "Ratios above which rows count as memorized", found, THRESHOLDS_COLUMNS),
        Table("ratios", "Ratios by class of rows", _ratios(rows), _RATIOS_COLUMNS),
        Table("rows", "Every row", judged_rows.select(*_ROWS_COLUMNS), _ROWS_COLUMNS),
        Table("histogram", "Rows by ratio", _histogram(rows), _HISTOGRAM_COLUMNS),
    ]
    caveats = (
        "A high ratio alone proves nothing: text of another kind than its corpus has one, too. Both conditions count.",
        "The control must be of the same kind as the corpus, as its rows set the threshold.",
        "Few prompts carry the mean probability, so that r falls as prompts are added; compare equal numbers alone.",
    )
    missing = None if len(known) else "No ratio divides memorized from generic rows; name a --control, or give --ratio."
    parts: dict[str, Any] = {"tables": tuple(tables), "charts": charts.PRIOR if len(judged_rows) else ()}
    parts |= {"caveats": caveats if missing is None else (missing, *caveats), "missing": missing}
    return [probe_finding(result, "prior", "Prior", _texts(rows, counted, known, facts), "K10", **parts)]


def _ratios(rows: pl.DataFrame) -> pl.DataFrame:
    columns = ("log_ratio", "mean_log_ratio", "shuffled_log_ratio")
    carried = rows.with_columns(carried=pl.col("effective") < FEWEST_EFFECTIVE)
    joined = class_medians(rows, columns[0])
    for part in (*(class_medians(rows, name) for name in columns[1:]), class_shares(carried, "carried", [])):
        joined = joined.join(part.drop("rows"), on="class", how="left", maintain_order="left")
    return joined.select(*_RATIOS_COLUMNS)


def _histogram(rows: pl.DataFrame) -> pl.DataFrame:
    """Shares of rows in equal bins, over all kinds."""
    kinds = {
        str(key): group["log_ratio"].drop_nulls().to_numpy()
        for (key,), group in rows.group_by("class", maintain_order=True)
    }
    kinds[SHUFFLED] = rows["shuffled_log_ratio"].drop_nulls().to_numpy()
    kinds = {kind: values for kind, values in kinds.items() if len(values)}
    schema = {"kind": pl.String, "log_ratio": pl.Float64, "rows": pl.Int64, "share": pl.Float64}
    if not kinds:
        return pl.DataFrame(schema=schema)
    edges = np.histogram_bin_edges(np.concatenate(list(kinds.values())), _BINS)
    middles = (edges[:-1] + edges[1:]) / 2
    return pl.DataFrame(
        [
            (kind, float(middle), len(values), count / len(values))
            for kind, values in kinds.items()
            for middle, count in zip(middles, np.histogram(values, edges)[0].tolist(), strict=True)
        ],
        schema=schema,
        orient="row",
    )


def _texts(rows: pl.DataFrame, counted: pl.DataFrame, known: pl.DataFrame, facts: dict[str, Any]) -> tuple[str, str]:
    corpus = rows.filter(pl.col("class") != "control")
    extractable = int((corpus["log_probability"] > np.log(facts["probability"])).sum())
    medians = dict(rows.group_by("class").agg(pl.col("log_ratio").median()).iter_rows())
    told = [f"{medians[name]:.1f} for {_WHOSE[name]}" for name in _WHOSE if medians.get(name) is not None]
    middle = f"median r is {', '.join(told)}" if told else "no row has a ratio"
    if not extractable:
        return "No row of the corpus is extractable", _sentence(middle)
    if not len(known):
        return f"{extractable} rows are extractable; without a control, none is judged", _sentence(middle)
    threshold = known.row(0, named=True)
    of = counted.filter(set="corpus", threshold=threshold["threshold"]).to_dicts()
    if not of or of[0]["share"] is None:
        return f"{extractable} rows are extractable; none of them has a ratio", _sentence(middle)
    generic = f"{100 * of[0]['share']:.0f} % of extractable rows are generic"
    headline = generic if of[0]["generic"] else "No extractable row is generic"
    whose = {OF_CONTROL: "the control's", OF_USER: "the given"}[threshold["threshold"]]
    memorized = (
        f"{of[0]['memorized']} of {of[0]['extractable']} are memorized (r above {whose} {threshold['log_ratio']:.1f})"
    )
    return headline, _sentence(f"{memorized}; {middle}")


_WHOSE: Final = {"recited": "recited", "control": "control rows"}


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
