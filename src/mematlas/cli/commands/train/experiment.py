"""`mematlas experiment`."""

import shlex
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from mematlas.cli.numbers import NotNegative
from mematlas.cli.output import Json, count, print_json, print_table
from mematlas.cli.progress import Quiet, progress_display
from mematlas.cli.training_lines import TrainingLines
from mematlas.errors.remedies import command_line
from mematlas.executors.options import SINGLE_PROCESS, WorkerOptions, resolve_worker_options
from mematlas.experiments.base import ExperimentConfig, Preset
from mematlas.pipeline.experiment import experiment_commands, outline_experiment, read_experiment, run_experiment


def experiment(
    name: str,
    file: Path,
    *,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    preset: Preset = "cpu",
    check_interaction: NotNegative | None = None,
    workers: Annotated[WorkerOptions, Parameter(name="*")] = SINGLE_PROCESS,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Train the models of an experiment, then score, analyse and report. Run it again to complete what is missing.

    Example: mematlas experiment forget forget.yaml

    Parameters
    ----------
    name
        dynamics, forget, ... as `mematlas list experiments` names them.
    file
        A YAML file; `mematlas init --experiment NAME` writes one.
    dry_run
        Only print what would be trained; writes nothing.
    preset
        Values of keys that the file does not have: cpu (minutes on two cores) or gpu.
    check_interaction
        inject: sequences that are also injected alone, to see that the others make no difference.
    workers
        Processes that train the models, one each at a time, and then score and analyse them.
    """
    options = resolve_worker_options("experiment", **dict(workers))
    keys = {} if check_interaction is None else {"check_interaction": check_interaction}
    config = read_experiment(name, file, preset, keys)
    if dry_run:
        _print_outline(name, config, file, as_json=json_)
        return
    bar = progress_display(quiet)
    outcome = run_experiment(name, config, TrainingLines(bar), bar, options)
    if outcome is None:  # the first process that torchrun launched prints
        return
    findings = {name: finding for name, finding in outcome.analyses.findings.items() if finding.missing is None}
    if json_:
        claims = {name: finding.claim for name, finding in findings.items()}
        print_json({"folder": config.out, "report": outcome.output("report"), "claims": claims})
    else:
        print(*(f"- {finding.in_short}" for finding in findings.values()), sep="\n")
        print(f"All results are in {config.out}. The report: open {outcome.output('report')}")
    outcome.analyses.check()


def _outline(name: str, config: ExperimentConfig) -> list[dict[str, Any]]:
    """The models that running the file would train."""
    if (commands := experiment_commands(name, config)) is not None:
        return [{"model": run.label, "lines": run.lines, "trained": run.is_finished()} for run in commands.runs]
    tokens = config.batch * config.row_length
    arms = outline_experiment(name, config)
    sizes = [{"parameters": arm.parameters, "steps": arm.steps, "tokens": arm.steps * tokens} for arm in arms]
    return [{"model": arm.label, **size} for arm, size in zip(arms, sizes, strict=True)]


def _print_outline(name: str, config: ExperimentConfig, file: Path, *, as_json: bool) -> None:
    """Print what running the file would train."""
    if as_json:
        print_json({"models": _outline(name, config)})
        return
    if (commands := experiment_commands(name, config)) is not None:
        states = ["trained" if run.is_finished() else "missing" for run in commands.runs]
        rows = [[run.label, f"{run.lines:,}", state] for run, state in zip(commands.runs, states, strict=True)]
        print_table(["model", "lines", "state"], rows)
        run = next((run for run in commands.runs if not run.is_finished()), commands.runs[0])
        print(f"\n{states.count('missing')} of {len(states)} models would be trained, in {run.home.resolve()}, e.g.:")
        print(f"{shlex.join(run.words)}")
        print(f"Run it: {command_line('experiment', name, file)}")
        return
    arms = outline_experiment(name, config)
    tokens = config.batch * config.row_length
    print_table(
        ["arm", "parameters", "steps", "tokens"],
        [[arm.label, count(arm.parameters), f"{arm.steps:,}", count(arm.steps * tokens)] for arm in arms],
    )
    flop = sum(6 * arm.parameters * arm.steps * tokens for arm in arms)
    print(f"\narithmetic: about {flop / 1e12:,.2f} TFLOP of training (six operations per parameter and token).")
    print(f"Run it: {command_line('experiment', name, file)}")
