"""The charts of `mematlas probe layers`."""

from typing import Final

from mematlas.findings.finding import Axis, Chart

_COLOR: Final = Axis("class", "rows", "nominal")
ROBUSTNESS: Final = (
    Chart(
        "robustness",
        "Tokens recited, by the noise in the residual stream",
        "lines",
        "robustness",
        Axis("strength", "noise, relative to the state's norm"),
        Axis("share", "tokens recited", share=True, bounds=(0, 1)),
        _COLOR,
        "share_lower",
        "share_upper",
    ),
    Chart(
        "recovery",
        "How alike states with and without noise are, by layer",
        "lines",
        "recovery",
        Axis("layer", "block"),
        Axis("cosine", "cosine", zero=False),
        _COLOR,
        "cosine_lower",
        "cosine_upper",
        "strength",
    ),
)
_READ: Final = Axis("layer", "layer whose states are read")
LENS: Final = (
    Chart(
        "lens",
        "True tokens that are the most probable ones, by layer",
        "lines",
        "lens",
        _READ,
        Axis("share", "tokens right", share=True, bounds=(0, 1)),
        _COLOR,
        "share_lower",
        "share_upper",
    ),
    Chart(
        "entropy",
        "How undecided each layer is",
        "lines",
        "lens",
        _READ,
        Axis("entropy", "entropy in nats", bounds=(0, None)),
        _COLOR,
        "entropy_lower",
        "entropy_upper",
    ),
)
HEADS: Final = (
    Chart(
        "heads",
        "Tokens lost without each head",
        "matrix",
        "heads",
        Axis("head", "head", "ordinal"),
        Axis("layer", "layer", "ordinal"),
        Axis("drop", "share of the tokens that is lost", share=True),
        facet="class",
    ),
)
