"""Entropy by position, compared with models of known entropy, numbers planted by hand, and naive counting."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

import mematlas
from mematlas.analyses.frames.study_tables import read_tables
from mematlas.analyses.positions.entropy.finding import ANALYSIS
from mematlas.models.standins.uniform import Uniform
from tests.analyses.synthetic_tables import in_documents, tables, with_signals

CELL = (3, 4)
VOCABULARY = 53
#: entropies at the seven positions of the window, the first of which has none; the boundary is after the third
PLANTED = {
    "memorized": [9, 2, 2, 1, 1, 1, 1],
    "half-memorized": [9, 3, 3, 4, 3, 3, 2],
    "unmemorized": [9, 4, 2, 7, 5, 5, 3],
}
ROWS = {"memorized": 12, "half-memorized": 11, "unmemorized": 14}
MATCHES = {"memorized": 4, "half-memorized": 2, "unmemorized": 0}
NAMES = [name for name, count in ROWS.items() for _ in range(count)]
compute = ANALYSIS.compute


def recorded(lists, path="free"):
    """Lists as they are recorded: only the continuation if free-running, no value at position 0 along the truth."""
    return [values[3:] if path == "free" else [None, *values[1:]] for values in lists]


def wobbling(name, row):
    """Planted values with an offset that varies by row and position and is 0 on average over a pair of rows."""
    return [value + wobble(row, place) for place, value in enumerate(PLANTED[name])]


def wobble(row, place):
    return (1 if row % 2 else -1) * (1 + place % 3) / 4


def planted(models=("m",), rise=0.0, kinds=("truth", "free"), names=NAMES, **options):
    """Rows of known classes with known entropies.

    Free-running ones are ten nats higher, so that the paths cannot be confused; those of each model are `rise` higher
    than those of the previous one.
    """
    lists = {
        model: [[value + index * rise for value in wobbling(name, row)] for row, name in enumerate(names)]
        for index, model in enumerate(models)
    }
    higher = {model: [[value + 10 for value in row] for row in values] for model, values in lists.items()}
    signals = {
        "truth_entropy": {model: recorded(values, "truth") for model, values in lists.items()},
        "free_entropy": {model: recorded(values) for model, values in higher.items()},
    }
    study_tables = tables({model: {CELL: [MATCHES[name] for name in names]} for model in models}, **options)
    return with_signals(
        study_tables, kinds=kinds, **{name: values for name, values in signals.items() if name.split("_")[0] in kinds}
    )


def records(frame, **filters):
    """The records with these values, by default entropies of training rows at the boundary."""
    filters = {"role": "train", "measure": "entropy", "alignment": "border"} | filters
    filters = {name.rstrip("_"): value for name, value in filters.items()}
    return frame.filter(**{name: value for name, value in filters.items() if name in frame.columns})


def record(frame, **where):
    (result,) = records(frame, **where).to_dicts()
    return result


# -------------------------------------------------------------------------------------- known answers, the whole path


def scored(folder, *models, continuation=6):
    """Rows of 6 + 6 tokens: twelve rows of zeros, then twelve rows without any."""
    rows = np.random.default_rng(0).integers(1, VOCABULARY - 1, (24, 12))
    rows[:12] = 0
    np.save(folder / "rows.npy", rows.astype(np.int32))
    options = {"corpus": str(folder / "rows.npy"), "study": str(folder / "study"), "signals": ["truth", "free"]}
    labels = [model.format(rows=folder / "rows.npy") for model in models]
    return read_tables(mematlas.score(*labels, context=[6], continuation=[continuation], **options))


def test_a_uniform_model_has_log_v_at_every_position(tmp_path):
    finding = compute(scored(tmp_path, f"uniform:{VOCABULARY}"))
    curves = records(finding.table("curves"))
    assert set(curves["class"]) == {"memorized", "unmemorized"}
    assert np.allclose(curves["mean"], np.log(VOCABULARY), atol=1e-5)
    assert sorted(curves.filter(path="truth")["offset"].unique()) == list(range(-5, 6))
    assert sorted(curves.filter(path="free")["offset"].unique()) == list(range(6))
    assert np.allclose(
        records(finding.table("curves"), measure="log_probability")["mean"], -np.log(VOCABULARY), atol=1e-5
    )
    assert np.allclose(records(finding.table("curves"), measure="log10_rank")["mean"], 0)
    assert np.allclose(records(finding.table("curves"), measure="margin")["mean"], 0)
    assert (
        record(finding.table("contrasts"), path="free", statistic="mean over the continuation")["difference_lower"]
        is None
    )
    assert {trend.verdict for trend in finding.trends} == {"cannot tell"}


def test_a_reciting_model_has_zero_entropy(tmp_path):
    finding = compute(scored(tmp_path, "parrot:{rows}"))
    result = records(finding.table("curves"), class_="memorized")
    assert set(result["path"]) == {"truth", "free"}
    assert result["mean"].abs().max() < 1e-6
    assert result.filter(path="free")["rows"].to_list() == [24] * 6


def test_a_jump_of_log_v_at_the_boundary_is_found(tmp_path, monkeypatch):
    """A model that is certain of token 0 before the boundary and uniform after it."""

    def states_of(self, history, last):
        return (
            torch.arange(history.shape[1] - last + 1, history.shape[1] + 1).float().expand(len(history), -1)[..., None]
        )

    def head(self, states):
        logits = torch.zeros((len(states), self.vocabulary))
        logits[:, 0] = 60.0 * (states[:, 0] < 6)
        return logits

    monkeypatch.setattr(Uniform, "states_of", states_of)
    monkeypatch.setattr(Uniform, "head", head)
    table = compute(scored(tmp_path, f"uniform:{VOCABULARY}")).table("statistics")
    for name in ("memorized", "unmemorized"):
        for form in ("one step", "window of 4"):
            result = record(table, class_=name, path="truth", statistic=form)
            assert result["value"] == pytest.approx(np.log(VOCABULARY), abs=1e-5)
            assert result["rows"] == 12
    assert records(table, path="free", statistic="one step").is_empty()  # nothing before the border runs freely


# ------------------------------------------------------------------------------------------------ known answers, made


def test_profiles_are_the_planted_ones_and_the_paths_are_separate():
    curves = compute(planted()).table("curves")
    for name, count in ROWS.items():
        for at, value in enumerate(PLANTED[name]):
            value += sum(wobble(row, at) for row, other in enumerate(NAMES) if other == name) / count
            truth = records(curves, class_=name, path="truth", offset=at - 3)
            free = records(curves, class_=name, path="free", offset=at - 3)
            assert truth["mean"].to_list() == pytest.approx([value] if at else [])
            assert free["mean"].to_list() == pytest.approx([value + 10] if at >= 3 else [])
            assert set(truth["rows"]) | set(free["rows"]) <= {count}
            assert (truth["mean_lower"] < truth["mean"]).all()
            assert (truth["mean_upper"] > truth["mean"]).all()


def test_both_forms_of_the_jump_and_both_means():
    table = compute(planted()).table("statistics")
    filters = {"class_": "unmemorized", "path": "truth"}
    assert record(table, **filters, statistic="one step")["value"] == pytest.approx(7 - 2)
    assert records(table, **filters, statistic="window of 3").is_empty()  # it would reach the token that has no entropy
    assert record(table, **filters, statistic="mean over the context")["value"] == pytest.approx((4 + 2) / 2)
    assert record(table, **filters, statistic="mean over the continuation")["value"] == pytest.approx(
        (7 + 5 + 5 + 3) / 4
    )
    assert record(table, class_="memorized", path="truth", statistic="one step")["value"] == pytest.approx(-1)


def test_memorized_and_unmemorized_rows_are_contrasted_on_each_path():
    table = compute(planted()).table("contrasts")
    for path in ("truth", "free"):
        result = record(table, path=path, statistic="mean over the continuation")
        assert (result["memorized"], result["unmemorized"]) == (12, 14)
        assert result["difference"] == pytest.approx(1 - 5)
        assert result["difference_lower"] < -4 < result["difference_upper"]
    assert record(table, path="truth", statistic="one step")["difference"] == pytest.approx(-1 - 5)


@pytest.mark.parametrize(("contexts", "nearest"), [((2, 3), 3), ((31, 40), 31)])
def test_profiles_match_naive_counting(contexts, nearest):
    """The finding uses the cell nearest to 32 + 32; signals along the truth are stored with the longest context."""
    rng = np.random.default_rng(1)
    matches = rng.choice([0, 2, 4], 40).tolist()
    study_tables = with_signals(tables({"m": {(context, 4): matches for context in contexts}}))
    curves = compute(study_tables).table("curves")
    for kind, column, measure in (
        ("truth", "log_probability", "log_probability"),
        ("truth", "margin", "margin"),
        ("truth", "rank", "log10_rank"),
        ("free", "margin", "margin"),
    ):
        context = max(contexts) if kind == "truth" else nearest
        lists = study_tables.signals[kind].filter(context=context).sort("row").collect()[column].to_list()
        first = nearest if kind == "truth" else 0
        for at in range(1 - nearest if kind == "truth" else 0, 4):
            values = [entry[first + at] for entry, hits in zip(lists, matches, strict=True) if hits == 2]
            expected = np.mean(np.log10(values) if measure == "log10_rank" else values)
            result = record(curves, class_="half-memorized", path=kind, measure=measure, offset=at)
            assert result["mean"] == pytest.approx(expected)
            assert result["rows"] == len(values)


def diverging_study(count=60):
    """Rows that diverge at various tokens, where the entropy is five nats higher; elsewhere it is noise."""
    rng = np.random.default_rng(5)
    verbatim = rng.integers(1, 4, count)
    entropies = rng.uniform(0, 1, (count, 7))
    entropies[np.arange(count), 3 + verbatim] += 5
    study_tables = tables({"m": {CELL: [1] * count}}, verbatim={"m": {CELL: verbatim.tolist()}})
    signals = {f"{path}_entropy": {"m": recorded(entropies.tolist(), path)} for path in ("truth", "free")}
    half = pl.when(pl.col("row") < 20).then(2).otherwise("matches").cast(pl.Int32).alias("matches")
    study_tables = replace(study_tables, scores=study_tables.scores.with_columns(half))
    return with_signals(study_tables, **signals)


def test_rows_are_aligned_on_their_divergence_points_and_shuffled_ones_are_not():
    finding = compute(diverging_study())
    for path in ("truth", "free"):
        where = {"class_": "other", "path": path, "alignment": "divergence"}
        step = record(finding.table("statistics"), **where, statistic="one step")
        assert step["value"] == pytest.approx(5, abs=0.3)
        assert step["rows"] == 40
        peak = record(finding.table("curves"), **where, offset=0)
        assert 5 < peak["mean"] < 6
        shuffled = record(finding.table("statistics"), **where | {"role": "shuffled"}, statistic="one step")
        assert shuffled["value_upper"] < 4
    assert "At the first token that is not recited entropy (along the truth) steps by +" in finding.control
    assert {"entropy-truth-divergence", "entropy-free-divergence"} <= {chart.name for chart in finding.charts}


# ------------------------------------------------------------------------------------------------- control and trends


def test_shuffled_labels_show_no_difference():
    finding = compute(planted(names=NAMES * 3))
    filters = {"path": "free", "statistic": "mean over the continuation"}
    contrast_by_role = {
        role: record(finding.table("contrasts"), role=role, **filters) for role in ("train", "shuffled")
    }
    assert contrast_by_role["train"]["difference_upper"] < -3.5
    assert contrast_by_role["shuffled"]["difference_lower"] < 0 < contrast_by_role["shuffled"]["difference_upper"]
    assert "in 36 rows called memorized" in finding.control


def test_copies_of_rows_in_documents_add_no_certainty():
    def copied(times):
        names = [name for name in NAMES for _ in range(times)]
        lists = [wobbling(name, row) for row, name in enumerate(NAMES) for _ in range(times)]
        study_tables = in_documents(tables({"m": {CELL: [MATCHES[name] for name in names]}}), times)
        return compute(with_signals(study_tables, kinds=("free",), free_entropy={"m": recorded(lists)}))

    single, documents = copied(1), copied(4)
    where = {"class_": "memorized", "path": "free", "statistic": "mean over the continuation"}
    one, other = (record(finding.table("statistics"), **where) for finding in (single, documents))
    for name in ("value", "value_lower", "value_upper"):
        assert other[name] == pytest.approx(one[name])
    assert (other["rows"], other["clusters"]) == (48, 12)
    assert other["design_effect"] == pytest.approx(4 * 47 / 48 * 12 / 11)
    del where["class_"]
    one, other = (record(finding.table("contrasts"), **where) for finding in (single, documents))
    for name in ("difference", "difference_lower", "difference_upper"):
        assert other[name] == pytest.approx(one[name])
    assert other["clusters"] == 12 + 14


def test_control_rows_have_records_of_their_own():
    roles = ["control" if row % 3 == 0 else "train" for row in range(len(NAMES))]
    finding = compute(planted(roles=roles))
    filters = {"class_": "memorized", "path": "truth", "statistic": "one step"}
    assert [record(finding.table("statistics"), role=role, **filters)["rows"] for role in ("train", "control")] == [
        8,
        4,
    ]
    assert "Among rows no model was trained on it is 11" in finding.control
    assert "At the border (along the truth) it steps by -1" in finding.control
    assert not any("no control rows" in words for words in finding.caveats)
    assert any("no control rows" in words for words in compute(planted()).caveats)


def trends(finding):
    return {trend.trend: trend for trend in finding.trends}


def test_the_published_directions_are_put_to_a_test():
    by_name = trends(compute(planted(("a", "b", "c"), rise=-0.3)))
    # the names say what was planted: 1 against 5 nats, one step of -1 and of +5
    assert {trend.verdict for name, trend in by_name.items() if "size" not in name} == {"shows"}
    assert (
        "12 memorized minus 14 unmemorized rows of c: -4 (95 % interval -4."
        in by_name["entropy-is-higher-in-unmemorized-rows"].test
    )
    assert "(free-running)" in by_name["entropy-is-higher-in-unmemorized-rows"].test


def test_the_opposite_contradicts():
    new_matches = {"memorized": 0, "half-memorized": 2, "unmemorized": 4}
    study_tables = planted()
    matches = pl.Series([new_matches[name] for name in NAMES], dtype=pl.Int32)
    scores = study_tables.scores.collect().with_columns(
        matches=matches, verbatim=pl.when(matches == 4).then(4).otherwise(0)
    )
    by_name = trends(compute(replace(study_tables, scores=scores.lazy())))
    assert {trend.verdict for name, trend in by_name.items() if "size" not in name} == {"contradicts"}


@pytest.mark.parametrize(("rise", "verdict"), [(-1.0, "shows"), (+1.0, "contradicts"), (0.0, "cannot tell")])
def test_the_slope_with_size_is_that_of_the_models(rise, verdict):
    """Sizes are tenfold steps."""
    study_tables = planted(("a", "b", "c", "d"), rise=rise)
    finding = compute(study_tables)
    slopes = [
        record(finding.table("slopes"), class_=name, path="free", statistic="mean over the continuation")
        for name in MATCHES
    ]
    assert [slope["slope"] for slope in slopes] == pytest.approx([rise] * 3, abs=1e-6)
    assert {slope["models"] for slope in slopes} == {4}
    assert trends(finding)["entropy-falls-with-size"].verdict == verdict
    assert {"sizes-free", "sizes-truth"} <= {chart.name for chart in finding.charts}


def test_models_of_unknown_size_have_no_slope():
    finding = compute(planted(("a", "b"), parameters={"a": None, "b": None}))
    assert "slopes" not in [table.name for table in finding.tables]
    assert "sizes-free" not in [chart.name for chart in finding.charts]
    assert trends(finding)["entropy-falls-with-size"].verdict == "cannot tell"
    assert any("no trend with size" in words for words in finding.caveats)


# ----------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("study_tables", "missing"),
    [
        (tables({"m": {CELL: [4, 0]}}), "signals (per-token records)"),
        (with_signals(tables({"m": {CELL: [4, 4]}}, complete=False)), "scores of all rows of a selection"),
        (with_signals(tables({"m": {CELL: [None, None]}})), "scores of all rows of a selection"),
        (
            with_signals(tables({"m": {CELL: [1, 3]}})),
            "memorized, half-memorized or unmemorized rows whose entropy is known",
        ),
        (
            with_signals(
                tables({"m": {CELL: [4, 0]}}), **{f"{k}_entropy": {"m": [None, None]} for k in ("truth", "free")}
            ),
            "memorized, half-memorized or unmemorized rows whose entropy is known",
        ),
    ],
)
def test_missing_data_is_reported(study_tables, missing):
    finding = compute(study_tables)
    assert finding.claim == (
        "How the entropy of memorized and unmemorized rows runs over context and continuation cannot be said: "
        f"the study lacks {missing}."
    )
    assert finding.missing
    assert "--signals" in finding.missing or "Score rows" in finding.missing
    assert not finding.tables
    assert {trend.verdict for trend in finding.trends} == {"cannot tell"}


@pytest.mark.parametrize(("kind", "absent"), [("truth", "free"), ("free", "truth")])
def test_a_single_path_is_reported(kind, absent):
    finding = compute(planted(kinds=(kind,)))
    assert set(finding.table("curves")["path"]) == {kind}
    assert any(words.endswith(f"score with --signals {absent}.") for words in finding.caveats)
    words = {"free": "free-running", "truth": "along the truth"}[kind]
    assert f"over the continuation ({words}) is" in finding.claim
    assert ("steps by" in finding.claim) == (kind == "truth")
    jump = trends(finding)["entropy-falls-at-the-border-of-memorized-rows"]
    assert jump.verdict == ("shows" if kind == "truth" else "cannot tell")
    assert {chart.where["path"] for chart in finding.charts} == {kind}


def with_changed_list(study_tables, kind, column, row, value):
    """`study_tables` with another list in one row."""
    lists = study_tables.signals[kind].collect()
    dtype = lists.schema[column]
    values = [value if at == row else old for at, old in zip(lists["row"], lists[column].to_list(), strict=True)]
    frame = lists.with_columns(pl.Series(column, values, dtype=dtype)).lazy()
    return replace(study_tables, signals={**study_tables.signals, kind: frame})


@pytest.mark.parametrize(
    ("value", "rows"),
    [
        ([11.0, None, 11.0, 11.0], [12, 11, 12, 12]),
        ([11.0, 11.0], [12, 12, 11, 11]),
        ([11.0, float("-inf"), float("nan"), 11.0], [12, 11, 11, 12]),
        ([], [11, 11, 11, 11]),
        (None, [11, 11, 11, 11]),
    ],
)
def test_tokens_without_a_value_are_left_out_of_their_index(value, rows):
    finding = compute(with_changed_list(planted(), "free", "entropy", 3, value))
    curve = records(finding.table("curves"), class_="memorized", path="free").sort("offset")
    assert curve["rows"].to_list() == rows
    assert curve["mean"].is_not_null().all()


def test_rows_without_signals_are_left_out_and_reported():
    study_tables = planted()
    signals = {kind: frame.filter(pl.col("row") >= 5) for kind, frame in study_tables.signals.items()}
    finding = compute(replace(study_tables, signals=signals))
    assert record(finding.table("curves"), class_="memorized", path="free", offset=0)["rows"] == 7
    assert "5 scored training rows, counted once a model, have no signals and are left out." in finding.caveats


def test_the_order_of_the_records_changes_nothing():
    study_tables = planted(("a", "b"))
    reversed_signals = {kind: frame.reverse() for kind, frame in study_tables.signals.items()}
    assert compute(replace(study_tables, signals=reversed_signals)).claim == compute(study_tables).claim


def test_at_verbatim_depth_only_memorized_rows_are_distinguished():
    masked = tables(
        {"m": {CELL: [4] * 12 + [None] * 12}}, depth="verbatim", verbatim={"m": {CELL: [4] * 12 + [0, 1] * 6}}
    )
    finding = compute(with_signals(masked))
    assert set(finding.table("statistics").filter(role="train")["class"]) == {"memorized", "other", "all rows"}
    assert "M was not graded: half-memorized and unmemorized rows are unknown." in finding.caveats
    assert trends(finding)["entropy-is-higher-in-unmemorized-rows"].verdict == "cannot tell"


@pytest.mark.parametrize(
    ("matches", "absent"), [([0] * 15 + [1] * 5, "memorized"), ([4] * 15 + [1] * 5, "unmemorized")]
)
def test_if_a_class_has_no_rows_the_claim_is_about_the_other(matches, absent):
    finding = compute(with_signals(tables({"m": {CELL: matches}})))
    assert f" {absent} rows" not in finding.claim
    assert finding.strength is None
    assert any(words.startswith("No training row of any model is") and absent in words for words in finding.caveats)


# ----------------------------------------------------------------------------------------------------------- the words


def test_the_claim_names_numbers_intervals_and_rows():
    claim = compute(planted()).claim
    assert claim.startswith(
        "In m at 3 + 4 tokens the mean entropy over the continuation (free-running) is 11 nats (95 % interval 10."
    )
    assert "in 12 memorized rows and 15 nats (14." in claim
    assert "; at the border (along the truth) it steps by -1 (-1." in claim
    assert claim.endswith("in 14 unmemorized rows.")
    assert len(claim) < 350


def test_few_rows_are_neither_drawn_nor_a_control():
    finding = compute(planted(names=["memorized"] * 3 + ["unmemorized"] * 4))
    assert not finding.charts
    assert finding.control.startswith("No class of m has 10 rows: shuffled labels tell nothing.")


def test_charts_draw_entropy_first_and_each_path_alone():
    finding = compute(planted())
    names = [chart.name for chart in finding.charts]
    assert names[:4] == ["entropy-free", "entropy-free-models", "entropy-truth", "entropy-truth-models"]
    assert "log-probability-truth" in names
    assert finding.charts[0].y.title == "mean entropy, nats"
    assert set(finding.table("curves").filter(**finding.charts[0].where)["role"]) == {"train", "shuffled"}
