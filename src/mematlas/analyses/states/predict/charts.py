"""The charts of the finding `predict`, for one model and along the sizes."""

from collections.abc import Mapping
from typing import Final

from mematlas.analyses.states.predict.scores import WINDOW
from mematlas.analyses.states.predict.tables import Frames
from mematlas.findings.finding import Axis, Chart
from mematlas.study.schemas.predictions import PREDICTOR

_CHANCE: Final = (0.5, "tells nothing apart")
_AUROC: Final = Axis("auroc", "AUROC of recited tokens")
_ACCURACY: Final = Axis("token_accuracy", "tokens predicted right", share=True)
_LEVEL: Final = Axis("level", "score level (0: M < 0.2; 4: M at least 0.8)", "ordinal")
_PART: Final = Axis("part", "said by", "nominal")
_SEES: Final = Axis("sees", "sees", "nominal")
Where = Mapping[str, str | int]


def prediction_charts(frames: Frames, model: str) -> tuple[Chart, ...]:
    """Those that draw something; lines along a length or a size need two places."""
    scores = frames["scores"].filter(model=model)
    longest = int(scores["continuation"].max())  # type: ignore[arg-type]
    own: Where = {"model": model, "own": True}
    sizes: Where = {"own": True, "latest": True, "continuation": longest}
    charts = [
        *_by_method(model, own, longest),
        *_by_size(sizes),
        *_by_level(model),
        _calibration(model),
        _positions(model),
    ]
    return tuple(chart for chart in charts if _draws(frames, chart))


def _by_method(model: str, own: Where, longest: int) -> list[Chart]:
    return [
        Chart(
            "methods",
            f"How well tokens that {model} recites are told, {longest} after the context",
            "bars",
            "scores",
            Axis("method", "method", "nominal"),
            _AUROC,
            lower="auroc_lower",
            upper="auroc_upper",
            facet="sees",
            reference=_CHANCE,
            where={**own, "continuation": longest},
        ),
        Chart(
            "continuation",
            f"Tokens predicted right by continuation, {model}",
            "lines",
            "scores",
            Axis("continuation", "continuation, tokens"),
            _ACCURACY,
            _PART,
            "token_accuracy_lower",
            "token_accuracy_upper",
            facet="sees",
            where={**own, "drawn": True},
        ),
    ]


def _by_size(sizes: Where) -> list[Chart]:
    size = Axis("parameters", "parameters", "log")
    return [
        _sizes("sizes", "How well recited tokens are told by model size", size, _AUROC, sizes),
        _sizes("sizes-accuracy", "Tokens predicted right by model size", size, _ACCURACY, sizes),
    ]


def _sizes(name: str, title: str, x: Axis, y: Axis, where: Where) -> Chart:
    ends = (f"{y.column}_lower", f"{y.column}_upper")
    chance = _CHANCE if y is _AUROC else None
    drawn = {**where, "drawn": True}
    return Chart(name, title, "lines", "scores", x, y, _PART, *ends, facet="sees", reference=chance, where=drawn)


def _by_level(model: str) -> list[Chart]:
    where: Where = {"model": model, "drawn": True}
    right = Axis("full_accuracy", "rows of the level predicted wholly right", share=True)
    share = Axis("share", "share of rows predicted wholly right", share=True)
    return [
        _bars("levels", f"Rows predicted wholly right by score level, {model}", right, where),
        _bars("wholly-right", f"Score levels of the rows predicted wholly right, {model}", share, where),
    ]


def _bars(name: str, title: str, y: Axis, where: Where) -> Chart:
    ends = (f"{y.column}_lower", f"{y.column}_upper")
    return Chart(name, title, "bars", "levels", _LEVEL, y, _PART, *ends, facet="sees", where=where)


def _calibration(model: str) -> Chart:
    return Chart(
        "calibration",
        f"Are the probabilities true? {model}",
        "lines",
        "calibration",
        Axis("probability", "mean probability said", share=True),
        Axis("recited", "share of tokens recited", share=True),
        _SEES,
        "recited_lower",
        "recited_upper",
        where={"model": model, "method": PREDICTOR},
    )


def _positions(model: str) -> Chart:
    return Chart(
        "positions",
        f"How well recited tokens are told by position, {model}",
        "lines",
        "positions",
        Axis("position", f"token after the border (first of {WINDOW})"),
        _AUROC,
        _SEES,
        "auroc_lower",
        "auroc_upper",
        dash="method",
        reference=_CHANCE,
        where={"model": model},
    )


def _draws(frames: Frames, chart: Chart) -> bool:
    """Whether there are two places along x, one where it names methods or levels."""
    found = frames[chart.table].filter(**chart.where).drop_nulls(chart.y.column)
    return found[chart.x.column].drop_nulls().n_unique() > (chart.shape != "bars")
