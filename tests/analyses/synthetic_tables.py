"""Synthetic tables of a study, without a model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import polars as pl

from mematlas.analyses.frames.study_tables import Tables
from mematlas.study import HiddenStates
from mematlas.study.schemas.exposures import EXPOSURES
from mematlas.study.schemas.features import OCCURRENCES, POS_CLASSES, SCHEMAS, TAGS, TOKEN_KINDS
from mematlas.study.schemas.predictions import LOGISTIC, MAJORITY, PREDICTIONS, PREDICTOR, SHUFFLED
from mematlas.study.schemas.probes import PROBES
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
    """Tables from matches[model][context, continuation] = one number per row.

    verbatim: as matches; by default the continuation's length where all match, else 0. Sizes are 10, 100, 1000 ... by
    default.
    """
    records: list[dict[str, Any]] = []
    for model, cells in matches.items():
        for (context, continuation), values in cells.items():
            for row, value in enumerate(values):
                full_or_zero = continuation if value == continuation else 0 if value is not None else None
                records.append(
                    {
                        "model": model,
                        "row": row,
                        "context": context,
                        "continuation": continuation,
                        "matches": value,
                        "verbatim": full_or_zero if verbatim is None else verbatim[model][context, continuation][row],
                        "margin": 1.0,
                        "reason": None if value is not None else "short",
                    }
                )
    schema = {"model": pl.String, "row": pl.Int64, "context": pl.Int32, "continuation": pl.Int32, "matches": pl.Int32}
    scores = pl.DataFrame(
        records, schema={**schema, "verbatim": pl.Int32, "margin": pl.Float32, "reason": pl.String}, orient="row"
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
            "parameters": [(parameters or {}).get(name, 10 ** (number + 1)) for number, name in enumerate(names)],
            "training_step": [(steps or {}).get(name) for name in names],
            "tokenizer": ["t"] * len(names),
        },
        schema={"model": pl.String, "parameters": pl.Int64, "training_step": pl.Int64, "tokenizer": pl.String},
    )
    cells = sorted({cell for values in matches.values() for cell in values})
    settings = {
        "context": sorted({context for context, _ in cells}),
        "continuation": sorted({length for _, length in cells}),
        "depth": depth,
        "align": "start",
        "row_counts": {"train": count},
    }
    return Tables(scores.lazy(), rows.lazy(), models, settings, control_models, complete)


def with_documents(tables: Tables, documents: Sequence[int | None]) -> Tables:
    """`tables` with the number of each row's document, all of one source."""
    columns = [pl.Series("document", documents, pl.Int64), pl.lit("corpus").alias("source")]
    return replace(tables, rows=tables.rows.with_columns(columns))


def in_documents(tables: Tables, size: int) -> Tables:
    """The tables with every `size` rows, one after another, in a document."""
    documents = [(pl.col("row") // size).cast(pl.Int64).alias("document"), pl.lit("corpus").alias("source")]
    return replace(tables, rows=tables.rows.with_columns(documents))


def with_features(tables: Tables, *, seed: int = 0, tokens: int | None = 10**6, **given: Any) -> Tables:
    """`tables` with features of every row, random where not given.

    given: a column of the feature tables (`unigrams`, `kinds`, `window_rows`, `compressed_bytes` ...) -> its values:
    one per row, or None for nulls; in copies and texts a row has the same value in every cell. Columns of copies that
    are not given are the row's repetitions, or 1.
    """
    rng = np.random.default_rng(seed)
    rows = tables.rows.collect()
    width = max(tables.contexts) + max(tables.continuations)
    columns = {**_random_features(rng, rows, width), **given}
    count = rows.height
    cells = pl.DataFrame({"context": cell.context, "continuation": cell.continuation} for cell in tables.cells)
    features = {}
    for kind, fields in SCHEMAS.items():
        values = {"row": rows["row"].to_list()}
        values |= {name: columns[name] or [None] * count for name in fields.names if name in columns}
        frame = pl.DataFrame(values, strict=False)
        frame = frame.join(cells, how="cross") if "context" in fields.names else frame
        types = pl.from_arrow(fields.empty_table()).schema
        features[kind] = frame.select(fields.names).cast(dict(types)).lazy()
    facts = {"scope": "rows", "tokens": tokens, "corpus": "c", "eod": None}
    return replace(tables, features=features, facts=facts)


def with_copies(tables: Tables, texts: Sequence[int], *, seed: int = 0) -> Tables:
    """`with_features`, where rows with equal numbers in `texts`, one per row, have equal random tokens."""
    tables = with_features(tables, seed=seed)
    width = max(tables.contexts) + max(tables.continuations)
    tokens = np.random.default_rng(seed).integers(0, 50_000, (max(texts) + 1, width))[list(texts)]
    rows = tables.rows.select("row").collect()
    frame = rows.with_columns(pl.Series("tokens", tokens.tolist(), pl.List(pl.Int32)))
    return replace(tables, features=tables.features | {"tokens": frame.lazy()})


def with_signals(tables: Tables, *, kinds: Sequence[str] = ("truth", "free"), seed: int = 0, **given: Any) -> Tables:
    """`tables` with per-token records of every model and row at the longest cell, random where not given.

    Tokens are right up to the scored verbatim length and wrong at it; a model is surer of tokens that it gets right. As
    with align "start", teacher-forced records have the longest context, free-running ones every context.

    given: `truth_entropy`, `free_margin` ... -> model -> one list per row, used instead of random numbers.
    """
    rng = np.random.default_rng(seed)
    longest_context, length = max(tables.contexts), max(tables.continuations)
    scored = tables.scores.filter(continuation=length).select("model", "row", "context", "verbatim").collect()
    verbatim_lengths = {tuple(record[:3]): record[3] for record in scored.iter_rows()}
    rows = tables.rows.collect()["row"].to_list()
    token_features = tables.features["tokens"].collect() if "tokens" in tables.features else None
    true_tokens = (
        dict(token_features.iter_rows())
        if token_features is not None
        else {row: rng.integers(0, 50, longest_context + length) for row in rows}
    )
    records: dict[str, list[dict[str, Any]]] = {"truth": [], "free": []}
    for model in tables.models["model"]:
        for context in tables.contexts:
            for row in rows:
                is_right = np.arange(length) < (verbatim_lengths.get((model, row, context)) or 0)
                key = {"model": model, "row": row, "context": context, "continuation": length}
                continuation_tokens = np.asarray(true_tokens[row])[context : context + length]
                random_values = _random_signals(rng, is_right)
                records["free"].append(
                    key
                    | random_values
                    | {"token": np.where(is_right, continuation_tokens, (continuation_tokens + 1) % 50)}
                )
                if context == longest_context:
                    prompt = rng.uniform(size=context) < 0.5
                    records["truth"].append(key | _random_truth_signals(rng, np.concatenate([prompt, is_right])))
    for name, values_by_model in given.items():
        kind, _, column = name.partition("_")
        for record in records[kind]:
            record[column] = values_by_model[record["model"]][record["row"]]
    schemas = {"free": FREE, "truth": truth_schema(())}
    signals = {kind: _signals_frame(records[kind], schemas[kind]).lazy() for kind in kinds}
    return replace(tables, signals=signals, settings={**tables.settings, "signals": list(kinds)})


def with_tags(tables: Tables, *, seed: int = 0) -> Tables:
    """`tables`, with features and signals, whose tokens have random parts of speech; models name a hit's own, and half
    of the others'."""
    rng = np.random.default_rng(seed)
    width = max(tables.contexts) + max(tables.continuations)
    rows = tables.rows.collect()["row"].to_list()
    true = {row: rng.integers(0, len(POS_CLASSES), width) for row in rows}
    records = [{"model": None, "row": row, "tags": tags.tolist()} for row, tags in true.items()]
    longest = tables.signals["truth"].select("model", "row", "hit").collect()
    for model, row, hit in longest.iter_rows():
        right = np.array([bool(value) for value in hit]) | (rng.uniform(size=len(hit)) < 0.5)
        named = np.where(right, true[row][: len(hit)], rng.integers(0, len(POS_CLASSES), len(hit)))
        records.append({"model": model, "row": row, "tags": [None, *named.tolist()[1:]]})
    types = dict(pl.from_arrow(TAGS.empty_table()).schema)
    tags = pl.DataFrame(records, schema=types, orient="row").lazy()
    return replace(tables, features={**tables.features, "tags": tags})


def with_exposures(tables: Tables, share: float = 0.5, *, seed: int = 0) -> Tables:
    """`tables` in which each model was trained on a random share of the training rows, once, and recites these."""
    rng, rows = np.random.default_rng(seed), tables.rows.filter(role="train").select("row").collect()
    frames = [
        rows.with_columns(pl.lit(model).alias("model"), pl.Series("times", rng.uniform(size=rows.height) < share))
        for model in tables.models["model"]
    ]
    steps = [
        pl.when(pl.col("times") == 1).then(step).alias(name) for name, step in (("first_step", 1), ("last_step", 9))
    ]
    exposures = pl.concat(frames).with_columns(pl.col("times").cast(pl.Int64)).with_columns(steps)
    types = dict(pl.from_arrow(EXPOSURES.empty_table()).schema)
    exposures = exposures.select(EXPOSURES.names).cast(types)
    shown = exposures.filter(pl.col("times") > 0).select("model", "row", shown=pl.lit(True))
    recited = pl.col("shown").fill_null(False) & pl.col("matches").is_not_null()
    hits = [
        pl.when(recited).then("continuation").otherwise(name).cast(pl.Int32).alias(name)
        for name in ("matches", "verbatim")
    ]
    scores = tables.scores.collect().join(shown, on=["model", "row"], how="left", maintain_order="left")
    scores = scores.with_columns(hits).drop("shown")
    return replace(tables, scores=scores.lazy(), exposures=exposures.lazy())


def with_order(tables: Tables) -> Tables:
    """`tables` of checkpoints that were shown the training rows one after another, and the last tenth never."""
    rows = tables.rows.filter(role="train").select("row").collect()
    last = tables.models["training_step"].max() or 1
    shown = rows.with_row_index("place").select(
        "row", first_step=1 + (pl.col("place") * last * 10) // (9 * rows.height)
    )
    models = tables.models.select("model", "training_step").drop_nulls()
    records = models.join(shown, how="cross").filter(pl.col("first_step") <= pl.col("training_step"))
    exposures = records.with_columns(times=pl.lit(1), last_step="first_step").select(EXPOSURES.names)
    return replace(tables, exposures=exposures.cast(dict(pl.from_arrow(EXPOSURES.empty_table()).schema)).lazy())


def with_probes(tables: Tables, records: Sequence[tuple[str, int, str, str, float | None, int]]) -> Tables:
    """`tables` with measurements taken in training: (arm, step, set, metric, value, n)."""
    frame = pl.DataFrame(list(records), schema=PROBES.names, orient="row")
    return replace(tables, probes=frame.cast(dict(pl.from_arrow(PROBES.empty_table()).schema)).lazy())


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
    """`tables` with hidden states of every model and row: independent normal numbers, shifted in all dimensions by
    `apart` per score level; each model is twice as wide as the previous one.

    Levels are those of the scored matches at the reference cell, 0 where these are unknown. tokens: number of recorded
    tokens, by default the longest continuation; ended: rows whose text ends after two tokens; given: (model, kind) ->
    [rows, positions, width].
    """
    cell, length = tables.reference, tokens or max(tables.continuations)
    scored = tables.scores.filter(context=cell.context, continuation=cell.continuation).collect()
    rows = tables.rows.collect()["row"].sort()
    states: dict[tuple[str, str], HiddenStates] = {}
    for number, model in enumerate(tables.models["model"]):
        matches_by_row = dict(scored.filter(model=model).select("row", "matches").iter_rows())
        matches = np.array([matches_by_row.get(row) or 0 for row in rows])
        levels = np.minimum(4, 5 * matches // cell.continuation).astype(np.int8)
        hits = (np.arange(length) < (length * matches // cell.continuation)[:, None]).astype(np.int8)
        for kind in ("free", "truth"):
            rng = np.random.default_rng((seed, number, kind == "truth"))
            shape = (len(rows), cell.context + length - 1, width * 2**number)
            random_states = rng.normal(size=shape) + apart * levels[:, None, None]
            values = random_states if given is None else np.asarray(given(model, kind), dtype=float)
            values[np.isin(rows.to_numpy(), ended), cell.context + 1 :] = np.nan
            hidden = HiddenStates(rows.to_numpy(), levels, hits, values.astype(np.float16), cell.context)
            hidden.states.setflags(write=False)  # they are shared by several tests
            states[model, kind] = hidden
    return replace(tables, states={kind: partial(_states_of_model, states, kind) for kind in kinds})


def _states_of_model(states: Mapping[tuple[str, str], HiddenStates], kind: str, model: str) -> HiddenStates:
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
    """`tables` with predictions for a third of the training rows, sampled by each seed, and for all control rows: the
    predictor recognizes recited tokens well, the logistic regression a little, all other methods not at all.

    models: (model, tested) pairs; by default each model with itself. tokens: number of predicted tokens, by default the
    longest continuation.
    """
    rng, rows = np.random.default_rng(seed), tables.rows.collect().select("row", "role")
    width, length = tokens or max(tables.continuations), tables.reference.continuation
    train, control = (rows.filter(role=role)["row"].to_numpy() for role in ("train", "control"))
    ease = rng.uniform(size=rows["row"].max() + 1)
    skill, records = {PREDICTOR: 0.3, LOGISTIC: 0.1}, []
    for model, tested in models or [(name, name) for name in tables.models["model"]]:
        hits = np.random.default_rng([seed, *tested.encode()]).uniform(size=(len(ease), width)) < ease[:, None]
        for key in product(sees, methods, seeds):
            held_out = np.sort(np.random.default_rng(key[2]).permutation(train)[: -(-len(train) // 3)])
            for role, selected in (("train", held_out), ("control", control)):
                hit = hits[selected] if role == "train" else hits[selected] & (ease[selected] > 0.9)[:, None]
                probabilities = np.full(hit.shape, 0.4) if key[1] == MAJORITY else rng.uniform(size=hit.shape)
                probabilities = probabilities + skill.get(key[1], 0) * (hit - probabilities)
                levels = np.minimum(4, 5 * hit[:, :length].sum(1) // length)
                row_values = zip(selected.tolist(), levels.tolist(), probabilities.tolist(), hit.tolist(), strict=True)
                records += [
                    (model, tested, *key, role, row, level, 1.0 + row % 3, probability, hit)
                    for row, level, probability, hit in row_values
                ]
    types = pl.from_arrow(PREDICTIONS.empty_table()).schema
    return replace(tables, predictions=pl.DataFrame(records, schema=types, orient="row").lazy())


def _random_signals(rng: np.random.Generator, right: np.ndarray) -> dict[str, Any]:
    """Random signals of each token: a model is sure where it is right."""
    sure = np.where(right, rng.uniform(0.6, 1, len(right)), rng.uniform(0.05, 0.5, len(right)))
    entropy = -sure * np.log(sure) - (1 - sure) * np.log((1 - sure) / 49 + 1e-12)
    return {"log_probability": np.log(sure), "entropy": entropy, "margin": 5 * sure}


def _random_truth_signals(rng: np.random.Generator, right: np.ndarray) -> dict[str, Any]:
    """Random signals of each token of the true text: less probable where the model errs; null at position 0."""
    signals = _random_signals(rng, right)
    mean = -signals["entropy"]
    signals["log_probability"] = np.where(right, signals["log_probability"], signals["log_probability"] - 2)
    signals |= {
        "hit": right,
        "token": np.where(right, 1, 2),
        "rank": np.where(right, 1, rng.integers(2, 50, len(right))),
        "mean_log_probability": mean,
        "variance_log_probability": rng.uniform(0.5, 2, len(right)),
        "log_probability_top40": signals["log_probability"] + 0.01 * (signals["log_probability"] < -0.01),
    }
    return {name: [None, *values.tolist()[1:]] for name, values in signals.items()}


def _signals_frame(records: list[dict[str, Any]], schema: Any) -> pl.DataFrame:
    types = dict(pl.from_arrow(schema.empty_table()).schema)
    plain_records = [
        {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in record.items()}
        for record in records
    ]
    return pl.DataFrame(plain_records, schema=types, orient="row", strict=False)


def with_places(tables: Tables) -> Tables:
    """`tables` with features in which every fourth row occurs at two other places, looked up in each cell."""
    cells = [(cell.context, cell.continuation) for cell in tables.cells]
    records = [
        {"row": row, "context": context, "continuation": length, "elsewhere": 2, "place": place, "corpus_row": row + 1}
        for row in tables.rows.collect()["row"].gather_every(4)
        for context, length in cells
        for place in (1, 2)
    ]
    places = pl.DataFrame(records, schema=pl.from_arrow(OCCURRENCES.empty_table()).schema)
    return replace(tables, features=tables.features | {"places": places.lazy()})


def _random_features(rng: np.random.Generator, rows: pl.DataFrame, width: int) -> dict[str, list[Any]]:
    """Random features of rows that resemble those of text: counts with a heavy tail, no more bigrams than unigrams."""
    count = rows.height
    unigrams = np.ceil(10 ** rng.uniform(0, 5, (count, width))).astype(int)
    bigrams, trigrams = np.maximum(unigrams // 4, 1), np.maximum(unigrams // 16, 1)
    copies = [1 if count_or_none is None else count_or_none for count_or_none in rows["repetitions"]]
    sizes = rng.integers(50, 300, count)
    return {
        "unigrams": unigrams.tolist(),
        "bigrams": [[None, *row[1:]] for row in bigrams.tolist()],
        "trigrams": [[None, None, *row[2:]] for row in trigrams.tolist()],
        "kinds": rng.integers(0, len(TOKEN_KINDS), (count, width)).tolist(),
        **dict.fromkeys(SCHEMAS["copies"].names[3:], copies),
        "repeating": (rng.uniform(size=count) < 0.2).tolist(),
        "incrementing": (rng.uniform(size=count) < 0.1).tolist(),
        **{f"distinct_{n}": rng.uniform(0.3, 1, count).tolist() for n in (1, 2, 3)},
        "bytes": (4 * sizes).tolist(),
        "compressed_bytes": sizes.tolist(),
        "tokens": rng.integers(0, 50, (count, width)).tolist(),
    }
