"""Tables -> Finding. One file a perspective; each is a pure function over a study's tables, without torch or corpus."""

from mematlas.registry import Registry

ANALYSES = Registry(
    "analysis",
    {
        "size": (
            "mematlas.analyses.size:ANALYSIS",
            None,
            "memorized and unmemorized share of rows against model size (P1 Fig. 2a)",
        ),
    },
)
