"""An experiment, from its file to a study with a report: what `mematlas experiment` and `mematlas.experiment()` do.

OUT/corpus, tokenizer, rows/     the texts and the rows that are scored
    plans/<arm>/                 every batch that an arm is shown, see `experiments.design.plan`
    arms/<arm>/step-.../         the models
    experiment.json              the arms and what proves that they are comparable
    study.yaml, study/           an ordinary study of the last models; probes/ and exposures/ come from the training
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack, get_args

import yaml
from pydantic import ValidationError

from mematlas.errors import OptionError, StudyError
from mematlas.errors.functions import public_function
from mematlas.errors.remedies import command_line
from mematlas.executors.options import SINGLE_PROCESS, WorkerKeywords, WorkerOptions, resolve_worker_options
from mematlas.experiments import EXPERIMENTS
from mematlas.experiments.base import ArmOutline, CommandDesign, Design, Experiment, ExperimentConfig, Preset
from mematlas.experiments.folders import check_disk_space
from mematlas.models.base import pick_device
from mematlas.pipeline.own_trainer import run_commands
from mematlas.pipeline.run import RunOutcome, run_file
from mematlas.pipeline.study_file import parse_study_file
from mematlas.pipeline.study_file_template import study_file_text
from mematlas.pipeline.yaml_file import describe_error, read_mapping
from mematlas.progress import Progress, Silent
from mematlas.study import Study, write_text
from mematlas.study.exposures import write_exposures
from mematlas.study.probes import write_probes
from mematlas.types import as_list

_BYTES_PER_PARAMETER: Final = 4
#: Bytes for the corpus, the plans and the study.
_SLACK: Final = 50_000_000

if TYPE_CHECKING:
    from mematlas.experiments.training.side_by_side import Progress as Training


@public_function(WorkerOptions)
def experiment(
    name: str,
    path: str | Path | None = None,
    *,
    preset: Preset = "cpu",
    training: "Training | None" = None,
    progress: Progress | None = None,
    keys: Mapping[str, Any] | None = None,
    **workers: Unpack[WorkerKeywords],
) -> Study:
    """Train the models of an experiment, score, analyse and report; the Python counterpart of `mematlas experiment`.

    Everything that exists already is kept; what is missing is made. Processes that were launched together by torchrun
    train every model together; the first one goes on with the study, which the others return while it is made.

    Args:
        name: one of `mematlas list experiments`.
        path: the file of the experiment; None for the preset with `keys`.
        preset: the values of keys that the file does not have.
        training: called as training(step, steps, loss, label) while models train in this process.
        progress: display of the progress of scoring, and of training by workers; none by default.
        keys: keys of the file, which take precedence.
        workers: options of the workers (workers=4, executor="ray", address="auto"), which train a model each and then
            share the work of the study; they change neither weights nor scores.

    Raises:
        MematlasError: one line with value, rule and remedy; what is finished is kept.
    """
    options = resolve_worker_options("experiment", **workers)
    config = read_experiment(name, None if path is None else Path(path), preset, keys)
    outcome = run_experiment(name, config, training, progress or Silent(), options)
    if outcome is None:
        return Study(config.out / "study")
    outcome.analyses.check()
    return outcome.study


def read_experiment(
    name: str, path: Path | None, preset: Preset = "cpu", keys: Mapping[str, Any] | None = None
) -> ExperimentConfig:
    """The configuration in the file at `path`; `out`, `corpus` and `facts` are relative to the file's folder.

    Raises:
        UnknownName: there is no such experiment.
        OptionError: no such preset, a key is unknown, or a value breaks a rule.
        StudyError: there is no such file, or it is not YAML.
    """
    kind: Experiment = EXPERIMENTS.load(name)
    if preset not in get_args(Preset):
        raise OptionError(f"No preset is called {preset!r}; there are {' and '.join(get_args(Preset))}.")
    values: dict[str, Any] = {}
    lines: dict[object, int] = {}
    if path is not None:
        values, lines = _read_file(name, path)
    defaults = {**kind.presets[preset]}
    remedy = f"`{command_line('init', '--experiment', name)}` writes a file that explains every key."
    try:
        home = path.parent if path is not None and "trainer" not in (keys or {}) else Path()
        config = kind.config.model_validate({**defaults, **values, **(keys or {})}, context={"folder": home})
    except ValidationError as error:
        place = path or Path(name)
        raise OptionError(describe_error(error, place, lines, kind.config.model_fields, name, remedy)) from None
    folder = path.parent if path is not None else Path()
    places = {key: Path() if key in (keys or {}) else folder for key in ("out", "corpus", "facts")}
    found = {key: places[key] / value.expanduser() for key in places if (value := getattr(config, key, None))}
    return config.model_copy(update=found)


def _read_file(name: str, path: Path) -> tuple[dict[str, Any], dict[object, int]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        init = command_line("init", path, "--experiment", name)
        raise StudyError(f"There is no file {path}; `{init}` writes one to start from.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{path} cannot be read ({error}); it is a YAML file in UTF-8.") from None
    if all(not line.strip() or line.lstrip().startswith("#") for line in text.splitlines()):
        return {}, {}  # everything is as the preset has it
    return read_mapping(text, path, "an experiment's file has lines such as `seeds: [0, 1]`")


def outline_experiment(name: str, config: ExperimentConfig) -> list[ArmOutline]:
    """What would be trained, without writing anything."""
    kind: Experiment = EXPERIMENTS.load(name)
    return kind.outline(config)


def experiment_commands(name: str, config: ExperimentConfig) -> CommandDesign | None:
    """The models that a command of the user's own trains; None if the experiment trains them itself."""
    kind: Experiment = EXPERIMENTS.load(name)
    return kind.commands(config)


def run_experiment(
    name: str,
    config: ExperimentConfig,
    training: "Training | None",
    progress: Progress,
    workers: WorkerOptions = SINGLE_PROCESS,
) -> RunOutcome | None:
    """Train what is missing, then run the study of the trained models.

    Returns:
        The outcome; None in all but the first of several processes that torchrun launched.

    Raises:
        MematlasError: one line with value, rule and remedy; what is finished is kept.
    """
    from mematlas.experiments.running import train_design
    from mematlas.experiments.training.placement import launched_processes

    kind: Experiment = EXPERIMENTS.load(name)
    if (commands := kind.commands(config)) is not None:
        return run_commands(name, commands, config, workers.model_dump(exclude_defaults=True), progress)
    report = training or _silent
    if launched_processes() > 1:
        design = _train_together(name, config, report, workers)
        if design is None:
            return None
    else:
        if workers.executor == "local":  # the machines of a cluster have devices of their own
            pick_device(config.device)
        design = _make_design(name, config, report)
        train_design(
            design,
            config.out,
            report,
            at_once=config.at_once,
            device=config.device,
            workers=workers,
            display=progress,
        )
    _write_tables(name, design, config.out)
    path = config.out / "study.yaml"
    text = study_file_text(_study_settings(design, config) | workers.model_dump(exclude_defaults=True), path.name)
    write_text(path, text)
    return run_file(parse_study_file(text, path), progress)


def _make_design(name: str, config: ExperimentConfig, report: "Training") -> Design:
    kind: Experiment = EXPERIMENTS.load(name)
    check_disk_space(config.out, _bytes_needed(kind.outline(config)))
    report(0, 1, None, "corpus")
    design = kind.design(config, config.out)
    report(1, 1, None, "corpus")
    return design


def _train_together(name: str, config: ExperimentConfig, report: "Training", workers: WorkerOptions) -> Design | None:
    """Train as one of several processes that share every model; the design in the first process, None in others."""
    from mematlas.experiments.running import train_design_together
    from mematlas.experiments.training.placement import launched_processes
    from mematlas.experiments.training.sharded import joined_processes

    if workers != SINGLE_PROCESS:
        raise OptionError(
            f"The {launched_processes()} processes that torchrun launched train every model together, and have no "
            "workers; leave out --workers and --executor, or torchrun."
        )
    with joined_processes(config.device) as placement:
        design = placement.from_first(lambda: _make_design(name, config, report))
        train_design_together(design, config.out, report, placement)
        return design if placement.is_first else None


def _bytes_needed(arms: list[ArmOutline]) -> int:
    """An upper bound: of every arm a model and a state to resume from (weights and two moments), in float32."""
    return _BYTES_PER_PARAMETER * 4 * sum(arm.parameters for arm in arms) + _SLACK


def _write_tables(name: str, design: Design, folder: Path) -> None:
    """Write what only the training knows to the study: probes and exposures."""
    from mematlas.experiments.running import collect_exposures, collect_probes

    write_probes(folder / "study", name, collect_probes(design, folder))
    write_exposures(folder / "study", name, collect_exposures(design))


def _study_settings(design: Design, config: ExperimentConfig) -> dict[str, Any]:
    """The study: the last model of every scored arm on the rows that the arms are compared on."""
    from mematlas.experiments.running import model_folder

    continuation = min(32, config.row_length - config.context)
    return {
        "models": [model_folder(arm, config.out).relative_to(config.out).as_posix() for arm in design.scored],
        "corpus": design.corpus.relative_to(config.out).as_posix(),
        "control": design.control.relative_to(config.out).as_posix(),
        "study": "study",
        "context": [config.context],
        "continuation": [continuation],
        "features": False,
        "predictors": "none",
        "gallery": False,
        **design.study,
    }


def experiment_file_text(name: str, preset: Preset = "cpu", path: Path = Path("experiment.yaml")) -> str:
    """A commented file of an experiment: every key with its meaning and the preset's value, as comments."""
    kind: Experiment = EXPERIMENTS.load(name)
    run = command_line("experiment", name, path)
    parts = [
        f"# {kind.title} ({kind.source}).\n"
        f"# `{run}` trains what is missing, and nothing twice; with --dry-run it shows what that is.\n"
        f"# A line such as `#batch: 16` shows the value of the preset {preset}; remove the # to change it. Paths are\n"
        "# relative to this file.\n"
    ]
    values = kind.config.model_validate(dict(kind.presets[preset])).model_dump(mode="json")
    for key, field in kind.config.model_fields.items():
        items = as_list(values[key])
        if any(isinstance(item, dict) for item in items):
            lines = [f"{key}:", *(f"- {_in_one_line(item)}" for item in items)]
        else:
            lines = [_in_one_line({key: values[key]}).strip("{}")]
        parts.append(f"\n# {field.description}\n" + "".join(f"#{line}\n" for line in lines))
    return "".join(parts)


def _in_one_line(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6).rstrip()


def _silent(step: int, steps: int, loss: float | None, label: str) -> None:
    """Report nothing."""
