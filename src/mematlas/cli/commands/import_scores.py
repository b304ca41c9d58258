"""`mematlas import`."""

from pathlib import Path

from mematlas.cli.progress import Bar
from mematlas.importers import LAYOUTS
from mematlas.importers.import_scores import import_scores


def import_(*paths: str, study: str) -> None:
    """Write published scores into a study, to analyse them without scoring anything.

    Example: mematlas import memorized-evals data/deduped.70m.parquet deduped.12b=other.parquet --study published

    Parameters
    ----------
    paths
        A layout (see `mematlas list layouts`; found by the columns if left out), then Parquet files or folders of them,
        each PATH or LABEL=PATH.
    study
        Folder, or URL such as s3://bucket/study, that keeps the study.
    """

    named = len(paths) > 1 and "=" not in paths[0] and not Path(paths[0]).exists()
    if named:
        LAYOUTS.load(paths[0])  # says what it might be
    opened = import_scores(*paths[1 if named else 0 :], study=study, layout=paths[0] if named else None, progress=Bar())
    run = opened.run()
    models = f"{len(run.models)} model{'s' if len(run.models) > 1 else ''}"
    print(f"{run.question['row_counts']['train']:,} rows of {models} are in {study}.")
    if not run.question["complete"]:
        print("Only recited rows were published: nothing can be said of how much of the corpus is recited.")
    print(f"Analyse them: mematlas analyze {study}")
