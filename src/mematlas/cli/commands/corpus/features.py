"""`mematlas features`."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from mematlas.cli.numbers import NotNegative
from mematlas.cli.progress import Quiet, progress_display
from mematlas.errors.remedies import command_line
from mematlas.executors.options import SINGLE_PROCESS, WorkerOptions
from mematlas.index.base import Scope
from mematlas.pipeline.steps.features import make_features
from mematlas.study import open_study


def features(
    study: str,
    *,
    scope: Scope = "documents",
    eod: NotNegative | None = None,
    joined: Annotated[bool, Parameter(negative=())] = False,
    training_order: Path | None = None,
    tagger: str | None = None,
    near: Annotated[bool, Parameter(negative=())] = False,
    run: str | None = None,
    workers: Annotated[WorkerOptions, Parameter(name="*")] = SINGLE_PROCESS,
    quiet: Quiet = False,
) -> None:
    """Compute row features: counts of a study's rows in the corpus (n-grams, copies), and their kind of text.

    Example: mematlas features study --scope documents --eod 0

    Parameters
    ----------
    study
        The folder or URL of a study that was scored; its corpus is read twice or more.
    scope
        Unit within which 1- to 3-grams are counted; copies of rows are counted in every scope.
    eod
        Id of the token that ends a document inside a row; without it, documents end with rows.
    joined
        Rows are consecutive cuts of one text, so a document may continue in the next row; needs --eod.
    training_order
        A .npy file of row positions in the order in which training showed them; that stream is then counted.
    tagger
        Also tag parts of speech in a sample of the rows, with spacy:NAME; see the analysis parts_of_speech.
    near
        Also find near-copies among the scored rows: 5-token pieces in common, Jaccard similarity .8 or more.
    run
        The start of a run's key, as `mematlas show` prints it; the latest by default.
    workers
        Processes that count.
    """
    counted: dict[str, Any] = {"scope": scope, "eod": eod, "joined": joined, "training_order": training_order}
    display = progress_display(quiet)
    folder = make_features(study, **counted, tagger=tagger, near=near, run=run, progress=display, **dict(workers))
    _print_summary(study, run, folder)


def _print_summary(study: str, run: str | None, folder: Path) -> None:
    opened = open_study(study)
    facts = opened.feature_facts(run) or {}
    rows = opened.scan_features("counts", run)
    print(
        f"Features of {rows.select('row').collect().height:,} rows, counted within {facts['scope']} of "
        f"{facts['tokens']:,} tokens in {facts['documents']:,} documents: {folder}"
    )
    print(f"Analyse the study with them: {command_line('analyze', study)}")
