"""`mematlas run`."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from mematlas.cli.output import Json, count, print_json, print_table, significant, size
from mematlas.cli.progress import Quiet, progress_display
from mematlas.errors.remedies import command_line
from mematlas.models.masked_lm.masks import masking_line
from mematlas.pipeline.plan import WorkPlan, plan_study
from mematlas.pipeline.run import run_file
from mematlas.pipeline.study_file import read_study_file
from mematlas.scoring.row_checks import row_remarks


def run(
    study_file: Path,
    *,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Run a study file: score, count, fit, analyse, gallery, report. Run it again to complete what is missing.

    Example: mematlas run study.yaml

    Parameters
    ----------
    study_file
        A YAML file; `mematlas init` writes an example.
    dry_run
        Only print what would be done, with a rough time from a short probe; does not change the study.
    """
    file = read_study_file(study_file)
    if dry_run:
        plan = plan_study(file)
        if json_:
            print_json(_plan_document(plan))
        else:
            print_plan(plan, study_file)
        return
    outcome = run_file(file, progress_display(quiet))
    if json_:
        outputs = {step.name: outcome.output(step.name) for step in outcome.steps if step.enabled}
        print_json({"study": file.study, "run": outcome.analyses.run.key, "results": outputs})
    for step in outcome.steps if not json_ else ():
        if line := step.summary():
            print(line)
    outcome.analyses.check()


def _plan_document(plan: WorkPlan) -> dict[str, Any]:
    """All that `print_plan` prints, as one object."""
    names = ("row_counts", "models", "fed_tokens_per_row", "disk", "probes", "seconds", "steps")
    grid = {"contexts": plan.grid.contexts, "continuations": plan.grid.continuations, "align": plan.grid.align}
    return {"run": plan.run.key, **grid, **{name: getattr(plan, name) for name in names}}


def print_plan(plan: WorkPlan, study_file: Path) -> None:
    """Print what running the file would take."""
    rows = " + ".join(f"{number:,} {role}" for role, number in plan.row_counts.items())
    grid = plan.grid
    print(f"rows: {rows}, {len(grid.contexts) * len(grid.continuations)} cells per row")
    if "masking" in plan.run.settings:
        print(f"  masked: {masking_line(plan.run.settings)}")
    else:
        print(
            f"  contexts {list(grid.contexts)} x continuations {list(grid.continuations)} tokens, {grid.align}-aligned"
        )
    for remark in row_remarks(plan.run.settings):
        print(f"  {remark}")
    print()
    table = [
        [
            model.label + (" (control)" if model.is_control else ""),
            count(model.parameters),
            "-" if model.training_step is None else f"{model.training_step:,}",
            f"{model.remaining_rows:,}",
            count(model.remaining_fed_tokens),
        ]
        for model in plan.models
    ]
    print_table(["model", "parameters", "training step", "rows to score", "token-forwards"], table)
    print(
        f"\ntoken-forwards: at most {plan.fed_tokens_per_row:,} per row; rows that recite and equal rows take fewer.\n"
        f"arithmetic: {_arithmetic(plan)}\n"
        f"disk: at most {size(plan.disk)} for scores, signals and hidden states of all models."
    )
    _print_time(plan)
    print("steps: " + ", ".join(f"{step}: {state}" for step, state in plan.steps.items()))
    print(f"Run it: {command_line('run', study_file)}")


def _arithmetic(plan: WorkPlan) -> str:
    known = [model.remaining_flop for model in plan.models if model.remaining_flop is not None]
    unknown = len(plan.models) - len(known)
    exception = f", not counting {unknown} models of unknown width" if unknown else ""
    return f"at most {significant(sum(known) / 1e15)} PFLOP for what is left{exception} (see `mematlas plan`)."


def _print_time(plan: WorkPlan) -> None:
    if plan.seconds is None:
        left = any(model.remaining_rows for model in plan.models)
        print(f"time: {'models behind an API take as long as their servers' if left else 'nothing is left to score'}.")
        return
    probes = " and ".join(
        f"{probe.rows:,} rows of {probe.model} at {probe.tokens_per_second:,.0f} tokens/s" for probe in plan.probes
    )
    print(
        f"time: about {_duration(plan.seconds)} of scoring; rough estimate: {probes}, scaled by tokens and parameters."
    )


def _duration(seconds: float) -> str:
    """A time in the largest unit that gives a number of at least 1."""
    for length, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{max(1, round(seconds))} s"
