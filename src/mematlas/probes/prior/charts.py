"""The charts of `mematlas probe prior`."""

from typing import Final

from mematlas.findings.finding import Axis, Chart

PRIOR: Final = (
    Chart(
        "prior",
        "Continuations after their own prompt, and after others",
        "points",
        "rows",
        Axis("log_prior", "log mean P after others, nats"),
        Axis("log_probability", "log P after the own prompt, nats"),
        Axis("verdict", "row", "nominal"),
        facet="class",
        diagonal="equally probable",
    ),
    Chart(
        "ratio",
        "How much more probable continuations are after their own prompt",
        "lines",
        "histogram",
        Axis("log_ratio", "log ratio r, in nats"),
        Axis("share", "rows", share=True, bounds=(0, 1)),
        Axis("kind", "rows", "nominal"),
    ),
)
