"""The charts of inserted items."""

from collections.abc import Sequence
from typing import Final

from mematlas.findings.finding import Axis, Chart

_MODEL: Final = Axis("model", "model", "nominal")
_LEVEL: Final = Axis("level", "insertions", "log")
_GAIN: Final = Axis("gain", "loss of level 0 - loss, in nats per token")
_NONE: Final = (0.0, "as never inserted")


def insertion_charts(base: str, model: str, tables: Sequence[str]) -> tuple[Chart, ...]:
    """The charts of the tables that there are. base: the arm of the first one; model: that of the others."""
    area = Chart(
        "auc",
        "Items told from items never inserted, by their loss",
        "lines",
        "level",
        Axis("level", "insertions", "ordinal"),
        Axis("auc", "AUC against level 0", zero=False, bounds=(0, 1)),
        _MODEL,
        "auc_lower",
        "auc_upper",
        reference=(0.5, "guessing"),
        where={"arm": base},
        count="n",
    )
    dilution = Chart(
        "dilution",
        f"What items gain in larger corpora, {model}",
        "lines",
        "dilution",
        _LEVEL,
        _GAIN,
        Axis("corpus", "size of the corpus", "ordinal"),
        "gain_lower",
        "gain_upper",
        "comparison",
        reference=_NONE,
        where={"model": model},
        count="n",
    )
    windows = Chart(
        "windows",
        f"What items gain, by the part of the training that has all insertions, {model}",
        "bars",
        "window",
        Axis("window", "part of the training, in percent", "ordinal"),
        _GAIN,
        None,
        "gain_lower",
        "gain_upper",
        "level",
        reference=_NONE,
        where={"model": model},
        count="n",
    )
    return tuple(chart for chart in (area, dilution, windows) if chart.table in tables)
