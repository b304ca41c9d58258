"""Awkward studies: the tables of every kind of study that an analysis must handle."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import polars as pl

import mematlas
from mematlas.analyses.frames.study_tables import Tables, read_tables
from mematlas.study.schemas.features import COPIES
from tests.analyses.published_files import write_memorized_evals, write_memorized_flags, write_random_sampled
from tests.analyses.synthetic_tables import (
    in_documents,
    with_copies,
    with_exposures,
    with_features,
    with_order,
    with_places,
    with_predictions,
    with_probes,
    with_signals,
    with_states,
    with_tags,
)
from tests.analyses.synthetic_tables import tables as make_tables

CELLS = tuple(product((16, 32), (16, 32, 64)))
SHORT_CELLS = ((8, 4), (8, 8))
SIZES = {"s1": 10**6, "s2": 10**7, "s3": 10**8, "s4-a": 10**9, "s4-b": 10**9, "s4": 10**9}
STEPS = {"s1": 300, "s2": 300, "s3": 300, "s4-a": 100, "s4-b": 200, "s4": 300}
Cells = dict[str, dict[tuple[int, int], list[int | None]]]


def random_scores(models=tuple(SIZES), cells=CELLS, count=200, max_share=0.45, seed=0) -> tuple[Cells, Cells]:
    """(matches, verbatim): larger models recite more rows, and get half the tokens of as many other rows right."""
    rng = np.random.default_rng(seed)
    ease, longest = rng.uniform(size=count), max(length for _, length in cells)
    matches, verbatim = Cells(), Cells()
    for number, model in enumerate(models):
        matches[model], verbatim[model] = {}, {}
        luck = rng.uniform(size=(count, longest))
        for context in {context for context, _ in cells}:
            share = max_share * (number + 1) / len(models) * context / 32
            hits = (ease < share)[:, None] | (luck < np.where(ease < 2 * share, 0.5, 0.02)[:, None])
            for length in {length for c, length in cells if c == context}:
                recited = hits[:, :length]
                matches[model][context, length] = recited.sum(1).tolist()
                verbatim[model][context, length] = np.where(recited.all(1), length, (~recited).argmax(1)).tolist()
    return matches, verbatim


def family(models=tuple(SIZES), cells=CELLS, count=200, max_share=0.45, **options) -> Tables:
    matches, verbatim = random_scores(models, cells, count, max_share)
    return make_tables(matches, **{"verbatim": verbatim, "parameters": SIZES, "steps": STEPS} | options)


def full_study(count=200) -> Tables:
    """Four sizes, three checkpoints of the largest, a grid, repetitions, and rows of which a quarter is a control."""
    roles = ["control" if row % 4 == 0 else "train" for row in range(count)]
    repetitions = [None if row % 4 == 0 else (1, 2, 4, 8, 16)[row % 5] for row in range(count)]
    return family(count=count, roles=roles, repetitions=repetitions)


def rows_of_documents() -> Tables:
    """`full_study`, with five rows per document, whose scores are alike."""
    columns = [(pl.col("row") // 5).cast(pl.Int64).alias("document"), pl.lit("corpus").alias("source")]
    study = three_of_five_alike()
    return replace(study, rows=study.rows.with_columns(columns))


def rows_with_copies() -> Tables:
    """`full_study`, in which three of every five rows have the same tokens and scores, in training rows and control."""
    study = three_of_five_alike()
    count = study.rows.select(pl.len()).collect().item()
    return with_copies(study, [row // 5 * 5 if row % 5 < 3 else row for row in range(count)])


def three_of_five_alike() -> Tables:
    """`full_study`, with the scores of the first of every five rows in the next two, too."""
    study = full_study()
    alike = pl.when(pl.col("row") % 5 < 3).then(pl.col("row") // 5 * 5).otherwise("row").alias("row_of_scores")
    scores = study.scores.join(study.rows.select("row", alike), on="row")
    same = study.scores.select(pl.col("row").alias("row_of_scores"), pl.exclude("row"))
    keys = ["model", "context", "continuation", "row_of_scores"]
    renewed = scores.select("row", *keys).join(same, on=keys).select(*study.scores.collect_schema().names())
    renewed = renewed.sort("model", "context", "continuation", "row").collect().lazy()
    return replace(study, scores=renewed)


def smaller_study(models=("s1", "s3", "s4-a", "s4"), count=120, **options) -> Tables:
    """As `full_study`, with fewer models and rows."""
    roles = ["control" if row % 4 == 0 else "train" for row in range(count)]
    repetitions = [None if row % 4 == 0 else (1, 2, 4, 8, 16)[row % 5] for row in range(count)]
    return family(models=models, count=count, roles=roles, repetitions=repetitions, **options)


def verbatim_depth() -> Tables:
    _, verbatim = random_scores()
    masked = {
        model: {cell: [v if v == cell[1] else None for v in values] for cell, values in cells.items()}
        for model, cells in verbatim.items()
    }
    return make_tables(masked, verbatim=verbatim, parameters=SIZES, steps=STEPS, depth="verbatim")


def with_holes() -> Tables:
    """Later rows are too short for the longer cells; the longest cell was not scored at all with the longer context."""
    study = full_study()
    too_short = (pl.col("row") > 120) & (pl.col("continuation") > 16)
    not_scored = (pl.col("context") == 32) & (pl.col("continuation") == 64)
    values = [pl.when(too_short).then(None).otherwise(pl.col(name)).alias(name) for name in ("matches", "verbatim")]
    reason = pl.when(too_short).then(pl.lit("short")).otherwise("reason").alias("reason")
    return replace(study, scores=study.scores.filter(~not_scored).with_columns(*values, reason))


def models_with_different_rows() -> Tables:
    """Each model was scored on its own hundred rows; neighbours share a few."""
    study = full_study()
    first = {model: 20 * number for number, model in enumerate(SIZES)}
    start = pl.col("model").replace_strict(first, return_dtype=pl.Int64)
    return replace(study, scores=study.scores.filter(pl.col("row").is_between(start, start + 99)))


def models_without_common_rows() -> Tables:
    study = family(models=("s1", "s2"), count=100)
    return replace(study, scores=study.scores.filter((pl.col("row") < 50) == (pl.col("model") == "s1")))


def recited_only() -> Tables:
    """As in pythia-memorized-evals, but with more than one cell."""
    study = family()
    recited = pl.col("matches") == pl.col("continuation")
    return replace(study, scores=study.scores.filter(recited), complete=False)


def nothing_scored() -> Tables:
    study = full_study()
    unknown = [pl.lit(None, pl.Int32).alias(name) for name in ("matches", "verbatim")]
    return replace(study, scores=study.scores.with_columns(*unknown, pl.lit("short").alias("reason")))


def imported_study(folder: Path, kind: str) -> Tables:
    """A study imported from published score files."""
    matches, _ = random_scores(models=("70M", "410M", "2.8B", "12B"), cells=((32, 32),), count=300)
    rows = [7 * row + 3 for row in range(300)]
    single_cell = {model: cells[32, 32] for model, cells in matches.items()}
    if kind == "random-sampled":
        scores = {
            model: [None if row == 5 else m / 32 for row, m in enumerate(ms)] for model, ms in single_cell.items()
        }
        return read_tables(
            mematlas.import_scores(write_random_sampled(folder / "s.parquet", scores, rows), study=folder / "s")
        )
    for model, ms in single_cell.items():
        recited = [m == 32 for m in ms]
        file = folder / "in" / f"deduped.{model.lower()}.parquet"
        if kind == "memorized-evals":
            write_memorized_evals(file, [row for row, yes in zip(rows, recited, strict=True) if yes])
        else:
            write_memorized_flags(file, recited, rows)
    return read_tables(mematlas.import_scores(folder / "in", study=folder / "s"))


def subsets(models: int, count=60, **options) -> Tables:
    """Many models of one size, as are trained on subsets of the rows, and a control row for every three of these."""
    roles = ["control" if row % 4 == 3 else "train" for row in range(count)]
    names = tuple(f"m{number}" for number in range(models))
    return family(names, ((16, 32),), count, roles=roles, parameters=dict.fromkeys(names, 10**6), **options)


def probed(*, blocks: int = 4, epochs: int = 6, arms=("s1", "s4"), sets=("train", "validation")) -> Tables:
    """Measurements after every epoch and in branches: M of training rows grows, that of shown rows falls again."""
    rng, records = np.random.default_rng(0), []
    for number, arm in enumerate(arms):
        for epoch, name, block in product(range(epochs), sets, range(blocks)):
            m = min(1.0, 0.1 + (number + 1) * epoch / 8) if name == "train" else 0.1
            values = {"M": m * rng.uniform(0.9, 1), "loss": 5 - m + epoch * 0.01, "shown": epoch * (name == "train")}
            key = (arm, epoch * 3, f"{name}:{block}")
            records += [(*key, metric, float(value), 8) for metric, value in values.items()]
        for branch, t, block in product(("0x", "0x-again", "2x"), (-2, 0, 1, 2, 4, 8, 16), range(blocks)):
            shown = 2 * (t >= 0) * (branch == "2x")
            values = {"M": 0.1 + block / 100 + shown * rng.uniform(0.2, 0.3) / (3 + t), "shown": float(shown)}
            key = (f"{arm}--{branch}", 10 + t, f"special:{block}")
            records += [(*key, metric, value, 8) for metric, value in values.items()]
            records += [(key[0], key[1], "control", "M", 0.05, 40)] if block == 0 else []
    return with_probes(full_study(60), records)


def with_id_arms(*, blocks: int = 4, seeds=("s1", "s1b"), faster: int = 2) -> Tables:
    """M after every epoch of arms with and without ids; those with ids are `faster` epochs ahead."""
    rng, records = np.random.default_rng(0), []
    for group, (branch, ahead) in product(seeds, (("baseline", 0), ("enlarged", 1), ("ids", faster))):
        for epoch, name, block in product(range(9), ("train", "validation"), range(blocks)):
            m = min(1.0, (epoch + ahead) / 8) * rng.uniform(0.9, 1) if name == "train" else 0.1
            key = (f"{group}--{branch}", epoch * 3, f"{name}:{block}")
            values = {"M": m, "loss": 5 - m, "shown": float(epoch * (name == "train"))}
            records += [(*key, metric, value, 8) for metric, value in values.items()]
    return with_probes(full_study(60), records)


def with_injections(
    *,
    seeds=(0, 1),
    sizes=("s1", "s4"),
    kinds=("text", "random"),
    frequencies=("64@replace", "256@replace", "never"),
    arms=("treatment", "control", "alone-0"),
    steps=(10, 20, 50),
    recited: float = 1.0,
) -> Tables:
    """V of sequences in twin arms: what is shown more often is recited for longer, and by larger models."""
    rng, records = np.random.default_rng(0), []
    for (number, size), seed, arm in product(enumerate(sizes), seeds, arms):
        group, shows = f"{size}-seed{seed}--{arm}", arm != "control"
        for step, kind, frequency, block in product(steps, kinds, frequencies, range(2)):
            if arm == "alone-0" and (kind, frequency, block) != (kinds[0], frequencies[0], 0):
                continue
            period = float(frequency.partition("@")[0].replace("never", "inf").replace("steps", "100"))
            shown = shows * np.ceil((step - steps[0]) * 16 / period)
            length = min(32.0, np.floor(recited * (shown * (number + 1) / 2 + rng.integers(0, 4))))
            values = {"V": length, "copied": float(length > 30), "cap": 32.0, "shown": shown}
            records += [(group, step, f"{kind}@{frequency}:{block}", name, v, 1) for name, v in values.items()]
        if arm != "alone-0":
            losses = {step: 5 - step / 100 + 0.1 * (arm == "treatment") + seed / 50 for step in steps}
            records += [(group, step, "held-out", "loss", loss, 40) for step, loss in losses.items()]
    groups = {f"{size}-seed{seed}": 10 ** (3 * at + 1) for at, size in enumerate(sizes) for seed in seeds}
    return with_probes(with_trained_models(full_study(60), groups), records)


def with_insertions(
    *,
    gain: float = 0.2,
    seeds=(0, 1),
    sizes=("s1", "s4"),
    levels: Mapping[int, int] | None = None,
    windows: Mapping[str, float] | None = None,
    imported: bool = False,
) -> Tables:
    """Items inserted 0, 1 or 16 times, whose loss falls by `gain` where 1 + level doubles, by half of it in a corpus
    twice as large, and not at all in models that nothing was inserted into.

    levels: level -> items of a seed; windows: arm -> gain; imported: as exposures and signals of rows, not as probes.
    """
    rng, records = np.random.default_rng(0), []
    levels = levels or {0: 24, 1: 16, 16: 12}
    arms = {"standard": 0.0, "1x-epoch": gain, "2x-epoch": gain / 2, "1x-steps": gain}
    arms |= {"window-0-50": gain / 2, "window-50-100": gain} if windows is None else windows
    if imported:
        return _with_imported_insertions(gain, levels)
    for size, seed in product(sizes, seeds):
        items = [(level, item, rng.normal(0, 0.3)) for level, count in levels.items() for item in range(count)]
        for (arm, slope), (level, item, own) in product(arms.items(), items):
            loss = 4 + own - slope * np.log2(1 + level) + rng.normal(0, 0.05)
            values = {"M": 0.5, "loss": loss, "verbatim": float(16 * (loss < 3)), "shown": float(level)}
            key = (f"{size}-seed{seed}--{arm}", 20 * (1 + (arm[:2] == "2x")), f"level-{level}:{item}")
            records += [(*key, metric, value, 1) for metric, value in values.items()]
    return with_probes(full_study(60), records)


def _with_imported_insertions(gain: float, levels: Mapping[int, int]) -> Tables:
    """The first training rows were inserted as often as their level says, into all models."""
    study = full_study(80)
    rows = study.rows.filter(role="train").select("row").collect()["row"].to_list()
    drawn = np.random.default_rng(1).permutation(np.repeat(list(levels), list(levels.values())))
    times = dict(zip(rows, drawn.tolist(), strict=False))
    rng, tokens = np.random.default_rng(2), max(study.contexts) + max(study.continuations)
    lists = [
        [None, *(-4 + gain * np.log2(1 + times.get(row, 0)) + rng.normal(0, 0.3) + rng.normal(0, 0.1, tokens - 1))]
        for row in range(80)
    ]
    shown = [{"model": m, "row": r, "times": t} for m in study.models["model"] for r, t in times.items()]
    exposures = pl.DataFrame(shown).with_columns(
        pl.lit(None, pl.Int64).alias(name) for name in ("first_step", "last_step")
    )
    given = dict.fromkeys(study.models["model"], lists)
    signals = with_signals(study, kinds=("truth",), truth_log_probability=given)
    return replace(signals, exposures=exposures.lazy())


def with_facts(
    *,
    seeds=(0, 1),
    sizes=("s1", "s4"),
    groups=("paraphrased", "duplicated", "once", "never"),
    arms=("treatment", "control"),
    facts: int = 4,
    showings: int = 2,
    acquired: float = 1.0,
    noise: float = 0.05,
    slope: float = 0.3,
) -> Tables:
    """Losses on facts: each showing takes `acquired` off, of which `slope` comes back for ten times the steps."""
    rng, records = np.random.default_rng(0), []
    before = [10 * showing for showing in range(showings)]
    times = sorted({t for start in before for t in (start, start + 1, start + 2, start + 3, start + 5, start + 9)})
    times += [before[-1] + 1 + 2**power for power in range(4, 8)]
    for size, seed, arm, group, number in product(sizes, seeds, arms, groups, range(facts)):
        starts = [] if group == "never" else before[:1] if group == "once" else before
        for question, t in product(("verbatim", "paraphrase", "composed"), times):
            done = [start for start in starts if start < t]
            gain = len(done) * acquired * (1 - slope * np.log10(max(1, t - done[-1] - 1))) if done else 0.0
            loss = 6 - gain * (arm == "treatment") * (question != "composed") + noise * rng.normal()
            shown = float(len(done) * (arm == "treatment"))
            name = f"facts/{group}/{question}:{number}"
            key = (f"{size}-seed{seed}--{arm}", 300 + 3 * number + t, name)
            records += [(*key, "loss", float(loss), 3), (*key, "shown", shown, 3)]
    names = {f"{size}-seed{seed}": 10 ** (3 * at + 1) for at, size in enumerate(sizes) for seed in seeds}
    return with_probes(with_trained_models(full_study(60), names), records)


def with_random_sequences(*, counts=(8, 32, 128), sizes=("s1", "s4"), seeds=(0, 1), capacity: float = 400.0) -> Tables:
    """Bits of random sequences of 20 bits each, of which all models hold `capacity` at most, from midway on."""
    records = []
    for size, seed, count, step in product(sizes, seeds, counts, (0, 50, 100)):
        held = min(20.0, (capacity + seed) / count) * min(1, step / 50)
        key = (f"{size}-seed{seed}--{count}", step)
        for name, bits, n in (("uniform", held, count), ("uniform-never", 0.5, 64)):
            values = {"loss": 2.0, "bits": bits, "entropy": 20.0, "shown": float(step)}
            records += [(*key, name, metric, value, n) for metric, value in values.items()]
    names = {f"{size}-seed{seed}": 10 ** (3 * at + 1) for at, size in enumerate(sizes) for seed in seeds}
    return with_probes(with_trained_models(full_study(60), names), records)


def with_trained_models(study: Tables, groups: Mapping[str, int]) -> Tables:
    """`study` with the last model of one arm of each group, which has so many weights."""
    added = pl.DataFrame(
        {"model": [f"{group}--control-step-000050" for group in groups], "parameters": list(groups.values())}
    )
    known = study.models.filter(model="s1").drop("model", "parameters")
    models = added.join(known, how="cross").select(study.models.columns).cast(dict(study.models.schema))
    return replace(study, models=pl.concat([study.models, models]))


SAME_MODEL = [(name, name) for name in ("s1", "s3", "s4")]
TWO_CELLS = ((32, 16), (32, 32))


def constant_predictions(hit: bool | None) -> Tables:
    """Predictions of tokens that are all recited, all missed, or all unknown."""
    study = with_predictions(smaller_study(("s1", "s4"), cells=TWO_CELLS), sees=("context",))
    hits = pl.col("hit").list.eval(pl.lit(hit, pl.Boolean).repeat_by(pl.len()).explode()).alias("hit")
    return replace(study, predictions=study.predictions.collect().with_columns(hits).lazy())


TEXT_FEATURES = ("incrementing", "bytes", "compressed_bytes")
CASES = {
    "rows of documents": rows_of_documents,
    "rows with copies": rows_with_copies,
    "whole": full_study,
    "no control, no repetitions": family,
    "one model": lambda: family(models=("s1",)),
    "one size, three checkpoints": lambda: family(models=("s4-a", "s4-b", "s4")),
    "one cell": lambda: family(cells=((32, 32),)),
    "one continuation": lambda: family(cells=((16, 32), (32, 32))),
    "odd lengths": lambda: family(cells=((10, 7), (10, 13))),
    "nothing recited": lambda: make_tables(
        {model: {cell: [row % 9 for row in range(90)] for cell in CELLS} for model in SIZES}, parameters=SIZES
    ),
    "everything recited": lambda: make_tables(
        {model: {cell: [cell[1]] * 90 for cell in CELLS} for model in SIZES}, parameters=SIZES, steps=STEPS
    ),
    "everything missed": lambda: make_tables(
        {model: {cell: [0] * 90 for cell in CELLS} for model in SIZES}, parameters=SIZES, steps=STEPS
    ),
    "two rows": lambda: family(count=2, repetitions=[1, 2]),
    "one row": lambda: family(count=1, repetitions=[3]),
    "a bucket of two rows": lambda: family(repetitions=[1] * 198 + [64] * 2),
    "only control rows": lambda: family(count=40, roles=["control"] * 40),
    "a control model": lambda: family(control_models=("s1",)),
    "only a control model beside one": lambda: family(models=("s1", "s2"), control_models=("s1",)),
    "verbatim depth": verbatim_depth,
    "recited rows only": recited_only,
    "holes in the grid": with_holes,
    "models of other rows": models_with_different_rows,
    "no common row": models_without_common_rows,
    "sizes and steps unknown": lambda: family(parameters=dict.fromkeys(SIZES), steps=dict.fromkeys(SIZES)),
    "a stand-in without weights": lambda: family(parameters={**SIZES, "s1": 0}),
    "an untrained checkpoint": lambda: family(steps={**STEPS, "s4-a": 0}),
    "one size unknown": lambda: family(parameters={**SIZES, "s2": None}),
    "nothing scored": nothing_scored,
    "features": lambda: with_features(full_study()),
    "features, no control": lambda: with_features(family()),
    "features without text": lambda: with_features(full_study(), **dict.fromkeys((*TEXT_FEATURES, "kinds"))),
    "features without copies": lambda: with_features(full_study(), **dict.fromkeys(COPIES.names[3:])),
    "features in verbatim depth": lambda: with_features(verbatim_depth()),
    "features, recited rows only": lambda: with_features(recited_only()),
    "features, holes in the grid": lambda: with_features(with_holes()),
    "features with places": lambda: with_places(with_features(full_study())),
    "features, rows of documents": lambda: with_features(rows_of_documents()),
    "features, one row": lambda: with_features(family(count=1, repetitions=[3])),
    "signals and features with tags": lambda: with_tags(with_signals(with_features(smaller_study()))),
    "signals and features with tags, one model": lambda: with_tags(with_signals(with_features(smaller_study(("s1",))))),
    "signals": lambda: with_signals(smaller_study()),
    "signals and features": lambda: with_signals(with_features(smaller_study())),
    "signals, no control": lambda: with_signals(with_features(family(models=("s1", "s4"), count=60))),
    "signals, one model": lambda: with_signals(smaller_study(("s1",))),
    "signals, a control model": lambda: with_signals(
        with_features(smaller_study(("s1", "s4"), control_models=("s1",)))
    ),
    "signals, sizes and steps unknown": lambda: with_signals(
        smaller_study(("s1", "s4"), parameters=dict.fromkeys(SIZES), steps=dict.fromkeys(SIZES))
    ),
    "signals in verbatim depth": lambda: with_signals(verbatim_depth()),
    "signals, holes in the grid": lambda: with_signals(with_holes()),
    "signals, nothing recited": lambda: with_signals(
        make_tables({"s1": {cell: [row % 9 for row in range(90)] for cell in CELLS}}, roles=["train", "control"] * 45)
    ),
    "signals, everything recited": lambda: with_signals(make_tables({"s1": {cell: [cell[1]] * 90 for cell in CELLS}})),
    "signals, rows of documents": lambda: with_signals(in_documents(smaller_study(("s1", "s4")), 5)),
    "signals, one row": lambda: with_signals(family(count=1, repetitions=[3])),
    "signals, only control rows": lambda: with_signals(family(count=40, roles=["control"] * 40)),
    "signals, nothing scored": lambda: with_signals(nothing_scored()),
    "signals, recited rows only": lambda: with_signals(recited_only()),
    "signals and features in verbatim depth": lambda: with_signals(with_features(verbatim_depth())),
    "signals and features, holes in the grid": lambda: with_signals(with_features(with_holes())),
    "signals and features, everything recited": lambda: with_signals(
        with_features(make_tables({"s1": {cell: [cell[1]] * 90 for cell in CELLS}}, roles=["train", "control"] * 45))
    ),
    "signals and features, sizes and steps unknown": lambda: with_signals(
        with_features(smaller_study(("s1", "s4"), parameters=dict.fromkeys(SIZES), steps=dict.fromkeys(SIZES)))
    ),
    "signals and features, one row": lambda: with_signals(with_features(family(count=1, repetitions=[3]))),
    "signals and features, three tokens": lambda: with_signals(
        with_features(smaller_study(("s1", "s4"), cells=((4, 3),)))
    ),
    "predictions": lambda: with_predictions(smaller_study(cells=TWO_CELLS), models=[*SAME_MODEL, ("s3", "s4")]),
    "predictions, one model and seed": lambda: with_predictions(smaller_study(("s1",)), seeds=(7,)),
    "predictions, no control": lambda: with_predictions(
        family(models=("s1", "s4"), count=60, cells=TWO_CELLS), sees=("context",)
    ),
    "predictions, sizes and steps unknown": lambda: with_predictions(
        smaller_study(("s1", "s4"), cells=TWO_CELLS, parameters=dict.fromkeys(SIZES), steps=dict.fromkeys(SIZES)),
        sees=("generated",),
    ),
    "predictions, a control model": lambda: with_predictions(
        smaller_study(("s1", "s4"), cells=TWO_CELLS, control_models=("s1",))
    ),
    "predictions, no baselines": lambda: with_predictions(
        smaller_study(("s1", "s4"), cells=TWO_CELLS), methods=("predictor",)
    ),
    "predictions, two rows": lambda: with_predictions(family(("s4",), count=2, repetitions=[1, 2])),
    "predictions, everything recited": lambda: constant_predictions(True),
    "predictions, nothing recited": lambda: constant_predictions(False),
    "predictions, nothing known": lambda: constant_predictions(None),
    "predictions, recited rows only": lambda: with_predictions(recited_only(), models=[("s4", "s4")]),
    "exposures": lambda: with_exposures(subsets(16)),
    "exposures, rows with copies": lambda: with_exposures(
        with_copies(subsets(24), [row // 4 * 4 if row % 4 < 2 else row for row in range(60)])
    ),
    "exposures, four models": lambda: with_exposures(subsets(4)),
    "exposures, two models": lambda: with_exposures(subsets(2)),
    "exposures, a control model": lambda: with_exposures(subsets(9, control_models=("m0",))),
    "exposures, one row": lambda: with_exposures(subsets(12, count=1)),
    "exposures to every row": lambda: with_exposures(subsets(8), 1.0),
    "exposures, everything recited": lambda: with_exposures(
        make_tables({f"m{number}": {(16, 32): [32] * 40} for number in range(10)})
    ),
    "exposures, recited rows only": lambda: with_exposures(recited_only()),
    "exposures in verbatim depth": lambda: with_exposures(verbatim_depth()),
    "exposures, holes in the grid": lambda: with_exposures(with_holes()),
    "exposures, rows of documents": lambda: with_exposures(rows_of_documents()),
    "exposures, nothing scored": lambda: with_exposures(nothing_scored()),
    "exposures in the order of a training": lambda: with_order(full_study()),
    "exposures in the order of a training, documents": lambda: with_order(rows_of_documents()),
    "exposures in the order of a training, two checkpoints": lambda: with_order(family(models=("s4-a", "s4"))),
    "exposures in the order of a training, one row": lambda: with_order(family(count=1)),
    "exposures in the order of a training, verbatim depth": lambda: with_order(verbatim_depth()),
    "probes": probed,
    "probes, one block": lambda: probed(blocks=1),
    "probes, one epoch": lambda: probed(epochs=1),
    "probes, one arm": lambda: probed(arms=("s2",)),
    "probes of models that are not in the study": lambda: probed(arms=("a", "b")),
    "probes, no validation rows": lambda: probed(sets=("train",)),
    "probes of arms with ids": with_id_arms,
    "probes of arms with ids, one block, one seed": lambda: with_id_arms(blocks=1, seeds=("s1",)),
    "probes, no showings": lambda: with_probes(
        full_study(60),
        [(f"s1--{branch}", 3, "special", metric, 0.0, 8) for branch in ("0x", "0x-again") for metric in ("M", "shown")],
    ),
    "probes of injections": with_injections,
    "probes of injections, one size, one seed, nothing alone": lambda: with_injections(
        seeds=(0,), sizes=("s4",), arms=("treatment", "control")
    ),
    "probes of injections in given steps": lambda: with_injections(kinds=("canary",), frequencies=("steps@splice",)),
    "probes of injections, no control": lambda: with_injections(arms=("treatment",)),
    "probes of injections, nothing injected": lambda: with_injections(frequencies=("never",)),
    "probes of injections, nothing recited": lambda: with_injections(recited=0, arms=("treatment", "control")),
    "probes of insertions": with_insertions,
    "probes of insertions, one item a level": lambda: with_insertions(levels={0: 1, 4: 1}, seeds=(0,), sizes=("s4",)),
    "probes of insertions, level 0 alone": lambda: with_insertions(levels={0: 3}),
    "exposures of insertions, with signals": lambda: with_insertions(imported=True),
    "probes of facts": with_facts,
    "probes of facts, one fact, one showing, no noise": lambda: with_facts(facts=1, showings=1, noise=0.0, seeds=(0,)),
    "probes of facts, nothing acquired": lambda: with_facts(acquired=0.0, noise=0.0),
    "probes of facts, none never shown": lambda: with_facts(groups=("once", "duplicated")),
    "probes of facts, no treatment": lambda: with_facts(arms=("control",)),
    "probes of random sequences": with_random_sequences,
    "probes of random sequences, one size, one seed, one number": lambda: with_random_sequences(
        counts=(8,), sizes=("s1",), seeds=(0,)
    ),
    "probes, nothing that is known": lambda: with_probes(full_study(60), [("a", 1, "other", "N", None, 1)]),
    "states": lambda: with_states(smaller_study(("s1", "s3", "s4"), count=48, cells=SHORT_CELLS)),
    "states, many rows": lambda: with_states(smaller_study(("s1", "s4"), count=90, cells=SHORT_CELLS), kinds=("free",)),
    "states, no control": lambda: with_states(family(("s1", "s4"), SHORT_CELLS, 40), kinds=("truth",)),
    "states, rows of documents": lambda: with_states(
        in_documents(smaller_study(("s1", "s4"), count=90, cells=SHORT_CELLS), 3), kinds=("free",)
    ),
    "states, one document": lambda: with_states(
        in_documents(smaller_study(("s4",), count=48, cells=SHORT_CELLS), 48), kinds=("free",)
    ),
    "states, one model": lambda: with_states(smaller_study(("s1",), count=48, cells=SHORT_CELLS)),
    "states, a control model": lambda: with_states(
        smaller_study(("s1", "s4"), 48, cells=SHORT_CELLS, control_models=("s1",))
    ),
    "states, sizes and steps unknown": lambda: with_states(
        smaller_study(("s1", "s4"), 48, cells=SHORT_CELLS, parameters=dict.fromkeys(SIZES), steps=dict.fromkeys(SIZES))
    ),
    "states, rows that end early": lambda: with_states(
        smaller_study(("s1", "s4"), 48, cells=SHORT_CELLS), ended=range(7, 40)
    ),
    "states that never vary": lambda: with_states(
        smaller_study(("s1", "s4"), 48, cells=SHORT_CELLS), given=lambda *_: np.ones((48, 15, 3))
    ),
    "states of length 0": lambda: with_states(
        smaller_study(("s1", "s4"), 48, cells=SHORT_CELLS), given=lambda *_: np.zeros((48, 15, 3))
    ),
    "states, nothing known": lambda: with_states(
        smaller_study(("s1", "s4"), 48, cells=SHORT_CELLS), given=lambda *_: np.full((48, 15, 3), np.nan)
    ),
    "states, everything recited": lambda: with_states(
        make_tables({"s1": {(8, 8): [8] * 40}}, roles=["train", "control"] * 20)
    ),
    "states, two rows": lambda: with_states(family(("s1", "s4"), SHORT_CELLS, 2)),
    "states, one row": lambda: with_states(family(("s1",), SHORT_CELLS, 1)),
    "states, one token": lambda: with_states(smaller_study(("s1", "s4"), 48, cells=((1, 1),))),
    "states, only control rows": lambda: with_states(family(("s1",), SHORT_CELLS, 40, roles=["control"] * 40)),
    "states in verbatim depth": lambda: with_states(verbatim_depth(), tokens=3, kinds=("free",)),
    "states, recited rows only": lambda: with_states(recited_only(), tokens=3, kinds=("free",)),
    "imported random-sampled": None,
    "imported memorized-evals": None,
    "imported memorized-flags": None,
}
