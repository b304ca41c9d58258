"""`mematlas list`: names that can be used on the command line."""

from dataclasses import asdict
from typing import Literal, get_args

from mematlas.analyses import ANALYSES
from mematlas.auditing import LOOKS
from mematlas.cli.output import Json, print_json, print_table
from mematlas.corpus.formats import FORMATS
from mematlas.executors import EXECUTORS
from mematlas.experiments import EXPERIMENTS
from mematlas.features.taggers import TAGGERS
from mematlas.findings.finding import Granularity, Retrievability
from mematlas.importers import LAYOUTS
from mematlas.literature.contents import CONTENTS
from mematlas.metrics import METRICS
from mematlas.models import MODELS
from mematlas.pipeline.steps import STEPS
from mematlas.registry import Registry

#: The tables, by the plural of what their members are.
TABLES: dict[str, Registry] = {
    table.plural: table
    for table in (FORMATS, MODELS, METRICS, ANALYSES, LAYOUTS, STEPS, EXECUTORS, EXPERIMENTS, TAGGERS, LOOKS)
}


def list_members(
    table: Literal[
        "formats",
        "models",
        "metrics",
        "analyses",
        "layouts",
        "steps",
        "executors",
        "experiments",
        "taggers",
        "looks",
        "taxonomy",
    ],
    *,
    json_: Json = False,
) -> None:
    """List the available corpus formats, model backends, metrics, analyses, layouts of published scores, ...

    Example: mematlas list formats

    Parameters
    ----------
    table
        formats, models, metrics, analyses, layouts, steps, executors, experiments, taggers or looks; taxonomy: what can
        be memorized, and what asks for it.
    """
    if table == "taxonomy":
        _print_contents(json_)
        return
    members = TABLES[table]
    if json_:
        print_json(
            {table: [{"name": name, "summary": members.summary(name), **_kind(table, name)} for name in members]}
        )
        return
    width = max(map(len, members))
    for name in members:
        print(f"{name:<{width}}  {members.summary(name)}")
    if table == "analyses":
        _print_taxonomy()


def _print_contents(as_json: bool) -> None:
    """The six kinds of memorized content (P6), each with the commands that ask for it, or why there are none."""
    if as_json:
        print_json({"taxonomy": [{"content": name, **asdict(content)} for name, content in CONTENTS.items()]})
        return
    for name, content in CONTENTS.items():
        print(f"{name}: {', '.join(f'mematlas {command}' for command in content.commands) or 'not supported'}")
        for text in (content.how, content.missing and f"Not measured: {content.missing}"):
            if text:
                print(f"    {text}.")


def _kind(table: str, name: str) -> dict[str, str]:
    """Which kind of memorization an analysis is about."""
    if table != "analyses":
        return {}
    analysis = ANALYSES.load(name)
    return {"granularity": analysis.granularity, "retrievability": analysis.retrievability}


def _print_taxonomy() -> None:
    """Which kinds of memorization (P2, P6: granularity x retrievability) the analyses cover, and which none covers."""
    granularities, retrievabilities = get_args(Granularity), get_args(Retrievability)
    covered: dict[tuple[str, str], list[str]] = {
        (granularity, retrievability): [] for granularity in granularities for retrievability in retrievabilities
    }
    for name in ANALYSES:
        analysis = ANALYSES.load(name)
        covered[analysis.granularity, analysis.retrievability].append(name)
    print("\nAnalyses by their definition of memorization (P2, P6): how exact it is, and how it is extracted.")
    rows = [
        [granularity, *(str(len(covered[granularity, way]) or "-") for way in retrievabilities)]
        for granularity in granularities
    ]
    print_table(["granularity", *retrievabilities], rows)
    for (granularity, retrievability), names in covered.items():
        if names:
            print(f"{granularity} x {retrievability}: {', '.join(names)}")
    missing = [
        f"{granularity} x {retrievability}" for (granularity, retrievability), names in covered.items() if not names
    ]
    print(f"Not covered: {', '.join(missing) or 'none'}.")
