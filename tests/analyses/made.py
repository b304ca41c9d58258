"""Score tables made by hand: what a study would hold, without a model."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from mematlas.analyses.tables import Tables


def tables(
    matches: Mapping[str, Mapping[tuple[int, int], Sequence[int | None]]],
    *,
    verbatim: Mapping[str, Mapping[tuple[int, int], Sequence[int | None]]] | None = None,
    roles: Sequence[str] | None = None,
    repetitions: Sequence[int | None] | None = None,
    parameters: Mapping[str, int | None] | None = None,
    steps: Mapping[str, int | None] | None = None,
    depth: str = "graded",
    control_models: tuple[str, ...] = (),
    complete: bool = True,
) -> Tables:
    """Tables from matches[model][context, continuation] = one number a row.

    verbatim: as matches; else the continuation's length where all match, else 0. Sizes default to 10, 100, 1000 ...
    """
    lines: list[dict[str, Any]] = []
    for model, cells in matches.items():
        for (context, continuation), values in cells.items():
            for row, value in enumerate(values):
                whole = continuation if value == continuation else 0 if value is not None else None
                lines.append(
                    {
                        "model": model,
                        "row": row,
                        "context": context,
                        "continuation": continuation,
                        "matches": value,
                        "verbatim": whole if verbatim is None else verbatim[model][context, continuation][row],
                        "margin": 1.0,
                        "reason": None if value is not None else "short",
                    }
                )
    schema = {"model": pl.String, "row": pl.Int64, "context": pl.Int32, "continuation": pl.Int32, "matches": pl.Int32}
    scores = pl.DataFrame(
        lines, schema={**schema, "verbatim": pl.Int32, "margin": pl.Float32, "reason": pl.String}, orient="row"
    )
    count = max((len(values) for cells in matches.values() for values in cells.values()), default=0)
    rows = pl.DataFrame(
        {
            "row": range(count),
            "role": roles or ["train"] * count,
            "repetitions": repetitions or [None] * count,
            "document": [None] * count,
            "source": [None] * count,
        },
        schema={
            "row": pl.Int64,
            "role": pl.String,
            "repetitions": pl.Int64,
            "document": pl.Int64,
            "source": pl.String,
        },
    )
    names = list(matches)
    models = pl.DataFrame(
        {
            "model": names,
            "parameters": [(parameters or {}).get(name, 10 ** (at + 1)) for at, name in enumerate(names)],
            "training_step": [(steps or {}).get(name) for name in names],
            "tokenizer": ["t"] * len(names),
        },
        schema={"model": pl.String, "parameters": pl.Int64, "training_step": pl.Int64, "tokenizer": pl.String},
    )
    cells = sorted({cell for found in matches.values() for cell in found})
    question = {
        "context": sorted({context for context, _ in cells}),
        "continuation": sorted({length for _, length in cells}),
        "depth": depth,
        "align": "start",
        "row_counts": {"train": count},
    }
    return Tables(scores.lazy(), rows.lazy(), models, question, control_models, complete)
