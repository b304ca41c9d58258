"""Counts at the border against numbers planted by hand and against counting the naive way."""

import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from mematlas.analyses.positions.boundary_input.finding import answer
from tests.analyses.synthetic_tables import tables, with_features

CELL = (3, 4)
ROWS = {"memorized": 12, "half-memorized": 11, "unmemorized": 13, "other": 3}
MATCHES = {"memorized": 4, "half-memorized": 2, "unmemorized": 0, "other": 3}
#: counts at the seven positions of the window; the border lies between the third and the fourth
PLANTED = {
    "memorized": [100, 100, 40, 130, 100, 100, 100],
    "half-memorized": [50, 50, 60, 80, 50, 50, 50],
    "unmemorized": [70, 70, 90, 10, 70, 70, 70],
    "other": [5, 5, 5, 5, 5, 5, 5],
}
NAMES = [name for name, count in ROWS.items() for _ in range(count)]


def wobbling(values, row):
    """Rows differ, and what is added is 0 on average over the two rows of a pair."""
    return [value + (1 if row % 2 else -1) * (place % 3) for place, value in enumerate(values)]


def planted(models=("m",), **features):
    """Rows of known classes with known counts; each class has an even number of wobbling rows, or one that stays."""
    matches = {model: {CELL: [MATCHES[name] for name in NAMES]} for model in models}
    seen = dict.fromkeys(ROWS, 0)
    unigrams = []
    for name in NAMES:
        odd_one = seen[name] == ROWS[name] - 1 and ROWS[name] % 2
        unigrams.append(PLANTED[name] if odd_one else wobbling(PLANTED[name], seen[name]))
        seen[name] += 1
    return with_features(tables(matches), **{"unigrams": unigrams} | features)


def line(frame, **where):
    """The one line with these values, as a dictionary; of training rows and 1-grams unless told else."""
    where = {"role": "train", "ngram": 1} | where
    where = {name.rstrip("_"): value for name, value in where.items()}
    (found,) = frame.filter(**{name: value for name, value in where.items() if name in frame.columns}).to_dicts()
    return found


def step(finding, name, form="one step", **where):
    where = {"scale": "count", "alignment": "border"} | where
    return line(finding.table("differences"), **{"class": name}, form=form, **where)


# ---------------------------------------------------------------------------------------------------- known answers


def test_the_one_step_difference_is_what_was_planted_at_the_border():
    """P1 (f) 2: count a before the border and b after it give b - a exactly."""
    finding = answer(planted())
    for name, difference in (("memorized", 90), ("half-memorized", 20), ("unmemorized", -80), ("other", 0)):
        found = step(finding, name)
        assert found["difference"] == pytest.approx(difference)
        assert found["rows"] == ROWS[name]
        assert found["difference_lower"] < difference < found["difference_upper"]


def test_the_window_difference_takes_as_many_tokens_as_the_shorter_side_has():
    finding = answer(planted())
    found = step(finding, "memorized", "window of 3")
    assert found["difference"] == pytest.approx((130 + 100 + 100 - 100 - 100 - 40) / 3)
    assert any("4 tokens on each side (here 3, as a side has no more)" in words for words in finding.deviations)


def test_the_logarithm_is_taken_of_each_row():
    wobble = [np.log10(1 + wobbling(PLANTED["memorized"], row)[3]) for row in range(2)]
    before = [np.log10(1 + wobbling(PLANTED["memorized"], row)[2]) for row in range(2)]
    found = step(answer(planted()), "memorized", scale="log10")
    assert found["difference"] == pytest.approx(np.mean(wobble) - np.mean(before))


def test_sentence_level_frequency_and_its_share_of_the_corpus():
    table = answer(planted(tokens=2_000_000)).table("sentences")
    found = line(table, class_="memorized")
    assert (found["context"], found["continuation"]) == pytest.approx((80, 107.5))
    assert found["difference"] == pytest.approx(27.5)
    assert found["context_per_million"] == pytest.approx(40)
    unknown = answer(planted(tokens=None))
    assert unknown.table("sentences")["context_per_million"].is_null().all()
    assert any("number of tokens of the corpus is unknown" in words for words in unknown.caveats)


def test_the_papers_numbers_stand_beside():
    table = answer(planted()).table("published")
    found = table.row(0, named=True)
    assert (found["model"], found["rows"], found["boundary_difference"]) == ("160M", "memorized", 0.114)
    assert found["context_per_million"] == pytest.approx(1.708e9 / 207e9 * 1e6)


def drawn(count=60, align="start"):
    """Many rows of random counts and scores."""
    rng = np.random.default_rng(3)
    matches = rng.choice([0, 2, 4, 1, 3], count, p=[0.3, 0.2, 0.3, 0.1, 0.1]).tolist()
    firsts = rng.integers(0, 4, count).tolist()
    verbatim = [4 if found == 4 else min(found, first) for found, first in zip(matches, firsts, strict=True)]
    cells = {CELL: matches, (5, 4): matches}
    made = tables({"m": cells}, verbatim={"m": dict.fromkeys(cells, verbatim)})
    return with_features(replace(made, question={**made.question, "align": align})), matches, verbatim


@pytest.mark.parametrize("align", ["start", "end"])
def test_curves_are_those_of_counting_the_naive_way(align):
    given, matches, _ = drawn(align=align)
    finding = answer(given)  # the cell nearest to 32 + 32 is 5 + 4
    unigrams = given.features["counts"].collect()["unigrams"].to_list()
    for name, score in (("memorized", 4), ("half-memorized", 2), ("unmemorized", 0)):
        rows = [counts for counts, found in zip(unigrams, matches, strict=True) if found == score]
        for offset in range(-5, 4):
            here = [counts[5 + offset] for counts in rows]
            where = {"class": name, "alignment": "border", "offset": offset}
            found = line(finding.table("curves"), **where)
            assert found["rows"] == len(here)
            assert found["mean"] == pytest.approx(np.mean(here))
            assert found["median"] == pytest.approx(np.median(here))
            assert found["geometric_mean"] == pytest.approx(10 ** np.mean(np.log10(1 + np.array(here))))


def test_where_continuations_are_aligned_shorter_contexts_begin_later():
    given, *_ = drawn(align="end")
    only = given.scores.filter(context=3)
    finding = answer(replace(given, scores=only, _kept={}))
    unigrams = given.features["counts"].collect()["unigrams"].to_list()
    every = line(finding.table("differences"), class_="all rows", scale="count", form="one step", alignment="border")
    assert every["difference"] == pytest.approx(np.mean([counts[5] - counts[4] for counts in unigrams]))


def test_bigrams_have_curves_of_their_own_and_none_at_the_first_token():
    given, *_ = drawn()
    curves = answer(given).table("curves").filter(ngram=2, role="train", alignment="border")
    assert curves.filter(offset=-5)["rows"].to_list() == [0, 0, 0]
    assert curves.filter(offset=-5)["mean"].is_null().all()
    assert curves.filter(offset=-4)["mean"].is_not_null().all()


# ------------------------------------------------------------------------------------------------ divergence points


def stopping(count=80, length=6):
    """Rows that stop reciting at tokens of their own: the token there is rare, the one before it is frequent."""
    rng = np.random.default_rng(5)
    verbatim = rng.integers(1, length, count)
    verbatim[:10] = length
    unigrams = rng.integers(900, 1100, (count, 4 + length))
    for row, stop in enumerate(verbatim):
        if stop < length:
            unigrams[row, 4 + stop] = 5
            unigrams[row, 4 + stop - 1] = 5000
    cell = (4, length)
    matches = [length if stop == length else min(int(stop) + 1, length - 1) for stop in verbatim]
    made = tables({"m": {cell: matches}}, verbatim={"m": {cell: verbatim.tolist()}})
    return with_features(made, unigrams=unigrams.tolist()), verbatim


def test_on_their_divergence_points_rows_stop_at_the_rare_token():
    given, verbatim = stopping()
    finding = answer(given)
    here = finding.table("differences").filter(alignment="divergence", ngram=1, scale="count")
    assert here.filter(role="train")["difference"].unique().to_list() == [5 - 5000]
    assert here.filter(role="train")["rows"].sum() == int((verbatim < 6).sum())
    assert set(here["form"]) == {"one step"}
    curve = finding.table("curves").filter(alignment="divergence", ngram=1, role="train")
    assert curve.filter(offset=0)["median"].unique().to_list() == [5.0]
    assert curve.filter(offset=-1)["median"].unique().to_list() == [5000.0]
    assert curve.filter(offset=-8)["rows"].sum() < curve.filter(offset=-1)["rows"].sum()  # the window ends before


def test_shuffled_divergence_points_do_not_know_where_rows_stop():
    given, _ = stopping()
    here = answer(given).table("differences").filter(alignment="divergence", ngram=1, scale="count", role="shuffled")
    assert here["difference"].max() > -3000


def test_memorized_rows_and_rows_of_unknown_verbatim_length_have_no_divergence_point():
    given, _ = stopping()
    assert "memorized" not in answer(given).table("curves").filter(alignment="divergence")["class"]
    unknown = replace(given, scores=given.scores.with_columns(verbatim=pl.lit(None, pl.Int32)), _kept={})
    finding = answer(unknown)
    assert set(finding.table("curves")["alignment"]) == {"border"}
    assert any("no curve around divergence points" in words for words in finding.caveats)


# -------------------------------------------------------------------------------------------------------- controls


def test_shuffled_classes_are_flat_where_the_true_ones_are_not():
    """Of 40 rows a class with a step of 300 or none: shuffled, both classes have the step of all rows."""
    rng = np.random.default_rng(0)
    unigrams = rng.integers(400, 600, (80, 7))
    unigrams[:40, 3] += 300
    given = with_features(tables({"m": {CELL: [4] * 40 + [0] * 40}}), unigrams=unigrams.tolist())
    finding = answer(given)
    differences, contrasts = finding.table("differences"), finding.table("contrasts")
    where = {"scale": "count", "form": "one step", "alignment": "border"}
    whole = line(differences, class_="all rows", **where)["difference"]
    for name in ("memorized", "unmemorized"):
        shuffled = line(differences, role="shuffled", class_=name, **where)
        assert shuffled["difference_lower"] < whole < shuffled["difference_upper"]
        assert not shuffled["difference_lower"] < 300 * (name == "memorized") < shuffled["difference_upper"]
    apart = {role: line(contrasts, role=role, scale="count", form="one step") for role in ("train", "shuffled")}
    assert apart["train"]["difference_lower"] > 200
    assert apart["shuffled"]["difference_lower"] < 0 < apart["shuffled"]["difference_upper"]
    assert "in 40 rows called memorized, by" in finding.control
    assert "in all 80 rows" in finding.control
    of, inside = map(int, re.search(r"Of (\d+) such differences .* (\d+) have an interval", finding.control).groups())
    # two classes, two scales: both forms of 1-grams, one of 2-grams, whose window would reach before the row
    assert (of, inside >= 10) == (12, True)


def test_classes_of_few_rows_are_no_control():
    finding = answer(with_features(tables({"m": {CELL: [4] * 9 + [0] * 15}})))
    assert "called unmemorized" in finding.control
    assert "called memorized" not in finding.control.split(";")[0]
    few = answer(with_features(tables({"m": {CELL: [4, 4, 0, 0]}})))
    assert few.control.startswith("No class of m has 10 rows: shuffled labels tell nothing.")
    assert not few.charts


def test_the_control_curve_is_drawn_beside():
    finding = answer(planted())
    chart = next(chart for chart in finding.charts if chart.name == "border-1gram")
    assert chart.dash == "role"
    shown = finding.table("curves").filter(**chart.where)
    assert set(shown["role"]) == {"train", "shuffled"}
    assert shown["mean_lower"].is_not_null().any()


def test_control_rows_have_lines_of_their_own():
    given = planted()
    roles = pl.when(pl.col("row") % 3 == 0).then(pl.lit("control")).otherwise(pl.lit("train")).alias("role")
    finding = answer(replace(given, rows=given.rows.with_columns(roles), _kept={}))
    table = finding.table("differences").filter(alignment="border", ngram=1, form="one step", scale="count")
    own = {role: table.filter(role=role, **{"class": "memorized"})["rows"].item() for role in ("train", "control")}
    assert own == {"train": 8, "control": 4}
    assert "Among rows no model was trained on the mean count changes" in finding.control


# ------------------------------------------------------------------------------------------------- trends and sizes


@pytest.mark.parametrize(
    ("memorized", "unmemorized", "verdicts"),
    [
        (+50, -50, ("shows", "shows")),
        (-50, +50, ("contradicts", "contradicts")),
        (0, -50, ("cannot tell", "shows")),
    ],
)
def test_the_published_directions_are_put_to_a_test(memorized, unmemorized, verdicts):
    unigrams = np.random.default_rng(0).integers(80, 120, (60, 7))
    unigrams[:30, 3] += memorized
    unigrams[30:, 3] += unmemorized
    finding = answer(with_features(tables({"m": {CELL: [4] * 30 + [0] * 30}}), unigrams=unigrams.tolist()))
    assert tuple(trend.verdict for trend in finding.trends) == verdicts
    assert "a direction is shown if the interval of the one step leaves out 0" in finding.trends[0].test


def test_the_slope_with_size_is_that_of_the_models():
    """Of 30 rows m0 memorizes the first ten, m1 twenty, m2 all: their steps are 1, then 3, then 5 more per row."""
    steps = [1] * 10 + [5] * 10 + [9] * 10
    unigrams = [[10, 10, 10 + row % 2, 10 + row % 2 + rise, 10, 10, 10] for row, rise in enumerate(steps)]
    matches = {f"m{at}": {CELL: [4] * (10 * at + 10) + [1] * (20 - 10 * at)} for at in range(3)}
    finding = answer(with_features(tables(matches), unigrams=unigrams))
    found = line(finding.table("slopes"), class_="memorized", scale="count", form="one step")
    # means 1, 3 and 5 at 1, 2 and 3 tenfolds
    assert found["slope"] == pytest.approx(2)
    assert found["models"] == 3


def test_models_of_unknown_size_have_no_slope():
    given = planted(models=("a", "b"))
    unknown = replace(given, models=given.models.with_columns(parameters=pl.lit(None, pl.Int64)))
    finding = answer(unknown)
    assert "slopes" not in [table.name for table in finding.tables]
    assert "sizes" not in [chart.name for chart in finding.charts]


# -------------------------------------------------------------------------------------------------------- bad input


def test_an_odd_continuation_has_no_half_and_says_so():
    matches = [7] * 12 + [3] * 6 + [4] * 6 + [0] * 12  # 3/7 and 4/7 are not 1/2
    finding = answer(with_features(tables({"m": {(3, 7): matches}})))
    assert set(finding.table("curves").filter(alignment="border")["class"]) == {"memorized", "unmemorized"}
    assert "A continuation of 7 tokens has no half: no row can have M = 1/2." in finding.caveats
    assert line(finding.table("differences"), class_="other", scale="count", form="one step", alignment="border")


def test_in_verbatim_depth_only_memorized_rows_are_told_apart():
    masked = tables(
        {"m": {CELL: [4] * 12 + [None] * 12}}, depth="verbatim", verbatim={"m": {CELL: [4] * 12 + [0, 1] * 6}}
    )
    finding = answer(with_features(masked))
    assert set(finding.table("differences").filter(role="train")["class"]) == {"memorized", "other", "all rows"}
    assert "M was not graded: half-memorized and unmemorized rows are unknown." in finding.caveats
    assert finding.trends[1].verdict == "cannot tell"


def test_rows_without_counts_are_left_out_and_told():
    given = planted()
    some = {**given.features, "counts": given.features["counts"].filter(pl.col("row") >= 5)}
    finding = answer(replace(given, features=some, _kept={}))
    assert step(finding, "memorized")["rows"] == 7
    assert "5 scored training rows have no counts and are left out." in finding.caveats


def test_the_order_of_the_feature_rows_changes_nothing():
    given = planted()
    turned = {**given.features, "counts": given.features["counts"].sort("row", descending=True)}
    assert answer(replace(given, features=turned, _kept={})).claim == answer(given).claim


def test_no_memorized_row_leaves_the_others_to_speak_of():
    finding = answer(with_features(tables({"m": {CELL: [0] * 15 + [1] * 5}})))
    assert "in 15 unmemorized rows" in finding.claim
    assert "No training row of any model is memorized or half-memorized." in finding.caveats
    assert finding.trends[0].verdict == "cannot tell"


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (tables({"m": {CELL: [4, 0]}}), "row features (corpus counts of its tokens)"),
        (with_features(tables({"m": {CELL: [4, 4]}}, complete=False)), "scores of all rows of a selection"),
        (with_features(tables({"m": {CELL: [None, None]}})), "scores of all rows of a selection"),
        (
            with_features(tables({"m": {CELL: [1, 3]}})),
            "memorized, half-memorized or unmemorized rows whose counts are known",
        ),
    ],
)
def test_what_is_missing_is_said(given, what):
    finding = answer(given)
    assert finding.claim == (
        "What corpus counts of tokens do at the border of context and continuation cannot be said: "
        f"the study lacks {what}."
    )
    assert finding.missing
    assert not finding.tables
    assert {trend.verdict for trend in finding.trends} == {"cannot tell"}


def test_no_counts_at_all_is_missing_too():
    finding = answer(planted(unigrams=None, bigrams=None))
    assert "cannot be said" in finding.claim


def test_the_claim_names_numbers_intervals_and_rows():
    claim = answer(planted()).claim
    assert claim.startswith(
        "In m at 3 + 4 tokens the mean corpus count changes, from the last token of the context to "
    )
    assert "by +90 (95 % interval +8" in claim
    assert "in 12 memorized rows and by -80 (95 % interval -8" in claim
    assert "in 13 unmemorized rows; at the first token that is not recited log10(1 + count) changes by " in claim
