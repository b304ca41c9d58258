"""`mematlas import`."""

from pathlib import Path

from mematlas.cli.progress import Quiet, progress_display
from mematlas.errors import OptionError
from mematlas.errors.remedies import command_line
from mematlas.importers import LAYOUTS
from mematlas.importers.import_exposures import KIND, import_exposures
from mematlas.importers.import_scores import import_scores


def import_(*paths: str, study: str, quiet: Quiet = False) -> None:
    """Import published scores into a study, to analyse them without scoring anything; or who was trained on what.

    Example: mematlas import memorized-evals data/deduped.70m.parquet deduped.12b=other.parquet --study published

    `mematlas import exposures FILE --study STUDY` adds to a scored study which of its models were trained on which
    rows. FILE (.csv, .parquet, .jsonl) has the columns model and row (and times), or row and step: the order of one
    training, of which the models are checkpoints.

    Parameters
    ----------
    paths
        A layout (see `mematlas list layouts`; detected from the columns if omitted), then Parquet files or folders of
        Parquet files, each as PATH or LABEL=PATH; or the word exposures and one file.
    study
        Folder of the study, or a URL such as s3://bucket/study.
    """
    if paths[:1] == (KIND,) and not Path(KIND).exists():
        _import_exposures(paths[1:], study)
        return
    has_layout = len(paths) > 1 and "=" not in paths[0] and not Path(paths[0]).exists()
    if has_layout:
        LAYOUTS.load(paths[0])  # an unknown name raises an error that suggests the nearest one
    layout, files = (paths[0], paths[1:]) if has_layout else (None, paths)
    run = import_scores(*files, study=study, layout=layout, progress=progress_display(quiet)).run()
    models = f"{len(run.models)} model{'s' if len(run.models) > 1 else ''}"
    print(f"{run.settings['row_counts']['train']:,} rows of {models} are in {study}.")
    if not run.settings["complete"]:
        print("Only recited rows were published, so the recited share of the corpus is unknown.")
    print(f"Analyse them: {command_line('analyze', study)}")


def _import_exposures(files: tuple[str, ...], study: str) -> None:
    """Import one file of exposures, and say what of the study it covers."""
    if len(files) != 1:
        command = command_line("import", KIND, "FILE", "--study", study)
        raise OptionError(f"Exposures are in one file, and {len(files)} were given: {command}")
    opened = import_exposures(files[0], study=study)
    exposures, models = opened.scan_exposures().collect(), opened.models()["model"]
    known = models.filter(models.is_in(exposures["model"].implode()))
    rows = exposures.filter(exposures["times"] > 0)["row"].n_unique()
    print(
        f"Of {len(known)} of {len(models)} models it is known what they were trained on: {rows:,} of the scored rows."
    )
    print(f"Analyse them: {command_line('analyze', study)}")
