"""Published score files in: one reader a layout, chosen by name or by its columns. Nothing is scored here."""

from mematlas.registry import Registry

LAYOUTS = Registry(
    "layout",
    {
        "memorized-evals": (
            "mematlas.importers.memorized_evals:LAYOUT",
            None,
            "EleutherAI/pythia-memorized-evals: one file or folder a model, rows with M = 1 only",
        ),
        "random-sampled": (
            "mematlas.importers.random_sampled:LAYOUT",
            None,
            "EleutherAI/pile-{duped,deduped}-pythia-random-sampled: one table, a column of scores a model",
        ),
        "memorized-flags": (
            "mematlas.importers.memorized_flags:LAYOUT",
            None,
            "the older revision of random-sampled: a flag whether the row is recited, one file a model",
        ),
    },
)
