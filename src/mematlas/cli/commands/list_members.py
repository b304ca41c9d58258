"""`mematlas list`: what can be named on the command line."""

from typing import Literal, get_args

from mematlas.analyses import ANALYSES
from mematlas.cli.output import print_table
from mematlas.corpus.formats import FORMATS
from mematlas.findings.finding import Granularity, Retrievability
from mematlas.importers import LAYOUTS
from mematlas.metrics import METRICS
from mematlas.models import MODELS


def list_members(table: Literal["formats", "models", "metrics", "analyses", "layouts"]) -> None:
    """List the corpus formats, model backends, metrics, analyses or layouts of published scores.

    Example: mematlas list formats

    Parameters
    ----------
    table
        formats, models, metrics, analyses or layouts.
    """
    members = {"formats": FORMATS, "models": MODELS, "metrics": METRICS, "analyses": ANALYSES, "layouts": LAYOUTS}[
        table
    ]
    width = max(map(len, members))
    for name in members:
        print(f"{name:<{width}}  {members.summary(name)}")
    if table == "analyses":
        _print_taxonomy()


def _print_taxonomy() -> None:
    """Which kinds of memorization (P2, P6: granularity x retrievability) the analyses speak of, and which none does."""

    kinds, ways = get_args(Granularity), get_args(Retrievability)
    covered: dict[tuple[str, str], list[str]] = {(kind, way): [] for kind in kinds for way in ways}
    for name in ANALYSES:
        analysis = ANALYSES.load(name)
        covered[analysis.granularity, analysis.retrievability].append(name)
    print("\nAnalyses by what they call memorized (P2, P6): how exact it is, and how it is got out of the model.")
    lines = [[kind, *(str(len(covered[kind, way]) or "-") for way in ways)] for kind in kinds]
    print_table(["granularity", *ways], lines)
    for (kind, way), names in covered.items():
        if names:
            print(f"{kind} x {way}: {', '.join(names)}")
    missing = [f"{kind} x {way}" for (kind, way), names in covered.items() if not names]
    print(f"Not covered: {', '.join(missing) or 'none'}.")
