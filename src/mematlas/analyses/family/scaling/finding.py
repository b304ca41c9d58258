"""Memorized share against model size, repetitions and context: the three laws of P9, each with its control.

Source: P9, Figure 1 (a to c). The points come from `frames.repetition_samples`, the fits from `laws`. The share against
training step (`checkpoints`) is ours.
"""

from dataclasses import replace
from typing import Any, Final

import polars as pl

from mematlas.analyses.base import MORE_RECITED_ROWS, Analysis
from mematlas.analyses.family.scaling.checkpoints import (
    STEP_COLUMNS,
    STEPS_RECIPE,
    format_steps,
    headline_steps,
    step_shares,
    steps_chart,
)
from mematlas.analyses.family.scaling.headline import UNITS, scaling_headline, scaling_sentence
from mematlas.analyses.family.scaling.laws import (
    LAW_COLUMNS,
    LAWS_RECIPE,
    RESIDUAL_COLUMNS,
    RESIDUALS_RECIPE,
    fit_laws,
    law_residuals,
    points_of_shares,
)
from mematlas.analyses.frames.copies_as_repetitions import BUCKETS_RECIPE as COPIES_RECIPE
from mematlas.analyses.frames.copies_as_repetitions import COUNTS_RECIPE as COPIES_COUNTS_RECIPE
from mematlas.analyses.frames.copies_as_repetitions import copies_caveat, with_copies_as_repetitions
from mematlas.analyses.frames.proportions import format_interval, format_percent
from mematlas.analyses.frames.repetition_buckets import BUCKET_COLUMNS, FEW_ROWS, P9_ROWS, shortfall
from mematlas.analyses.frames.repetition_buckets import BUCKETS_RECIPE as BUCKETS_RECIPE
from mematlas.analyses.frames.repetition_samples import (
    CELL_KEYS,
    COUNTS_RECIPE,
    REPETITION_COLUMNS,
    REPETITIONS_RECIPE,
    SAMPLE_COLUMNS,
    SHARES_RECIPE,
    bucket_shares,
)
from mematlas.analyses.frames.rows_left_out import left_out_sentences
from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.phrasing import format_count
from mematlas.analyses.trend_tests import Verdict
from mematlas.findings.finding import Axis, Chart, Finding, Table, Trend
from mematlas.literature.published import EVIDENCE, SLOPES

_PUBLISHED_COLUMNS: Final = {
    "law": "size or context",
    "models": "what was measured",
    "slope": "change of the share per tenfold",
    "r2": "explained share of the variance; null where not reported",
    "source": "paper and figure",
    "evidence": "; ".join(f"{label}: {meaning}" for label, meaning in EVIDENCE.items()),
}
_PUBLISHED_RECIPE: Final = "answer = pl.DataFrame(recount.SLOPES)"
_REJECTED_BELOW: Final = 0.05  # p of the lack of fit
_QUESTION: Final = "how memorization grows with size, repetitions and context"
_DEVIATIONS: Final = (
    "P9 asks for 50 tokens after contexts of 0 to 450; here the study's own grid is used.",
    f"P9 draws {P9_ROWS:,} rows a bucket and length; here the rows are those of the study, and the "
    "duplicate-normalised share is the mean of the buckets' shares.",
    "P9 fits no alternative: the saturating law x^b / (k^b + x^b) and its comparison by leave-one-out error are ours, "
    "as is the weight of each point (its rows; where rows come in clusters, its effective rows).",
    "Growth along each law is tested by whether the 95 % interval of its slope excludes 0; that it is log-linear also "
    "by lack of fit and against the saturating law, which P9 does not do. P9's numbers stand beside (table published), "
    "they are not tested.",
)


# ---------------------------------------------------------------------------------------------------------- the laws


def _headline_fits(tables: Tables, laws: pl.DataFrame, role: str = "train") -> dict[str, dict[str, Any]]:
    """law -> the fit at the reference cell that the claim reports: of all rows, in the largest model that has one."""
    cell = tables.reference
    fits = laws.filter(
        pl.col("role") == role,
        pl.col("sample") != "duplicate-normalised",
        pl.col("continuation") == cell.continuation,
        pl.col("context").is_null() | (pl.col("context") == cell.context),
    )
    return {fit["law"]: fit for fit in fits.iter_rows(named=True)}


def _format_slope(fit: dict[str, Any]) -> str:
    """Format the slope of a fit, in percentage points per tenfold."""
    points = f"{fit['points']} points" + (f", {fit['model']}" if fit["model"] else "")
    slope = f"{100 * fit['slope']:+.1f} percentage points per tenfold in {UNITS[fit['law']]}"
    if fit["slope_lower"] is None:
        return f"{slope} ({points}, no interval)"
    interval = f"{100 * fit['slope_lower']:+.1f} to {100 * fit['slope_upper']:+.1f}"
    return f"{slope} (95 % interval {interval}; R2 = {fit['r2']:.3f}; {points})"


def _format_comparison(fits: dict[str, dict[str, Any]]) -> str:
    """Format which laws are off their line, and which law predicts left-out points better, as the end of the claim."""
    laws_by_winner = {
        winner: [law for law, fit in fits.items() if fit["better"] == winner] for winner in ("log-linear", "saturating")
    }
    off_line = [law for law, fit in fits.items() if _off_line(fit)]
    end = f"; shares are off the line by more than chance in {' and '.join(off_line)}" if off_line else ""
    phrases = [f"the {winner} law in {' and '.join(laws)}" for winner, laws in laws_by_winner.items() if laws]
    return f"{end}; left-out points are predicted better by {', by '.join(phrases)}" if phrases else end


def _claim(tables: Tables, fits: dict[str, dict[str, Any]], steps: pl.DataFrame) -> str:
    """The slopes of the laws; without any, the shares of checkpoints."""
    if not fits:
        return f"At {tables.reference} tokens {format_steps(headline_steps(tables, steps))}."
    slopes = ", by ".join(_format_slope(fits[law]) for law in UNITS if law in fits)
    return f"At {tables.reference} tokens the memorized share changes by {slopes}{_format_comparison(fits)}."


def _trends(fits: dict[str, dict[str, Any]], control_fits: dict[str, dict[str, Any]]) -> tuple[Trend, ...]:
    """For each law whether the share grows, and whether it does so log-linearly."""
    trends = []
    for law in UNITS:
        names = f"log-linear-in-{law}", f"share-grows-with-{law}"
        fit = fits.get(law)
        if fit is None or fit["slope_lower"] is None:
            reason = "fewer than two points" if fit is None else fit["reason"]
            test = f"no slope with an interval in {UNITS[law]}: {reason}"
            trends += [Trend(name, "cannot tell", test) for name in names]
            continue
        growth: Verdict = (
            "shows" if fit["slope_lower"] > 0 else "contradicts" if fit["slope_upper"] < 0 else "cannot tell"
        )
        comparison = f". Control rows: {_format_slope(control_fits[law])}" if law in control_fits else ""
        test = f"{_format_slope(fit)}. A direction is shown if the interval excludes 0{comparison}"
        trends += [_log_linear_trend(names[0], fit, growth), Trend(names[1], growth, test)]
    return tuple(trends)


def _off_line(fit: dict[str, Any]) -> bool:
    """Whether the shares lie off the line by more than chance."""
    return fit["lack_of_fit"] is not None and fit["lack_of_fit"] < _REJECTED_BELOW


def _log_linear_trend(name: str, fit: dict[str, Any], growth: Verdict) -> Trend:
    """P9: the share grows log-linearly. Shown if it grows, lies on the line up to chance, and no other curve is better.

    Without a test of the line, or without a comparison, nothing is shown.
    """
    on_line = fit["lack_of_fit"] is not None and not _off_line(fit) and fit["better"] == "log-linear"
    lack = "not tested" if fit["lack_of_fit"] is None else f"p = {fit['lack_of_fit']:.2g}"
    errors = "Left-out points are not compared"
    if fit["line_error"] is not None:
        errors = (
            f"The line misses left-out points by {fit['line_error']:.3g}, the saturating law by "
            f"{fit['saturating_error']:.3g}"
        )
    start = "Grows, perhaps not log-linearly: " if growth == "shows" and not on_line else ""
    test = (
        f"{start}{_format_slope(fit)}. Lack of fit of the line: {lack}. {errors}. Shown if the slope is above 0, p at "
        f"least {_REJECTED_BELOW:g}, and the line misses by less. Contradicted if the slope is below 0"
    )
    return Trend(name, growth if on_line or growth == "contradicts" else "cannot tell", test)


# ------------------------------------------------------------------------------------------------------- the finding


def _control(tables: Tables, shares: pl.DataFrame) -> str | None:
    """The shares at the reference cell of rows and models that cannot have memorized anything, as sentences."""
    cell_shares = shares.filter(context=tables.reference.context, continuation=tables.reference.continuation)
    sentences = []
    for role, subject in (
        ("control", "Rows no model was trained on"),
        ("control model", "Models untrained on the rows"),
    ):
        records = cell_shares.filter(role=role)
        if records.height:
            top = records.sort("uniform_share").row(-1, named=True)
            interval = format_interval(top["uniform_share_lower"], top["uniform_share_upper"])
            sentences.append(
                f"{subject}: {format_percent(top['uniform_share'])} at most ({interval}, {top['rows']:,} rows)."
            )
    return " ".join(sentences) or None


def _caveats(tables: Tables, shares: pl.DataFrame, buckets: pl.DataFrame) -> tuple[str, ...]:
    few = buckets.filter("few", pl.col("rows") > 0).height
    below_p9 = buckets.filter(pl.col("shortfall") > 0).height
    caveats = {
        "All points of a law come from the same rows: its interval says how well the points lie on a line, not how "
        "much another sample of rows would differ.": True,
        "The sizes of some models are unknown: no law in size.": not _sizes_known(tables),
        "No row has a number of repetitions: no law in repetitions and no duplicate-normalised share.": not len(
            buckets
        ),
        f"{below_p9} of {len(buckets)} buckets hold fewer than the {P9_ROWS:,} rows that P9 drew.": below_p9,
        f"{few} of {len(buckets)} buckets hold fewer than {FEW_ROWS} rows: their shares are hardly known.": few,
        "The context starts at the row's first token, so a longer one also moves the tokens to recite.": (
            len(tables.contexts) > 1 and tables.settings.get("align", "start") == "start"
        ),
        "Models were not all scored on the same rows in every cell: points of a law stand on different rows.": (
            _scored_different_rows(tables, shares)
        ),
        "The study has no control (rows or a model untrained on them): a floor of lucky guesses is unknown.": (
            not tables.has_control and not tables.control_models
        ),
    }
    return (*(caveat for caveat, applies in caveats.items() if applies), *left_out_sentences(tables, "context"))


def _scored_different_rows(tables: Tables, shares: pl.DataFrame) -> bool:
    """Whether a model lacks a cell, or rows of the reference cell, that another model has."""
    train = shares.filter(role="train")
    cells = train.group_by(*CELL_KEYS).agg(pl.col("rows", "model").n_unique())
    if cells.filter((pl.col("rows") > 1) | (pl.col("model") < train["model"].n_unique())).height:
        return True
    reference = train.filter(context=tables.reference.context, continuation=tables.reference.continuation)
    models = tuple(reference["model"])
    common_rows = tables.side_by_side(models, tables.reference, "recited").height if models else 0
    return common_rows < max(reference["rows"], default=0)


def _sizes_known(tables: Tables) -> bool:
    return all(tables.parameters(model) is not None for model in tables.by_size)


def _charts(tables: Tables, laws: pl.DataFrame, steps: pl.DataFrame, control: float | None) -> tuple[Chart, ...]:
    """One chart per law and sample with a fit to training rows, and one of checkpoints."""
    fitted = set(laws.filter(role="train").select("law", "sample").iter_rows())
    charts = []
    for sample, name in (("uniform", "uniform"), ("normalised", "duplicate-normalised")):
        if ("size", name) in fitted:
            color = Axis("context", "context, tokens", "ordinal")
            charts.append(_chart("size", sample, Axis("parameters", "parameters", "log"), color))
        if ("context", name) in fitted:
            color = Axis("model", "model", "nominal")
            charts.append(_chart("context", sample, Axis("context", "context, tokens", "log"), color))
    if ("repetitions", "buckets") in fitted:
        charts.append(_repetitions_chart(tables.reference.continuation, control))
    if headline_steps(tables, steps):
        charts.append(steps_chart(tables.reference.continuation))
    return tuple(charts)


def _chart(law: str, sample: str, x: Axis, color: Axis) -> Chart:
    titles = {
        "uniform": ("uniform sample", "rows with M = 1"),
        "normalised": ("duplicate-normalised", "rows with M = 1, mean of the buckets"),
    }
    heading, y_title = titles[sample]
    name = f"{sample}_share"
    return Chart(
        f"{law}-{sample}",
        f"Memorized share by {'model size' if law == 'size' else law}, {heading}",
        "lines",
        "shares",
        x,
        Axis(name, y_title, share=True),
        color,
        f"{name}_lower",
        f"{name}_upper",
        "continuation",
        "role",
    )


def _repetitions_chart(continuation: int, control: float | None) -> Chart:
    return Chart(
        "repetitions",
        f"Memorized share by repetitions, {continuation} tokens to recite",
        "lines",
        "repetitions",
        Axis("repetitions", "repetitions in the corpus", "log"),
        Axis("share", "rows with M = 1", share=True),
        Axis("model", "model", "nominal"),
        "share_lower",
        "share_upper",
        "context",
        "role",
        reference=None if control is None else (control, "control rows"),
        where={"continuation": continuation},
    )


def _insufficient_data(
    tables: Tables, shares: pl.DataFrame, steps: pl.DataFrame, fits: dict[str, dict[str, Any]]
) -> Finding | None:
    train = pl.concat([frame.filter(role="train").select("rows", "memorized") for frame in (shares, steps)])
    if train.height and train["memorized"].sum() == 0:
        missing = f"memorized rows (none of {format_count(max(train['rows']))} is recited by any model)"
        return ANALYSIS.insufficient_data(tables, _QUESTION, missing, MORE_RECITED_ROWS)
    if not fits and not headline_steps(tables, steps):
        missing = (
            "two points to lay a line through (two sizes, two buckets of repetitions, two contexts, or two checkpoints "
            "of a size)"
        )
        remedy = (
            "Score models of several sizes, several checkpoints of one, rows with known repetitions, or several "
            "contexts: `mematlas score ... --context 16,32`."
        )
        return ANALYSIS.insufficient_data(tables, _QUESTION, missing, remedy)
    return None


def _tables(
    laws: pl.DataFrame,
    residuals: pl.DataFrame,
    shares: pl.DataFrame,
    repetitions: pl.DataFrame,
    buckets: pl.DataFrame,
    steps: pl.DataFrame,
) -> tuple[Table, ...]:
    records = [[getattr(slope, name) for name in _PUBLISHED_COLUMNS] for slope in SLOPES]
    published = pl.DataFrame(records, [*_PUBLISHED_COLUMNS], orient="row")
    tables = (
        Table("laws", "Laws fitted: slope per tenfold", laws, LAW_COLUMNS, LAWS_RECIPE),
        Table("shares", "Memorized share by size and context", shares, SAMPLE_COLUMNS, SHARES_RECIPE),
        Table("repetitions", "Memorized share by repetitions", repetitions, REPETITION_COLUMNS, REPETITIONS_RECIPE),
        Table("steps", "Memorized share by training step", steps, STEP_COLUMNS, STEPS_RECIPE),
        Table("buckets", "Rows in each bucket of repetitions", buckets, BUCKET_COLUMNS, BUCKETS_RECIPE),
        Table("residuals", "Points beside their line", residuals, RESIDUAL_COLUMNS, RESIDUALS_RECIPE),
        Table("published", "Slopes that P9 reports", published, _PUBLISHED_COLUMNS, _PUBLISHED_RECIPE),
    )
    return tuple(table for table in tables if table.frame.height)


def _with_copies(finding: Finding, tables: Tables) -> Finding:
    """The finding of tables in which copies replace repetitions, with the recipes and the caveat for copies."""
    recipes = {BUCKETS_RECIPE: COPIES_RECIPE}
    replaced = [(table, (table.recipe or "").replace(COUNTS_RECIPE, COPIES_COUNTS_RECIPE)) for table in finding.tables]
    with_recipes = tuple(replace(table, recipe=recipes.get(recipe, recipe)) for table, recipe in replaced)
    return replace(finding, tables=with_recipes, caveats=(copies_caveat(tables), *finding.caveats))


def compute(tables: Tables) -> Finding:
    """Fit the three laws, with copies in the corpus as repetitions where the study records none."""
    with_copies = with_copies_as_repetitions(tables) if tables.complete else None
    return _compute(tables) if with_copies is None else _with_copies(_compute(with_copies), with_copies)


def _compute(tables: Tables) -> Finding:
    """Fit the three laws in every cell, with intervals, residuals, the saturating alternative and the control.

    The claim is on the reference cell.
    """
    if not tables.complete:
        remedy = "Score the rows yourself: `mematlas score MODEL MODEL ... --corpus PATH --study FOLDER`."
        return ANALYSIS.insufficient_data(tables, _QUESTION, "scores of all rows, not of recited rows alone", remedy)
    parts = bucket_shares(tables)
    repetitions, shares, points = parts.buckets, parts.samples, points_of_shares(parts)
    laws, residuals = fit_laws(points), law_residuals(points)
    fits, steps = _headline_fits(tables, laws), step_shares(tables)
    if insufficient := _insufficient_data(tables, shares, steps, fits):
        return insufficient
    cell, buckets = tables.reference, shortfall(tables.rows)
    ordered = {law: fits[law] for law in UNITS if law in fits}
    lead = next((fit for fit in ordered.values() if fit["slope_lower"] is not None), None)
    control = shares.filter(role="control", context=cell.context, continuation=cell.continuation)
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(tables, fits, steps),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=None if lead is None else abs(lead["slope"]) / max(1e-9, lead["slope_error"]),
        control=_control(tables, shares),
        tables=_tables(laws, residuals, shares, repetitions, buckets, steps),
        charts=_charts(tables, laws, steps, max(control["uniform_share"], default=None)),
        trends=_trends(fits, _headline_fits(tables, laws, "control")),
        caveats=_caveats(tables, shares, buckets),
        deviations=_DEVIATIONS,
        headline=scaling_headline(ordered, headline_steps(tables, steps)),
        sentence=scaling_sentence(ordered, headline_steps(tables, steps)),
    )


ANALYSIS = Analysis(
    "scaling",
    "Scaling laws",
    "P9, Figure 1",
    "two model sizes, two checkpoints of one, rows with several numbers of repetitions, or two contexts; all rows "
    "scored",
    compute,
    tuple(f"{name}-{law}" for law in UNITS for name in ("log-linear-in", "share-grows-with")),
)
