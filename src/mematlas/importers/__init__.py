"""Imports published score files: one reader per layout, chosen by name or by the files' columns. No model is run."""

from mematlas.registry import Registry

LAYOUTS = Registry(
    "layout",
    {
        "memorized-evals": (
            "mematlas.importers.memorized_evals:LAYOUT",
            None,
            "EleutherAI/pythia-memorized-evals: one file or folder per model, rows with M = 1 only",
        ),
        "random-sampled": (
            "mematlas.importers.random_sampled:LAYOUT",
            None,
            "EleutherAI/pile-{duped,deduped}-pythia-random-sampled: one table, one column of scores per model",
        ),
        "memorized-flags": (
            "mematlas.importers.memorized_flags:LAYOUT",
            None,
            "the older revision of random-sampled: a flag whether the row is recited, one file per model",
        ),
    },
)
