"""Training runs on corpora of known content: the models of `mematlas demo`, and the kinds of `mematlas experiment`.

    from mematlas.experiments import TrainingConfig, train_family
    family = train_family(Path("demo"), TrainingConfig(seed=1))

Heavy libraries are imported when one of the names below is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mematlas.registry import Registry

if TYPE_CHECKING:
    from mematlas.experiments.data.standard_library import Document
    from mematlas.experiments.design.config import PlantingConfig, Size, TrainingConfig
    from mematlas.experiments.repetition import Member, TrainedFamily, train_family

_SUBMODULES = {
    "Document": "data.standard_library",
    "PlantingConfig": "design.config",
    "Size": "design.config",
    "TrainingConfig": "design.config",
    "Member": "repetition",
    "TrainedFamily": "repetition",
    "train_family": "repetition",
}

EXPERIMENTS = Registry(
    "experiment",
    {
        "capacity": (
            "mematlas.experiments.capacity:EXPERIMENT",
            None,
            "models trained on random sequences until they hold no more: how many bits for each parameter (K12)",
        ),
        "counterfactual": (
            "mematlas.experiments.counterfactual:EXPERIMENT",
            None,
            "many models, each on a random subset of the rows: what they owe to having been trained on a row (P10)",
        ),
        "dynamics": (
            "mematlas.experiments.dynamics:EXPERIMENT",
            None,
            "models of several sizes on the same rows: what they memorize after every epoch (P8)",
        ),
        "facts": (
            "mematlas.experiments.facts:EXPERIMENT",
            None,
            "made-up facts shown in other words, in the same, once or never: what is kept of them, how long (K12)",
        ),
        "forget": (
            "mematlas.experiments.forget:EXPERIMENT",
            None,
            "rows shown 0, 1, 10 or 30 times, and what is left of them while training goes on (P8)",
        ),
        "ids": (
            "mematlas.experiments.ids:EXPERIMENT",
            None,
            "rows that begin with a token of their own, beside the same rows without: which are memorized sooner (P8)",
        ),
        "inject": (
            "mematlas.experiments.inject:EXPERIMENT",
            None,
            "sequences injected at chosen frequencies, beside a twin without them: what is recited after how many (P3)",
        ),
        "insertions": (
            "mematlas.experiments.insertions:EXPERIMENT",
            None,
            "items inserted 0 to 64 times, in larger corpora and in parts of the training: dilution and ordering (K9)",
        ),
    },
)

__all__ = [
    "EXPERIMENTS",
    "Document",
    "Member",
    "PlantingConfig",
    "Size",
    "TrainedFamily",
    "TrainingConfig",
    "train_family",
]


def __getattr__(name: str) -> Any:
    if name not in _SUBMODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_SUBMODULES[name]}"), name)
