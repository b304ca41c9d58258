"""Small training runs on planted truth: the models of `mematlas demo`, and the seed of other experiments.

    from mematlas.experiments import TrainingConfig, train_family
    family = train_family(Path("demo"), TrainingConfig(seed=1))

Nothing heavy is imported before one of the names below is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mematlas.experiments.data.standard_library import Document
    from mematlas.experiments.design.config import PlantingConfig, Size, TrainingConfig
    from mematlas.experiments.repetition import Member, TrainedFamily, train_family

_NAMES = {
    "Document": "data.standard_library",
    "PlantingConfig": "design.config",
    "Size": "design.config",
    "TrainingConfig": "design.config",
    "Member": "repetition",
    "TrainedFamily": "repetition",
    "train_family": "repetition",
}

__all__ = ["Document", "Member", "PlantingConfig", "Size", "TrainedFamily", "TrainingConfig", "train_family"]


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_NAMES[name]}"), name)
