"""`mematlas import`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from mematlas.cli.lists import COMMAS
from mematlas.cli.numbers import Positive
from mematlas.cli.progress import Quiet, progress_display
from mematlas.errors import OptionError
from mematlas.errors.remedies import command_line
from mematlas.importers import LAYOUTS
from mematlas.importers.import_exposures import KIND, import_exposures
from mematlas.importers.import_hubble import BATCH, import_hubble
from mematlas.importers.import_hubble import KIND as HUBBLE
from mematlas.importers.import_scores import import_scores
from mematlas.study import Study


def import_(
    *paths: str,
    study: str,
    items: Path | None = None,
    models: Annotated[list[str], Parameter(consume_multiple=1), COMMAS] = [],  # noqa: B006  cyclopts copies it
    steps: Positive | None = None,
    batch: Positive = BATCH,
    quiet: Quiet = False,
) -> None:
    """Import published scores into a study, to analyse them without scoring anything; or who was trained on what.

    Example: mematlas import memorized-evals data/deduped.70m.parquet deduped.12b=other.parquet --study published

    `mematlas import exposures FILE --study STUDY` adds to a scored study which of its models were trained on which
    rows. FILE (.csv, .parquet, .jsonl) has the columns model and row (and times), or row and step: the order of one
    training, of which the models are checkpoints.

    `mematlas import hubble PREFIX_perturbation_info.json --study STUDY` adds how often each row was inserted into the
    training of Hubble models, from the file that perturb_hubble.py wrote.

    Parameters
    ----------
    paths
        A layout (see `mematlas list layouts`; detected from the columns if omitted), then Parquet files or folders of
        Parquet files, each as PATH or LABEL=PATH; or the word exposures, or hubble, and one file.
    study
        Folder of the study, or a URL such as s3://bucket/study.
    items
        hubble: a file (.csv, .parquet, .jsonl) with the columns perturbation_file, perturbation_idx and row, which row
        of the study an inserted document is; not needed if the study scored the tokenized documents themselves.
    models
        hubble: labels of the models that were trained on the perturbed corpus; by default all but control models.
    steps
        hubble: steps of the training (48000 for 100 billion tokens), so that insertions outside of it are refused.
    batch
        hubble: rows of a step.
    """
    options = {"items": items, "models": models, "steps": steps, "batch": batch}
    if paths[:1] == (HUBBLE,) and not Path(HUBBLE).exists():
        _print_exposures(import_hubble(_one_file(HUBBLE, paths[1:], study), study=study, **options), study)  # type: ignore[arg-type]
        return
    _refuse_hubble_options(options)
    if paths[:1] == (KIND,) and not Path(KIND).exists():
        _print_exposures(import_exposures(_one_file(KIND, paths[1:], study), study=study), study)
        return
    _import_scores(paths, study, quiet)


def _import_scores(paths: tuple[str, ...], study: str, quiet: bool) -> None:
    """Import published scores, and say what the study has of them."""
    has_layout = len(paths) > 1 and "=" not in paths[0] and not Path(paths[0]).exists()
    if has_layout:
        LAYOUTS.load(paths[0])  # an unknown name raises an error that suggests the nearest one
    layout, files = (paths[0], paths[1:]) if has_layout else (None, paths)
    run = import_scores(*files, study=study, layout=layout, progress=progress_display(quiet)).run()
    counted = f"{len(run.models)} model{'s' if len(run.models) > 1 else ''}"
    print(f"{run.settings['row_counts']['train']:,} rows of {counted} are in {study}.")
    if not run.settings["complete"]:
        print("Only recited rows were published, so the recited share of the corpus is unknown.")
    print(f"Analyse them: {command_line('analyze', study)}")


def _refuse_hubble_options(options: Mapping[str, object]) -> None:
    """Refuse options that only `mematlas import hubble` uses."""
    defaults: dict[str, object] = {"items": None, "models": [], "steps": None, "batch": BATCH}
    for name, value in options.items():
        if value != defaults[name]:
            command = command_line("import", HUBBLE, "PREFIX_perturbation_info.json", "--study", "STUDY")
            raise OptionError(f"--{name} is an option of `{command}`; leave it out.")


def _one_file(kind: str, files: tuple[str, ...], study: str) -> str:
    """The one file of a kind."""
    if len(files) != 1:
        noun = "Exposures are" if kind == KIND else "Insertions are"
        command = command_line("import", kind, "FILE", "--study", study)
        raise OptionError(f"{noun} in one file, and {len(files)} were given: {command}")
    return files[0]


def _print_exposures(opened: Study, study: str) -> None:
    """Say what of the study a file of exposures covers."""
    exposures, models = opened.scan_exposures().collect(), opened.models()["model"]
    known = models.filter(models.is_in(exposures["model"].implode()))
    rows = exposures.filter(exposures["times"] > 0)["row"].n_unique()
    print(
        f"Of {len(known)} of {len(models)} models it is known what they were trained on: {rows:,} of the scored rows."
    )
    print(f"Analyse them: {command_line('analyze', study)}")
