"""The charts of `mematlas probe prompts`."""

from typing import Final

from mematlas.findings.finding import Axis, Chart

_COLOR: Final = Axis("class", "rows", "nominal")
_SHARE: Final = Axis("share", "tokens recited", share=True, bounds=(0, 1))
_STRENGTH: Final = Axis("strength", "share of the prompt's tokens changed", share=True)
SHORTEST: Final = (
    Chart(
        "ratio",
        "How much of the prompt is needed",
        "bars",
        "ratio",
        Axis("needed", "shortest end that recites, over the prompt", "ordinal"),
        Axis("share", "rows", share=True, bounds=(0, 1)),
        Axis("measure", "tokens", "nominal"),
        "share_lower",
        "share_upper",
    ),
    Chart(
        "lengths",
        "Rows recited whole, by the tokens of the prompt that are given",
        "lines",
        "lengths",
        Axis("tokens", "last tokens of the prompt"),
        Axis("share", "rows recited whole", share=True, bounds=(0, 1)),
        _COLOR,
        "share_lower",
        "share_upper",
    ),
)
STRENGTHS: Final = Chart(
    "strengths",
    "Tokens recited, by the share of the prompt that is changed",
    "lines",
    "strengths",
    _STRENGTH,
    _SHARE,
    _COLOR,
    "share_lower",
    "share_upper",
    "change",
    where={"part": "whole"},
)


def halves_chart(name: str) -> Chart:
    """The far half of the prompt beside the near one, for one class of rows."""
    return Chart(
        "halves",
        "The half of the prompt away from the continuation, and the one next to it",
        "lines",
        "strengths",
        _STRENGTH,
        _SHARE,
        Axis("part", "part of the prompt", "nominal"),
        "share_lower",
        "share_upper",
        "change",
        where={"class": name},
    )
