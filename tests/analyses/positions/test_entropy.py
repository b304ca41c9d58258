"""Entropy by position against models whose entropy is known, numbers planted by hand, and counting the naive way."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

import mematlas
from mematlas.analyses.frames.study_tables import read_tables
from mematlas.analyses.positions.entropy.finding import ANALYSIS
from mematlas.models.standins.uniform import Uniform
from tests.analyses.synthetic_tables import tables, with_signals

CELL = (3, 4)
VOCABULARY = 53
#: entropies at the seven positions of the window, the first of which has none; the border lies after the third
PLANTED = {
    "memorized": [9, 2, 2, 1, 1, 1, 1],
    "half-memorized": [9, 3, 3, 4, 3, 3, 2],
    "unmemorized": [9, 4, 2, 7, 5, 5, 3],
}
ROWS = {"memorized": 12, "half-memorized": 11, "unmemorized": 14}
MATCHES = {"memorized": 4, "half-memorized": 2, "unmemorized": 0}
NAMES = [name for name, count in ROWS.items() for _ in range(count)]
answer = ANALYSIS.answer


def along(lists, path="free"):
    """Lists as they are recorded: of a free-running path the continuation alone, along the truth none at position 0."""
    return [line[3:] if path == "free" else [None, *line[1:]] for line in lists]


def wobbling(name, row):
    """Rows differ, by as much up as down, and more at some positions than at others."""
    return [value + wobble(row, place) for place, value in enumerate(PLANTED[name])]


def wobble(row, place):
    return (1 if row % 2 else -1) * (1 + place % 3) / 4


def planted(models=("m",), rise=0.0, kinds=("truth", "free"), names=NAMES, **options):
    """Rows of known classes with known entropies; free-running ones are ten nats higher, so that no path is the other;
    each model's are `rise` higher than those of the one before."""
    lists = {
        model: [[value + at * rise for value in wobbling(name, row)] for row, name in enumerate(names)]
        for at, model in enumerate(models)
    }
    higher = {model: [[value + 10 for value in line] for line in of] for model, of in lists.items()}
    given = {
        "truth_entropy": {model: along(of, "truth") for model, of in lists.items()},
        "free_entropy": {model: along(of) for model, of in higher.items()},
    }
    made = tables({model: {CELL: [MATCHES[name] for name in names]} for model in models}, **options)
    return with_signals(made, kinds=kinds, **{name: of for name, of in given.items() if name.split("_")[0] in kinds})


def lines(frame, **where):
    """Lines with these values; entropies of training rows at the border unless told else."""
    where = {"role": "train", "measure": "entropy", "alignment": "border"} | where
    where = {name.rstrip("_"): value for name, value in where.items()}
    return frame.filter(**{name: value for name, value in where.items() if name in frame.columns})


def line(frame, **where):
    (found,) = lines(frame, **where).to_dicts()
    return found


# -------------------------------------------------------------------------------------- known answers, the whole path


def scored(folder, *models, continuation=6):
    """Rows of 6 + 6 tokens: of the first twelve every token is 0, of the next twelve none is."""
    rows = np.random.default_rng(0).integers(1, VOCABULARY - 1, (24, 12))
    rows[:12] = 0
    np.save(folder / "rows.npy", rows.astype(np.int32))
    options = {"corpus": str(folder / "rows.npy"), "study": str(folder / "study"), "signals": ["truth", "free"]}
    named = [model.format(rows=folder / "rows.npy") for model in models]
    return read_tables(mematlas.score(*named, context=[6], continuation=[continuation], **options))


def test_a_model_that_knows_nothing_has_log_v_at_every_index(tmp_path):
    finding = answer(scored(tmp_path, f"uniform:{VOCABULARY}"))
    curves = lines(finding.table("curves"))
    assert set(curves["class"]) == {"memorized", "unmemorized"}
    assert np.allclose(curves["mean"], np.log(VOCABULARY), atol=1e-5)
    assert sorted(curves.filter(path="truth")["offset"].unique()) == list(range(-5, 6))
    assert sorted(curves.filter(path="free")["offset"].unique()) == list(range(6))
    assert np.allclose(
        lines(finding.table("curves"), measure="log_probability")["mean"], -np.log(VOCABULARY), atol=1e-5
    )
    assert np.allclose(lines(finding.table("curves"), measure="log10_rank")["mean"], 0)
    assert np.allclose(lines(finding.table("curves"), measure="margin")["mean"], 0)
    assert (
        line(finding.table("contrasts"), path="free", statistic="mean over the continuation")["difference_lower"]
        is None
    )
    assert {trend.verdict for trend in finding.trends} == {"cannot tell"}


def test_a_model_that_recites_has_none(tmp_path):
    finding = answer(scored(tmp_path, "parrot:{rows}"))
    found = lines(finding.table("curves"), class_="memorized")
    assert set(found["path"]) == {"truth", "free"}
    assert found["mean"].abs().max() < 1e-6
    assert found.filter(path="free")["rows"].to_list() == [24] * 6


def test_a_jump_of_log_v_at_the_border_is_found(tmp_path, monkeypatch):
    """A model sure of token 0 before the border and of nothing after it."""

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
    table = answer(scored(tmp_path, f"uniform:{VOCABULARY}")).table("statistics")
    for name in ("memorized", "unmemorized"):
        for form in ("one step", "window of 4"):
            found = line(table, class_=name, path="truth", statistic=form)
            assert found["value"] == pytest.approx(np.log(VOCABULARY), abs=1e-5)
            assert found["rows"] == 12
    assert lines(table, path="free", statistic="one step").is_empty()  # nothing before the border runs freely


# ------------------------------------------------------------------------------------------------ known answers, made


def test_curves_are_the_planted_ones_and_the_paths_are_kept_apart():
    curves = answer(planted()).table("curves")
    for name, count in ROWS.items():
        for at, value in enumerate(PLANTED[name]):
            value += sum(wobble(row, at) for row, other in enumerate(NAMES) if other == name) / count
            truth = lines(curves, class_=name, path="truth", offset=at - 3)
            free = lines(curves, class_=name, path="free", offset=at - 3)
            assert truth["mean"].to_list() == pytest.approx([value] if at else [])
            assert free["mean"].to_list() == pytest.approx([value + 10] if at >= 3 else [])
            assert set(truth["rows"]) | set(free["rows"]) <= {count}
            assert (truth["mean_lower"] < truth["mean"]).all()
            assert (truth["mean_upper"] > truth["mean"]).all()


def test_both_forms_of_the_jump_and_both_means():
    table = answer(planted()).table("statistics")
    told = {"class_": "unmemorized", "path": "truth"}
    assert line(table, **told, statistic="one step")["value"] == pytest.approx(7 - 2)
    assert lines(table, **told, statistic="window of 3").is_empty()  # it would reach the token that has no entropy
    assert line(table, **told, statistic="mean over the context")["value"] == pytest.approx((4 + 2) / 2)
    assert line(table, **told, statistic="mean over the continuation")["value"] == pytest.approx((7 + 5 + 5 + 3) / 4)
    assert line(table, class_="memorized", path="truth", statistic="one step")["value"] == pytest.approx(-1)


def test_memorized_beside_unmemorized_rows_of_each_path():
    table = answer(planted()).table("contrasts")
    for path in ("truth", "free"):
        found = line(table, path=path, statistic="mean over the continuation")
        assert (found["memorized"], found["unmemorized"]) == (12, 14)
        assert found["difference"] == pytest.approx(1 - 5)
        assert found["difference_lower"] < -4 < found["difference_upper"]
    assert line(table, path="truth", statistic="one step")["difference"] == pytest.approx(-1 - 5)


@pytest.mark.parametrize(("contexts", "nearest"), [((2, 3), 3), ((31, 40), 31)])
def test_curves_are_those_of_counting_the_naive_way(contexts, nearest):
    """Of two cells the nearest to 32 + 32 is spoken of; what was recorded along the truth stands with the longest."""
    rng = np.random.default_rng(1)
    matches = rng.choice([0, 2, 4], 40).tolist()
    given = with_signals(tables({"m": {(context, 4): matches for context in contexts}}))
    curves = answer(given).table("curves")
    for kind, column, measure in (
        ("truth", "log_probability", "log_probability"),
        ("truth", "margin", "margin"),
        ("truth", "rank", "log10_rank"),
        ("free", "margin", "margin"),
    ):
        context = max(contexts) if kind == "truth" else nearest
        lists = given.signals[kind].filter(context=context).sort("row").collect()[column].to_list()
        first = nearest if kind == "truth" else 0
        for at in range(1 - nearest if kind == "truth" else 0, 4):
            here = [line[first + at] for line, found in zip(lists, matches, strict=True) if found == 2]
            wanted = np.mean(np.log10(here) if measure == "log10_rank" else here)
            found = line(curves, class_="half-memorized", path=kind, measure=measure, offset=at)
            assert found["mean"] == pytest.approx(wanted)
            assert found["rows"] == len(here)


def stopping(count=60):
    """Rows that stop reciting at tokens of their own, where the entropy is five nats higher; it is noise elsewhere."""
    rng = np.random.default_rng(5)
    verbatim = rng.integers(1, 4, count)
    entropies = rng.uniform(0, 1, (count, 7))
    entropies[np.arange(count), 3 + verbatim] += 5
    made = tables({"m": {CELL: [1] * count}}, verbatim={"m": {CELL: verbatim.tolist()}})
    given = {f"{path}_entropy": {"m": along(entropies.tolist(), path)} for path in ("truth", "free")}
    half = pl.when(pl.col("row") < 20).then(2).otherwise("matches").cast(pl.Int32).alias("matches")
    made = replace(made, scores=made.scores.with_columns(half), _kept={})
    return with_signals(made, **given)


def test_rows_are_aligned_on_their_divergence_points_and_shuffled_ones_are_not():
    finding = answer(stopping())
    for path in ("truth", "free"):
        where = {"class_": "other", "path": path, "alignment": "divergence"}
        step = line(finding.table("statistics"), **where, statistic="one step")
        assert step["value"] == pytest.approx(5, abs=0.3)
        assert step["rows"] == 40
        peak = line(finding.table("curves"), **where, offset=0)
        assert 5 < peak["mean"] < 6
        shuffled = line(finding.table("statistics"), **where | {"role": "shuffled"}, statistic="one step")
        assert shuffled["value_upper"] < 4
    assert "At the first token that is not recited the entropy (along the truth) steps by +" in finding.control
    assert {"entropy-truth-divergence", "entropy-free-divergence"} <= {chart.name for chart in finding.charts}


# ------------------------------------------------------------------------------------------------- control and trends


def test_shuffled_labels_are_no_longer_apart():
    finding = answer(planted(names=NAMES * 3))
    told = {"path": "free", "statistic": "mean over the continuation"}
    apart = {role: line(finding.table("contrasts"), role=role, **told) for role in ("train", "shuffled")}
    assert apart["train"]["difference_upper"] < -3.5
    assert apart["shuffled"]["difference_lower"] < 0 < apart["shuffled"]["difference_upper"]
    assert "in 36 rows called memorized" in finding.control


def test_control_rows_have_lines_of_their_own():
    roles = ["control" if row % 3 == 0 else "train" for row in range(len(NAMES))]
    finding = answer(planted(roles=roles))
    told = {"class_": "memorized", "path": "truth", "statistic": "one step"}
    assert [line(finding.table("statistics"), role=role, **told)["rows"] for role in ("train", "control")] == [8, 4]
    assert "Among rows no model was trained on it is 11" in finding.control
    assert "; at the border (along the truth) it steps by -1" in finding.control
    assert not any("no control rows" in words for words in finding.caveats)
    assert any("no control rows" in words for words in answer(planted()).caveats)


def trends(finding):
    return {trend.trend: trend for trend in finding.trends}


def test_the_published_directions_are_put_to_a_test():
    found = trends(answer(planted(("a", "b", "c"), rise=-0.3)))
    # the names say what was planted: 1 against 5 nats, one step of -1 and of +5
    assert {trend.verdict for name, trend in found.items() if "size" not in name} == {"shows"}
    assert (
        "12 memorized minus 14 unmemorized rows of c: -4 (95 % interval -4."
        in found["entropy-is-higher-in-unmemorized-rows"].test
    )
    assert "(free-running)" in found["entropy-is-higher-in-unmemorized-rows"].test


def test_the_opposite_contradicts():
    turned = {"memorized": 0, "half-memorized": 2, "unmemorized": 4}
    given = planted()
    matches = pl.Series([turned[name] for name in NAMES], dtype=pl.Int32)
    scores = given.scores.collect().with_columns(matches=matches, verbatim=pl.when(matches == 4).then(4).otherwise(0))
    found = trends(answer(replace(given, scores=scores.lazy(), _kept={})))
    assert {trend.verdict for name, trend in found.items() if "size" not in name} == {"contradicts"}


@pytest.mark.parametrize(("rise", "verdict"), [(-1.0, "shows"), (+1.0, "contradicts"), (0.0, "cannot tell")])
def test_the_slope_with_size_is_that_of_the_models(rise, verdict):
    """Sizes are tenfold steps; the last model leaves the line a little, so that it has an interval."""
    given = planted(("a", "b", "c", "d"), rise=rise)
    finding = answer(given)
    slopes = [
        line(finding.table("slopes"), class_=name, path="free", statistic="mean over the continuation")
        for name in MATCHES
    ]
    assert [found["slope"] for found in slopes] == pytest.approx([rise] * 3, abs=1e-6)
    assert {found["models"] for found in slopes} == {4}
    assert trends(finding)["entropy-falls-with-size"].verdict == verdict
    assert {"sizes-free", "sizes-truth"} <= {chart.name for chart in finding.charts}


def test_models_of_unknown_size_have_no_slope():
    finding = answer(planted(("a", "b"), parameters={"a": None, "b": None}))
    assert "slopes" not in [table.name for table in finding.tables]
    assert "sizes-free" not in [chart.name for chart in finding.charts]
    assert trends(finding)["entropy-falls-with-size"].verdict == "cannot tell"
    assert any("no trend with size" in words for words in finding.caveats)


# ----------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("given", "what"),
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
def test_what_is_missing_is_said(given, what):
    finding = answer(given)
    assert finding.claim == (
        "How the entropy of memorized and unmemorized rows runs over context and continuation cannot be said: "
        f"the study lacks {what}."
    )
    assert finding.missing
    assert "--signals" in finding.missing or "Score rows" in finding.missing
    assert not finding.tables
    assert {trend.verdict for trend in finding.trends} == {"cannot tell"}


@pytest.mark.parametrize(("kind", "absent"), [("truth", "free"), ("free", "truth")])
def test_one_path_alone_is_told(kind, absent):
    finding = answer(planted(kinds=(kind,)))
    assert set(finding.table("curves")["path"]) == {kind}
    assert any(words.endswith(f"score with --signals {absent}.") for words in finding.caveats)
    words = {"free": "free-running", "truth": "along the truth"}[kind]
    assert f"over the continuation ({words}) is" in finding.claim
    assert ("steps by" in finding.claim) == (kind == "truth")
    jump = trends(finding)["entropy-falls-at-the-border-of-memorized-rows"]
    assert jump.verdict == ("shows" if kind == "truth" else "cannot tell")
    assert {chart.where["path"] for chart in finding.charts} == {kind}


def changed(given, kind, column, row, value):
    """`given` with another list in one row."""
    lists = given.signals[kind].collect()
    dtype = lists.schema[column]
    values = [value if at == row else old for at, old in zip(lists["row"], lists[column].to_list(), strict=True)]
    frame = lists.with_columns(pl.Series(column, values, dtype=dtype)).lazy()
    return replace(given, signals={**given.signals, kind: frame}, _kept={})


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
    finding = answer(changed(planted(), "free", "entropy", 3, value))
    curve = lines(finding.table("curves"), class_="memorized", path="free").sort("offset")
    assert curve["rows"].to_list() == rows
    assert curve["mean"].is_not_null().all()


def test_rows_without_signals_are_left_out_and_told():
    given = planted()
    some = {kind: frame.filter(pl.col("row") >= 5) for kind, frame in given.signals.items()}
    finding = answer(replace(given, signals=some, _kept={}))
    assert line(finding.table("curves"), class_="memorized", path="free", offset=0)["rows"] == 7
    assert "5 scored training rows, counted once a model, have no signals and are left out." in finding.caveats


def test_the_order_of_the_lines_changes_nothing():
    given = planted(("a", "b"))
    turned = {kind: frame.reverse() for kind, frame in given.signals.items()}
    assert answer(replace(given, signals=turned, _kept={})).claim == answer(given).claim


def test_in_verbatim_depth_only_memorized_rows_are_told_apart():
    masked = tables(
        {"m": {CELL: [4] * 12 + [None] * 12}}, depth="verbatim", verbatim={"m": {CELL: [4] * 12 + [0, 1] * 6}}
    )
    finding = answer(with_signals(masked))
    assert set(finding.table("statistics").filter(role="train")["class"]) == {"memorized", "other", "all rows"}
    assert "M was not graded: half-memorized and unmemorized rows are unknown." in finding.caveats
    assert trends(finding)["entropy-is-higher-in-unmemorized-rows"].verdict == "cannot tell"


@pytest.mark.parametrize(
    ("matches", "absent"), [([0] * 15 + [1] * 5, "memorized"), ([4] * 15 + [1] * 5, "unmemorized")]
)
def test_a_class_without_rows_leaves_the_other_to_speak_of(matches, absent):
    finding = answer(with_signals(tables({"m": {CELL: matches}})))
    assert f" {absent} rows" not in finding.claim
    assert finding.strength is None
    assert any(words.startswith("No training row of any model is") and absent in words for words in finding.caveats)


# ----------------------------------------------------------------------------------------------------------- the words


def test_the_claim_names_numbers_intervals_and_rows():
    claim = answer(planted()).claim
    assert claim.startswith(
        "In m at 3 + 4 tokens the mean entropy over the continuation (free-running) is 11 nats (95 % interval 10."
    )
    assert "in 12 memorized rows and 15 nats (14." in claim
    assert "; at the border (along the truth) it steps by -1 (-1." in claim
    assert claim.endswith("in 14 unmemorized rows.")
    assert len(claim) < 350


def test_few_rows_are_not_drawn_and_no_control():
    finding = answer(planted(names=["memorized"] * 3 + ["unmemorized"] * 4))
    assert not finding.charts
    assert finding.control.startswith("No class of m has 10 rows: shuffled labels tell nothing.")


def test_charts_draw_entropy_first_and_each_path_alone():
    finding = answer(planted())
    names = [chart.name for chart in finding.charts]
    assert names[:4] == ["entropy-free", "entropy-free-models", "entropy-truth", "entropy-truth-models"]
    assert "log-probability-truth" in names
    assert finding.charts[0].y.title == "mean entropy, nats"
    assert set(finding.table("curves").filter(**finding.charts[0].where)["role"]) == {"train", "shuffled"}
