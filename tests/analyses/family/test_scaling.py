from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from mematlas.analyses.family.scaling.finding import compute
from mematlas.analyses.family.scaling.laws import fit_laws, law_points
from mematlas.stats.estimates.stratified import mean_of_shares
from tests.analyses.synthetic_tables import tables, with_documents

CELL = (32, 32)


def recited(*hits: int, count: int = 1000) -> list[int]:
    """Matches of `count` rows, of which the first `hits` are recited whole."""
    return [32] * hits[0] + [0] * (count - hits[0])


def grown(*hits: int, count: int = 1000, **options):
    """Models of 10, 100, 1000 ... parameters that recite the given numbers of `count` rows."""
    return tables({f"m{i}": {CELL: recited(n, count=count)} for i, n in enumerate(hits)}, **options)


def stepped(*, threshold=8, rows=40, **options):
    """One model that recites a row if it was seen at least `threshold` times; buckets of 1, 2, 4 ... 64 repetitions."""
    repetitions = [2**power for power in range(7) for _ in range(rows)]
    matches = {"m0": {CELL: [32 if seen >= threshold else 5 for seen in repetitions]}}
    return tables(matches, repetitions=repetitions, **options)


def law(finding, **where):
    return finding.table("laws").filter(**where).row(0, named=True)


# ------------------------------------------------------------------------------------------------------- known answers


def test_a_planted_slope_of_19_points_per_tenfold_is_found():
    finding = compute(grown(50, 240, 430, 620))
    size = law(finding, law="size", sample="uniform", role="train")
    assert size["slope"] == pytest.approx(0.19)
    assert size["r2"] == pytest.approx(1)
    assert size["points"] == 4
    assert size["better"] == "log-linear"
    assert finding.table("residuals")["residual"].to_list() == pytest.approx([0] * 4, abs=1e-12)
    assert finding.claim.startswith(
        "At 32 + 32 tokens the memorized share changes by +19.0 percentage points per tenfold in parameters "
        "(95 % interval +19.0 to +19.0; R2 = 1.000; 4 points)"
    )


def test_planted_buckets_give_a_step_curve():
    curve = compute(stepped()).table("repetitions")
    assert curve["repetitions"].to_list() == pytest.approx([1, 2, 4, 8, 16, 32, 64])
    assert curve["bucket"].to_list() == [0, 4, 8, 12, 16, 20, 24]
    assert curve["share"].to_list() == [0, 0, 0, 1, 1, 1, 1]
    assert curve["rows"].to_list() == [40] * 7
    assert not curve["few"].any()


def test_a_step_is_predicted_better_by_the_saturating_law():
    repetitions = law(compute(stepped()), law="repetitions")
    assert repetitions["model"] == "m0"
    assert repetitions["better"] == "saturating"
    assert repetitions["saturating_error"] < repetitions["line_error"]


def test_the_law_in_context_goes_across_contexts():
    matches = {(context, 32): recited(hits) for context, hits in ((10, 100), (100, 400), (1000, 700))}
    context = law(compute(tables({"m0": matches})), law="context", sample="uniform")
    assert context["slope"] == pytest.approx(0.3)
    assert context["context"] is None
    assert context["continuation"] == 32


def test_the_law_in_context_is_of_the_same_rows_at_every_context():
    """500 short rows, which no model recites, have no longer context: of all rows the slope would be half of one."""
    long_rows = recited(500)[:500]
    matches = {(10, 32): [*long_rows, *[0] * 500], (100, 32): [*long_rows, *[None] * 500]}
    finding = compute(tables({"m0": matches}))
    assert law(finding, law="context", sample="uniform")["slope"] == pytest.approx(0)
    assert finding.table("shares")["rows"].to_list() == [500, 500]
    assert any("of 1,000 training rows of m0 at a continuation of 32 tokens 500 are left" in c for c in finding.caveats)


def test_the_two_samples_have_separate_shares():
    # 900 rows seen once, of which 90 are recited; 100 rows seen 8 times, of which 80 are
    matches = [32] * 90 + [0] * 810 + [32] * 80 + [0] * 20
    finding = compute(tables({"m0": {CELL: matches}, "m1": {CELL: matches}}, repetitions=[1] * 900 + [8] * 100))
    shares = finding.table("shares").row(0, named=True)
    assert shares["uniform_share"] == pytest.approx(0.17)
    assert shares["normalised_share"] == pytest.approx((0.1 + 0.8) / 2)
    assert shares["normalised_share_lower"] < 0.45 < shares["normalised_share_upper"]
    assert set(finding.table("laws")["sample"]) == {"uniform", "duplicate-normalised", "buckets"}


def test_points_are_weighted_by_their_rows():
    # points of 300, 300 and 1 rows: the last one, at 64 repetitions, hardly affects the slope
    repetitions = [1] * 300 + [8] * 300 + [64]
    matches = [32] * 30 + [0] * 270 + [32] * 90 + [0] * 210 + [0]
    slope = law(compute(tables({"m0": {CELL: matches}}, repetitions=repetitions)), law="repetitions")["slope"]
    assert slope == pytest.approx(0.2 / np.log10(8), abs=0.03)


# ------------------------------------------------------------------------------------------------- controls and trends


def test_the_controls_are_reported_separately():
    roles = ["train"] * 800 + ["control"] * 200
    matches = {name: {CELL: recited(hits)} for name, hits in (("m0", 50), ("m1", 250), ("m2", 300), ("u", 3))}
    finding = compute(
        tables(matches, roles=roles, control_models=("u",), repetitions=[2] * 500 + [8] * 300 + [0] * 200)
    )
    assert finding.control == (
        "Rows no model was trained on: 0.0 % at most (0.0 to 1.9 %, 200 rows). "
        "Models untrained on the rows: 0.3 % at most (0.1 to 0.9 %, 1,000 rows)."
    )
    assert set(finding.table("shares")["role"]) == {"train", "control", "control model"}
    assert set(finding.table("repetitions")["role"]) == {"train", "control model"}
    assert law(finding, law="size", role="control")["slope"] == 0
    assert law(finding, law="size", role="train")["points"] == 3
    chart = next(chart for chart in finding.charts if chart.name == "repetitions")
    assert chart.reference == (0.0, "control rows")
    assert not any("no control" in caveat for caveat in finding.caveats)


@pytest.mark.parametrize(
    ("hits", "verdict"),
    [((50, 240, 430, 621), "shows"), ((621, 430, 240, 50), "contradicts"), ((290, 310, 295, 305), "cannot tell")],
)
def test_growth_with_size_is_tested(hits, verdict):
    trends = {trend.trend: trend for trend in compute(grown(*hits)).trends}
    assert trends["log-linear-in-size"].verdict == verdict
    assert trends["share-grows-with-size"].verdict == verdict
    assert trends["log-linear-in-repetitions"].verdict == "cannot tell"
    assert trends["log-linear-in-context"].test == (
        "no slope with an interval in tokens of context: fewer than two points"
    )


def test_a_step_grows_and_is_not_called_log_linear():
    finding = compute(stepped())
    trends = {trend.trend: trend for trend in finding.trends}
    assert {name: trend.verdict for name, trend in trends.items()} == {
        "log-linear-in-size": "cannot tell",
        "share-grows-with-size": "cannot tell",
        "log-linear-in-repetitions": "cannot tell",
        "share-grows-with-repetitions": "shows",
        "log-linear-in-context": "cannot tell",
        "share-grows-with-context": "cannot tell",
    }
    assert trends["log-linear-in-repetitions"].test.startswith("Grows, perhaps not log-linearly: +")
    assert "; shares are off the line by more than chance in repetitions; left-out points" in finding.claim


def test_the_repetitions_of_the_demo_lie_off_the_line():
    """0, 0, 0, .23, .88, 1, 1, 1 of 48 rows each: p = 5e-16 by an independent fit."""
    hits = (0, 0, 0, 11, 42, 48, 48, 48)
    matches = [32 if row < n else 0 for n in hits for row in range(48)]
    finding = compute(tables({"m0": {CELL: matches}}, repetitions=[2**power for power in range(8) for _ in range(48)]))
    assert law(finding, law="repetitions")["lack_of_fit"] < 1e-12
    verdicts = {trend.trend: trend.verdict for trend in finding.trends}
    assert verdicts["log-linear-in-repetitions"] == "cannot tell"
    assert verdicts["share-grows-with-repetitions"] == "shows"


def test_a_line_with_the_scatter_of_chance_is_log_linear():
    shown = []
    for seed in range(20):
        hits = np.random.default_rng(seed).binomial(400, np.linspace(0.1, 0.8, 8))
        matches = [32 if row < n else 0 for n in hits for row in range(400)]
        repetitions = [2**power for power in range(8) for _ in range(400)]
        trends = compute(tables({"m0": {CELL: matches}}, repetitions=repetitions)).trends
        shown += [trend.verdict for trend in trends if trend.trend == "log-linear-in-repetitions"]
    assert shown.count("shows") >= 14
    assert "contradicts" not in shown


def test_the_line_of_three_sizes_has_no_rival_and_is_not_called_log_linear():
    trends = {trend.trend: trend for trend in compute(grown(50, 240, 431)).trends}
    assert trends["share-grows-with-size"].verdict == "shows"
    assert trends["log-linear-in-size"].verdict == "cannot tell"
    assert "Left-out points are not compared" in trends["log-linear-in-size"].test


def test_repetitions_without_an_effect_seem_to_have_one_in_at_most_five_percent_of_cases():
    verdicts = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        repetitions, hit = (2 ** rng.integers(0, 8, 800)).tolist(), rng.random(800) < 0.3
        finding = compute(tables({"m0": {CELL: np.where(hit, 32, 0).tolist()}}, repetitions=repetitions))
        verdicts += [trend.verdict for trend in finding.trends if trend.trend == "share-grows-with-repetitions"]
    assert verdicts.count("cannot tell") >= 35


def test_the_slopes_of_p9_are_listed_with_their_evidence():
    published = compute(grown(50, 240, 430)).table("published")
    assert published.filter(law="size").select("slope", "r2", "evidence").row(0) == (0.19, 0.998, "S2")


# ---------------------------------------------------------------------------------------------------------- checkpoints


def checkpoints(*hits, count=1000, **options):
    """Checkpoints of one model at steps 100, 200, ... that memorize the given numbers of rows."""
    labels = [f"m-{100 * (i + 1)}" for i in range(len(hits))]
    matches = {label: {CELL: recited(n, count=count)} for label, n in zip(labels, hits, strict=True)}
    steps = {label: 100 * (i + 1) for i, label in enumerate(labels)}
    return tables(matches, parameters=dict.fromkeys(labels, 70), steps=steps, **options)


def test_checkpoints_of_one_size_have_a_curve_over_training_steps():
    finding = compute(checkpoints(10, 200, 150, 120))
    assert finding.claim == (
        "At 32 + 32 tokens the share of 1,000 rows that the checkpoints of m-400 memorize goes from 1.0 % (0.5 to 1.8 "
        "%) at step 100 to 12.0 % (10.1 to 14.2 %) at step 400, with 20.0 % at step 200."
    )
    steps = finding.table("steps")
    assert steps.select("training_step", "rows", "memorized").rows() == [
        (100, 1000, 10),
        (200, 1000, 200),
        (300, 1000, 150),
        (400, 1000, 120),
    ]
    assert steps["series"].unique().to_list() == ["m-400"]
    chart = next(chart for chart in finding.charts if chart.name == "steps")
    assert (chart.x.column, chart.y.column, chart.color.column) == ("training_step", "share", "series")
    assert {trend.verdict for trend in finding.trends} == {"cannot tell"}
    assert finding.strength is None


def test_control_rows_have_a_curve_of_their_own():
    roles = ["train"] * 800 + ["control"] * 200
    steps = compute(checkpoints(10, 200, 300, roles=roles)).table("steps")
    assert dict(steps.group_by("role").agg(pl.sum("memorized")).iter_rows()) == {"train": 510, "control": 0}


def test_rows_that_only_an_early_checkpoint_memorizes_are_not_missing():
    finding = compute(checkpoints(300, 0))
    assert "goes from 30.0 % (27.2 to 32.9 %) at step 100 to 0.0 % (0.0 to 0.4 %) at step 200" in finding.claim


def test_a_law_and_a_curve_stand_side_by_side():
    finding = compute(checkpoints(100, 400, repetitions=[1] * 500 + [4] * 500))
    assert "percentage points per tenfold in repetitions" in finding.claim
    assert {"repetitions", "steps"} <= {chart.name for chart in finding.charts}


# ----------------------------------------------------------------------------------------------------------- poor input


def test_two_sizes_have_a_slope_and_no_interval():
    finding = compute(grown(100, 300))
    size = law(finding, law="size")
    assert size["slope"] == pytest.approx(0.2)
    assert (size["slope_lower"], size["r2"], size["line_error"]) == (None, None, None)
    assert size["reason"] == "an interval and R2 need 3 points; leaving one out needs 4 points"
    assert "+20.0 percentage points per tenfold in parameters (2 points, no interval)" in finding.claim
    assert finding.strength is None


def test_a_bucket_of_two_rows_has_a_wide_interval_and_is_flagged():
    repetitions = [1] * 100 + [4] * 2
    finding = compute(tables({"m0": {CELL: [32] * 10 + [0] * 90 + [32, 0]}}, repetitions=repetitions))
    small = finding.table("repetitions").row(-1, named=True)
    assert (small["rows"], small["share"], small["few"]) == (2, 0.5, True)
    assert small["share_upper"] - small["share_lower"] > 0.8
    assert finding.table("buckets").select("fewest", "rows", "shortfall").rows() == [
        (1, 100, 900),
        (2, 0, 1000),
        (3, 0, 1000),
        (4, 2, 998),
    ]
    assert "1 of 4 buckets hold fewer than 30 rows: their shares are hardly known." in finding.caveats
    assert "4 of 4 buckets hold fewer than the 1,000 rows that P9 drew." in finding.caveats


def test_without_repetitions_their_law_is_left_out():
    finding = compute(grown(50, 240, 430))
    assert {table.name for table in finding.tables} == {"laws", "shares", "residuals", "published"}
    assert finding.table("shares")["normalised_share"].is_null().all()
    assert {chart.name for chart in finding.charts} == {"size-uniform"}
    assert any("No row has a number of repetitions" in caveat for caveat in finding.caveats)


def test_unknown_sizes_leave_the_other_laws():
    options = {"parameters": {"m0": None, "m1": None}, "repetitions": [1] * 500 + [4] * 500}
    finding = compute(grown(50, 600, **options))
    assert set(finding.table("laws")["law"]) == {"repetitions"}
    assert "The sizes of some models are unknown: no law in size." in finding.caveats


def test_a_caveat_says_that_models_scored_different_rows():
    study = grown(50, 240, 430)
    caveat = "Models were not all scored on the same rows in every cell: points of a law stand on different rows."
    assert caveat not in compute(study).caveats
    later = (pl.col("model") != "m1") | (pl.col("row") >= 20)
    others = (pl.col("model") == "m1") | (pl.col("row") < 980)
    assert caveat in compute(replace(study, scores=study.scores.filter(later & others))).caveats


def test_for_one_model_without_repetitions_in_one_cell_the_missing_data_is_reported():
    finding = compute(grown(20))
    assert finding.claim == (
        "How memorization grows with size, repetitions and context cannot be said: the study lacks two points to lay "
        "a line through (two sizes, two buckets of repetitions, two contexts, or two checkpoints of a size)."
    )
    assert finding.missing
    assert not finding.tables
    assert {trend.verdict for trend in finding.trends} == {"cannot tell"}


def test_zero_memorized_rows_have_no_law():
    finding = compute(grown(0, 0, 0))
    assert "the study lacks memorized rows (none of 1,000 rows is recited by any model)" in finding.claim
    assert not finding.charts


def test_recited_rows_alone_have_no_shares():
    finding = compute(grown(50, 240, 430, complete=False))
    assert "the study lacks scores of all rows, not of recited rows alone" in finding.claim


def test_verbatim_depth_is_enough():
    hits = {f"m{i}": {CELL: [32 if row < n else 3 for row in range(1000)]} for i, n in enumerate((50, 240, 430))}
    masked = {model: {CELL: [v if v == 32 else None for v in cells[CELL]]} for model, cells in hits.items()}
    finding = compute(tables(masked, verbatim=hits, depth="verbatim"))
    assert law(finding, law="size")["slope"] == pytest.approx(0.19)


# ----------------------------------------------------------------------------------------------------- rows in clusters


def test_alike_rows_of_a_document_count_as_one():
    """900 rows seen once, of which 90 are recited, and 100 seen 8 times, of which 80 are; five rows a document."""
    matches = [32] * 90 + [0] * 810 + [32] * 80 + [0] * 20
    copied = tables({"m0": {CELL: matches}, "m1": {CELL: matches}}, repetitions=[1] * 900 + [8] * 100)
    finding = compute(with_documents(copied, [row // 5 for row in range(1000)]))
    buckets = finding.table("repetitions").filter(model="m0")
    assert buckets["clusters"].to_list() == [180, 20]
    assert buckets["design_effect"].to_list() == pytest.approx([5, 5], rel=0.15)
    shares, expected = finding.table("shares").row(0, named=True), mean_of_shares([18, 16], [180, 20])
    assert shares["clusters"] == 200
    assert shares["design_effect"] == pytest.approx(5, rel=0.02)
    assert shares["normalised_share"] == pytest.approx(0.45)
    assert shares["normalised_share_lower"] == pytest.approx(expected.lower, abs=0.02)
    assert shares["normalised_share_upper"] == pytest.approx(expected.upper, abs=0.02)
    points = finding.table("residuals").filter(law="repetitions", model="m0")
    assert points["rows"].to_list() == [900, 100]
    assert points["effective_rows"].to_list() == pytest.approx([180, 20], rel=0.2)
    alone = compute(copied).table("residuals").filter(law="repetitions", model="m0")
    assert alone["effective_rows"].to_list() == [900, 100]


def buckets_of_documents(seed, documents=40):
    """Eight buckets on a line; every document of 1 to 19 rows is recited whole, or not at all."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(1, 20, (8, documents))
    recited = rows * (rng.random((8, documents)) < np.linspace(0.1, 0.8, 8)[:, None])
    bucket = np.repeat(np.arange(8), documents)
    keys = {"model": "m", "parameters": 10, "role": "train", "context": 32, "continuation": 32}
    columns = {"bucket": 4 * bucket, "repetitions": 2.0**bucket, "cluster": np.arange(8 * documents)}
    return pl.DataFrame({**columns, "rows": rows.ravel(), "memorized": recited.ravel()}).with_columns(
        pl.lit(value).alias(name) for name, value in keys.items()
    )


def test_the_luck_of_whole_documents_does_not_reject_the_line():
    by_documents, by_rows = [], []
    for seed in range(100):
        counts = buckets_of_documents(seed)
        total = counts.group_by(pl.exclude("cluster", "rows", "memorized")).agg(pl.sum("rows", "memorized"))
        for frame, p_values in ((counts, by_documents), (total, by_rows)):
            p_values.append(fit_laws(law_points(frame)).filter(law="repetitions")["lack_of_fit"].item())
    assert np.mean(np.array(by_documents) < 0.05) <= 0.1
    assert np.mean(np.array(by_rows) < 0.05) >= 0.9


def test_documents_off_the_line_reject_it():
    counts = buckets_of_documents(0)
    step = pl.when(pl.col("bucket") > 16).then("rows").otherwise(0).alias("memorized")
    laws = fit_laws(law_points(counts.with_columns(step)))
    assert laws.filter(law="repetitions")["lack_of_fit"].item() < 1e-4


def test_checkpoints_have_the_intervals_of_documents():
    steps = compute(with_documents(checkpoints(100, 400), [row // 10 for row in range(1000)])).table("steps")
    assert steps["clusters"].to_list() == [100, 100]
    assert steps["design_effect"].to_list() == pytest.approx([10, 10], rel=0.05)
