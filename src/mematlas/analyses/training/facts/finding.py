"""What models keep of made-up facts, asked for in the words shown, in other words, and by conclusion; and how long.

Source: Chang et al. 2024 (K12). Formulas: `mematlas.stats.regression.retention`. Everything is compared with facts that
are never shown and measured at the same times.
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.phrasing import by_interval, format_bounds, format_count
from mematlas.analyses.training.facts.losses import (
    CONTROL_MODEL,
    LOSS_COLUMNS,
    NEVER,
    TREATMENT,
    fact_losses,
    mean_losses,
    showing_times,
)
from mematlas.analyses.training.facts.tables import (
    EFFECTIVITY_COLUMNS,
    FORGETTING_COLUMNS,
    RETENTION_COLUMNS,
    SHOWING_COLUMNS,
    fact_effectivity,
    fact_forgetting,
    fact_retention,
    fact_showings,
)
from mematlas.findings.finding import Axis, Chart, Finding, Table, Trend
from mematlas.stats.estimates.intervals import standard_error

_TREND: Final = "facts-are-forgotten-with-log-time"
_QUESTION_AXIS: Final = Axis("question", "question", "nominal")
_LOSS_AXIS: Final = Axis("loss", "nats per token of the target", zero=False)
_TABLES: Final = (
    ("effectivity", "What a showing brings, mean over all showings", EFFECTIVITY_COLUMNS, fact_effectivity),
    ("forgetting", "What was acquired, and how fast it is lost", FORGETTING_COLUMNS, fact_forgetting),
    ("retention", "What is left after the last showing", RETENTION_COLUMNS, fact_retention),
    ("showings", "What each showing brings", SHOWING_COLUMNS, fact_showings),
    ("losses", "Loss on the targets, by group, question and time", LOSS_COLUMNS, mean_losses),
)


def compute(tables: Tables) -> Finding:
    """Compute what showings bring and what is left; the claim is on the largest model and facts in ever other words."""
    question = "what models keep of facts"
    remedy = "Show made-up facts to a model: `mematlas experiment facts facts.yaml`."
    if tables.probes is None:
        return ANALYSIS.insufficient_data(tables, question, "probes taken in training", remedy)
    facts = fact_losses(tables.probes.collect(), tables.models)
    frames = {name: function(facts) for name, _, _, function in _TABLES}
    if frames["effectivity"].filter(arm=TREATMENT).is_empty():
        return ANALYSIS.insufficient_data(tables, question, "facts that were shown, and facts that never were", remedy)
    records = _of_claim(frames["effectivity"])
    main = records.get("paraphrase") or next(iter(records.values()))
    lower, upper = main["corrected_lower"], main["corrected_upper"]
    error = None if lower is None else standard_error(lower, upper)
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(records, frames["forgetting"]),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=abs(main["corrected"]) / error if error else None,
        control=_control(frames["effectivity"], main),
        tables=tuple(
            _table(name, title, frames[name], columns, function) for name, title, columns, function in _TABLES
        ),
        charts=_charts(facts, frames, main),
        trends=(_trend(frames["forgetting"], main["model"]),),
        caveats=_caveats(frames),
        deviations=(
            "Chang et al. subtract nothing; here the same of facts never shown is subtracted (`corrected`, R).",
            "Chang et al. measure after every step; here 1, 2, 3, 5, 9 ... steps after a showing.",
            "Chang et al. take each fact's share and drop outliers beyond 2 quartile ranges (`R_chang`); R is the "
            "share of the mean over facts.",
        ),
        headline=by_interval(
            lower,
            upper,
            "Showing a fact makes questions in other words easier",
            "Showing a fact makes questions in other words harder",
            "Showing facts makes no clear difference to questions in other words",
        ),
        sentence=_sentence(main),
    )


def _table(name: str, title: str, frame: pl.DataFrame, columns: dict[str, str], function: Any) -> Table:
    recipe = (
        "facts = recount.fact_losses(study.scan_probes().collect(), study.models())\n"
        f"answer = recount.{function.__name__}(facts)"
    )
    return Table(name, title, frame, columns, recipe)


def _of_claim(effectivity: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """The records of the largest model and of the first group, by question."""
    of_models = effectivity.filter(arm=TREATMENT)
    model = of_models.sort("parameters", nulls_last=False, maintain_order=True)["model"][-1]
    first = of_models.filter(model=model)["group"][0]
    return {record["question"]: record for record in of_models.filter(model=model, group=first).to_dicts()}


def _claim(records: dict[str, dict[str, Any]], forgetting: pl.DataFrame) -> str:
    first = next(iter(records.values()))
    gains = ", ".join(
        f"{record['corrected']:.2f} {format_bounds(record['corrected_lower'], record['corrected_upper'], '.2f')} in "
        f"{_NAMES[question]}"
        for question, record in records.items()
    )
    text = (
        f"A showing of a fact ({_SHOWN[first['group']]}) lowers the loss of {first['model']} on its targets by "
        f"{gains}, in nats per token beyond facts never shown ({format_count(first['facts'], 'fact')})"
    )
    found = forgetting.filter(model=first["model"], group=first["group"], question=first["question"])
    return f"{text}{_period(found.to_dicts()[0])}."


_NAMES: Final = {
    "verbatim": "the words shown",
    "paraphrase": "other words",
    "composed": "questions that join two sentences",
}
_SHOWN: Final = {
    "paraphrased": "each time in other words",
    "duplicated": "each time in the same words",
    "once": "once",
}


def _period(record: dict[str, Any]) -> str:
    """When what was acquired is forgotten, for the claim; "" where that is not known."""
    if record["period"] is None:
        return ""
    ends = ("?" if record[name] is None else f"{record[name]:,.0f}" for name in ("period_low", "period_high"))
    steps = f"{record['period']:,.0f} steps ({' to '.join(ends)})"
    return f"; by a line in log time, what was acquired of the words shown is lost after {steps}"


def _sentence(main: dict[str, Any]) -> str:
    lower, upper = (None if main[name] is None else -main[name] for name in ("corrected_upper", "corrected_lower"))
    bounds = format_bounds(lower, upper, "+.2f")
    return (
        f"A showing changes the loss on {_NAMES[main['question']]} by {-main['corrected']:+.2f} nats {bounds} beyond "
        f"facts never shown, in {main['model']}."
    )


def _control(effectivity: pl.DataFrame, main: dict[str, Any]) -> str:
    same = {name: main[name] for name in ("model", "group", "question")}
    text = f"Facts never shown gain {main['never']:.2f} nats by the same formula: a minimum over noisy steps is low."
    twin = effectivity.filter(arm=CONTROL_MODEL, **same)
    if twin.is_empty():
        return text
    record = twin.to_dicts()[0]
    bounds = format_bounds(record["corrected_lower"], record["corrected_upper"], "+.2f")
    return f"{text} In the twin that was shown no fact, the corrected gain is {record['corrected']:+.2f} {bounds}."


def _charts(facts: pl.DataFrame, frames: dict[str, pl.DataFrame], main: dict[str, Any]) -> tuple[Chart, ...]:
    model = main["model"]
    before, _ = showing_times(facts.filter(model=model))
    charts = [
        Chart(
            "losses", f"Loss of {model} on the targets; dotted lines are showings", "lines", "losses",
            Axis("t", "steps since before the first showing"), _LOSS_AXIS, _QUESTION_AXIS, "loss_lower", "loss_upper",
            "group", where={"model": model, "arm": TREATMENT}, count="facts", events=tuple(map(float, before)),
        ),
        Chart(
            "effectivity", "What a showing brings beyond facts never shown", "points", "effectivity",
            Axis("question", "question", "nominal"), Axis("corrected", "fall of the loss, nats per token"),
            Axis("group", "shown", "nominal"), "corrected_lower", "corrected_upper", "model",
            reference=(0.0, "nothing"), where={"arm": TREATMENT}, count="facts",
        ),
    ]  # fmt: skip
    if frames["retention"]["R"].is_not_null().any():
        charts.append(
            Chart(
                "retention", "What is left of what was acquired, after the last showing", "lines", "retention",
                Axis("t", "steps since the smallest loss", "log"), Axis("R", "share left"),
                _QUESTION_AXIS, "R_lower", "R_upper", "group", dash="model", reference=(0.0, "forgotten"),
            )
        )  # fmt: skip
    return tuple(charts)


def _caveats(frames: dict[str, pl.DataFrame]) -> tuple[str, ...]:
    reasons = frames["forgetting"]["reason"]
    missing = int(reasons.is_not_null().sum())
    texts = [
        "A forgetting period is where a straight line in log time reaches 0, often far beyond the steps measured.",
        "Facts are made up: what is learnt from a few showings of real facts also depends on what a model knows.",
    ]
    if missing:
        texts.append(
            f"For {missing} of {len(reasons)} combinations of model, group and question there is no forgetting period; "
            "the table says why."
        )
    composed = frames["losses"].filter(group=NEVER, question="composed", arm=TREATMENT)
    if composed.height:
        texts.append(
            "A lower loss on a composed question may come from its target alone, which the model has seen by then."
        )
    return tuple(texts)


def _trend(forgetting: pl.DataFrame, model: str) -> Trend:
    """Whether what is left falls with log time in the largest model: shown if most known intervals lie below 0."""
    known = forgetting.filter(model=model).drop_nulls("slope_lower")
    if known.is_empty():
        return Trend(_TREND, "cannot tell", "no group has a share left with an interval")
    falls, rises = known.filter(pl.col("slope_upper") < 0).height, known.filter(pl.col("slope_lower") > 0).height
    test = (
        f"{model}: the slope of R lies below 0 in {falls} of {known.height} groups and questions, above in {rises}. "
        "Decided by more than half"
    )
    if 2 * falls > known.height:
        return Trend(_TREND, "shows", test)
    return Trend(_TREND, "contradicts" if 2 * rises > known.height else "cannot tell", test)


ANALYSIS: Final = Analysis(
    "facts",
    "Made-up facts",
    "K12 (Chang et al.)",
    "probes of facts that were shown in a training, and of others (mematlas experiment facts)",
    compute,
    (_TREND,),
    granularity="content",
)
