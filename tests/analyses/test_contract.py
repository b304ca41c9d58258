"""What every analysis owes its reader, whatever the study holds; a newcomer in ANALYSES is tested unasked."""

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal
from safetensors.numpy import save_file

import mematlas
from mematlas import recount
from mematlas.analyses import ANALYSES
from mematlas.analyses.tables import Tables, read_tables
from mematlas.features.schema import COPIES
from mematlas.findings import Chart, Finding, Table, read_finding, write_finding
from mematlas.published import TRENDS
from mematlas.store import Study, open_study, shard_name, write_json, write_shard, write_table
from tests.analyses.made import tables as made
from tests.analyses.made import with_features, with_places, with_predictions, with_signals, with_states
from tests.analyses.published_files import flags, memorized, sampled

CELLS = tuple(product((16, 32), (16, 32, 64)))
BRIEF = ((8, 4), (8, 8))
SIZES = {"s1": 10**6, "s2": 10**7, "s3": 10**8, "s4-a": 10**9, "s4-b": 10**9, "s4": 10**9}
STEPS = {"s1": 300, "s2": 300, "s3": 300, "s4-a": 100, "s4-b": 200, "s4": 300}
Cells = dict[str, dict[tuple[int, int], list[int | None]]]


def scored(models=tuple(SIZES), cells=CELLS, count=200, most=0.45, seed=0) -> tuple[Cells, Cells]:
    """(matches, verbatim): larger models recite more rows, and of as many more they know about half the tokens."""
    rng = np.random.default_rng(seed)
    ease, wide = rng.uniform(size=count), max(length for _, length in cells)
    matches, verbatim = Cells(), Cells()
    for at, model in enumerate(models):
        matches[model], verbatim[model] = {}, {}
        luck = rng.uniform(size=(count, wide))
        for context in {context for context, _ in cells}:
            share = most * (at + 1) / len(models) * context / 32
            hits = (ease < share)[:, None] | (luck < np.where(ease < 2 * share, 0.5, 0.02)[:, None])
            for length in {length for c, length in cells if c == context}:
                here = hits[:, :length]
                matches[model][context, length] = here.sum(1).tolist()
                verbatim[model][context, length] = np.where(here.all(1), length, (~here).argmax(1)).tolist()
    return matches, verbatim


def family(models=tuple(SIZES), cells=CELLS, count=200, most=0.45, **options) -> Tables:
    matches, verbatim = scored(models, cells, count, most)
    return made(matches, **{"verbatim": verbatim, "parameters": SIZES, "steps": STEPS} | options)


def whole(count=200) -> Tables:
    """Four sizes, three checkpoints of the largest, a grid, repetitions, and rows of which a quarter is a control."""
    roles = ["control" if row % 4 == 0 else "train" for row in range(count)]
    repetitions = [None if row % 4 == 0 else (1, 2, 4, 8, 16)[row % 5] for row in range(count)]
    return family(count=count, roles=roles, repetitions=repetitions)


def some(models=("s1", "s3", "s4-a", "s4"), count=120, **options) -> Tables:
    """As `whole`, of fewer models and rows."""
    roles = ["control" if row % 4 == 0 else "train" for row in range(count)]
    repetitions = [None if row % 4 == 0 else (1, 2, 4, 8, 16)[row % 5] for row in range(count)]
    return family(models=models, count=count, roles=roles, repetitions=repetitions, **options)


def in_verbatim_depth() -> Tables:
    _, verbatim = scored()
    masked = {
        model: {cell: [v if v == cell[1] else None for v in values] for cell, values in cells.items()}
        for model, cells in verbatim.items()
    }
    return made(masked, verbatim=verbatim, parameters=SIZES, steps=STEPS, depth="verbatim")


def with_holes() -> Tables:
    """Later rows are too short for the longer cells; the longest cell was not scored at all with the longer context."""
    found = whole()
    short = (pl.col("row") > 120) & (pl.col("continuation") > 16)
    gone = (pl.col("context") == 32) & (pl.col("continuation") == 64)
    nothing = [pl.when(short).then(None).otherwise(pl.col(name)).alias(name) for name in ("matches", "verbatim")]
    reason = pl.when(short).then(pl.lit("short")).otherwise("reason").alias("reason")
    return replace(found, scores=found.scores.filter(~gone).with_columns(*nothing, reason))


def of_other_rows() -> Tables:
    """Each model was scored on its own hundred rows; neighbours share a few."""
    found = whole()
    first = {model: 20 * at for at, model in enumerate(SIZES)}
    start = pl.col("model").replace_strict(first, return_dtype=pl.Int64)
    return replace(found, scores=found.scores.filter(pl.col("row").is_between(start, start + 99)))


def of_no_common_row() -> Tables:
    found = family(models=("s1", "s2"), count=100)
    return replace(found, scores=found.scores.filter((pl.col("row") < 50) == (pl.col("model") == "s1")))


def recited_only() -> Tables:
    """As pythia-memorized-evals, of more than one cell."""
    found = family()
    recited = pl.col("matches") == pl.col("continuation")
    return replace(found, scores=found.scores.filter(recited), complete=False)


def nothing_scored() -> Tables:
    found = whole()
    unknown = [pl.lit(None, pl.Int32).alias(name) for name in ("matches", "verbatim")]
    return replace(found, scores=found.scores.with_columns(*unknown, pl.lit("short").alias("reason")))


def imported(folder: Path, kind: str) -> Tables:
    """A study made by the readers of published files."""
    matches, _ = scored(models=("70M", "410M", "2.8B", "12B"), cells=((32, 32),), count=300)
    rows = [7 * row + 3 for row in range(300)]
    flat = {model: cells[32, 32] for model, cells in matches.items()}
    if kind == "random-sampled":
        scores = {model: [None if row == 5 else m / 32 for row, m in enumerate(ms)] for model, ms in flat.items()}
        return read_tables(mematlas.import_scores(sampled(folder / "s.parquet", scores, rows), study=folder / "s"))
    for model, ms in flat.items():
        recited = [m == 32 for m in ms]
        file = folder / "in" / f"deduped.{model.lower()}.parquet"
        if kind == "memorized-evals":
            memorized(file, [row for row, yes in zip(rows, recited, strict=True) if yes])
        else:
            flags(file, recited, rows)
    return read_tables(mematlas.import_scores(folder / "in", study=folder / "s"))


SELVES = [(name, name) for name in ("s1", "s3", "s4")]
PAIR = ((32, 16), (32, 32))


def all_alike(hit: bool | None) -> Tables:
    """Predictions of tokens that are all recited, or not, or of which nothing is known."""
    found = with_predictions(some(("s1", "s4"), cells=PAIR), sees=("context",))
    hits = pl.col("hit").list.eval(pl.lit(hit, pl.Boolean).repeat_by(pl.len()).explode()).alias("hit")
    return replace(found, predictions=found.predictions.collect().with_columns(hits).lazy(), _kept={})


TEXTUAL = ("incrementing", "bytes", "compressed_bytes")
CASES = {
    "whole": whole,
    "no control, no repetitions": family,
    "one model": lambda: family(models=("s1",)),
    "one size, three checkpoints": lambda: family(models=("s4-a", "s4-b", "s4")),
    "one cell": lambda: family(cells=((32, 32),)),
    "one continuation": lambda: family(cells=((16, 32), (32, 32))),
    "odd lengths": lambda: family(cells=((10, 7), (10, 13))),
    "nothing recited": lambda: made(
        {model: {cell: [row % 9 for row in range(90)] for cell in CELLS} for model in SIZES}, parameters=SIZES
    ),
    "everything recited": lambda: made(
        {model: {cell: [cell[1]] * 90 for cell in CELLS} for model in SIZES}, parameters=SIZES, steps=STEPS
    ),
    "everything missed": lambda: made(
        {model: {cell: [0] * 90 for cell in CELLS} for model in SIZES}, parameters=SIZES, steps=STEPS
    ),
    "two rows": lambda: family(count=2, repetitions=[1, 2]),
    "one row": lambda: family(count=1, repetitions=[3]),
    "a bucket of two rows": lambda: family(repetitions=[1] * 198 + [64] * 2),
    "only control rows": lambda: family(count=40, roles=["control"] * 40),
    "a control model": lambda: family(control_models=("s1",)),
    "only a control model beside one": lambda: family(models=("s1", "s2"), control_models=("s1",)),
    "verbatim depth": in_verbatim_depth,
    "recited rows only": recited_only,
    "holes in the grid": with_holes,
    "models of other rows": of_other_rows,
    "no common row": of_no_common_row,
    "sizes and steps unknown": lambda: family(parameters=dict.fromkeys(SIZES), steps=dict.fromkeys(SIZES)),
    "a stand-in without weights": lambda: family(parameters={**SIZES, "s1": 0}),
    "an untrained checkpoint": lambda: family(steps={**STEPS, "s4-a": 0}),
    "one size unknown": lambda: family(parameters={**SIZES, "s2": None}),
    "nothing scored": nothing_scored,
    "features": lambda: with_features(whole()),
    "features, no control": lambda: with_features(family()),
    "features without text": lambda: with_features(whole(), **dict.fromkeys((*TEXTUAL, "kinds"))),
    "features without copies": lambda: with_features(whole(), **dict.fromkeys(COPIES.names[3:])),
    "features in verbatim depth": lambda: with_features(in_verbatim_depth()),
    "features, recited rows only": lambda: with_features(recited_only()),
    "features, holes in the grid": lambda: with_features(with_holes()),
    "features with places": lambda: with_places(with_features(whole())),
    "features, one row": lambda: with_features(family(count=1, repetitions=[3])),
    "signals": lambda: with_signals(some()),
    "signals and features": lambda: with_signals(with_features(some())),
    "signals, no control": lambda: with_signals(with_features(family(models=("s1", "s4"), count=60))),
    "signals, one model": lambda: with_signals(some(("s1",))),
    "signals, a control model": lambda: with_signals(with_features(some(("s1", "s4"), control_models=("s1",)))),
    "signals, sizes and steps unknown": lambda: with_signals(
        some(("s1", "s4"), parameters=dict.fromkeys(SIZES), steps=dict.fromkeys(SIZES))
    ),
    "signals in verbatim depth": lambda: with_signals(in_verbatim_depth()),
    "signals, holes in the grid": lambda: with_signals(with_holes()),
    "signals, nothing recited": lambda: with_signals(
        made({"s1": {cell: [row % 9 for row in range(90)] for cell in CELLS}}, roles=["train", "control"] * 45)
    ),
    "signals, everything recited": lambda: with_signals(made({"s1": {cell: [cell[1]] * 90 for cell in CELLS}})),
    "signals, one row": lambda: with_signals(family(count=1, repetitions=[3])),
    "signals, only control rows": lambda: with_signals(family(count=40, roles=["control"] * 40)),
    "signals, nothing scored": lambda: with_signals(nothing_scored()),
    "signals, recited rows only": lambda: with_signals(recited_only()),
    "signals and features in verbatim depth": lambda: with_signals(with_features(in_verbatim_depth())),
    "signals and features, holes in the grid": lambda: with_signals(with_features(with_holes())),
    "signals and features, everything recited": lambda: with_signals(
        with_features(made({"s1": {cell: [cell[1]] * 90 for cell in CELLS}}, roles=["train", "control"] * 45))
    ),
    "signals and features, sizes and steps unknown": lambda: with_signals(
        with_features(some(("s1", "s4"), parameters=dict.fromkeys(SIZES), steps=dict.fromkeys(SIZES)))
    ),
    "signals and features, one row": lambda: with_signals(with_features(family(count=1, repetitions=[3]))),
    "signals and features, three tokens": lambda: with_signals(with_features(some(("s1", "s4"), cells=((4, 3),)))),
    "predictions": lambda: with_predictions(some(cells=PAIR), models=[*SELVES, ("s3", "s4")]),
    "predictions, one model and seed": lambda: with_predictions(some(("s1",)), seeds=(7,)),
    "predictions, no control": lambda: with_predictions(
        family(models=("s1", "s4"), count=60, cells=PAIR), sees=("context",)
    ),
    "predictions, sizes and steps unknown": lambda: with_predictions(
        some(("s1", "s4"), cells=PAIR, parameters=dict.fromkeys(SIZES), steps=dict.fromkeys(SIZES)), sees=("generated",)
    ),
    "predictions, a control model": lambda: with_predictions(some(("s1", "s4"), cells=PAIR, control_models=("s1",))),
    "predictions, no baselines": lambda: with_predictions(some(("s1", "s4"), cells=PAIR), methods=("predictor",)),
    "predictions, two rows": lambda: with_predictions(family(("s4",), count=2, repetitions=[1, 2])),
    "predictions, everything recited": lambda: all_alike(True),
    "predictions, nothing recited": lambda: all_alike(False),
    "predictions, nothing known": lambda: all_alike(None),
    "predictions, recited rows only": lambda: with_predictions(recited_only(), models=[("s4", "s4")]),
    "states": lambda: with_states(some(("s1", "s3", "s4"), count=48, cells=BRIEF)),
    "states, many rows": lambda: with_states(some(("s1", "s4"), count=90, cells=BRIEF), kinds=("free",)),
    "states, no control": lambda: with_states(family(("s1", "s4"), BRIEF, 40), kinds=("truth",)),
    "states, one model": lambda: with_states(some(("s1",), count=48, cells=BRIEF)),
    "states, a control model": lambda: with_states(some(("s1", "s4"), 48, cells=BRIEF, control_models=("s1",))),
    "states, sizes and steps unknown": lambda: with_states(
        some(("s1", "s4"), 48, cells=BRIEF, parameters=dict.fromkeys(SIZES), steps=dict.fromkeys(SIZES))
    ),
    "states, rows that end early": lambda: with_states(some(("s1", "s4"), 48, cells=BRIEF), ended=range(7, 40)),
    "states that never vary": lambda: with_states(
        some(("s1", "s4"), 48, cells=BRIEF), given=lambda *_: np.ones((48, 15, 3))
    ),
    "states of length 0": lambda: with_states(
        some(("s1", "s4"), 48, cells=BRIEF), given=lambda *_: np.zeros((48, 15, 3))
    ),
    "states, nothing known": lambda: with_states(
        some(("s1", "s4"), 48, cells=BRIEF), given=lambda *_: np.full((48, 15, 3), np.nan)
    ),
    "states, everything recited": lambda: with_states(
        made({"s1": {(8, 8): [8] * 40}}, roles=["train", "control"] * 20)
    ),
    "states, two rows": lambda: with_states(family(("s1", "s4"), BRIEF, 2)),
    "states, one row": lambda: with_states(family(("s1",), BRIEF, 1)),
    "states, one token": lambda: with_states(some(("s1", "s4"), 48, cells=((1, 1),))),
    "states, only control rows": lambda: with_states(family(("s1",), BRIEF, 40, roles=["control"] * 40)),
    "states in verbatim depth": lambda: with_states(in_verbatim_depth(), tokens=3, kinds=("free",)),
    "states, recited rows only": lambda: with_states(recited_only(), tokens=3, kinds=("free",)),
    "imported random-sampled": None,
    "imported memorized-evals": None,
    "imported memorized-flags": None,
}


@pytest.fixture(scope="session")
def shelf(tmp_path_factory):
    """case -> fresh tables; imported studies are made once."""

    @cache
    def study(kind: str) -> Tables:
        return imported(tmp_path_factory.mktemp(kind), kind)

    def tables(case: str) -> Tables:
        make = CASES[case]
        return make() if make else replace(study(case.removeprefix("imported ")), _kept={})

    return tables


@pytest.fixture(scope="session")
def answered(shelf):
    """(analysis, case) -> its finding, answered once."""

    @cache
    def answer(name: str, case: str) -> Finding:
        return ANALYSES.load(name).answer(shelf(case))

    return answer


#: Analyses that read row features or signals; the others are asked about such studies once, for the same answer.
FED = {name for name in ANALYSES if re.search("features|signals", ANALYSES.load(name).needs)} | {"scaling"}
#: Analyses that read what predictors said.
TOLD = {name for name in ANALYSES if "predictions" in ANALYSES.load(name).needs}
#: Analyses that read hidden states.
LOOKING = {name for name in ANALYSES if "hidden states" in ANALYSES.load(name).needs}
PAIRS = [
    (name, case)
    for name in ANALYSES
    for case in CASES
    if (name in FED or not case.startswith(("feat", "sign")))
    and (name in TOLD or not case.startswith("pred"))
    and (name in LOOKING or not case.startswith("states"))
]
EVERY = pytest.mark.parametrize(("name", "case"), PAIRS)


@pytest.mark.parametrize("name", sorted(set(ANALYSES) - FED))
def test_who_reads_neither_features_nor_signals_gives_the_same_answer_with_them(answered, name):
    fed = ANALYSES.load(name).answer(with_signals(with_features(whole())))
    assert replace(fed, tables=()) == replace(answered(name, "whole"), tables=())
    for table, other in zip(fed.tables, answered(name, "whole").tables, strict=True):
        assert_frame_equal(table.frame, other.frame)


NO_WORD = re.compile(r"\bnan\b|\binf\b|\bnull\b|\bNone\b(?! of)|\bLiteral\b|\{|\}", re.IGNORECASE)
NO_NONE = re.compile(r"\bnan\b|\binf\b|\bnone\b(?! of)", re.IGNORECASE)


def texts(finding: Finding) -> Iterator[str]:
    yield from (finding.title, finding.claim, finding.source, finding.missing or "", finding.control or "")
    yield from (*finding.caveats, *finding.deviations, *finding.rows.values())
    yield from (trend.test for trend in finding.trends)


def drawn(finding: Finding, chart: Chart) -> pl.DataFrame:
    """The lines of its table that a chart draws."""
    return finding.table(chart.table).filter(*(pl.col(name) == value for name, value in chart.where.items()))


@EVERY
def test_nothing_at_or_below_zero_is_put_on_a_log_axis(answered, name, case):
    finding = answered(name, case)
    for chart in finding.charts:
        for axis in (chart.x, chart.y):
            if axis.scale == "log":
                assert not (drawn(finding, chart)[axis.column] <= 0).any(), (chart.name, axis.column)


# ------------------------------------------------------------------------------------------------------- what is said


@EVERY
def test_the_claim_is_a_sentence_and_no_text_holds_a_programmers_nothing(answered, name, case):
    finding = answered(name, case)
    assert isinstance(finding, Finding)
    assert finding.name == name
    assert finding.claim.endswith(".")
    assert finding.claim[0].isupper() or finding.claim[0].isdigit()
    assert not NO_WORD.search(finding.claim), finding.claim
    for text in texts(finding):
        assert not NO_NONE.search(text), text
    for text in (*finding.caveats, *finding.deviations, *filter(None, [finding.missing, finding.control])):
        assert text.endswith("."), text


@EVERY
def test_there_are_numbers_or_a_word_on_what_is_missing(answered, name, case):
    finding = answered(name, case)
    if finding.missing is not None:
        assert finding.missing
        assert (finding.tables, finding.charts, finding.strength) == ((), (), None)
        assert all(trend.verdict == "cannot tell" for trend in finding.trends)
    else:
        assert finding.tables
        assert any(table.frame.height for table in finding.tables)


@EVERY
def test_trends_are_those_declared_each_once(answered, name, case):
    finding = answered(name, case)
    assert sorted(trend.trend for trend in finding.trends) == sorted(ANALYSES.load(name).trends)
    for trend in finding.trends:
        assert TRENDS[trend.trend].analysis == name
        assert trend.verdict in ("shows", "contradicts", "cannot tell")
        assert trend.test


# --------------------------------------------------------------------------------------------------------- the numbers


@EVERY
def test_what_was_not_measured_is_null(answered, name, case):
    finding = answered(name, case)
    assert finding.strength is None or np.isfinite(finding.strength)
    for table in finding.tables:
        for column in table.frame.get_columns():
            if column.dtype.is_float():
                assert column.drop_nulls().is_finite().all(), f"{table.name}.{column.name}"


def check_ordered(frame: pl.DataFrame, names: tuple[str | None, ...], where: str) -> None:
    """lower <= estimate <= upper, where all are there; an interval has both ends or none."""
    lower, estimate, upper = (frame[name].cast(pl.Float64) for name in names)
    assert ((lower <= estimate + 1e-9) & (estimate <= upper + 1e-9)).drop_nulls().all(), where
    assert (lower.is_null() == upper.is_null()).all(), where
    assert (estimate.is_not_null() | lower.is_null()).all(), f"{where}: an interval of nothing"


@EVERY
def test_intervals_hold_their_estimate(answered, name, case):
    for table in answered(name, case).tables:
        for column in table.frame.columns:
            ends = (f"{column}_lower", f"{column}_upper")
            if set(ends) <= set(table.frame.columns):
                check_ordered(table.frame, (ends[0], column, ends[1]), f"{table.name}.{column}")


@EVERY
def test_no_table_has_a_name_twice_or_a_file_name_that_hurts(answered, name, case):
    finding = answered(name, case)
    for names in ([table.name for table in finding.tables], [chart.name for chart in finding.charts]):
        assert len(set(names)) == len(names)
        assert all(re.fullmatch(r"[a-z0-9_-]+", word) for word in names)
    for table in finding.tables:
        assert all(meaning.strip() for meaning in table.columns.values())


# ---------------------------------------------------------------------------------------------------------- the charts


@EVERY
def test_charts_draw_columns_that_are_there_and_something(answered, name, case):
    finding = answered(name, case)
    known = {table.name: table for table in finding.tables}
    for chart in finding.charts:
        columns = known[chart.table].frame.columns
        axes = [axis.column for axis in (chart.x, chart.y, chart.color) if axis is not None]
        others = [name for name in (chart.lower, chart.upper, chart.facet, chart.dash, chart.target) if name]
        assert {*axes, *others, *chart.where} <= set(columns), chart.name
        lines = drawn(finding, chart)
        assert lines[chart.x.column].is_not_null().any(), f"{chart.name} draws nothing"
        assert lines[chart.y.column].is_not_null().any(), f"{chart.name} draws nothing"
        assert (chart.lower is None) == (chart.upper is None)
        if chart.lower is not None:
            shown = chart.color.column if chart.shape == "matrix" and chart.color else chart.y.column
            check_ordered(lines, (chart.lower, shown, chart.upper), chart.name)
        for axis in filter(None, (chart.x, chart.y, chart.color)):
            assert axis.title
            if axis.scale == "log":
                assert (lines[axis.column].drop_nulls() > 0).all(), f"{chart.name}: {axis.column} on a log axis"
            if axis.share:
                assert lines[axis.column].drop_nulls().is_between(0, 1).all(), f"{chart.name}: {axis.column}"


# ----------------------------------------------------------------------------------------------------------- the record


@EVERY
def test_a_finding_is_read_back_as_written(answered, tmp_path, name, case):
    finding = answered(name, case)
    write_finding(tmp_path, finding)
    again = read_finding(tmp_path)
    assert replace(again, tables=()) == replace(finding, tables=())
    assert [table.name for table in again.tables] == [table.name for table in finding.tables]
    for table, other in zip(finding.tables, again.tables, strict=True):
        assert_frame_equal(table.frame, other.frame)
        assert (table.title, dict(table.columns), table.recipe) == (other.title, dict(other.columns), other.recipe)


@EVERY
def test_the_same_tables_give_the_same_answer_and_stay_as_they_were(answered, shelf, name, case):
    tables = shelf(case)
    before = (tables.scores.collect(), tables.rows.collect(), tables.models.clone(), deepcopy(tables.question))
    counts = tables.counts().clone()
    finding = ANALYSES.load(name).answer(tables)
    assert_frame_equal(tables.scores.collect(), before[0])
    assert_frame_equal(tables.rows.collect(), before[1])
    assert_frame_equal(tables.models, before[2])
    assert tables.question == before[3]
    assert_frame_equal(tables.counts(), counts)
    first = answered(name, case)
    assert replace(finding, tables=()) == replace(first, tables=())
    for table, other in zip(finding.tables, first.tables, strict=True):
        assert_frame_equal(table.frame, other.frame)


# ------------------------------------------------------------------------------------------------------- tokenizers


@pytest.mark.parametrize("name", list(ANALYSES))
def test_nothing_is_decided_across_models_whose_tokenizers_differ(answered, name):
    found = whole()
    apart = pl.when(pl.col("model") == "s2").then(pl.lit("other")).otherwise("tokenizer").alias("tokenizer")
    mixed = replace(found, models=found.models.with_columns(apart), _kept={})
    finding, plain_finding = ANALYSES.load(name).find(mixed), answered(name, "whole")
    assert finding.caveats[0] == (
        "The models have 2 different tokenizers: what is said across models holds only if they give these ids the same "
        "text."
    )
    assert finding.strength is None
    assert {trend.verdict for trend in finding.trends} <= {"cannot tell"}
    assert finding.claim == plain_finding.claim


@pytest.mark.parametrize("name", list(ANALYSES))
def test_with_one_tokenizer_the_answer_stands(answered, name):
    assert replace(ANALYSES.load(name).find(whole()), tables=()) == replace(answered(name, "whole"), tables=())


# -------------------------------------------------------------------------------------------------------------- recipes


def stored(tables: Tables, folder: Path) -> Study:
    """Tables as the study folder that they could have been read from."""
    labels = tables.models["model"].to_list()
    run = {
        "key": "k",
        "rows_key": "r",
        "shards": 1,
        "models": {label: label for label in labels},
        "question": {
            **tables.question,
            "signals": list(tables.signals),
            "complete": tables.complete,
            "control_models": list(tables.control_models),
        },
        "asked": 0.0,
    }
    write_json(folder / "runs" / "k.json", run)
    write_shard(folder / "rows" / "r", shard_name(0, 1), plain(tables.rows.collect()), {})
    for label in labels:
        write_table(folder / "models" / f"{label}.parquet", plain(tables.models.filter(model=label)))
        scores = tables.scores.filter(model=label).collect()
        write_shard(folder / "scores" / "k" / label, shard_name(0, 1), plain(scores), {})
        for kind, frame in tables.signals.items():
            own = plain(frame.filter(model=label).collect())
            write_shard(folder / "signals" / "k" / kind / label, shard_name(0, 1), own, {})
    for kind, frame in tables.features.items():
        write_shard(folder / "features" / "k" / kind, shard_name(0, 1), plain(frame.collect()), {})
        write_json(folder / "features" / "k" / "facts.json", tables.facts)
    for (kind, read), label in product(tables.states.items(), labels):
        kept = read(label)
        tensors = {name: np.ascontiguousarray(getattr(kept, name)) for name in ("rows", "levels", "hits", "states")}
        path = folder / "states" / "k" / kind / label / f"{shard_name(0, 1)}.safetensors"
        path.parent.mkdir(parents=True)
        save_file(tensors, path, {"context": str(kept.context), "layer": kept.layer})
    if tables.predictions is not None:
        write_table(folder / "predictions" / "k" / "all" / "p.parquet", plain(tables.predictions.collect()))
    return open_study(folder)


def plain(frame: pl.DataFrame) -> pa.Table:
    return frame.to_arrow()


#: what tells a table's lines apart, though it is a number
PLACES = ("bucket", "context", "continuation", "longer_context", "parameters", "shortest", "step", "tokens")
#: (analysis, table) -> columns of numbers that no recipe recomputes where only recited rows were published, and why
UNRECOMPUTED: Mapping[tuple[str, str], tuple[tuple[str, ...], str]] = {
    ("transitions", "transitions"): (
        ("level_rows", "share", "share_lower", "share_upper"),
        "unknown of rows with M < 1; of rows with M = 1 they are those of the table kept, which are recomputed",
    ),
}


def numbers(table: Table) -> list[str]:
    """Columns that hold a number."""
    return [column.name for column in table.frame if column.dtype.is_numeric() and column.is_not_null().any()]


def recomputed(table: Table, study: Study) -> pl.DataFrame:
    """What the table's recipe leaves, made as the report says: with pl, recount and the open study."""
    names: dict[str, object] = {"pl": pl, "recount": recount, "study": study}
    exec(str(table.recipe), names)
    answer = names["answer"]
    assert isinstance(answer, pl.DataFrame)
    return answer


def check_written(table: Table) -> None:
    """A recipe has three readable lines at most, and does not call the analysis that it is to check."""
    assert table.recipe, f"{table.name} has no recipe"
    written = table.recipe.splitlines()
    assert len(written) <= 3, f"{table.name}: {len(written)} lines"
    assert max(map(len, written)) <= 120, f"{table.name}: {max(map(len, written))} characters"
    assert not re.search(r"analy|findings|;", table.recipe), f"{table.name}: no recomputation"


def check_recipe(table: Table, study: Study, unrecomputed: tuple[str, ...] = ()) -> None:
    """Every number of the table is in the answer: the line with the same places, counts and texts, floats to 1e-9.

    The answer may have more columns and lines. Lines may lack in it whose numbers are all 0 or null.
    """
    check_written(table)
    answer, wanted = recomputed(table, study), [name for name in numbers(table) if name not in unrecomputed]
    assert set(wanted) <= set(answer.columns), f"{table.name}: no {set(wanted) - set(answer.columns)}"
    said = table.frame.select(name for name in table.columns if name in answer.columns and name not in unrecomputed)
    counted = [pl.col(name).fill_null(0) != 0 for name in wanted if name not in PLACES]
    said, answer = said.filter(pl.any_horizontal(counted)), answer.select(said.columns).cast(dict(said.schema))
    keys = [name for name, dtype in said.schema.items() if not dtype.is_float()]
    floats = [name for name in said.columns if name not in keys]
    if not floats:
        again = pl.int_range(pl.len()).over(keys).alias("again")
        said, answer, keys = said.with_columns(again), answer.with_columns(again), [*keys, "again"]
    found = said.with_row_index("line").join(answer, on=keys, how="inner", nulls_equal=True)
    agreeing = found.filter(pl.lit(True), *(close(name) for name in floats))["line"].n_unique()
    assert agreeing == said.height, f"{table.name}: {agreeing} of {said.height} lines agree"


def close(name: str) -> pl.Expr:
    one, other = pl.col(name), pl.col(f"{name}_right")
    return ((one - other).abs() < 1e-9).fill_null(one.is_null() & other.is_null())


@EVERY
def test_recipes_recompute_every_number_of_their_tables(answered, shelf, tmp_path, name, case):
    finding = answered(name, case)
    tables = shelf(case)
    study = stored(tables, tmp_path)
    for table in filter(numbers, finding.tables):
        left_out = () if tables.complete else UNRECOMPUTED.get((name, table.name), ((), ""))[0]
        check_recipe(table, study, left_out)
    assert finding.tables or finding.missing


# ----------------------------------------------------------------------------------- the contract can be broken


def broken(finding: Finding, **columns: list) -> Finding:
    """The finding with values of its first table replaced."""
    table = finding.tables[0]
    frame = table.frame.with_columns(pl.Series(name, values, strict=False) for name, values in columns.items())
    return replace(finding, tables=(replace(table, frame=frame), *finding.tables[1:]))


BREAKS: Mapping[str, tuple] = {
    "a claim with nan": (
        lambda f, n: replace(f, claim="The share is nan."),
        test_the_claim_is_a_sentence_and_no_text_holds_a_programmers_nothing,
    ),
    "tables beside missing": (
        lambda f, n: replace(f, missing="Score more."),
        test_there_are_numbers_or_a_word_on_what_is_missing,
    ),
    "a trend left out": (lambda f, n: replace(f, trends=()), test_trends_are_those_declared_each_once),
    "nan in a table": (
        lambda f, n: broken(f, memorized_share=[float("nan")] * n),
        test_what_was_not_measured_is_null,
    ),
    "an interval beside its estimate": (
        lambda f, n: broken(f, memorized_share_lower=[1.0] * n),
        test_intervals_hold_their_estimate,
    ),
    "half an interval": (
        lambda f, n: broken(f, memorized_share_lower=[None] * n),
        test_intervals_hold_their_estimate,
    ),
    "a chart of no column": (
        lambda f, n: replace(f, charts=(replace(f.charts[0], facet="nothing"),)),
        test_charts_draw_columns_that_are_there_and_something,
    ),
    "an empty chart": (
        lambda f, n: replace(f, charts=(replace(f.charts[0], where={"role": "nobody"}),)),
        test_charts_draw_columns_that_are_there_and_something,
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_planted_breach_is_seen(answered, name):
    breach, check = BREAKS[name]
    good = answered("size", "whole")
    bad = breach(good, good.tables[0].frame.height)
    with pytest.raises(AssertionError):
        check(lambda *_: bad, "size", "whole")


def test_a_planted_wrong_number_is_seen_by_its_recipe(answered, shelf, tmp_path):
    good = answered("size", "whole")
    study = stored(shelf("whole"), tmp_path)
    check_recipe(good.tables[0], study)
    wrong = broken(good, memorized=[hits + 1 for hits in good.tables[0].frame["memorized"]])
    with pytest.raises(AssertionError, match="0 of 48 lines agree"):
        check_recipe(wrong.tables[0], study)
    apart = broken(good, memorized_share_upper=(good.tables[0].frame["memorized_share_upper"] + 1e-8).to_list())
    with pytest.raises(AssertionError, match="0 of 48 lines agree"):
        check_recipe(apart.tables[0], study)


ROT: Mapping[str, tuple[str | None, str]] = {
    "none": (None, "no recipe"),
    "a fourth line": ("\n\n\nanswer = 1", "4 lines"),
    "a long line": (f"answer = {'1 + ' * 40}1", "characters"),
    "a call of the analysis": ("answer = mematlas.analyze(study)[0].table('shares')", "no recomputation"),
    "a column left out": ("answer = recount.lines(study).select('rows')", "rows"),
}


@pytest.mark.parametrize("name", ROT)
def test_a_planted_broken_recipe_is_seen(answered, shelf, tmp_path, name):
    recipe, why = ROT[name]
    good = answered("size", "whole").tables[0]
    with pytest.raises((AssertionError, pl.exceptions.ColumnNotFoundError), match=why):
        check_recipe(replace(good, recipe=recipe), stored(shelf("whole"), tmp_path))


@pytest.mark.parametrize("name", list(ANALYSES))
def test_every_recipe_notices_wrong_data(answered, shelf, tmp_path, name):
    """Recipes read the study: of another one they compute other numbers."""
    other = family(count=160, most=0.3, repetitions=[1 + row % 3 for row in range(160)])
    study = stored(other, tmp_path)
    for table in answered(name, "whole").tables:
        if table.name != "published":
            with pytest.raises(AssertionError, match="lines agree"):
                check_recipe(table, study)
