"""The steps of a study, in the order in which `mematlas run` executes them.

A new step is a file here, with a class that follows `mematlas.pipeline.step.Step`, and a line in STEPS.
"""

from mematlas.registry import Registry

STEPS = Registry(
    "step",
    {
        "scoring": ("mematlas.pipeline.steps.score:ScoreStep", None, "every row under every model"),
        "features": ("mematlas.pipeline.steps.features:FeaturesStep", None, "n-grams and copies in the corpus"),
        "occurrences": (
            "mematlas.pipeline.steps.occurrences:OccurrencesStep",
            None,
            "where else in the corpus recited rows occur",
        ),
        "predictors": ("mematlas.pipeline.steps.fit:FitStep", None, "predictors of memorization"),
        "analyses": ("mematlas.pipeline.steps.analyze:AnalyzeStep", None, "findings from the tables"),
        "gallery": ("mematlas.pipeline.steps.gallery:GalleryStep", None, "rows worth looking at, token by token"),
        "report": ("mematlas.pipeline.steps.report:ReportStep", None, "all findings on one page"),
    },
)
