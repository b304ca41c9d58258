"""Counts at the boundary, compared with numbers planted by hand and with naive counting."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from mematlas.analyses.positions.boundary_input.finding import compute
from tests.analyses.synthetic_tables import in_documents, tables, with_features

CELL = (3, 4)
ROWS = {"memorized": 12, "half-memorized": 11, "unmemorized": 13, "other": 3}
MATCHES = {"memorized": 4, "half-memorized": 2, "unmemorized": 0, "other": 3}
#: counts at the seven positions of the window; the boundary is between the third and the fourth
PLANTED = {
    "memorized": [100, 100, 40, 130, 100, 100, 100],
    "half-memorized": [50, 50, 60, 80, 50, 50, 50],
    "unmemorized": [70, 70, 90, 10, 70, 70, 70],
    "other": [5, 5, 5, 5, 5, 5, 5],
}
NAMES = [name for name, count in ROWS.items() for _ in range(count)]


def wobbling(values, row):
    """`values` with an offset that varies by row and is 0 on average over a pair of rows."""
    return [value + (1 if row % 2 else -1) * (place % 3) for place, value in enumerate(values)]


def planted(models=("m",), **features):
    """Rows of known classes with known counts; the wobbling rows of each class come in pairs, an odd row is exact."""
    matches = {model: {CELL: [MATCHES[name] for name in NAMES]} for model in models}
    counts = dict.fromkeys(ROWS, 0)
    unigrams = []
    for name in NAMES:
        odd_one = counts[name] == ROWS[name] - 1 and ROWS[name] % 2
        unigrams.append(PLANTED[name] if odd_one else wobbling(PLANTED[name], counts[name]))
        counts[name] += 1
    return with_features(tables(matches), **{"unigrams": unigrams} | features)


def record(frame, **where):
    """The only record with these values, by default of training rows and 1-grams."""
    where = {"role": "train", "ngram": 1} | where
    where = {name.rstrip("_"): value for name, value in where.items()}
    (result,) = frame.filter(**{name: value for name, value in where.items() if name in frame.columns}).to_dicts()
    return result


def step(finding, name, form="one step", **filters):
    filters = {"scale": "count", "alignment": "border"} | filters
    return record(finding.table("differences"), **{"class": name}, form=form, **filters)


# ---------------------------------------------------------------------------------------------------- known answers


def test_the_one_step_difference_is_what_was_planted_at_the_boundary():
    """P1 (f) 2: count a before the boundary and b after it give b - a exactly."""
    finding = compute(planted())
    for name, difference in (("memorized", 90), ("half-memorized", 20), ("unmemorized", -80), ("other", 0)):
        result = step(finding, name)
        assert result["difference"] == pytest.approx(difference)
        assert result["rows"] == ROWS[name]
        assert result["difference_lower"] < difference < result["difference_upper"]


def test_the_window_difference_takes_as_many_tokens_as_the_shorter_side_has():
    finding = compute(planted())
    result = step(finding, "memorized", "window of 3")
    assert result["difference"] == pytest.approx((130 + 100 + 100 - 100 - 100 - 40) / 3)
    assert any("4 tokens on each side (here 3, as a side has no more)" in words for words in finding.deviations)


def test_the_logarithm_is_taken_of_each_row():
    wobble = [np.log10(1 + wobbling(PLANTED["memorized"], row)[3]) for row in range(2)]
    before = [np.log10(1 + wobbling(PLANTED["memorized"], row)[2]) for row in range(2)]
    result = step(compute(planted()), "memorized", scale="log10")
    assert result["difference"] == pytest.approx(np.mean(wobble) - np.mean(before))


def test_sentence_level_frequency_and_its_share_of_the_corpus():
    table = compute(planted(tokens=2_000_000)).table("sentences")
    result = record(table, class_="memorized")
    assert (result["context"], result["continuation"]) == pytest.approx((80, 107.5))
    assert result["difference"] == pytest.approx(27.5)
    assert result["context_per_million"] == pytest.approx(40)
    unknown = compute(planted(tokens=None))
    assert unknown.table("sentences")["context_per_million"].is_null().all()
    assert any("number of tokens of the corpus is unknown" in words for words in unknown.caveats)


def test_the_papers_numbers_are_included():
    table = compute(planted()).table("published")
    result = table.row(0, named=True)
    assert (result["model"], result["rows"], result["boundary_difference"]) == ("160M", "memorized", 0.114)
    assert result["context_per_million"] == pytest.approx(1.708e9 / 207e9 * 1e6)


def random_study(count=60, align="start"):
    """Many rows of random counts and scores."""
    rng = np.random.default_rng(3)
    matches = rng.choice([0, 2, 4, 1, 3], count, p=[0.3, 0.2, 0.3, 0.1, 0.1]).tolist()
    first_misses = rng.integers(0, 4, count).tolist()
    verbatim = [4 if hits == 4 else min(hits, first) for hits, first in zip(matches, first_misses, strict=True)]
    cells = {CELL: matches, (5, 4): matches}
    study_tables = tables({"m": cells}, verbatim={"m": dict.fromkeys(cells, verbatim)})
    return with_features(replace(study_tables, settings={**study_tables.settings, "align": align})), matches, verbatim


@pytest.mark.parametrize("align", ["start", "end"])
def test_profiles_match_naive_counting(align):
    study_tables, matches, _ = random_study(align=align)
    finding = compute(study_tables)  # the cell nearest to 32 + 32 is 5 + 4
    unigrams = study_tables.features["counts"].collect()["unigrams"].to_list()
    for name, score in (("memorized", 4), ("half-memorized", 2), ("unmemorized", 0)):
        rows = [counts for counts, hits in zip(unigrams, matches, strict=True) if hits == score]
        for offset in range(-5, 4):
            values = [counts[5 + offset] for counts in rows]
            where = {"class": name, "alignment": "border", "offset": offset}
            result = record(finding.table("curves"), **where)
            assert result["rows"] == len(values)
            assert result["mean"] == pytest.approx(np.mean(values))
            assert result["median"] == pytest.approx(np.median(values))
            assert result["geometric_mean"] == pytest.approx(10 ** np.mean(np.log10(1 + np.array(values))))


def test_where_continuations_are_aligned_shorter_contexts_begin_later():
    study_tables, *_ = random_study(align="end")
    scores = study_tables.scores.filter(context=3)
    finding = compute(replace(study_tables, scores=scores))
    unigrams = study_tables.features["counts"].collect()["unigrams"].to_list()
    all_rows = record(
        finding.table("differences"), class_="all rows", scale="count", form="one step", alignment="border"
    )
    assert all_rows["difference"] == pytest.approx(np.mean([counts[5] - counts[4] for counts in unigrams]))


def test_bigrams_have_profiles_of_their_own_without_the_first_token():
    study_tables, *_ = random_study()
    curves = compute(study_tables).table("curves").filter(ngram=2, role="train", alignment="border")
    assert curves.filter(offset=-5)["rows"].to_list() == [0, 0, 0]
    assert curves.filter(offset=-5)["mean"].is_null().all()
    assert curves.filter(offset=-4)["mean"].is_not_null().all()


# ------------------------------------------------------------------------------------------------ divergence points


def diverging_study(count=80, length=6):
    """Rows that diverge at various tokens: the token there is rare, the one before it is frequent."""
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
    study_tables = tables({"m": {cell: matches}}, verbatim={"m": {cell: verbatim.tolist()}})
    return with_features(study_tables, unigrams=unigrams.tolist()), verbatim


def test_on_their_divergence_points_rows_stop_at_the_rare_token():
    study_tables, verbatim = diverging_study()
    finding = compute(study_tables)
    differences = finding.table("differences").filter(alignment="divergence", ngram=1, scale="count")
    assert differences.filter(role="train")["difference"].unique().to_list() == [5 - 5000]
    assert differences.filter(role="train")["rows"].sum() == int((verbatim < 6).sum())
    assert set(differences["form"]) == {"one step"}
    curve = finding.table("curves").filter(alignment="divergence", ngram=1, role="train")
    assert curve.filter(offset=0)["median"].unique().to_list() == [5.0]
    assert curve.filter(offset=-1)["median"].unique().to_list() == [5000.0]
    assert curve.filter(offset=-8)["rows"].sum() < curve.filter(offset=-1)["rows"].sum()  # the window ends before


def test_shuffled_divergence_points_do_not_know_where_rows_stop():
    study_tables, _ = diverging_study()
    differences = (
        compute(study_tables)
        .table("differences")
        .filter(alignment="divergence", ngram=1, scale="count", role="shuffled")
    )
    assert differences["difference"].max() > -3000


def test_memorized_rows_and_rows_of_unknown_verbatim_length_have_no_divergence_point():
    study_tables, _ = diverging_study()
    assert "memorized" not in compute(study_tables).table("curves").filter(alignment="divergence")["class"]
    unknown = replace(study_tables, scores=study_tables.scores.with_columns(verbatim=pl.lit(None, pl.Int32)))
    finding = compute(unknown)
    assert set(finding.table("curves")["alignment"]) == {"border"}
    assert any("no curve around divergence points" in words for words in finding.caveats)


# -------------------------------------------------------------------------------------------------------- controls


def test_shuffled_classes_are_flat_where_the_true_ones_are_not():
    """Two classes of 40 rows, one with a step of 300: shuffled, both classes have the step of all rows."""
    rng = np.random.default_rng(0)
    unigrams = rng.integers(400, 600, (80, 7))
    unigrams[:40, 3] += 300
    study_tables = with_features(tables({"m": {CELL: [4] * 40 + [0] * 40}}), unigrams=unigrams.tolist())
    finding = compute(study_tables)
    differences, contrasts = finding.table("differences"), finding.table("contrasts")
    where = {"scale": "count", "form": "one step", "alignment": "border"}
    overall = record(differences, class_="all rows", **where)["difference"]
    for name in ("memorized", "unmemorized"):
        shuffled = record(differences, role="shuffled", class_=name, **where)
        assert shuffled["difference_lower"] < overall < shuffled["difference_upper"]
        assert not shuffled["difference_lower"] < 300 * (name == "memorized") < shuffled["difference_upper"]
    contrast_by_role = {
        role: record(contrasts, role=role, scale="count", form="one step") for role in ("train", "shuffled")
    }
    assert contrast_by_role["train"]["difference_lower"] > 200
    assert contrast_by_role["shuffled"]["difference_lower"] < 0 < contrast_by_role["shuffled"]["difference_upper"]
    assert "in 40 rows called memorized. It changes by" in finding.control
    assert "in all 80 rows" in finding.control
    assert "shuffled among the training rows of m, 200 times, numbers are means" in finding.control


def test_classes_of_few_rows_are_no_control():
    finding = compute(with_features(tables({"m": {CELL: [4] * 9 + [0] * 15}})))
    assert "called unmemorized" in finding.control
    assert "in 9 rows called memorized" not in finding.control
    few = compute(with_features(tables({"m": {CELL: [4, 4, 0, 0]}})))
    assert few.control.startswith("No class of m has 10 rows: shuffled labels tell nothing.")
    assert not few.charts


def test_the_control_profile_is_drawn():
    finding = compute(planted())
    chart = next(chart for chart in finding.charts if chart.name == "border-1gram")
    assert chart.dash == "role"
    shown = finding.table("curves").filter(**chart.where)
    assert set(shown["role"]) == {"train", "shuffled"}
    assert shown["log_mean_lower"].is_not_null().any()
    rows, shuffles = shown.filter(role="train"), shown.filter(role="shuffled")
    assert rows["mean_lower"].is_null().all(), "counts of so few rows are too heavy-tailed for an interval"
    assert shuffles["mean_lower"].is_not_null().any(), "those of shuffles are counted, not estimated"
    assert shuffles["median"].is_null().all()
    assert any(
        words.startswith("Means of counts of fewer than 40,000 rows have no interval") for words in finding.caveats
    )


def test_control_rows_have_records_of_their_own():
    study_tables = planted()
    roles = pl.when(pl.col("row") % 3 == 0).then(pl.lit("control")).otherwise(pl.lit("train")).alias("role")
    finding = compute(replace(study_tables, rows=study_tables.rows.with_columns(roles)))
    table = finding.table("differences").filter(alignment="border", ngram=1, form="one step", scale="count")
    counts = {role: table.filter(role=role, **{"class": "memorized"})["rows"].item() for role in ("train", "control")}
    assert counts == {"train": 8, "control": 4}
    assert "Among rows no model was trained on the mean count changes" in finding.control


# -------------------------------------------------------------------------------------------------- rows of documents


def copied(times, documents=True):
    """80 rows of two classes with random counts, each `times` in a document of its own, or as rows for themselves."""
    unigrams = np.random.default_rng(0).integers(400, 600, (80, 7))
    unigrams[:40, 3] += 30
    repeated = np.repeat(unigrams, times, axis=0).tolist()
    matches = [4] * (40 * times) + [0] * (40 * times)
    study_tables = tables({"m": {CELL: matches}}, verbatim={"m": {CELL: [min(hits, 1) * 4 for hits in matches]}})
    study_tables = in_documents(study_tables, times) if documents else study_tables
    return compute(with_features(study_tables, unigrams=repeated))


@pytest.mark.parametrize("role", ["train", "shuffled"])
def test_copies_of_a_row_in_a_document_add_no_certainty(role):
    single, documents, rows = copied(1), copied(5), copied(5, documents=False)
    names = ["difference", "difference_lower", "difference_upper"]
    near = 1e-9 if role == "train" else 0.25  # of its width; shuffles are drawn
    where = {"role": role, "scale": "log10", "form": "one step", "alignment": "border"}
    for row_class in ("memorized", "unmemorized"):
        one, other, independent = (
            record(found.table("differences"), class_=row_class, **where) for found in (single, documents, rows)
        )
        width = one["difference_upper"] - one["difference_lower"]
        assert [other[name] for name in names] == pytest.approx([one[name] for name in names], abs=near * width)
        narrower = (independent["difference_upper"] - independent["difference_lower"]) / width
        assert narrower == pytest.approx(5**-0.5, rel=0.2)
        assert (other["rows"], other["clusters"]) == (200, 40)
    if role == "train":
        effects = documents.table("differences").filter(role="train", alignment="border", ngram=1)["design_effect"]
        assert effects.to_list() == pytest.approx([5] * len(effects), rel=0.03)


@pytest.mark.parametrize("role", ["train", "shuffled"])
def test_contrasts_profiles_and_sentences_take_documents_as_their_unit(role):
    single, documents = copied(1), copied(5)
    near = 1e-9 if role == "train" else 0.25
    where = {"role": role, "scale": "count", "form": "one step"}
    one, other = (record(found.table("contrasts"), **where) for found in (single, documents))
    width = one["difference_upper"] - one["difference_lower"]
    for name in ("difference", "difference_lower", "difference_upper"):
        assert other[name] == pytest.approx(one[name], abs=near * width)
    assert (other["memorized"], other["unmemorized"], other["clusters"]) == (200, 200, 80)
    where = {"role": role, "class_": "memorized", "alignment": "border", "offset": 0}
    one, other = (record(found.table("curves"), **where) for found in (single, documents))
    width = one["log_mean_upper"] - one["log_mean_lower"]
    for name in ("log_mean", "log_mean_lower", "log_mean_upper"):
        assert other[name] == pytest.approx(one[name], abs=near * width)
    if role == "train":
        assert other["median_lower"] <= other["median"] <= other["median_upper"]
        assert other["mean_lower"] is None, "40 documents are too few"
        sentence = record(documents.table("sentences"), class_="memorized")
        assert (sentence["rows"], sentence["clusters"]) == (200, 40)
        assert sentence["design_effect"] == pytest.approx(5, rel=0.03)
        assert any(words.startswith("Means of counts of fewer than 40,000 documents") for words in documents.caveats)


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
    finding = compute(with_features(tables({"m": {CELL: [4] * 30 + [0] * 30}}), unigrams=unigrams.tolist()))
    assert tuple(trend.verdict for trend in finding.trends) == verdicts
    assert "A direction is shown if the interval of the one step leaves out 0" in finding.trends[0].test


def test_the_slope_with_size_is_that_of_the_models():
    """Of 30 rows m0 memorizes the first ten, m1 twenty, m2 all: their steps are 1, then 3, then 5 more per row."""
    steps = [1] * 10 + [5] * 10 + [9] * 10
    unigrams = [[10, 10, 10 + row % 2, 10 + row % 2 + rise, 10, 10, 10] for row, rise in enumerate(steps)]
    matches = {f"m{at}": {CELL: [4] * (10 * at + 10) + [1] * (20 - 10 * at)} for at in range(3)}
    finding = compute(with_features(tables(matches), unigrams=unigrams))
    slope = record(finding.table("slopes"), class_="memorized", scale="count", form="one step")
    # means 1, 3 and 5 at 1, 2 and 3 tenfolds
    assert slope["slope"] == pytest.approx(2)
    assert slope["models"] == 3


def test_models_of_unknown_size_have_no_slope():
    study_tables = planted(models=("a", "b"))
    unknown = replace(study_tables, models=study_tables.models.with_columns(parameters=pl.lit(None, pl.Int64)))
    finding = compute(unknown)
    assert "slopes" not in [table.name for table in finding.tables]
    assert "sizes" not in [chart.name for chart in finding.charts]


# -------------------------------------------------------------------------------------------------------- bad input


def test_an_odd_continuation_has_no_half_and_says_so():
    matches = [7] * 12 + [3] * 6 + [4] * 6 + [0] * 12  # 3/7 and 4/7 are not 1/2
    finding = compute(with_features(tables({"m": {(3, 7): matches}})))
    assert set(finding.table("curves").filter(alignment="border")["class"]) == {"memorized", "unmemorized"}
    assert "A continuation of 7 tokens has no half: no row can have M = 1/2." in finding.caveats
    assert record(finding.table("differences"), class_="other", scale="count", form="one step", alignment="border")


def test_at_verbatim_depth_only_memorized_rows_are_distinguished():
    masked = tables(
        {"m": {CELL: [4] * 12 + [None] * 12}}, depth="verbatim", verbatim={"m": {CELL: [4] * 12 + [0, 1] * 6}}
    )
    finding = compute(with_features(masked))
    assert set(finding.table("differences").filter(role="train")["class"]) == {"memorized", "other", "all rows"}
    assert "M was not graded: half-memorized and unmemorized rows are unknown." in finding.caveats
    assert finding.trends[1].verdict == "cannot tell"


def test_rows_without_counts_are_left_out_and_reported():
    study_tables = planted()
    features = {**study_tables.features, "counts": study_tables.features["counts"].filter(pl.col("row") >= 5)}
    finding = compute(replace(study_tables, features=features))
    assert step(finding, "memorized")["rows"] == 7
    assert "5 scored training rows have no counts and are left out." in finding.caveats


def test_the_order_of_the_feature_rows_changes_nothing():
    study_tables = planted()
    reversed_features = {
        **study_tables.features,
        "counts": study_tables.features["counts"].sort("row", descending=True),
    }
    assert compute(replace(study_tables, features=reversed_features)).claim == compute(study_tables).claim


def test_without_memorized_rows_the_claim_is_about_the_others():
    finding = compute(with_features(tables({"m": {CELL: [0] * 15 + [1] * 5}})))
    assert "in 15 unmemorized rows" in finding.claim
    assert "No training row of any model is memorized or half-memorized." in finding.caveats
    assert finding.trends[0].verdict == "cannot tell"


@pytest.mark.parametrize(
    ("study_tables", "missing"),
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
def test_missing_data_is_reported(study_tables, missing):
    finding = compute(study_tables)
    assert finding.claim == (
        "What corpus counts of tokens do at the border of context and continuation cannot be said: "
        f"the study lacks {missing}."
    )
    assert finding.missing
    assert not finding.tables
    assert {trend.verdict for trend in finding.trends} == {"cannot tell"}


def test_no_counts_at_all_is_missing_too():
    finding = compute(planted(unigrams=None, bigrams=None))
    assert "cannot be said" in finding.claim


def test_the_claim_names_numbers_intervals_and_rows():
    claim = compute(planted()).claim
    assert claim.startswith(
        "In m at 3 + 4 tokens the mean corpus count changes, from the last token of the context to "
    )
    assert "by +90 (95 % interval +8" in claim
    assert "in 12 memorized rows and by -80 (95 % interval -8" in claim
    assert "in 13 unmemorized rows; at the first token that is not recited log10(1 + count) changes by " in claim
