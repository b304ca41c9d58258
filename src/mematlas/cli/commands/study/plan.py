"""`mematlas plan`."""

from typing import Annotated

from cyclopts import Parameter

from mematlas.cli.lists import COMMAS
from mematlas.cli.output import Json, count, print_json, print_table, significant, size
from mematlas.errors import ModelError, OptionError
from mematlas.models.resolve import find_models
from mematlas.scoring.cost import (
    ASSUMED_FLOPS,
    PYTHIA_SHAPES,
    ModelShape,
    ScoringCost,
    bytes_per_row,
    fed_tokens_per_row,
    model_shape,
    scoring_cost,
)
from mematlas.scoring.model_names import model_names
from mematlas.scoring.options import ScoringOptions
from mematlas.types import Grid

_ASSUMPTIONS = (
    "Assumed, not measured: {tflops:g} TFLOP/s effective per device; every row decoded with a cache to the longest "
    "continuation; no row recited; attention and loading not included. Models under 1 B are limited by kernel "
    "launches, not by arithmetic, and take longer; on two CPU cores 41 to 52 % of the rate of a large matrix product "
    "was measured (benchmarks/RESULTS.md). To plan a study file, with a probe: mematlas run --dry-run study.yaml"
)


def plan(
    *models: str,
    rows: int = 146_432_000,
    context: Annotated[list[int], COMMAS] = [32],  # noqa: B006  cyclopts copies it
    continuation: Annotated[list[int], COMMAS] = [32],  # noqa: B006
    truth: Annotated[bool, Parameter(negative=())] = False,
    tflops: float = ASSUMED_FLOPS / 1e12,
    devices: int = 1,
    json_: Json = False,
) -> None:
    """Estimate the cost of scoring in device hours, without a study; loads no weights.

    Example: mematlas plan --rows 146432000 --context 32 --continuation 32 --devices 64

    Parameters
    ----------
    models
        Folders, hub ids or .gguf files; the published Pythia sizes by default.
    rows
        Number of rows to score; by default that of the Pythia training order, as in the paper.
    context
        Context length: tokens that prompt the model. Several values form a grid.
    continuation
        Continuation length: tokens that the model should recite. Several values form a grid.
    truth
        Include the teacher-forced signals (--signals truth).
    tflops
        Effective rate of one device, in 10^12 operations per second: as measured, not as in its data sheet.
    devices
        Number of devices that share the work.
    """
    _check_positive(rows=rows, devices=devices, tflops=tflops, context=min(context), continuation=min(continuation))
    grid = Grid(tuple(sorted(set(context))), tuple(sorted(set(continuation))))
    options = ScoringOptions(grid, signals=("truth",) if truth else ())
    costs = [scoring_cost(shape, rows, options, tflops * 1e12) for shape in _shapes(models)]
    (_print_json if json_ else _print)(rows, options, costs, tflops, devices)


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if value <= 0:
            raise OptionError(f"--{name} must be positive (given: {value:g}). See `mematlas plan --help`.")


def _print(rows: int, options: ScoringOptions, costs: list[ScoringCost], tflops: float, devices: int) -> None:
    grid = options.grid
    print(
        f"{rows:,} rows, contexts {list(grid.contexts)} x continuations {list(grid.continuations)}: "
        f"{fed_tokens_per_row(options)} tokens fed per row"
    )
    _print_costs(costs, devices)
    hours = sum(cost.hours for cost in costs)
    print(
        f"all: {significant(hours)} device hours, {significant(hours / devices)} hours on {devices}; "
        f"{size(len(costs) * rows * bytes_per_row(options))} of tables at most, before compression"
    )
    print(_ASSUMPTIONS.format(tflops=tflops))


def _print_json(rows: int, options: ScoringOptions, costs: list[ScoringCost], tflops: float, devices: int) -> None:
    models = [
        {
            "model": cost.shape.label,
            "parameters": cost.shape.parameters,
            "flop": cost.flop,
            "rows_per_second": cost.rows_per_second,
            "device_hours": cost.hours,
        }
        for cost in costs
    ]
    print_json(
        {
            "rows": rows,
            "contexts": options.grid.contexts,
            "continuations": options.grid.continuations,
            "fed_tokens_per_row": fed_tokens_per_row(options),
            "models": models,
            "devices": devices,
            "device_hours": sum(cost.hours for cost in costs),
            "hours": sum(cost.hours for cost in costs) / devices,
            "bytes": len(costs) * rows * bytes_per_row(options),
            "assumptions": _ASSUMPTIONS.format(tflops=tflops),
        }
    )


def _print_costs(costs: list[ScoringCost], devices: int) -> None:
    rows = [
        [
            cost.shape.label,
            count(cost.shape.parameters),
            significant(cost.flop / 1e15),
            f"{cost.rows_per_second:,.0f}",
            significant(cost.hours),
            significant(cost.hours / devices),
        ]
        for cost in costs
    ]
    print_table(["model", "parameters", "PFLOP", "rows/s per device", "device hours", f"hours on {devices}"], rows)


def _shapes(models: tuple[str, ...]) -> list[ModelShape]:
    if not models:
        return [*PYTHIA_SHAPES]

    shapes = []
    for source in (source for spec in model_names(models) for source in find_models(spec)):
        shape = model_shape(source.card)
        if shape is None:
            raise ModelError(
                f"{source.card.spec!r} does not state its number of weights or its width, so its cost is unknown."
            )
        shapes.append(shape)
    return shapes
