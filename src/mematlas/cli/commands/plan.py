"""`mematlas plan`."""

from typing import Annotated

from cyclopts import Parameter

from mematlas.cli.output import count, print_table, significant, size
from mematlas.errors import ModelError, OptionError
from mematlas.scoring.cost import ASSUMED, PYTHIA, Cost, Shape, bytes_a_row, cost, forwards_a_row, shape_of
from mematlas.scoring.options import ScoringOptions
from mematlas.types import Grid


def plan(
    *models: str,
    rows: int = 146_432_000,
    context: list[int] = [32],  # noqa: B006  cyclopts copies it
    continuation: list[int] = [32],  # noqa: B006
    truth: Annotated[bool, Parameter(negative=())] = False,
    tflops: float = ASSUMED / 1e12,
    devices: int = 1,
) -> None:
    """Say what scoring would cost, in device hours, before there is a study; loads no weights.

    Example: mematlas plan --rows 146432000 --context 32 --continuation 32 --devices 64

    Parameters
    ----------
    models
        Folders, hub ids or .gguf files; the published Pythia sizes by default.
    rows
        Rows to score; by default those of the Pythia training order, as in the paper.
    context
        Tokens that prompt the model; several make a grid.
    continuation
        Tokens it should recite; several make a grid.
    truth
        With the teacher-forced record (--signals truth).
    tflops
        Effective rate of one device, in 10^12 operations a second: what it really does, not what its data sheet says.
    devices
        Devices that share the work.
    """
    for name, value in (("rows", rows), ("devices", devices), ("tflops", tflops)):
        if value <= 0:
            raise OptionError(f"--{name} must be positive (given: {value:g}). See `mematlas plan --help`.")
    options = ScoringOptions(_grid(context, continuation), signals=("truth",) if truth else ())
    costs = [cost(shape, rows, options, tflops * 1e12) for shape in _shapes(models)]
    print(
        f"{rows:,} rows, contexts {context} x continuations {continuation}: {forwards_a_row(options)} tokens fed a row"
    )
    _print_costs(costs, devices)
    hours = sum(found.hours for found in costs)
    print(
        f"all: {significant(hours)} device hours, {significant(hours / devices)} hours on {devices}; "
        f"{size(len(costs) * rows * bytes_a_row(options))} of tables at most, before compression"
    )
    print(
        f"Assumed, not measured: {tflops:g} TFLOP/s effective a device, every row decoded with a cache to the longest "
        "continuation, no row recited, attention and loading left out. Models under 1 B are bound by launches, not by "
        "arithmetic, and take longer; on two CPU cores 41 to 52 % of the rate of a large matrix product was measured "
        "(benchmarks/RESULTS.md). For a study file with its own probe: mematlas run --dry-run study.yaml"
    )


def _print_costs(costs: list[Cost], devices: int) -> None:
    lines = [
        [
            found.shape.label,
            count(found.shape.parameters),
            significant(found.flop / 1e15),
            f"{found.rows_a_second:,.0f}",
            significant(found.hours),
            significant(found.hours / devices),
        ]
        for found in costs
    ]
    print_table(["model", "parameters", "PFLOP", "rows/s a device", "device hours", f"hours on {devices}"], lines)


def _grid(context: list[int], continuation: list[int]) -> Grid:
    try:
        return Grid(tuple(sorted(set(context))), tuple(sorted(set(continuation))))
    except ValueError as error:
        raise OptionError(f"{error}. See `mematlas plan --help`.") from None


def _shapes(models: tuple[str, ...]) -> list[Shape]:
    if not models:
        return [*PYTHIA]
    from mematlas.models.resolve import find_model

    found = []
    for spec in models:
        shape = shape_of(find_model(spec).card)
        if shape is None:
            raise ModelError(f"{spec!r} does not say how many weights it has, or how wide its states are: no cost.")
        found.append(shape)
    return found
