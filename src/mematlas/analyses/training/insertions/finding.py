"""What becomes of items inserted 0, 1, 4, 16 ... times: by level, in larger corpora, early and late in the training.

Source: K9. Items are divided into levels at random, so that those of level 0 say what a model would make of the others
had they not been inserted. The gain of a level is the mean loss of level 0 minus its own; that of two trainings with
the same items is compared item by item.
"""

from typing import Any

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.phrasing import by_interval, format_bounds, format_count
from mematlas.analyses.training.insertions.charts import insertion_charts
from mematlas.analyses.training.insertions.items import (
    ELSEWHERE,
    ITEM_COLUMNS,
    ONCE,
    STANDARD,
    insertion_items_of,
)
from mematlas.analyses.training.insertions.tables import (
    DILUTION_COLUMNS,
    LEVEL_COLUMNS,
    TREND_COLUMNS,
    WINDOW_COLUMNS,
    insertion_dilution,
    insertion_levels,
    insertion_trends,
    insertion_windows,
)
from mematlas.analyses.trend_tests import Verdict, combined_verdict
from mematlas.findings.finding import Finding, Table, Trend
from mematlas.stats.estimates.intervals import standard_error

_DILUTION, _ORDER = "larger-corpora-dilute-insertions", "late-insertions-are-kept-best"


def compute(tables: Tables) -> Finding:
    """Compute what insertions do; the claim is on the largest model, its smallest corpus, and its highest level."""
    items = insertion_items_of(tables)
    levels = insertion_levels(items)
    base = next((arm for arm in (ONCE, ELSEWHERE) if arm in levels["arm"]), "")
    known = levels.filter(pl.col("level") > 0, pl.col("auc").is_not_null(), arm=base)
    if known.is_empty():
        return ANALYSIS.insufficient_data(
            tables,
            "what becomes of items inserted into a training",
            "models that items were inserted into 0 times and more often",
            "Train them: `mematlas experiment insertions insertions.yaml`.",
        )
    most = known.row(-1, named=True)
    few = known.filter(model=most["model"]).row(0, named=True)
    trends = insertion_trends(items)
    trend = trends.filter(model=most["model"], arm=base).row(0, named=True)
    found = _tables(items, levels, insertion_dilution(items), insertion_windows(items), trends)
    lower, upper = trend["slope_lower"], trend["slope_upper"]
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(most, few, trend),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=None if lower is None else abs(trend["slope"]) / standard_error(lower, upper),
        control=_control(trend, levels),
        tables=found,
        charts=insertion_charts(base, most["model"], [table.name for table in found]),
        trends=_trends(found, most["model"]),
        caveats=_caveats(base),
        deviations=(
            "K9 trains models of 1 and 8 billion weights on 100 and 500 billion tokens; these are small.",
            "K9 lets the learning rate fall; here it stays, so that late insertions are not learnt at lower rates.",
        )
        if base == ONCE
        else (),
        headline=by_interval(
            lower,
            upper,
            "The more often items are inserted, the worse models know them",
            "The more often items are inserted, the better models know them",
            "Inserting items more often makes no clear difference",
        ),
        sentence=_sentence(most, few),
    )


def _tables(
    items: pl.DataFrame, levels: pl.DataFrame, dilution: pl.DataFrame, windows: pl.DataFrame, trends: pl.DataFrame
) -> tuple[Table, ...]:
    """The finding's tables, each with the lines that recompute it."""
    of_items = "items = recount.insertion_items(study)\n"

    def summary(name: str, title: str, frame: pl.DataFrame, columns: dict[str, str], function: str) -> Table:
        return Table(name, title, frame, columns, f"{of_items}answer = recount.{function}(items)")

    tables = (
        summary("level", "Every level of insertions", levels, LEVEL_COLUMNS, "insertion_levels"),
        summary("dilution", "Insertions in larger corpora", dilution, DILUTION_COLUMNS, "insertion_dilution"),
        summary("window", "Insertions in a part of the training", windows, WINDOW_COLUMNS, "insertion_windows"),
        summary("trend", "Loss by level, beside permuted levels", trends, TREND_COLUMNS, "insertion_trends"),
        Table("items", "Every item at the end of every training", items, ITEM_COLUMNS, f"{of_items}answer = items"),
    )
    return tuple(table for table in tables if not table.frame.is_empty())


def _area(record: dict[str, Any], name: str = "auc") -> str:
    return f"{record[name]:.2f} {format_bounds(record[f'{name}_lower'], record[f'{name}_upper'], '.2f')}"


def _sentence(most: dict[str, Any], few: dict[str, Any]) -> str:
    return (
        f"{most['model']} tells items inserted {format_count(most['level'], 'time')} from items never inserted with an "
        f"AUC of {most['auc']:.2f}; {format_count(few['level'], 'time')}: {few['auc']:.2f}."
    )


def _claim(most: dict[str, Any], few: dict[str, Any], trend: dict[str, Any]) -> str:
    slope = f"{trend['slope']:+.3f} {format_bounds(trend['slope_lower'], trend['slope_upper'])}"
    return (
        f"The loss of {most['model']} tells {format_count(most['n'], 'item')} inserted "
        f"{format_count(most['level'], 'time')} from those never inserted with an AUC of {_area(most)}, and those "
        f"inserted {format_count(few['level'], 'time')} with {_area(few)}; where 1 + insertions doubles, the loss "
        f"changes by {slope} nats per token."
    )


def _control(trend: dict[str, Any], levels: pl.DataFrame) -> str:
    if trend["permuted"] is None:
        return "Items never inserted; too few to permute levels."
    permuted = f"{trend['permuted']:+.3f} {format_bounds(trend['permuted_lower'], trend['permuted_upper'])}"
    parts = [f"With levels permuted among items the loss changes by {permuted}."]
    if trend["halves"] is not None:
        parts.append(
            f"One half of the items never inserted is told from the other with an AUC of {_area(trend, 'halves')}."
        )
    areas = levels.filter(arm=STANDARD)["auc"].drop_nulls().to_list()
    if areas:
        span = f"{min(areas):.2f} to {max(areas):.2f}"
        parts.append(f"In models that nothing was inserted into, levels have AUCs from {span}.")
    return " ".join(parts)


def _caveats(base: str) -> tuple[str, ...]:
    if base == ELSEWHERE:
        return (
            "Models were trained elsewhere: a level is what the exposures say, and items must have been divided into "
            "levels at random.",
        )
    return (
        "A larger corpus is trained on for more steps (equal epochs), or shown less often (equal steps): read both.",
        "Insertions in a part of the training are also closer to each other than insertions in all of it.",
    )


def _trends(tables: tuple[Table, ...], model: str) -> tuple[Trend, ...]:
    frames = {table.name: table.frame.filter(model=model) for table in tables if "model" in table.columns}
    return _dilution_trend(frames.get("dilution")), _order_trend(frames.get("window"))


def _dilution_trend(dilution: pl.DataFrame | None) -> Trend:
    """Whether the highest level gains less in the largest corpus than in the smallest, both shown once."""
    once = None if dilution is None else dilution.filter(comparison="equal epochs").drop_nulls("difference")
    if once is None or once.is_empty():
        return Trend(_DILUTION, "cannot tell", "there are no two sizes of the corpus")
    last = once.row(-1, named=True)
    bounds = last["difference_lower"], last["difference_upper"]
    test = (
        f"{format_count(last['level'], 'insertion')}, a corpus {last['corpus']} times as large shown once: "
        f"{last['difference']:+.3f} {format_bounds(*bounds)} nats per token of gain. Decided if the interval excludes 0"
    )
    return Trend(_DILUTION, _verdict(-last["difference"], bounds), test)


def _order_trend(windows: pl.DataFrame | None) -> Trend:
    """Whether the highest level gains more in the last quarter than anywhere, and less in the first."""
    known = None if windows is None else windows.drop_nulls("difference_lower")
    if known is None or known.is_empty():
        return Trend(_ORDER, "cannot tell", "insertions are in no part of a training alone, or there are too few items")
    highest = known.filter(pl.col("level") == pl.col("level").max()).sort("stop", "start")
    first, last = highest.row(0, named=True), highest.filter(pl.col("stop") == 100).sort("start")
    if last.is_empty() or first["start"] != 0:
        return Trend(_ORDER, "cannot tell", "no part of a training at its beginning, or none at its end")
    late = last.row(-1, named=True)
    verdicts = [
        _verdict(sign * record["difference"], (record["difference_lower"], record["difference_upper"]))
        for sign, record in ((-1, first), (1, late))
    ]
    test = (
        f"{format_count(late['level'], 'insertion')}, against insertions anywhere: {first['difference']:+.3f} nats per "
        f"token of gain in {first['window']} %, {late['difference']:+.3f} in {late['window']} %. Decided if both 95 % "
        "intervals exclude 0"
    )
    return Trend(_ORDER, combined_verdict(verdicts), test)


def _verdict(value: float, bounds: tuple[float | None, float | None]) -> Verdict:
    """Whether a value is positive ("shows") or negative, by an interval of it or of its negative that excludes 0."""
    lower, upper = bounds
    if lower is None or upper is None or lower <= 0 <= upper:
        return "cannot tell"
    return "shows" if value > 0 else "contradicts"


ANALYSIS = Analysis(
    "insertions",
    "Inserted items",
    "K9",
    "probes of items inserted into trainings (mematlas experiment insertions), or exposures of rows (mematlas import "
    "hubble) and signals of the kind truth",
    compute,
    (_DILUTION, _ORDER),
)
