"""The charts of the finding `predict`, for one model and by model size."""

from collections.abc import Mapping
from typing import Final

from mematlas.analyses.states.predict.scores import POSITION_WINDOW
from mematlas.analyses.states.predict.tables import Frames
from mematlas.findings.finding import Axis, Chart
from mematlas.study.schemas.predictions import PREDICTOR

_CHANCE: Final = (0.5, "tells nothing apart")
_AUROC_AXIS: Final = Axis("auroc", "AUROC of recited tokens", zero=False, bounds=(0, 1))
_ACCURACY_AXIS: Final = Axis("token_accuracy", "tokens predicted right", share=True)
_LEVEL_AXIS: Final = Axis("level", "score level (0: M < 0.2; 4: M at least 0.8)", "ordinal")
_PART_AXIS: Final = Axis("part", "said by", "nominal")
_SEES_AXIS: Final = Axis("sees", "sees", "nominal")
Where = Mapping[str, str | int]


def prediction_charts(frames: Frames, model: str) -> tuple[Chart, ...]:
    """The charts that have data; lines need at least two points."""
    scores = frames["scores"].filter(model=model)
    longest = int(scores["continuation"].max())  # type: ignore[arg-type]
    own_model: Where = {"model": model, "own": True}
    size_filter: Where = {"own": True, "latest": True, "continuation": longest}
    charts = [
        *_by_method(model, own_model, longest),
        *_by_size(size_filter),
        *_by_level(model),
        _calibration_chart(model),
        _position_chart(model),
    ]
    return tuple(chart for chart in charts if _draws(frames, chart))


def _by_method(model: str, own_model: Where, longest: int) -> list[Chart]:
    return [
        Chart(
            "methods",
            f"How well tokens that {model} recites are told, {longest} after the context",
            "bars",
            "scores",
            Axis("method", "method", "nominal"),
            _AUROC_AXIS,
            lower="auroc_lower",
            upper="auroc_upper",
            facet="sees",
            reference=_CHANCE,
            where={**own_model, "continuation": longest},
        ),
        Chart(
            "continuation",
            f"Tokens predicted right by continuation, {model}",
            "lines",
            "scores",
            Axis("continuation", "continuation, tokens"),
            _ACCURACY_AXIS,
            _PART_AXIS,
            "token_accuracy_lower",
            "token_accuracy_upper",
            facet="sees",
            where={**own_model, "drawn": True},
        ),
    ]


def _by_size(filters: Where) -> list[Chart]:
    x = Axis("parameters", "parameters", "log")
    return [
        _size_chart("sizes", "How well recited tokens are told by model size", x, _AUROC_AXIS, filters),
        _size_chart("sizes-accuracy", "Tokens predicted right by model size", x, _ACCURACY_AXIS, filters),
    ]


def _size_chart(name: str, title: str, x: Axis, y: Axis, where: Where) -> Chart:
    interval = (f"{y.column}_lower", f"{y.column}_upper")
    chance = _CHANCE if y is _AUROC_AXIS else None
    filters = {**where, "drawn": True}
    return Chart(
        name, title, "lines", "scores", x, y, _PART_AXIS, *interval, facet="sees", reference=chance, where=filters
    )


def _by_level(model: str) -> list[Chart]:
    where: Where = {"model": model, "drawn": True}
    accuracy = Axis("full_accuracy", "rows of the level predicted wholly right", share=True)
    share = Axis("share", "share of rows predicted wholly right", share=True)
    return [
        _level_chart("levels", f"Rows predicted wholly right by score level, {model}", accuracy, where),
        _level_chart("wholly-right", f"Score levels of the rows predicted wholly right, {model}", share, where),
    ]


def _level_chart(name: str, title: str, y: Axis, where: Where) -> Chart:
    interval = (f"{y.column}_lower", f"{y.column}_upper")
    return Chart(name, title, "bars", "levels", _LEVEL_AXIS, y, _PART_AXIS, *interval, facet="sees", where=where)


def _calibration_chart(model: str) -> Chart:
    return Chart(
        "calibration",
        f"Are the probabilities true? {model}",
        "lines",
        "calibration",
        Axis("probability", "mean probability said", share=True),
        Axis("recited", "share of tokens recited", share=True),
        _SEES_AXIS,
        "recited_lower",
        "recited_upper",
        where={"model": model, "method": PREDICTOR},
        diagonal="as often as said",
    )


def _position_chart(model: str) -> Chart:
    return Chart(
        "positions",
        f"How well recited tokens are told by position, {model}",
        "lines",
        "positions",
        Axis("position", f"token after the border (first of {POSITION_WINDOW})"),
        _AUROC_AXIS,
        _SEES_AXIS,
        "auroc_lower",
        "auroc_upper",
        dash="method",
        reference=_CHANCE,
        where={"model": model},
    )


def _draws(frames: Frames, chart: Chart) -> bool:
    """Whether there are two distinct values of x, or one in bar charts."""
    points = frames[chart.table].filter(**chart.where).drop_nulls(chart.y.column)
    return points[chart.x.column].drop_nulls().n_unique() > (chart.shape != "bars")
