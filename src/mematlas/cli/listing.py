"""`mematlas list`: what can be named on the command line."""

from typing import Literal

from mematlas.corpus import FORMATS
from mematlas.metrics import METRICS
from mematlas.models import MODELS


def list_members(table: Literal["formats", "models", "metrics"]) -> None:
    """List the corpus formats, model backends or metrics.

    Example: mematlas list formats

    Parameters
    ----------
    table
        formats, models or metrics.
    """
    members = {"formats": FORMATS, "models": MODELS, "metrics": METRICS}[table]
    width = max(map(len, members))
    for name in members:
        print(f"{name:<{width}}  {members.summary(name)}")
