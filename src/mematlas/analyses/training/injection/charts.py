"""The charts of injected sequences."""

from typing import Final

from mematlas.findings.finding import Axis, Chart

_MODEL: Final = Axis("model", "model", "nominal")
CHARTS: Final = (
    Chart(
        "lengths",
        "Tokens recited, by how often a sequence was shown, and by the twin without showings",
        "lines",
        "lengths",
        Axis("showings", "showings", "log"),
        Axis("length", "tokens recited"),
        _MODEL,
        "length_lower",
        "length_upper",
        "kind",
        dash="arm",
    ),
    Chart(
        "frequencies",
        "Gain over the control at the end, by frequency",
        "lines",
        "frequencies",
        Axis("period", "shown in one of so many rows", "log"),
        Axis("dV", "gain in tokens"),
        _MODEL,
        "dV_lower",
        "dV_upper",
        "kind",
        reference=(0.0, "no gain"),
    ),
    Chart(
        "cost",
        "Loss on rows never shown, with and without the injected sequences",
        "lines",
        "cost",
        Axis("t", "steps since the arms began"),
        Axis("loss", "nats per token", zero=False),
        Axis("arm", "model", "nominal"),
        "loss_lower",
        "loss_upper",
        "model",
    ),
)
