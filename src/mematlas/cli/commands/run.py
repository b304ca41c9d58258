"""`mematlas run`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from mematlas.cli.output import count, print_table, significant, size
from mematlas.cli.progress import Bar
from mematlas.pipeline.plan import WorkPlan, plan_study
from mematlas.pipeline.run import RunOutcome, run_file
from mematlas.pipeline.study_file import read_study_file


def run(study_file: Path, *, dry_run: Annotated[bool, Parameter(negative=())] = False) -> None:
    """Carry out a study file: score, count, fit, analyse, gallery, report. Run again, it does what is missing.

    Example: mematlas run study.yaml

    Parameters
    ----------
    study_file
        A YAML file such as `mematlas init` writes.
    dry_run
        Only say what would be done, with a rough time from a short probe; the study is left as it is.
    """
    file = read_study_file(study_file)
    if dry_run:
        print_plan(plan_study(file), study_file)
        return
    carried = run_file(file, Bar())
    print_outcome(carried)
    carried.analyzed.check()


def print_outcome(carried: RunOutcome) -> None:
    """What was written, and what to do next."""
    analyzed, folder = carried.analyzed, carried.study.folder
    print(f"Scores of {len(analyzed.run.models)} models: {folder} (mematlas show {folder})")
    if carried.features:
        print(f"Row features: {carried.features} (study.features in Python)")
    if carried.predictors:
        print(f"Predictors of memorization: {carried.predictors} (mematlas predict --help)")
    print(f"{len(analyzed.findings)} findings: {analyzed.folder} (mematlas analyze {folder} --export csv,latex)")
    if carried.gallery:
        print(f"Rows, token by token: {carried.gallery}")
    if carried.report:
        print(f"The report: open {carried.report}")
    else:
        print(f"The report is off; write it with: mematlas report {folder}")


def print_plan(plan: WorkPlan, study_file: Path) -> None:
    """What carrying out the file would take."""
    rows = " + ".join(f"{number:,} {role}" for role, number in plan.row_counts.items())
    grid = plan.grid
    print(f"rows: {rows}, {len(grid.contexts) * len(grid.continuations)} cells a row")
    print(f"  contexts {list(grid.contexts)} x continuations {list(grid.continuations)} tokens, {grid.align}-aligned\n")
    lines = [
        [
            model.label + (" (control)" if model.is_control else ""),
            count(model.parameters),
            "-" if model.training_step is None else f"{model.training_step:,}",
            f"{model.rows_left:,}",
            count(model.forwards_left),
        ]
        for model in plan.models
    ]
    print_table(["model", "parameters", "training step", "rows to score", "token-forwards"], lines)
    print(
        f"\ntoken-forwards: {plan.forwards_a_row:,} a row at most; rows that recite, and equal rows, take fewer.\n"
        f"arithmetic: {_arithmetic(plan)}\n"
        f"disk: {size(plan.disk)} at most for scores, signals and hidden states of all models."
    )
    _print_time(plan)
    print("steps: " + ", ".join(f"{step}: {state}" for step, state in plan.steps.items()))
    print(f"Carry it out: mematlas run {study_file}")


def _arithmetic(plan: WorkPlan) -> str:
    known = [model.flop_left for model in plan.models if model.flop_left is not None]
    unknown = len(plan.models) - len(known)
    left = f", without {unknown} models of unknown width" if unknown else ""
    return f"{significant(sum(known) / 1e15)} PFLOP at most for what is left{left} (see `mematlas plan`)."


def _print_time(plan: WorkPlan) -> None:
    if plan.seconds is None:
        print("time: nothing is left to score.")
        return
    probed = " and ".join(
        f"{probe.rows:,} rows of {probe.model} at {probe.tokens_a_second:,.0f} tokens/s" for probe in plan.probes
    )
    print(f"time: about {_duration(plan.seconds)} of scoring; rough: {probed}, scaled by tokens and parameters.")


def _duration(seconds: float) -> str:
    """In the largest unit that leaves a number above 1."""
    for length, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{max(1, round(seconds))} s"
