"""Score tables made by hand: what a study would hold, without a model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import polars as pl

from mematlas.analyses.frames.study_tables import Tables
from mematlas.study import HiddenStates
from mematlas.study.schemas.features import OCCURRENCES, SCHEMAS, TOKEN_KINDS
from mematlas.study.schemas.predictions import LOGISTIC, MAJORITY, PREDICTIONS, PREDICTOR, SHUFFLED
from mematlas.study.schemas.scores import FREE, truth_schema


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


def with_features(tables: Tables, *, seed: int = 0, tokens: int | None = 10**6, **given: Any) -> Tables:
    """`tables` with features of every row, drawn at random where not given.

    given: a column of the feature tables (`unigrams`, `kinds`, `window_rows`, `compressed_bytes` ...) -> its values:
    one a row, or None for nulls; in copies and texts a row has the same value in every cell. Columns of copies that are
    not given are the row's repetitions, or 1.
    """
    rng = np.random.default_rng(seed)
    rows = tables.rows.collect()
    width = max(tables.contexts) + max(tables.continuations)
    columns = {**_drawn(rng, rows, width), **given}
    count = rows.height
    cells = pl.DataFrame({"context": cell.context, "continuation": cell.continuation} for cell in tables.cells)
    features = {}
    for kind, fields in SCHEMAS.items():
        here = {"row": rows["row"].to_list()}
        here |= {name: columns[name] or [None] * count for name in fields.names if name in columns}
        frame = pl.DataFrame(here, strict=False)
        frame = frame.join(cells, how="cross") if "context" in fields.names else frame
        types = pl.from_arrow(fields.empty_table()).schema
        features[kind] = frame.select(fields.names).cast(dict(types)).lazy()
    facts = {"scope": "rows", "tokens": tokens, "corpus": "c", "eod": None}
    return replace(tables, features=features, facts=facts)


def with_signals(tables: Tables, *, kinds: Sequence[str] = ("truth", "free"), seed: int = 0, **given: Any) -> Tables:
    """`tables` with per-token records of every model and row at the longest cell, drawn where not given.

    Tokens are right up to the scored verbatim length and wrong there; what a model gets right it is surer of. Of align
    "start": records along the truth stand with the longest context, those of free-running with each.

    given: `truth_entropy`, `free_margin` ... -> model -> one list a row, instead of drawn numbers.
    """
    rng = np.random.default_rng(seed)
    longest, length = max(tables.contexts), max(tables.continuations)
    scored = tables.scores.filter(continuation=length).select("model", "row", "context", "verbatim").collect()
    known = {tuple(line[:3]): line[3] for line in scored.iter_rows()}
    rows = tables.rows.collect()["row"].to_list()
    words = tables.features["tokens"].collect() if "tokens" in tables.features else None
    true = (
        dict(words.iter_rows()) if words is not None else {row: rng.integers(0, 50, longest + length) for row in rows}
    )
    lines: dict[str, list[dict[str, Any]]] = {"truth": [], "free": []}
    for model in tables.models["model"]:
        for context in tables.contexts:
            for row in rows:
                right = np.arange(length) < (known.get((model, row, context)) or 0)
                key = {"model": model, "row": row, "context": context, "continuation": length}
                text = np.asarray(true[row])[context : context + length]
                drawn = _signals(rng, right)
                lines["free"].append(key | drawn | {"token": np.where(right, text, (text + 1) % 50)})
                if context == longest:
                    prompt = rng.uniform(size=context) < 0.5
                    lines["truth"].append(key | _along_truth(rng, np.concatenate([prompt, right])))
    for name, of in given.items():
        kind, _, column = name.partition("_")
        for line in lines[kind]:
            line[column] = of[line["model"]][line["row"]]
    schemas = {"free": FREE, "truth": truth_schema(())}
    signals = {kind: _framed(lines[kind], schemas[kind]).lazy() for kind in kinds}
    return replace(tables, signals=signals, settings={**tables.settings, "signals": list(kinds)})


def with_states(
    tables: Tables,
    *,
    kinds: Sequence[str] = ("free", "truth"),
    width: int = 6,
    tokens: int | None = None,
    apart: float = 1.0,
    seed: int = 0,
    ended: Sequence[int] = (),
    given: Callable[[str, str], np.ndarray] | None = None,
) -> Tables:
    """`tables` with hidden states of every model and row: independent normal numbers, moved along all dimensions by
    `apart` a score level; each model is twice as wide as the one before.

    Levels are those of the scored matches at the reference cell, 0 where these are unknown. tokens: of the longest
    continuation; ended: rows whose text ends after two tokens; given: (model, kind) -> [rows, positions, width].
    """
    cell, length = tables.reference, tokens or max(tables.continuations)
    scored = tables.scores.filter(context=cell.context, continuation=cell.continuation).collect()
    rows = tables.rows.collect()["row"].sort()
    states: dict[tuple[str, str], HiddenStates] = {}
    for at, model in enumerate(tables.models["model"]):
        own = dict(scored.filter(model=model).select("row", "matches").iter_rows())
        matches = np.array([own.get(row) or 0 for row in rows])
        levels = np.minimum(4, 5 * matches // cell.continuation).astype(np.int8)
        hits = (np.arange(length) < (length * matches // cell.continuation)[:, None]).astype(np.int8)
        for kind in ("free", "truth"):
            rng = np.random.default_rng((seed, at, kind == "truth"))
            shape = (len(rows), cell.context + length - 1, width * 2**at)
            drawn = rng.normal(size=shape) + apart * levels[:, None, None]
            values = drawn if given is None else np.asarray(given(model, kind), dtype=float)
            values[np.isin(rows.to_numpy(), ended), cell.context + 1 :] = np.nan
            kept = HiddenStates(rows.to_numpy(), levels, hits, values.astype(np.float16), cell.context)
            kept.states.setflags(write=False)  # they are read again and again
            states[model, kind] = kept
    return replace(tables, states={kind: partial(_kept_states, states, kind) for kind in kinds})


def _kept_states(states: Mapping[tuple[str, str], HiddenStates], kind: str, model: str) -> HiddenStates:
    return states[model, kind]


def with_predictions(
    tables: Tables,
    *,
    models: Sequence[tuple[str, str]] | None = None,
    seeds: Sequence[int] = (0, 1),
    sees: Sequence[str] = ("context", "generated"),
    methods: Sequence[str] = (PREDICTOR, SHUFFLED, MAJORITY, LOGISTIC),
    tokens: int | None = None,
    seed: int = 0,
) -> Tables:
    """`tables` with what predictors said of a third of the training rows, drawn anew by each seed, and of all control
    rows: the predictor tells recited tokens well, the logistic regression a little, all others not at all.

    models: (model, tested) pairs; each model by itself unless given. tokens: of the longest continuation.
    """
    rng, rows = np.random.default_rng(seed), tables.rows.collect().select("row", "role")
    width, length = tokens or max(tables.continuations), tables.reference.continuation
    train, control = (rows.filter(role=role)["row"].to_numpy() for role in ("train", "control"))
    ease = rng.uniform(size=rows["row"].max() + 1)
    told, lines = {PREDICTOR: 0.3, LOGISTIC: 0.1}, []
    for model, tested in models or [(name, name) for name in tables.models["model"]]:
        hits = np.random.default_rng([seed, *tested.encode()]).uniform(size=(len(ease), width)) < ease[:, None]
        for key in product(sees, methods, seeds):
            held = np.sort(np.random.default_rng(key[2]).permutation(train)[: -(-len(train) // 3)])
            for role, chosen in (("train", held), ("control", control)):
                hit = hits[chosen] if role == "train" else hits[chosen] & (ease[chosen] > 0.9)[:, None]
                said = np.full(hit.shape, 0.4) if key[1] == MAJORITY else rng.uniform(size=hit.shape)
                said = said + told.get(key[1], 0) * (hit - said)
                levels = np.minimum(4, 5 * hit[:, :length].sum(1) // length)
                found = zip(chosen.tolist(), levels.tolist(), said.tolist(), hit.tolist(), strict=True)
                lines += [
                    (model, tested, *key, role, row, level, 1.0 + row % 3, probability, hit)
                    for row, level, probability, hit in found
                ]
    types = pl.from_arrow(PREDICTIONS.empty_table()).schema
    return replace(tables, predictions=pl.DataFrame(lines, schema=types, orient="row").lazy())


def _signals(rng: np.random.Generator, right: np.ndarray) -> dict[str, Any]:
    """Of each token: a model that is right is sure."""
    sure = np.where(right, rng.uniform(0.6, 1, len(right)), rng.uniform(0.05, 0.5, len(right)))
    entropy = -sure * np.log(sure) - (1 - sure) * np.log((1 - sure) / 49 + 1e-12)
    return {"log_probability": np.log(sure), "entropy": entropy, "margin": 5 * sure}


def _along_truth(rng: np.random.Generator, right: np.ndarray) -> dict[str, Any]:
    """Of each token of the true text: one the model did not choose is less probable; nothing at position 0."""
    found = _signals(rng, right)
    expected = -found["entropy"]
    found["log_probability"] = np.where(right, found["log_probability"], found["log_probability"] - 2)
    found |= {
        "hit": right,
        "rank": np.where(right, 1, rng.integers(2, 50, len(right))),
        "mean_log_probability": expected,
        "variance_log_probability": rng.uniform(0.5, 2, len(right)),
        "log_probability_top40": found["log_probability"] + 0.01 * (found["log_probability"] < -0.01),
    }
    return {name: [None, *values.tolist()[1:]] for name, values in found.items()}


def _framed(lines: list[dict[str, Any]], schema: Any) -> pl.DataFrame:
    types = dict(pl.from_arrow(schema.empty_table()).schema)
    plain = [
        {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in line.items()}
        for line in lines
    ]
    return pl.DataFrame(plain, schema=types, orient="row", strict=False)


def with_places(tables: Tables) -> Tables:
    """`tables` with features in which every fourth row stands at two other places, looked up in each cell."""
    cells = [(cell.context, cell.continuation) for cell in tables.cells]
    lines = [
        {"row": row, "context": context, "continuation": length, "elsewhere": 2, "place": place, "corpus_row": row + 1}
        for row in tables.rows.collect()["row"].gather_every(4)
        for context, length in cells
        for place in (1, 2)
    ]
    places = pl.DataFrame(lines, schema=pl.from_arrow(OCCURRENCES.empty_table()).schema)
    return replace(tables, features=tables.features | {"places": places.lazy()})


def _drawn(rng: np.random.Generator, rows: pl.DataFrame, width: int) -> dict[str, list[Any]]:
    """Features of rows that look like those of text: counts with a heavy tail, no more bigrams than unigrams."""
    count = rows.height
    unigrams = np.ceil(10 ** rng.uniform(0, 5, (count, width))).astype(int)
    bigrams, trigrams = np.maximum(unigrams // 4, 1), np.maximum(unigrams // 16, 1)
    copies = [1 if seen is None else seen for seen in rows["repetitions"]]
    sizes = rng.integers(50, 300, count)
    return {
        "unigrams": unigrams.tolist(),
        "bigrams": [[None, *line[1:]] for line in bigrams.tolist()],
        "trigrams": [[None, None, *line[2:]] for line in trigrams.tolist()],
        "kinds": rng.integers(0, len(TOKEN_KINDS), (count, width)).tolist(),
        **dict.fromkeys(SCHEMAS["copies"].names[3:], copies),
        "repeating": (rng.uniform(size=count) < 0.2).tolist(),
        "incrementing": (rng.uniform(size=count) < 0.1).tolist(),
        **{f"distinct_{n}": rng.uniform(0.3, 1, count).tolist() for n in (1, 2, 3)},
        "bytes": (4 * sizes).tolist(),
        "compressed_bytes": sizes.tolist(),
        "tokens": rng.integers(0, 50, (count, width)).tolist(),
    }
