"""How often a sequence must be shown until a model recites it, beside a twin that went without the showings.

Source: P3. V of a sequence is the longest piece that a model recites greedily after a prompt cut out anywhere inside
it. What the showings do is the difference dV between two models that went on from the same weights through the same
batches, but for the events: extractable is not memorized.
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.phrasing import by_interval, format_bounds, format_count, verb
from mematlas.analyses.training.injection.charts import CHARTS
from mematlas.analyses.training.injection.curve import (
    COST_COLUMNS,
    CURVE_COLUMNS,
    INTERACTION_COLUMNS,
    injection_costs,
    injection_curve,
    injection_interactions,
)
from mematlas.analyses.training.injection.tables import (
    FREQUENCY_COLUMNS,
    ILLUSION_COLUMNS,
    LENGTH_COLUMNS,
    THRESHOLD_COLUMNS,
    injection_frequencies,
    injection_illusions,
    injection_lengths,
    injection_thresholds,
    mean_by_model,
)
from mematlas.findings.finding import Chart, Finding, Table, Trend
from mematlas.stats.estimates.averages import means
from mematlas.stats.estimates.intervals import standard_error

_TREND: Final = "injected-length-grows-with-size"
#: Share of injected rows above which they change the training as a whole (our choice).
_MANY: Final = 0.05


def compute(tables: Tables) -> Finding:
    """Compute what the showings do; the claim is on the largest model and the sequences that were shown most often."""
    question = "how often a sequence must be shown until it is recited"
    remedy = "Train two arms: `mematlas experiment inject inject.yaml`."
    if tables.probes is None:
        return ANALYSIS.insufficient_data(tables, question, "probes taken in training", remedy)
    probes = tables.probes.collect()
    curve = injection_curve(probes, tables.models)
    frequencies = injection_frequencies(curve)
    injected = frequencies.filter(pl.col("mode").is_not_null())
    if injected.is_empty():
        return ANALYSIS.insufficient_data(tables, question, "a treatment with injected sequences, and its twin", remedy)
    interactions = injection_interactions(probes, tables.models)
    found = _tables(curve, frequencies, injection_costs(probes, tables.models), interactions)
    most = _most_shown(injected)
    error = None if most["dV_lower"] is None else standard_error(most["dV_lower"], most["dV_upper"])
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(most, found),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=abs(most["dV"]) / error if error else None,
        control=_control(curve, frequencies),
        tables=found,
        charts=tuple(chart for chart in CHARTS if _is_drawn(chart, found)),
        trends=(_trend(curve),),
        caveats=_caveats(curve, interactions),
        deviations=(
            "P3's code compares normalised text and leaves out the last start of each prompt; here token ids count.",
            "P3 drops pieces that stand in the prompt; here they are counted, and marked as copied.",
        ),
        headline=_headline(most),
        sentence=_sentence(most),
    )


def _tables(
    curve: pl.DataFrame, frequencies: pl.DataFrame, costs: pl.DataFrame, interactions: pl.DataFrame
) -> tuple[Table, ...]:
    """The finding's tables, each with the lines that recompute it."""
    of_probes = "probes, models = study.scan_probes().collect(), study.models()\n"
    of_curve = f"{of_probes}curve = recount.injection_curve(probes, models)\n"

    def summary(name: str, title: str, frame: pl.DataFrame, columns: dict[str, str], function: str) -> Table:
        return Table(name, title, frame, columns, f"{of_curve}answer = recount.{function}(curve)")

    lengths, thresholds = injection_lengths(curve), injection_thresholds(curve)
    illusions = injection_illusions(curve)
    tables = [
        summary("lengths", "Length recited, by number of showings", lengths, LENGTH_COLUMNS, "injection_lengths"),
        summary(
            "frequencies", "Gain at the end, by frequency", frequencies, FREQUENCY_COLUMNS, "injection_frequencies"
        ),
        summary("threshold", "Showings until half is recited", thresholds, THRESHOLD_COLUMNS, "injection_thresholds"),
        summary("illusions", "Recited without showings", illusions, ILLUSION_COLUMNS, "injection_illusions"),
        Table(
            "cost",
            "Loss of both arms on rows never shown",
            costs,
            COST_COLUMNS,
            f"{of_probes}answer = recount.injection_costs(probes, models)",
        ),
        Table("curve", "Every sequence at every measured step", curve, CURVE_COLUMNS, f"{of_curve}answer = curve"),
        Table(
            "interaction",
            "Sequences injected alone",
            interactions,
            INTERACTION_COLUMNS,
            f"{of_probes}answer = recount.injection_interactions(probes, models)",
        ),
    ]
    return tuple(table for table in tables if not table.frame.is_empty())


def _is_drawn(chart: Chart, tables: tuple[Table, ...]) -> bool:
    """Whether a chart has something to show."""
    frames = [table.frame for table in tables if table.name == chart.table]
    return any(frame[axis].is_not_null().any() for frame in frames for axis in (chart.x.column,))


def _most_shown(injected: pl.DataFrame) -> dict[str, Any]:
    """The most frequent text, or other kind, of the largest model."""
    ordered = injected.with_columns(is_text=pl.col("kind") == "text").sort(
        "parameters", "is_text", "showings", nulls_last=False, maintain_order=True
    )
    return ordered.row(-1, named=True)


def _headline(most: dict[str, Any]) -> str:
    lower, upper = most["dV_lower"], most["dV_upper"]
    if lower is None and most["sequences"] > 1:  # all sequences gain the same
        lower = upper = most["dV"]
    return by_interval(
        lower,
        upper,
        "Sequences shown often are recited for longer than without the showings",
        "Sequences shown often are recited for less than without the showings",
        "Showing sequences makes no clear difference to what is recited",
    )


def _sentence(most: dict[str, Any]) -> str:
    shown = format_count(round(most["showings"]), "time")
    return (
        f"Of {_NOUNS[most['kind']]} shown {shown}, {most['model']} recites {most['V_treatment']:.1f} tokens; "
        f"its twin without the showings recites {most['V_control']:.1f}."
    )


def _claim(most: dict[str, Any], tables: tuple[Table, ...]) -> str:
    shown, count = format_count(round(most["showings"]), "time"), format_count(most["sequences"], "sequence")
    thresholds = next(table.frame for table in tables if table.name == "threshold")
    (half,) = thresholds.filter(pl.col("model") == most["model"], kind=most["kind"]).head(1).to_dicts()
    reached = (
        f"half of {half['cap']} tokens are reached after {half['n50']:.0f} showings"
        if half["n50"] is not None
        else f"half of {half['cap']} tokens are {half['reason']}"
    )
    gain = f"{most['dV']:+.1f} {format_bounds(most['dV_lower'], most['dV_upper'], '+.1f')}"
    return (
        f"Of {_NOUNS[most['kind']]} shown {shown} ({count}), {most['model']} recites {most['V_treatment']:.1f} tokens, "
        f"{gain} against a twin that went without the showings; {reached}."
    )


#: The kinds as sentences name them.
_NOUNS: Final = {"text": "text", "shuffled": "shuffled text", "random": "random tokens", "canary": "canaries"}


def _control(curve: pl.DataFrame, frequencies: pl.DataFrame) -> str:
    lengths = curve.filter(pl.col("mode").is_not_null())["V_control"].to_numpy()
    text = (
        "The control goes through the same batches without the showings: it recites "
        f"{lengths.mean():.1f} tokens of the same sequences, at most {lengths.max():.0f}."
    )
    never = frequencies.filter(pl.col("mode").is_null())
    if never.is_empty():
        return text
    count = int(never["sequences"].sum())
    gain = float((never["dV"] * never["sequences"]).sum()) / count
    sequences = format_count(count, "sequence")
    return f"{text} In the treatment, {sequences} never shown {verb(count, 'gain')} {gain:+.1f}."


def _caveats(curve: pl.DataFrame, interactions: pl.DataFrame) -> tuple[str, ...]:
    texts = [
        "A model may recite what it was never shown: read a length beside that of the control.",
        "Showings are counted whatever their frequency, which also determines how long ago the last one was.",
    ]
    sequences = curve.filter(pl.col("step") == pl.col("step").max().over("group"))
    share = sequences.group_by("group").agg((1 / pl.col("period")).sum()).to_series(1).max()
    if share is not None and float(share) > _MANY:  # type: ignore[arg-type]
        texts.append(f"{100 * float(share):.0f} % of the treatment's rows are injected, which costs held-out loss.")  # type: ignore[arg-type]
    copied = int(sequences["copied"].sum())
    if copied:
        texts.append(f"{format_count(copied, 'length')} at the end may be copied: every prompt holds the answer.")
    texts.append(_interaction(interactions))
    return tuple(texts)


def _interaction(interactions: pl.DataFrame) -> str:
    """What the sequences do to each other, if that was checked."""
    differences = interactions["difference"].drop_nulls().to_numpy()
    if not len(differences):
        return "All sequences share one training; that they do not influence each other was not checked."
    estimate = means(differences[:, None])
    lower, upper = float(estimate.lower[0]), float(estimate.upper[0])
    is_known = lower == lower  # there is no interval for equal differences
    bounds = format_bounds(lower if is_known else None, upper if is_known else None, "+.1f")
    agrees = lower <= 0 <= upper if is_known else not differences.any()
    verdict = "which agrees with no influence" if agrees else "so that sequences influence each other"
    return (
        f"Injected alone, {format_count(len(differences), 'sequence')} {verb(len(differences), 'gain')} "
        f"{differences.mean():+.1f} tokens {bounds} more than together with the others, {verdict}."
    )


def _trend(curve: pl.DataFrame) -> Trend:
    """Whether the largest model recites longer pieces of text than the smallest: shown if the intervals are apart."""
    kinds = curve.filter(pl.col("mode").is_not_null())["kind"]
    kind = "text" if "text" in kinds else kinds[0]
    sizes = mean_by_model(curve, kind).drop_nulls(["parameters", "V_treatment_lower"])
    if sizes["parameters"].n_unique() < 2:
        return Trend(_TREND, "cannot tell", "there are no two sizes with intervals")
    small, large = (sizes.row(end, named=True) for end in (0, -1))
    test = (
        f"{_NOUNS[kind]}, all frequencies: {_length(small)} tokens in the smallest size, {_length(large)} in the "
        "largest. "
        "Decided if the 95 % intervals are apart"
    )
    if large["V_treatment_lower"] > small["V_treatment_upper"]:
        return Trend(_TREND, "shows", test)
    is_less = large["V_treatment_upper"] < small["V_treatment_lower"]
    return Trend(_TREND, "contradicts" if is_less else "cannot tell", test)


def _length(record: dict[str, Any]) -> str:
    bounds = format_bounds(record["V_treatment_lower"], record["V_treatment_upper"], ".1f")
    return f"{record['V_treatment']:.1f} {bounds}"


ANALYSIS = Analysis(
    "injection",
    "Injected sequences",
    "P3",
    "probes of sequences injected into one of two twin trainings (mematlas experiment inject)",
    compute,
    (_TREND,),
)
