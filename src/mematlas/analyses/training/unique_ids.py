"""Whether rows that begin with a token of their own are memorized sooner than the same rows without.

Source: P8, section on unique ids. T is the number of epochs until M of the training rows reaches tau, interpolated
between epochs (our choice, so that differences of less than an epoch can be told); compared with the arm without ids,
and with the one whose vocabulary has as many tokens more, unused. Intervals: jackknife over blocks of rows, our choice.
"""

from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mematlas.analyses.base import Analysis
from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.phrasing import by_verdict, format_count, shorten_list
from mematlas.analyses.training.arms import split_names, with_parameters
from mematlas.analyses.training.dynamics import CLAIM_TAU, TAUS
from mematlas.findings.finding import Axis, Chart, Finding, Table, Trend
from mematlas.stats.estimates.averages import means
from mematlas.stats.estimates.intervals import standard_error
from mematlas.stats.estimates.jackknife import jackknife_half_width

_TREND: Final = "unique-ids-are-memorized-faster"
#: (branch, over): the differences that are computed.
_PAIRS: Final = (("enlarged", "baseline"), ("ids", "baseline"), ("ids", "enlarged"))
_INTERVAL: Final = "of its 95 % interval (jackknife over blocks of rows, Student's t)"
_CURVE_COLUMNS: Final = {
    "group": "models of one size and seed",
    "branch": "baseline; enlarged: as many unused tokens as there are rows; ids: each row begins with one of them",
    "epoch": "how often it was shown every training row",
    "set": "train, or validation: rows never shown, whose ids are new as well",
    "rows": "rows measured",
    "M": "share of tokens predicted right from the true tokens before; ids are not among them",
}
_GAIN_COLUMNS: Final = {
    "group": "models of one size and seed",
    "parameters": "number of weights of the smallest arm",
    "branch": "the arm that is compared: enlarged, or ids",
    "over": "the arm that it is compared with: baseline, or enlarged",
    "tau": "M to be reached on the training rows",
    "T": "epochs until the first of them reaches it, interpolated; null: not reached",
    "T_over": "the same of the other",
    "gain": "T_over - T: epochs by which the first is sooner",
    "gain_lower": f"lower end {_INTERVAL}",
    "gain_upper": f"upper end {_INTERVAL}",
    "epochs": "epochs trained",
}
_SIZE_COLUMNS: Final = {
    **{name: _GAIN_COLUMNS[name] for name in ("parameters", "branch", "over", "tau")},
    "seeds": "seeds in which both arms reach tau",
    "gain": "mean of their gains, in epochs",
    "gain_lower": "lower end of its 95 % interval (Student's t over seeds)",
    "gain_upper": "upper end of the same",
}
_CHARTS: Final = (
    Chart(
        "gains",
        "Epochs by which a share is memorized sooner",
        "points",
        "gains",
        Axis("tau", "share memorized", share=True),
        Axis("gain", "epochs sooner"),
        Axis("group", "model", "nominal"),
        "gain_lower",
        "gain_upper",
        facet="branch",
        where={"over": "baseline"},
        reference=(0.0, "no difference"),
    ),
    Chart(
        "curves",
        "Tokens predicted right, by epoch",
        "lines",
        "curves",
        Axis("epoch", "epochs"),
        Axis("M", "tokens predicted right (M)", share=True),
        Axis("branch", "arm", "nominal"),
        facet="group",
        where={"set": "train"},
    ),
)


def id_curves(probes: pl.DataFrame) -> pl.DataFrame:
    """M after every whole epoch of the arms with a branch that were measured on training rows."""
    blocks = _block_curves(probes)
    by = ["group", "branch", "epoch", "set"]
    means = blocks.group_by(by).agg(
        pl.col("n").sum().alias("rows"), M=(pl.col("value") * pl.col("n")).sum() / pl.col("n").sum()
    )
    return means.sort("group", "branch", "set", "epoch").select(*_CURVE_COLUMNS)


def id_gains(probes: pl.DataFrame, models: pl.DataFrame) -> pl.DataFrame:
    """Epochs by which each arm reaches each share sooner than another one of its group."""
    blocks = _block_curves(probes).filter(set="train")
    records: list[dict[str, Any]] = []
    for (group,), part in blocks.group_by("group", maintain_order=True):
        curves = {str(branch): _matrix(of_branch) for (branch,), of_branch in part.group_by("branch")}
        epochs = int(part["epoch"].max())  # type: ignore[arg-type]  # an integer column
        for branch, over in _PAIRS:
            if branch in curves and over in curves:
                for tau in TAUS:
                    key = {"group": group, "branch": branch, "over": over, "tau": tau, "epochs": epochs}
                    records.append(key | _gain(curves[branch], curves[over], tau))
    texts = dict.fromkeys(("group", "branch", "over"), pl.String) | {"epochs": pl.Int64}
    names = [name for name in _GAIN_COLUMNS if name != "parameters"]
    frame = pl.DataFrame(records, schema={name: texts.get(name, pl.Float64) for name in names})
    known = with_parameters(frame, models, "group").sort("parameters", maintain_order=True)
    return known.select(*_GAIN_COLUMNS)


def _block_curves(probes: pl.DataFrame) -> pl.DataFrame:
    """M of every block of rows after whole epochs: group, branch, set, block, epoch, value, n."""
    parts = split_names(probes).filter(pl.col("branch").is_not_null() & pl.col("set").is_in(["train", "validation"]))
    shown = parts.filter(set="train", metric="shown").group_by("arm", "step").agg(shown=pl.col("value").mean())
    whole = shown.filter(pl.col("shown") == pl.col("shown").round())
    epochs = whole.select("arm", "step", epoch=pl.col("shown").cast(pl.Int64))
    scores = parts.filter(pl.col("value").is_not_null(), metric="M").join(epochs, on=["arm", "step"])
    return scores.sort("group", "branch", "set", "block", "epoch")


_Curves = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]


def _matrix(blocks: pl.DataFrame) -> _Curves:
    """Epochs [E], M [blocks, E] and rows [blocks] of one arm."""
    wide = blocks.pivot("epoch", index="block", values="value", sort_columns=False).sort("block").drop_nulls()
    epochs = np.array(sorted(int(name) for name in wide.columns if name != "block"))
    sizes = blocks.unique("block").sort("block").filter(pl.col("block").is_in(wide["block"].implode()))["n"]
    return epochs, wide.select(str(epoch) for epoch in epochs).to_numpy(), sizes.to_numpy().astype(float)


def _gain(one: _Curves, other: _Curves, tau: float) -> dict[str, float | None]:
    """The difference in T, with its interval if both arms reach tau whichever block is left out."""
    first, second = _times(*one, tau), _times(*other, tau)
    known: dict[str, float | None] = {"T": _known(first[0]), "T_over": _known(second[0])}
    if np.isnan(first[0] + second[0]) or len(first) != len(second):
        return known
    gains = second - first
    half = jackknife_half_width(gains[1:])
    known["gain"] = float(gains[0])
    return known | ({} if half is None else {"gain_lower": gains[0] - half, "gain_upper": gains[0] + half})


def _times(epochs: NDArray[np.int64], m: NDArray[np.float64], sizes: NDArray[np.float64], tau: float) -> NDArray[Any]:
    """T of all blocks, then without each: [1 + blocks], or [1] for one block; NaN where tau is not reached."""
    curves = [(sizes @ m) / sizes.sum()]
    if len(sizes) > 1:
        curves += [(sizes @ m - size * row) / (sizes.sum() - size) for size, row in zip(sizes, m, strict=True)]
    return np.array([_first_time(epochs, curve, tau) for curve in curves])


def _first_time(epochs: NDArray[np.int64], curve: NDArray[np.float64], tau: float) -> float:
    """Where a curve first reaches tau, on straight lines between epochs; NaN if it never does."""
    reached = np.flatnonzero(curve >= tau)
    if not len(reached):
        return np.nan
    i = int(reached[0])
    if i == 0:
        return float(epochs[0])
    share = (tau - curve[i - 1]) / (curve[i] - curve[i - 1])
    return float(epochs[i - 1] + share * (epochs[i] - epochs[i - 1]))


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def id_gains_over_seeds(gains: pl.DataFrame) -> pl.DataFrame:
    """The mean gain of every size over its seeds."""
    by = ["parameters", "branch", "over", "tau"]
    known = gains.drop_nulls("gain")
    grouped = known.group_by(by, maintain_order=True).agg("gain", seeds=pl.len().cast(pl.Int64))
    records = [_mean_of_seeds(np.array(values)) for values in grouped["gain"].to_list()]
    schema = dict.fromkeys(("gain", "gain_lower", "gain_upper"), pl.Float64)
    frame = grouped.drop("gain").hstack(pl.DataFrame(records, schema=schema, orient="row"))
    return frame.sort(*by[:3], "tau").select(*_SIZE_COLUMNS)


def _mean_of_seeds(values: NDArray[np.float64]) -> tuple[float | None, ...]:
    estimate = means(values[:, None])
    return float(estimate.estimate[0]), _known(estimate.lower[0]), _known(estimate.upper[0])


def compute(tables: Tables) -> Finding:
    """Compute by how many epochs ids speed up memorization; the claim is on tau = 0.5 and the largest size."""
    question = "whether rows with a token of their own are memorized sooner"
    remedy = "Train such models: `mematlas experiment ids ids.yaml`."
    if tables.probes is None:
        return ANALYSIS.insufficient_data(tables, question, "probes taken in training", remedy)
    probes = tables.probes.collect()
    gains = id_gains(probes, tables.models)
    if gains.is_empty():
        missing = "probes of arms with ids, or with an enlarged vocabulary, beside their baseline"
        return ANALYSIS.insufficient_data(tables, question, missing, remedy)
    curves, sizes = id_curves(probes), id_gains_over_seeds(gains)
    at = sizes.filter((pl.col("tau") - CLAIM_TAU).abs() < 1e-9)
    trend = _trend(at)
    recipe = "gains = recount.id_gains(study.scan_probes().collect(), study.models())\nanswer = "
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(at, gains),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=_strength(at),
        control="The enlarged vocabulary has the same tokens and never sees them; validation rows are never shown.",
        tables=(
            Table("gains", "Epochs by which a share is memorized sooner", gains, _GAIN_COLUMNS, f"{recipe}gains"),
            Table("sizes", "The same, over seeds", sizes, _SIZE_COLUMNS, f"{recipe}recount.id_gains_over_seeds(gains)"),
            Table(
                "curves",
                "M after every epoch",
                curves,
                _CURVE_COLUMNS,
                "answer = recount.id_curves(study.scan_probes().collect())",
            ),
        ),
        charts=tuple(chart for chart in _CHARTS if _is_drawn(chart, gains, curves)),
        trends=(trend,),
        caveats=(
            "Intervals over blocks say how sure a gain is for other rows, not for other first weights: see those over "
            "seeds.",
            "An id is read, never predicted, and the models with ids are not scored: the study's rows are without ids.",
        ),
        deviations=("P8 writes `document ID <unique_id>` in front of a row; here it is the id alone.",),
        headline=_headline(at, trend),
        sentence=_sentence(at, gains),
    )


def _is_drawn(chart: Chart, gains: pl.DataFrame, curves: pl.DataFrame) -> bool:
    """Whether the chart's table has a value for it."""
    if chart.name == "curves":
        return not curves.filter(set="train").is_empty()
    return not gains.filter(over="baseline").drop_nulls("gain").is_empty()


def _claim(at: pl.DataFrame, gains: pl.DataFrame) -> str:
    tokens = "half of the training tokens"
    if at.is_empty():
        epochs = max(gains["epochs"].to_list())
        return f"{tokens.capitalize()} are memorized by no arm and its counterpart within {epochs} epochs."
    largest = at.filter(pl.col("parameters").eq_missing(at["parameters"].max()))
    names = {"enlarged": "an enlarged vocabulary that is not used", "ids": "a token of its own in front of every row"}
    seeds = max(largest["seeds"].to_list())
    texts = [
        f"{_epochs(record)} with {names[record['branch']]} than with "
        f"{'the original vocabulary' if record['over'] == 'baseline' else 'the enlarged one'}"
        for record in largest.iter_rows(named=True)
    ]
    return f"{tokens.capitalize()} are memorized {'; '.join(texts)} ({seeds} seed{'' if seeds == 1 else 's'})."


def _headline(at: pl.DataFrame, trend: Trend) -> str:
    """What the verdict on ids says, if any pair of arms memorizes half of the tokens."""
    if at.is_empty():
        return "No pair of arms memorizes half of the training tokens"
    return by_verdict(
        trend.verdict,
        "Rows with a token of their own are memorized sooner",
        "Rows with a token of their own are memorized later",
        "A token of its own does not clearly change a row's memorization",
    )


def _sentence(at: pl.DataFrame, gains: pl.DataFrame) -> str:
    """The gain of ids in the largest size, over the enlarged vocabulary if there is one."""
    if at.is_empty():
        return _claim(at, gains)
    largest = at.filter(pl.col("parameters").eq_missing(at["parameters"].max()))
    ordered = largest.sort(pl.col("branch") == "ids", pl.col("over") == "enlarged", maintain_order=True)
    record = ordered.row(-1, named=True)
    arm = "ids" if record["branch"] == "ids" else "a larger vocabulary"
    other = "the original vocabulary" if record["over"] == "baseline" else "an enlarged vocabulary"
    seeds = format_count(record["seeds"], "seed")
    return f"Half of the tokens are memorized {_epochs(record)} with {arm} than with {other} ({seeds})."


def _epochs(record: dict[str, Any]) -> str:
    """By how many epochs sooner, or later, with the interval in the same direction."""
    sign = -1 if record["gain"] < 0 else 1
    word = "later" if sign < 0 else "sooner"
    if record["gain_lower"] is None:
        return f"{abs(record['gain']):.1f} epochs {word}"
    lower, upper = sorted((sign * record["gain_lower"], sign * record["gain_upper"]))
    return f"{abs(record['gain']):.1f} [{lower:.1f}, {upper:.1f}] epochs {word}"


def _strength(at: pl.DataFrame) -> float | None:
    ids = at.filter(branch="ids", over="baseline").drop_nulls("gain_lower")
    ratios = [abs(gain) / standard_error(lower, upper) for gain, lower, upper in _bounds(ids) if upper > lower]
    return max(ratios, default=None)


def _bounds(frame: pl.DataFrame) -> list[tuple[float, float, float]]:
    return frame.select("gain", "gain_lower", "gain_upper").rows()


def _trend(at: pl.DataFrame) -> Trend:
    """Whether ids are sooner than the enlarged vocabulary in every size, by more than chance over seeds."""
    ids = _bounds(at.filter(branch="ids", over="enlarged").drop_nulls("gain_lower"))
    if not ids:
        return Trend(_TREND, "cannot tell", "no size has two seeds in which both arms memorize half of the tokens")
    gains = shorten_list([f"{gain:+.1f} [{low:+.1f}, {high:+.1f}]" for gain, low, high in ids])
    test = (
        f"epochs by which M >= {CLAIM_TAU} is reached sooner with ids than with an enlarged vocabulary: {gains}. "
        "Decided if the 95 % intervals over seeds of all sizes are on one side of 0"
    )
    if all(low > 0 for _, low, _ in ids):
        return Trend(_TREND, "shows", test)
    return Trend(_TREND, "contradicts" if all(high < 0 for _, _, high in ids) else "cannot tell", test)


ANALYSIS = Analysis(
    "unique_ids",
    "Rows with a token of their own",
    "P8, section on unique ids",
    "probes of arms with and without ids, after every epoch (mematlas experiment ids)",
    compute,
    (_TREND,),
)
