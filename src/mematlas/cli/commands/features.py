"""`mematlas features`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from mematlas.cli.progress import Bar
from mematlas.executors.options import ALONE, WorkerOptions
from mematlas.index.base import Scope
from mematlas.pipeline.steps.features import make_features
from mematlas.study import open_study


def features(
    study: str,
    *,
    scope: Scope = "documents",
    eod: int | None = None,
    joined: Annotated[bool, Parameter(negative=())] = False,
    training_order: Path | None = None,
    run: str | None = None,
    workers: Annotated[WorkerOptions, Parameter(name="*")] = ALONE,
) -> None:
    """Count what the corpus holds of a study's rows: n-grams, copies; and see what kind of text they are.

    Example: mematlas features study --scope documents --eod 0

    Parameters
    ----------
    study
        The folder or URL that `mematlas score --study` or `mematlas run` wrote; its corpus is read twice or more.
    scope
        Within what 1- to 3-grams are counted; copies of rows are counted in every scope.
    eod
        Id of the token that ends a document inside rows; where it is not named, documents end with rows.
    joined
        Rows are consecutive cuts of one text, so that a document may go on in the next row; needs --eod.
    training_order
        A .npy file of row positions, as training showed them: counts are then of that stream.
    run
        The beginning of a run's key, as `mematlas show` prints it; the latest by default.
    workers
        Who counts.
    """
    opened = open_study(study)
    folder = make_features(
        opened,
        scope=scope,
        eod=eod,
        joined=joined,
        training_order=training_order,
        run=run,
        progress=Bar(),
        **dict(workers),
    )
    facts = opened.feature_facts(run) or {}
    rows = opened.scan_features("counts", run)
    print(
        f"Features of {rows.select('row').collect().height:,} rows, counted within {facts['scope']} of "
        f"{facts['tokens']:,} tokens in {facts['documents']:,} documents: {folder}"
    )
    print(f"Analyse again with them: mematlas analyze {study}")
