from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from mematlas.analyses.family.forecast.finding import compute
from mematlas.analyses.family.forecast.forecasts import with_forecasts
from mematlas.stats.estimates.intervals import wilson
from tests.analyses.synthetic_tables import tables

CELL = (32, 32)


def labelled(**labels):
    """Score tables of models whose rows are recited (1) or half right (0)."""
    return {model: {CELL: [32 if label else 16 for label in rows]} for model, rows in labels.items()}


def seeded(share: float, count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(count) < share


SMALL = [1, 1, 0, 0, 0, 0, 1, 0, 0, 0]
LARGE = [1, 1, 1, 1, 1, 0, 0, 0, 0, 0]


def pair(finding, earlier, later):
    return finding.table("forecasts").filter(earlier=earlier, later=later).row(0, named=True)


# ------------------------------------------------------------------------------------------------------- known answers


def test_hand_made_labels_give_exact_precision_and_recall():
    finding = compute(tables(labelled(small=SMALL, large=LARGE)))
    record = pair(finding, "small", "large")
    assert (record["memorized_earlier"], record["memorized_later"], record["memorized_both"]) == (3, 5, 2)
    assert (record["precision"], record["recall"], record["f1"]) == pytest.approx((2 / 3, 2 / 5, 1 / 2))
    assert record["base_rate"] == 0.5
    assert record["rows"] == 10
    assert record["kind"] == "smaller model"
    assert finding.table("forecasts").height == 1
    assert finding.claim == (
        "At 32 + 32 tokens large memorizes 66.7 % of the 3 rows that small does (precision; 20.8 to 93.9 %), and small "
        "memorizes 40.0 % of the 5 rows that large does (recall; 11.8 to 76.9 %)."
    )
    assert finding.control == "By chance large memorizes 50.0 % of any 10 rows (base rate)."


def test_recited_rows_alone_are_enough_for_precision_and_recall():
    finding = compute(tables(labelled(small=SMALL, large=LARGE), complete=False))
    record = pair(finding, "small", "large")
    assert (record["precision"], record["recall"]) == pytest.approx((2 / 3, 2 / 5))
    assert (record["rows"], record["base_rate"], finding.control) == (None, None, None)
    assert finding.table("correlations").select("rows", "pearson", "phi").row(0) == (None, None, None)
    assert "correlation" not in {chart.name for chart in finding.charts}


def test_models_are_forecast_by_smaller_models_and_their_own_earlier_checkpoints():
    labels = labelled(**{"s": SMALL, "l-1": LARGE, "l-2": LARGE, "l-3": LARGE})
    sizes = {"s": 10, "l-1": 40, "l-2": 40, "l-3": 40}
    finding = compute(tables(labels, parameters=sizes, steps={"s": 300, "l-1": 100, "l-2": 200, "l-3": 300}))
    pairs = {
        (record[0], record[1]): record[2:]
        for record in finding.table("forecasts").select(pl.nth(0, 1, 2, 3)).iter_rows()
    }
    assert pairs == {
        ("s", "l-3"): ("smaller model", pytest.approx(1 / 4)),
        ("l-1", "l-2"): ("earlier checkpoint", pytest.approx(1 / 2)),
        ("l-1", "l-3"): ("earlier checkpoint", pytest.approx(1 / 3)),
        ("l-2", "l-3"): ("earlier checkpoint", pytest.approx(2 / 3)),
    }


def test_correlations_are_of_scores_and_of_labels():
    matches = {"a": {CELL: [32, 16, 0, 8]}, "b": {CELL: [32, 32, 1, 0]}}
    record = compute(tables(matches)).table("correlations").row(0, named=True)
    assert (record["model"], record["other"]) == ("b", "a")
    assert record["pearson"] == pytest.approx(np.corrcoef([32, 16, 0, 8], [32, 32, 1, 0])[0, 1])
    assert record["phi"] == pytest.approx(np.corrcoef([1, 0, 0, 0], [1, 1, 0, 0])[0, 1])


def counts(earlier, later, both, **more):
    names = {"memorized_earlier": earlier, "memorized_later": later, "memorized_both": both}
    return pl.DataFrame(names | more, schema_overrides=dict.fromkeys(names, pl.Int64))


def test_precision_recall_and_f1_of_counts():
    record = with_forecasts(counts([3, 5], [5, 3], [2, 2], rows=[10, 10])).row(0, named=True)
    for name, share in (("precision", wilson(2, 3)), ("recall", wilson(2, 5)), ("base_rate", wilson(5, 10))):
        values = tuple(record[f"{name}{end}"] for end in ("", "_lower", "_upper"))
        assert values == (share.estimate, share.lower, share.upper), name
    overlap = wilson(2, 6)
    bounds = [2 * bound / (1 + bound) for bound in (overlap.estimate, overlap.lower, overlap.upper)]
    assert [record[f"f1{end}"] for end in ("", "_lower", "_upper")] == pytest.approx(bounds)
    assert record["f1"] == pytest.approx(2 * (2 / 3) * (2 / 5) / (2 / 3 + 2 / 5))
    swapped = with_forecasts(counts([5], [3], [2])).row(0, named=True)
    assert (swapped["precision"], swapped["recall"], swapped["base_rate"]) == (2 / 5, 2 / 3, None)


def test_empty_counts_give_null():
    empty, no_forecast = with_forecasts(counts([0, 0], [0, 4], [0, 0], rows=[0, 9])).iter_rows(named=True)
    assert (empty["precision"], empty["recall_lower"], empty["f1_upper"], empty["base_rate"]) == (None,) * 4
    assert (no_forecast["precision"], no_forecast["recall"], no_forecast["f1"]) == (None, 0, 0)


@pytest.mark.parametrize("impossible", [(3, 5, 4), (3, 5, -1)])
def test_impossible_counts_are_refused(impossible):
    with pytest.raises(ValueError, match="memorized_both must be between 0 and memorized_"):
        with_forecasts(counts(*([count] for count in impossible)))


def test_the_interval_of_f1_covers_the_true_one_95_times_in_100():
    # of 400 rows, shares of 0.2 have both labels, 0.05 only the earlier, 0.3 only the later
    both, one, other, _ = np.random.default_rng(0).multinomial(400, [0.2, 0.05, 0.3, 0.45], 2000).T
    true = 2 * 0.2 / (2 * 0.2 + 0.05 + 0.3)
    forecasts = with_forecasts(counts(both + one, both + other, both))
    assert 0.93 <= ((forecasts["f1_lower"] <= true) & (forecasts["f1_upper"] >= true)).mean() <= 0.97


# ---------------------------------------------------------------------------------------------- rows of one document


def in_documents(study, documents):
    columns = [pl.lit("corpus").alias("source"), pl.Series("document", documents, dtype=pl.Int64)]
    return replace(study, rows=study.rows.with_columns(*columns))


def repeated_in_documents(times, **labels):
    """Every row stands `times` times, in a document of its own."""
    study = tables(labelled(**{model: np.repeat(rows, times) for model, rows in labels.items()}))
    return in_documents(study, np.repeat(np.arange(len(next(iter(labels.values())))), times))


def test_five_equal_rows_of_a_document_are_one_observation():
    large = seeded(0.4, 200, seed=0)
    small = large & seeded(0.4, 200, seed=1) | seeded(0.05, 200, seed=2)
    once = compute(tables(labelled(small=small, large=large)))
    clustered = compute(repeated_in_documents(5, small=small, large=large))
    single, record = pair(once, "small", "large"), pair(clustered, "small", "large")
    assert (record["rows"], record["memorized_both"]) == (1000, 5 * single["memorized_both"])
    for name, count in (("precision", small.sum()), ("recall", large.sum()), ("f1", (small | large).sum())):
        assert (record[f"{name}_clusters"], single[f"{name}_clusters"]) == (count, count)
        assert record[f"{name}_design_effect"] == pytest.approx(5, rel=0.03)
        assert single[f"{name}_design_effect"] == 1
        assert record[name] == pytest.approx(single[name])
        for end in ("lower", "upper"):
            assert record[f"{name}_{end}"] == pytest.approx(single[f"{name}_{end}"], abs=0.01)
    assert record["base_rate_clusters"] == 200
    assert [t.verdict for t in clustered.trends] == [t.verdict for t in once.trends]
    assert clustered.strength == pytest.approx(once.strength, rel=0.1)


def test_memorized_rows_of_one_document_decide_nothing():
    """200 rows that both models memorize are of one document: their number says nothing of other documents."""
    large = np.arange(1000) < 400
    small = np.arange(1000) < 200
    name = "small-models-forecast-precisely-but-miss-most"
    assert trend(compute(tables(labelled(small=small, large=large))), name).verdict == "shows"
    finding = compute(in_documents(tables(labelled(small=small, large=large)), np.arange(1000) // 400))
    assert pair(finding, "small", "large")["precision_clusters"] == 1
    assert trend(finding, name).verdict == "cannot tell"
    assert trend(finding, name).test.endswith("are of one document, so that no interval is known")
    assert finding.strength is None
    assert "small memorizes 50.0 % of the 400 rows that large does (recall; no interval)" in finding.claim


def test_rows_of_a_document_are_not_a_cluster_in_training_order():
    """Documents of 20 rows memorized by chance, whole: one row each lies by chance; clusters of documents do not."""
    chance, clusters = seeded(0.3, 2000, seed=1), np.repeat(seeded(0.3, 100, seed=2), 20)
    by_rows = compute(tables(labelled(chance=np.repeat(chance, 20), clusters=np.repeat(clusters, 20))))
    assert by_rows.table("spread")["verdict"].to_list() == ["clustered"] * 2
    finding = compute(repeated_in_documents(20, chance=chance, clusters=clusters))
    spread = finding.table("spread")
    assert spread["verdict"].to_list() == ["as by chance", "clustered"]
    assert spread.select("windows", "size", "events").rows() == [(20, 100, chance.sum()), (20, 100, clusters.sum())]
    assert "in the order of rows, the first of each document, those of clusters lie clustered" in finding.claim
    assert any("the first row of each document, 2,000 of 40,000 rows" in caveat for caveat in finding.caveats)
    alone = compute(tables(labelled(chance=chance, clusters=clusters))).table("spread")
    assert spread.equals(alone)


def test_documents_without_common_rows_are_reported_as_rows_are():
    study = repeated_in_documents(2, small=SMALL, large=LARGE)
    no_common_row = (pl.col("row") < 10) == (pl.col("model") == "small")
    finding = compute(replace(study, scores=study.scores.filter(no_common_row)))
    assert "the study lacks rows that all models scored" in finding.claim


def test_few_documents_have_no_spread():
    finding = compute(repeated_in_documents(20, small=SMALL, large=LARGE))
    record = finding.table("spread").row(0, named=True)
    assert (record["windows"], record["reason"]) == (None, "10 rows are too few for 20 windows of 5")


# ------------------------------------------------------------------------------------------------- the order of rows


def test_memorized_rows_by_chance_and_in_clusters_are_distinguished():
    chance = seeded(0.2, 2000, seed=1)
    clusters = np.repeat(seeded(0.2, 100, seed=2), 20)
    finding = compute(tables(labelled(chance=chance, clusters=clusters)))
    spread = finding.table("spread")
    assert spread["verdict"].to_list() == ["as by chance", "clustered"]
    assert spread.select("windows", "size").rows() == [(20, 100)] * 2
    assert "in the order of rows those of clusters lie clustered" in finding.claim
    assert any("Row ids are read as training order" in caveat for caveat in finding.caveats)


@pytest.mark.parametrize(
    ("repetitions", "claimed"), [([None] * 2000, True), ([1] * 2000, True), ([1, 8] * 1000, False)]
)
def test_the_claim_omits_the_order_of_rows_that_were_shown_more_than_once(repetitions, claimed):
    labels = labelled(chance=seeded(0.2, 2000, seed=1), clusters=np.repeat(seeded(0.2, 100, seed=2), 20))
    finding = compute(tables(labels, repetitions=repetitions))
    assert ("in the order of rows" in finding.claim) == claimed
    assert finding.table("spread")["verdict"].to_list() == ["as by chance", "clustered"]
    assert any("have no one place in training order" in caveat for caveat in finding.caveats) != claimed


def test_of_recited_rows_alone_windows_are_of_row_ids():
    study = tables(labelled(small=[1] * 20 + [0] * 80, large=[1] * 30 + [0] * 70), complete=False)
    ids = pl.col("row") * 10
    study = replace(study, scores=study.scores.with_columns(ids), rows=study.rows.with_columns(ids))
    record = compute(study).table("spread").row(1, named=True)
    assert (record["windows"], record["size"], record["events"]) == (20, 49, 30)  # ids 0 to 990
    assert record["dispersion"] == pytest.approx((6 * 5**2 - 20 * 1.5**2) / 19 / 1.5)  # five in each of the first six


def test_rows_seen_several_times_have_no_single_position_in_training():
    finding = compute(tables(labelled(small=SMALL * 10, large=LARGE * 10), repetitions=[1] * 90 + [16] * 10))
    assert "Some rows were seen up to 16 times and have no one place in training order." in finding.caveats


def test_few_rows_have_no_spread():
    record = compute(tables(labelled(small=SMALL, large=LARGE))).table("spread").row(0, named=True)
    assert (record["windows"], record["p_clustered"]) == (None, None)
    assert record["reason"] == "10 rows are too few for 20 windows of 5"


# -------------------------------------------------------------------------------------------------------- the trends


def trend(finding, name):
    return next(trend for trend in finding.trends if trend.trend == name)


def test_a_small_model_that_memorizes_part_of_the_same_rows_shows_the_trend():
    large = seeded(0.4, 500, seed=0)
    small = large & seeded(0.3, 500, seed=1)
    result = trend(compute(tables(labelled(small=small, large=large))), "small-models-forecast-precisely-but-miss-most")
    assert result.verdict == "shows"
    assert "above the base rate of" in result.test


def test_a_small_model_that_memorizes_other_rows_does_not():
    """Its precision is far above its recall too, since it memorizes fewer rows; but it is the base rate."""
    large, small = seeded(0.5, 2000, seed=0), seeded(0.05, 2000, seed=1)
    finding = compute(tables(labelled(small=small, large=large)))
    record = pair(finding, "small", "large")
    assert record["precision_lower"] > record["recall_upper"]
    assert trend(finding, "small-models-forecast-precisely-but-miss-most").verdict == "cannot tell"


def test_the_interval_of_the_base_rate_counts():
    """8 of 10 rows (49.0 % at least) are apart from the base rate of 44.4 %, but not from its interval."""
    small, large = [1] * 10 + [0] * 80, [0] * 2 + [1] * 40 + [0] * 48
    finding = compute(tables(labelled(small=small, large=large)))
    record = pair(finding, "small", "large")
    assert (record["precision"], record["base_rate"]) == pytest.approx((0.8, 40 / 90))
    assert (record["base_rate_lower"], record["base_rate_upper"]) == pytest.approx((0.3462, 0.5472), abs=1e-4)
    assert record["base_rate"] < record["precision_lower"] < record["base_rate_upper"]
    assert record["precision_lower"] > record["recall_upper"]
    result = trend(finding, "small-models-forecast-precisely-but-miss-most")
    assert result.verdict == "cannot tell"
    assert "above the base rate of 44.4 % (34.6 to 54.7 %)" in result.test


def test_a_small_model_that_memorizes_more_contradicts():
    small = seeded(0.6, 500, seed=0)
    large = small & seeded(0.3, 500, seed=1)
    result = trend(compute(tables(labelled(small=small, large=large))), "small-models-forecast-precisely-but-miss-most")
    assert result.verdict == "contradicts"


@pytest.mark.parametrize(("checkpoint", "verdict"), [(0.9, "shows"), (0.4, "cannot tell"), (0.1, "cannot tell")])
def test_a_checkpoint_is_compared_with_a_smaller_model_of_no_less_compute(checkpoint, verdict):
    large = seeded(0.5, 1000, seed=0)
    small, early = large & seeded(0.4, 1000, seed=1), large & seeded(checkpoint, 1000, seed=2)
    labels = labelled(**{"small": small, "large-1": early, "large-2": large})
    sizes, steps = {"small": 50, "large-1": 100, "large-2": 100}, {"small": 20, "large-1": 8, "large-2": 20}
    result = trend(
        compute(tables(labels, parameters=sizes, steps=steps)), "checkpoints-forecast-better-than-small-models"
    )
    assert result.verdict == verdict
    assert "large-1 has 0." in result.test
    assert "(0 of 0 pairs do)" in result.test


def test_a_better_checkpoint_of_more_compute_than_the_small_model_shows_nothing():
    large = seeded(0.5, 1000, seed=0)
    small, early = large & seeded(0.4, 1000, seed=1), large & seeded(0.9, 1000, seed=2)
    labels = labelled(**{"small": small, "large-1": early, "large-2": large})
    sizes, steps = {"small": 50, "large-1": 100, "large-2": 100}, {"small": 20, "large-1": 15, "large-2": 20}
    result = trend(
        compute(tables(labels, parameters=sizes, steps=steps)), "checkpoints-forecast-better-than-small-models"
    )
    assert result.verdict == "cannot tell"
    assert "no checkpoint has as little compute as a smaller model" in result.test
    assert "(0 of 1 pairs do)" in result.test


def test_the_pair_of_the_most_similar_compute_decides_not_the_best_of_many():
    """The checkpoint beats the worse of two smaller models, but not the one whose compute is nearer to its own."""
    large = seeded(0.5, 1000, seed=0)
    worse, near, early = (large & seeded(share, 1000, seed=1) for share in (0.4, 0.8, 0.8))
    labels = labelled(**{"worse": worse, "near": near, "large-1": early, "large-2": large})
    steps = {"worse": 20, "near": 20, "large-1": 8, "large-2": 20}

    def result(worse_size, near_size):
        sizes = {"worse": worse_size, "near": near_size, "large-1": 100, "large-2": 100}
        finding = compute(tables(labels, parameters=sizes, steps=steps))
        return trend(finding, "checkpoints-forecast-better-than-small-models")

    assert result(60, 50).verdict == "cannot tell"  # the checkpoint has 0.4 of the compute
    assert "large-1 has 0.860" in result(60, 50).test
    assert result(50, 60).verdict == "shows"


def test_checkpoints_that_forecast_as_small_models_do_show_nothing_in_95_of_100_studies():
    """Ten checkpoints and six smaller models, of the same compute and alike: sixty pairs, one of which decides."""
    rng, verdicts = np.random.default_rng(0), []
    for _ in range(20):
        large = rng.random(300) < 0.3
        labels = {f"s{size}": large & (rng.random(300) < 0.6) for size in range(6)}
        labels |= {f"l{step}": large & (rng.random(300) < 0.6) for step in range(10)} | {"l": large}
        sizes = {f"s{size}": 90 + size for size in range(6)} | {f"l{step}": 100 for step in range(10)} | {"l": 100}
        steps = {f"s{size}": 100 for size in range(6)} | {f"l{step}": 80 + step for step in range(10)} | {"l": 100}
        finding = compute(tables(labelled(**labels), parameters=sizes, steps=steps))
        verdicts.append(trend(finding, "checkpoints-forecast-better-than-small-models").verdict)
    assert verdicts.count("shows") <= 1


def test_without_checkpoints_the_second_trend_has_no_verdict():
    result = trend(compute(tables(labelled(small=SMALL, large=LARGE))), "checkpoints-forecast-better-than-small-models")
    assert result.test == "the study lacks earlier checkpoints of the largest model that memorize a row"


# ----------------------------------------------------------------------------------------------------------- poor input


def test_with_one_model_the_missing_data_is_reported():
    finding = compute(tables(labelled(large=LARGE)))
    assert finding.claim == (
        "Whether a smaller model or an earlier checkpoint forecasts what a later one memorizes cannot be said: the "
        "study lacks two models, one smaller or earlier, with rows at 32 + 32 tokens."
    )
    assert finding.missing
    assert not finding.tables


def test_a_control_model_forecasts_nothing():
    finding = compute(tables(labelled(untrained=SMALL, large=LARGE), control_models=("untrained",)))
    assert finding.missing


def test_the_absence_of_memorized_rows_is_reported():
    finding = compute(tables(labelled(small=[0] * 9, large=[0] * 9)))
    assert "lacks memorized rows (none of 9 rows is recited by any model)" in finding.claim


def test_a_small_model_that_memorizes_nothing_has_no_precision():
    finding = compute(tables(labelled(small=[0] * 10, large=LARGE)))
    record = pair(finding, "small", "large")
    assert (record["precision"], record["recall"], record["f1"]) == (None, 0, 0)
    assert finding.claim.startswith(
        "At 32 + 32 tokens small memorizes no row (no precision), and small memorizes 0.0 % of the 5 rows"
    )
    assert finding.strength is None
    assert {trend.verdict for trend in finding.trends} == {"cannot tell"}


def test_only_common_rows_are_compared():
    matches = labelled(small=SMALL, large=LARGE)
    matches["small"][CELL][6:] = [None] * 4
    finding = compute(tables(matches))
    record = pair(finding, "small", "large")
    assert (record["rows"], record["precision"], record["recall"]) == (6, 1.0, pytest.approx(2 / 5))
    assert "Only the 6 rows that all models scored are compared, of 10." in finding.caveats


def test_without_common_rows_the_missing_data_is_reported():
    study = tables(labelled(small=SMALL, large=LARGE))
    no_common_row = (pl.col("row") < 5) == (pl.col("model") == "small")
    finding = compute(replace(study, scores=study.scores.filter(no_common_row)))
    assert "the study lacks rows that all models scored" in finding.claim


def test_a_model_without_the_reference_cell_is_left_out():
    matches = labelled(small=SMALL, large=LARGE)
    matches["other"] = {(32, 16): [16] * 10}
    finding = compute(tables(matches))
    assert finding.table("forecasts")["later"].to_list() == ["large"]
    assert "Without training rows at 32 + 32, and left out: other." in finding.caveats


def test_unknown_sizes_give_no_compute_axis():
    finding = compute(tables(labelled(small=SMALL, large=LARGE), parameters={"small": None, "large": None}))
    assert pair(finding, "small", "large")["kind"] == "listed before"
    assert pair(finding, "small", "large")["compute"] is None
    assert not {"precision", "recall", "f1"} & {chart.name for chart in finding.charts}
    assert any("without a compute axis" in caveat for caveat in finding.caveats)


def test_verbatim_depth_has_labels_and_no_correlation_of_scores():
    verbatim = {
        model: {CELL: [32 if label else 3 for label in labels]} for model, labels in (("a", SMALL), ("b", LARGE))
    }
    masked = {model: {CELL: [v if v == 32 else None for v in cells[CELL]]} for model, cells in verbatim.items()}
    finding = compute(tables(masked, verbatim=verbatim, depth="verbatim"))
    assert pair(finding, "a", "b")["precision"] == pytest.approx(2 / 3)
    record = finding.table("correlations").row(0, named=True)
    assert record["pearson"] is None
    assert record["phi"] == pytest.approx(np.corrcoef(SMALL, LARGE)[0, 1])
