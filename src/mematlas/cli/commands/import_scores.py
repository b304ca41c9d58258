"""`mematlas import`."""

from pathlib import Path

from mematlas.cli.progress import Bar
from mematlas.errors.remedies import command_line
from mematlas.importers import LAYOUTS
from mematlas.importers.import_scores import import_scores


def import_(*paths: str, study: str) -> None:
    """Import published scores into a study, to analyse them without scoring anything.

    Example: mematlas import memorized-evals data/deduped.70m.parquet deduped.12b=other.parquet --study published

    Parameters
    ----------
    paths
        A layout (see `mematlas list layouts`; detected from the columns if omitted), then Parquet files or folders of
        Parquet files, each as PATH or LABEL=PATH.
    study
        Folder of the study, or a URL such as s3://bucket/study.
    """

    has_layout = len(paths) > 1 and "=" not in paths[0] and not Path(paths[0]).exists()
    if has_layout:
        LAYOUTS.load(paths[0])  # an unknown name raises an error that suggests the nearest one
    layout, files = (paths[0], paths[1:]) if has_layout else (None, paths)
    run = import_scores(*files, study=study, layout=layout, progress=Bar()).run()
    models = f"{len(run.models)} model{'s' if len(run.models) > 1 else ''}"
    print(f"{run.settings['row_counts']['train']:,} rows of {models} are in {study}.")
    if not run.settings["complete"]:
        print("Only recited rows were published, so the recited share of the corpus is unknown.")
    print(f"Analyse them: {command_line('analyze', study)}")
