"""The charts of `mematlas probe compress`."""

from typing import Final

from mematlas.findings.finding import Axis, Chart

COMPRESSION: Final = (
    Chart(
        "ratio",
        "Tokens of a string over those of its shortest prompt",
        "bars",
        "compression",
        Axis("class", "strings", "nominal"),
        Axis("mean_all", "mean ratio, not found at its floor", bounds=(0, None)),
        None,
        "mean_all_lower",
        "mean_all_upper",
        reference=(1.0, "prompt as long as the string"),
        count="strings",
    ),
    Chart(
        "progress",
        "Strings with a prompt shorter than they are, by steps of the search",
        "steps",
        "progress",
        Axis("steps", "steps of a string's search"),
        Axis("share", "strings compressed", share=True, bounds=(0, 1)),
        Axis("class", "strings", "nominal"),
        count="strings",
    ),
)
