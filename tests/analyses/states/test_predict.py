"""`predict`: planted probabilities, intervals over seeds by hand, comparisons, and sentences."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.stats import t as student

from mematlas.analyses.states.predict.finding import ANALYSIS
from mematlas.analyses.states.predict.gains import prediction_gains
from mematlas.analyses.states.predict.over_seeds import accuracy_by_size, over_seeds, prediction_transfer
from mematlas.analyses.states.predict.predictions import predictor_outputs
from mematlas.analyses.states.predict.scores import seed_control, seed_levels, seed_positions, seed_scores
from mematlas.study.schemas.predictions import BASELINES, BOOSTING, LOGISTIC, MAJORITY, PREDICTIONS, PREDICTOR, SHUFFLED
from tests.analyses.synthetic_tables import tables, with_predictions

SCHEMA = pl.from_arrow(PREDICTIONS.empty_table()).schema


def prediction(probability, hit, **key):
    """One record of predictions."""
    defaults = {"model": "m", "tested": "m", "sees": "generated", "method": PREDICTOR, "seed": 0, "role": "train"}
    return defaults | {"row": 0, "level": 0, "weight": 1.0, "probability": probability, "hit": hit} | key


def predictions(*records):
    return pl.DataFrame(list(records), schema=SCHEMA).lazy()


def study(count=90, models=("small", "large"), roles=True, lengths=(16, 32), **options):
    matches = {model: {(32, length): [length // 2] * count for length in lengths} for model in models}
    return tables(matches, roles=["control" if roles and row % 3 == 0 else "train" for row in range(count)], **options)


def study_with(*records, models=("m",)):
    """A study with only these predictions, scored at 2 and 4 tokens."""
    return replace(study(9, models, lengths=(2, 4)), predictions=predictions(*records))


def record(finding, table="scores", **where):
    return finding.table(table).filter(**where).row(0, named=True)


# ------------------------------------------------------------------------------------------------------ of one seed


def test_accuracy_by_hand_at_each_length_with_weights():
    records = predictions(
        prediction([0.9, 0.6, 0.1, 0.2], [True, True, False, True], row=1, weight=3.0),
        prediction([0.4, 0.1, 0.3, 0.5], [True, False, False, True], row=2, weight=1.0),
    )
    two, four = seed_scores(records, (4, 2)).to_dicts()
    assert (two["continuation"], four["continuation"]) == (2, 4)
    assert (four["rows"], four["tokens"]) == (2, 8)
    assert two["token_accuracy"] == pytest.approx((3 * 2 + 1) / 8)
    assert two["full_accuracy"] == pytest.approx(3 / 4)
    assert two["base_rate"] == pytest.approx((3 * 2 + 1) / 8)
    assert four["token_accuracy"] == pytest.approx((3 * 3 + 3) / 16)
    assert four["full_accuracy"] == 0
    assert four["guess"] == four["base_rate"] == pytest.approx((9 + 2) / 16)
    # hits weigh 9 + 2; called recited: 6 + 1, all of them hits
    assert four["f1"] == pytest.approx(2 * 7 / (7 + 11))


def test_a_weight_of_three_is_three_rows():
    records = [prediction([0.9, 0.4], [True, True], row=1), prediction([0.3, 0.8], [True, False], row=2)]
    weighted = seed_scores(predictions(records[0] | {"weight": 3.0}, records[1]), (2,))
    copied = seed_scores(predictions(*[records[0]] * 3, records[1]), (2,))
    numbers = ("base_rate", "token_accuracy", "full_accuracy", "auroc", "auprc", "f1", "ece")
    assert weighted.select(numbers).row(0) == pytest.approx(copied.select(numbers).row(0))
    plain = seed_scores(predictions(*records), (2,))
    assert weighted["full_accuracy"][0] == plain["full_accuracy"][0] == 0
    assert weighted["token_accuracy"][0] == pytest.approx(3 / 8)
    assert plain["token_accuracy"][0] == pytest.approx(1 / 4)


def test_a_probability_of_one_half_calls_recited():
    scores = seed_scores(predictions(prediction([0.5, 0.5], [True, True])), (2,)).row(0, named=True)
    assert (scores["full_accuracy"], scores["token_accuracy"]) == (1, 1)


def test_tokens_behind_an_early_end_and_missing_probabilities_are_left_out():
    records = predictions(
        prediction([0.9, 0.9, 0.9, 0.9], [True, True, None, None], row=1),
        prediction([0.9, None, 0.9, 0.9], [True, True, True, False], row=2),
        prediction([0.9, 0.9], [True, True], row=3),
    )
    two, four = seed_scores(records, (2, 4)).to_dicts()
    assert (two["tokens"], two["token_accuracy"], two["full_accuracy"]) == (5, 1, 1)
    assert (four["tokens"], four["full_accuracy"]) == (7, None)
    assert four["token_accuracy"] == pytest.approx(6 / 7)
    assert seed_scores(records, (2, 8))["continuation"].to_list() == [2]
    output = next(predictor_outputs(records))
    assert np.isnan(output.probability).sum() == 3
    assert output.is_known.sum() == 7


def test_control_rows_are_scored_separately():
    records = predictions(
        prediction([0.9, 0.9], [False, True], role="control", weight=2.0),
        prediction([0.9, 0.1], [False, False], role="control", row=1),
        prediction([0.1, 0.1], [True, True], row=2),
    )
    scores = seed_control(records, (2,)).row(0, named=True)
    assert scores["flagged_tokens"] == pytest.approx(5 / 6)
    assert scores["recited_tokens"] == pytest.approx(2 / 6)
    assert scores["flagged_rows"] == pytest.approx(2 / 3)
    assert (scores["recited_rows"], scores["rows"]) == (0, 2)
    assert seed_scores(records, (2,))["tokens"].to_list() == [2]


def test_levels_have_accuracies_and_shares():
    records = predictions(
        prediction([0.1, 0.1], [False, False], row=1, level=0, weight=3.0),
        prediction([0.9, 0.1], [False, False], row=2, level=0, weight=1.0),
        prediction([0.9, 0.9], [True, True], row=3, level=4, weight=1.0),
        prediction([0.9, 0.1], [True, True], row=4, level=4, weight=5.0),
    )
    by_level = {level_record["level"]: level_record for level_record in seed_levels(records, 2).to_dicts()}
    assert by_level[0]["full_accuracy"] == pytest.approx(3 / 4)
    assert by_level[4]["full_accuracy"] == pytest.approx(1 / 6)
    assert (by_level[0]["share"], by_level[4]["share"]) == pytest.approx((3 / 4, 1 / 4))
    assert (by_level[0]["rows_share"], by_level[4]["rows_share"]) == pytest.approx((4 / 10, 6 / 10))
    assert (by_level[2]["rows"], by_level[2]["full_accuracy"], by_level[2]["share"]) == (0, None, 0)


def test_positions_are_taken_by_four():
    hits = [[True] * 4 + [False, True], [False] * 4 + [True, False]]
    records = predictions(prediction([0.9] * 6, hits[0], row=1), prediction([0.1] * 6, hits[1], row=2))
    assert seed_positions(records).select("position", "tokens", "auroc").rows() == [(1, 8, 1.0), (5, 4, 0.5)]


# -------------------------------------------------------------------------------------------------------- over seeds


def test_the_interval_is_students_over_seeds():
    records = pl.DataFrame({"seed": [3, 4, 5], "rows": [10, 11, 12], "auroc": [0.6, 0.7, 0.65], "method": "a"})
    result = over_seeds(records, ("method",), ("auroc",)).row(0, named=True)
    half_width = student.ppf(0.975, 2) * 0.05 / 3**0.5
    assert half_width == pytest.approx(0.1242, abs=1e-4)
    assert (result["auroc"], result["seeds"], result["rows"]) == (pytest.approx(0.65), 3, 33)
    assert (result["auroc_lower"], result["auroc_upper"]) == pytest.approx((0.65 - half_width, 0.65 + half_width))
    single_seed = over_seeds(records.head(1), ("method",), ("auroc",)).row(0, named=True)
    assert (single_seed["auroc"], single_seed["auroc_lower"], single_seed["auroc_upper"]) == (0.6, None, None)


def test_shares_end_at_one_and_differences_go_below_zero():
    records = pl.DataFrame({"seed": [0, 1], "all": 0, "f1": [0.9, 1.0], "f1_gain": [-0.1, 0.0]})
    result = over_seeds(records, ("all",), ("f1", "f1_gain")).row(0, named=True)
    assert result["f1_upper"] == 1
    assert result["f1_gain_lower"] < -0.5


def seed_records(**auroc):
    """Records of `seed_scores` with these AUROCs, one per seed, by method."""
    names = {"ours": PREDICTOR, "logistic": LOGISTIC, "shuffled": SHUFFLED}
    records = [
        {"model": "m", "tested": "m", "sees": "context", "method": names[name], "seed": seed, "continuation": 4}
        | {"rows": 5, "tokens": 20, "guess": 0.5, "auroc": value, "token_accuracy": value - 0.1, "full_accuracy": 0.0}
        for name, values in auroc.items()
        for seed, value in enumerate(values)
    ]
    return pl.DataFrame(records)


def outputs(*, rows=60, seeds=(0,), effect=1.0, shared=0.0, rng_seed=0, tokens=4):
    """Predictions of the predictor and of logistic regression; `effect`: how much better the first is."""
    rng, records = np.random.default_rng(rng_seed), []
    luck = rng.normal(size=(rows // 6 + 1, 2)) * shared
    for row in range(rows):
        hits = rng.random(tokens) < 0.5
        signal = np.where(hits, 1.0, -1.0)
        for seed in seeds:
            for number, (method, strength) in enumerate(((PREDICTOR, 1 + effect), (LOGISTIC, 1.0))):
                logits = signal * (strength + luck[row // 6, number]) + rng.normal(0, 2, tokens)
                probability = (1 / (1 + np.exp(-logits))).tolist()
                records.append(prediction(probability, hits.tolist(), row=row, method=method, seed=seed))
    return predictions(*records)


def clusters_of_six(rows):
    return pl.DataFrame({"row": range(rows), "cluster": [row // 6 for row in range(rows)]})


def test_gains_are_paired_by_seed_and_signed():
    records = outputs(seeds=(0, 1), effect=1.0)
    gain = prediction_gains(records, (4,)).row(0, named=True)
    scores = seed_scores(records, (4,))
    by_method = dict(scores.group_by("method").agg(pl.mean("auroc")).iter_rows())
    assert (gain["method"], gain["seeds"], gain["clusters"]) == (LOGISTIC, 2, 60)
    assert gain["auroc_gain"] == pytest.approx(by_method[PREDICTOR] - by_method[LOGISTIC])
    accuracy = dict(scores.group_by("method").agg(pl.mean("token_accuracy")).iter_rows())
    assert gain["token_accuracy_gain"] == pytest.approx(accuracy[PREDICTOR] - accuracy[LOGISTIC])
    assert gain["auroc_gain_lower"] > 0


def test_the_interval_of_a_gain_is_that_of_resampled_documents():
    rows, rng = 120, np.random.default_rng(1)
    frame = outputs(rows=rows, seeds=(0, 1), effect=0.5, shared=1.0).collect()
    gain = prediction_gains(frame.lazy(), (4,), clusters_of_six(rows)).row(0, named=True)
    documents = [frame.filter(pl.col("row") // 6 == document) for document in range(rows // 6)]
    means = []
    for _ in range(200):
        sample = pl.concat([documents[number] for number in rng.integers(0, len(documents), len(documents))])
        scores = seed_scores(sample.with_columns(row=pl.int_range(pl.len(), dtype=pl.Int64)).lazy(), (4,))
        by_method = dict(scores.group_by("method").agg(pl.mean("auroc")).iter_rows())
        means.append(by_method[PREDICTOR] - by_method[LOGISTIC])
    width = gain["auroc_gain_upper"] - gain["auroc_gain_lower"]
    assert width == pytest.approx(2 * student.ppf(0.975, 19) * np.std(means), rel=0.2)
    assert gain["clusters"] == 20


def test_a_predictor_like_its_baseline_is_above_or_below_in_at_most_six_percent_of_cases():
    """Luck of whole documents, the same in every seed: over seeds it would look like a difference."""
    verdicts = []
    for seed in range(50):
        records = outputs(rows=120, seeds=(0, 1, 2), effect=0.0, shared=1.0, rng_seed=seed)
        gain = prediction_gains(records, (4,), clusters_of_six(120)).row(0, named=True)
        verdicts.append(gain["auroc_gain_lower"] > 0 or gain["auroc_gain_upper"] < 0)
    assert sum(verdicts) <= 6


def test_a_predictor_that_is_its_baseline_gains_nothing_and_has_no_interval():
    frame = outputs().filter(method=PREDICTOR).collect()
    same = pl.concat([frame, frame.with_columns(method=pl.lit(BOOSTING))]).lazy()
    gain = prediction_gains(same, (2, 4, 8), None)
    assert gain["continuation"].to_list() == [2, 4]
    assert gain.select("auroc_gain", "auroc_gain_lower", "full_accuracy_gain").row(1) == (0, None, 0)


def test_transfer_is_compared_with_the_models_own_predictor():
    own = seed_records(ours=[0.9, 0.8])
    other = own.with_columns(model=pl.lit("smaller"), auroc=pl.Series([0.6, 0.6]))
    transfer = prediction_transfer(pl.concat([own, other])).row(0, named=True)
    assert (transfer["model"], transfer["tested"]) == ("smaller", "m")
    assert (transfer["auroc"], transfer["own_auroc"]) == pytest.approx((0.6, 0.85))
    assert transfer["auroc_change"] == pytest.approx(-0.25)
    alone = prediction_transfer(other).row(0, named=True)
    assert (alone["own_auroc"], alone["auroc_change"]) == (None, None)


def test_the_table_by_size_is_in_percent():
    records = seed_records(ours=[0.9, 0.8]).with_columns(full_accuracy=pl.Series([0.1, 0.2]))
    models = pl.DataFrame({"model": ["m"], "parameters": [0]})
    accuracies = accuracy_by_size(records, models).row(0, named=True)
    assert (accuracies["context_token"], accuracies["context_full"], accuracies["guess_token"]) == pytest.approx(
        (75, 15, 50)
    )
    assert (accuracies["generated_token"], accuracies["guess_full"], accuracies["parameters"]) == (None, None, None)


# ------------------------------------------------------------------------------------------------------- the finding


def test_the_informative_predictor_beats_its_baselines_and_the_shuffled_one_does_not_discriminate():
    finding = ANALYSIS.compute(with_predictions(study(), seeds=range(4)))
    own = record(finding, model="large", sees="context", method=PREDICTOR, continuation=32)
    assert 0.7 < own["auroc_lower"] < own["auroc"] < 0.9
    shuffled = record(finding, model="large", sees="context", method=SHUFFLED, continuation=32)
    assert shuffled["auroc"] == pytest.approx(0.5, abs=0.03)
    majority = record(finding, model="large", sees="context", method=MAJORITY, continuation=32)
    assert majority["auroc"] == 0.5
    assert majority["token_accuracy"] == pytest.approx(1 - majority["base_rate"])
    assert finding.claim.startswith("Before generating, ")
    assert " % of tokens are rightly told to be recited by large or not (guessing " in finding.claim
    assert " % of 2,560 in 80 held-out rows are, 4 seeds), AUROC " in finding.claim
    assert f"AUROC {own['auroc']:.3f}, above logistic regression (+0." in finding.claim
    assert "; while generating, " in finding.claim
    assert len(finding.claim) <= 350
    assert "Fitted to shuffled labels the predictor has AUROC 0." in finding.control
    assert "In control rows it calls " in finding.control
    names = ["methods", "continuation", "sizes", "sizes-accuracy", "levels", "wholly-right", "calibration", "positions"]
    assert [chart.name for chart in finding.charts] == names
    assert any("small on large. States of another width cannot be read." in words for words in finding.caveats)


def with_swapped_methods(study_tables, method, other_method):
    names = pl.col("method").replace({method: other_method, other_method: method})
    return replace(study_tables, predictions=study_tables.predictions.with_columns(names))


def test_a_predictor_that_is_beaten_is_below_and_one_like_its_baseline_not_above():
    finding = ANALYSIS.compute(with_swapped_methods(with_predictions(study(), seeds=range(4)), PREDICTOR, LOGISTIC))
    assert ", below logistic regression (-0." in finding.claim
    assert finding.strength > 3
    two_methods = with_predictions(study(), seeds=range(4), methods=(PREDICTOR, LOGISTIC))
    alike = replace(two_methods, predictions=_as_boosting(two_methods.predictions.collect()))
    claim = ANALYSIS.compute(alike).claim
    assert ", not above gradient boosting (+0.000 in every seed)" in claim


def _as_boosting(frame):
    predictor = frame.filter(method=PREDICTOR)
    return pl.concat([predictor, predictor.with_columns(method=pl.lit(BOOSTING))]).lazy()


def test_one_seed_has_no_interval_of_scores_and_says_so():
    finding = ANALYSIS.compute(with_predictions(study(), seeds=(5,)))
    assert finding.table("scores")["auroc_lower"].null_count() == finding.table("scores").height
    assert (
        "One seed: nothing tells how far off another split or start would be; intervals of gains are over documents."
    ) in finding.caveats
    assert " are, one seed), AUROC " in finding.claim
    assert " logistic regression (+" in finding.claim
    assert finding.strength > 0
    assert {trend.verdict for trend in finding.trends} == {"cannot tell"}


def test_rows_that_its_context_gets_wrong_are_shown():
    right, wrong = [0.9] * 4, [0.2] * 4
    records = [
        prediction(wrong, [True] * 4, row=1, level=4, sees="context"),
        prediction(right, [True] * 4, row=2, level=4, sees="context"),
        prediction(right, [False] * 4, row=3, level=0, sees="context"),
        prediction(wrong, [False] * 4, row=4, level=0, sees="context"),
        prediction(wrong, [True] * 4, row=5, level=4, sees="context", role="control"),
    ]
    assert ANALYSIS.compute(study_with(*records)).rows == {
        1: "recited by m (M at least 0.8), of which its context gave a chance of 20 % a token",
        3: "not recited by m (M < 0.2), of which its context gave a chance of 90 % a token",
    }


def test_trends_are_shown_and_contradicted():
    low = [prediction([0.1] * 4, [False] * 4, row=row, level=0, seed=seed) for row in (1, 2, 3) for seed in (0, 1)]
    high = [prediction([0.9] * 4, [True] * 4, row=9, level=4, seed=seed) for seed in (0, 1)]
    falls = [prediction([0.9, 0.9, 0.1, 0.1], [True] * 4, row=8, level=4, seed=seed) for seed in (0, 1)]
    finding = ANALYSIS.compute(study_with(*low, *high, *falls))
    verdicts = {trend.trend: trend.verdict for trend in finding.trends}
    assert verdicts["full-accuracy-falls-with-continuation"] == "shows"
    assert verdicts["predictor-accuracy-grows-with-continuation"] == "contradicts"
    assert verdicts["predictor-accuracy-grows-with-size"] == "cannot tell"


# ---------------------------------------------------------------------------- where predictions are wholly right


def low_score_trend(low, right, *, seeds=(0,), documents=None):
    """The verdict for rows of low scores or not, predicted wholly right or not."""
    rows = [
        prediction([0.1 if is_right else 0.9] * 4, [False] * 4, row=row, level=0 if is_low else 4, seed=seed)
        for row, (is_low, is_right) in enumerate(zip(low, right, strict=True))
        for seed in seeds
    ]
    tables = replace(study(len(low), ("m",), lengths=(2, 4), roles=False), predictions=predictions(*rows))
    if documents is not None:
        columns = pl.Series("document", documents, dtype=pl.Int64), pl.lit("s").alias("source")
        tables = replace(tables, rows=tables.rows.with_columns(columns))
    return ANALYSIS.compute(tables).trends[0]


@pytest.mark.parametrize(
    ("right_of_low", "right_of_high", "verdict"), [(60, 5, "shows"), (20, 30, "contradicts"), (40, 20, "cannot tell")]
)
def test_right_predictions_are_compared_with_the_share_of_low_rows(right_of_low, right_of_high, verdict):
    """80 of 120 rows have low scores."""
    right = [row < right_of_low for row in range(80)] + [row < right_of_high for row in range(40)]
    trend = low_score_trend([True] * 80 + [False] * 40, right)
    assert trend.verdict == verdict
    share = right_of_low / (right_of_low + right_of_high)
    assert f"have M < 0.4: {share:.3g} of {right_of_low + right_of_high}, of the others" in trend.test
    assert ". All held-out rows: 0.667. " in trend.test


@pytest.mark.parametrize("share", [0.5, 0.7, 0.9])
def test_rows_that_are_right_equally_often_at_every_level_are_no_concentration(share):
    verdicts = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        verdicts.append(low_score_trend((rng.random(80) < share).tolist(), (rng.random(80) < 0.3).tolist()).verdict)
    assert verdicts.count("cannot tell") >= 55, "false verdicts in at most 6 %, and chance"


def test_a_row_held_out_by_several_seeds_and_rows_of_a_document_are_one_unit():
    low, right = [True] * 14 + [False] * 6, [True] * 9 + [False] * 5 + [True] + [False] * 5
    once = low_score_trend(low, right)
    assert once.verdict == "cannot tell"
    assert low_score_trend(low, right, seeds=range(8)).verdict == "cannot tell"
    copied = low_score_trend(low * 8, right * 8, documents=list(range(20)) * 8)
    assert copied.verdict == "cannot tell"
    assert low_score_trend(low * 8, right * 8).verdict == "shows"


def test_all_right_or_none_right_leave_nothing_to_compare():
    assert "Nothing to compare" in low_score_trend([True, False], [True, True]).test
    assert low_score_trend([True, False], [False, False]).test == (
        "no row of m is predicted wholly right while generating"
    )


@pytest.mark.parametrize(("better", "verdict"), [("large", "shows"), ("small", "contradicts")])
def test_size_compares_the_largest_with_the_smallest(better, verdict):
    records = [
        prediction([0.9 if model == better else 0.1, 0.9] * 2, [True] * 4, model=model, tested=model, seed=seed)
        for model in ("small", "large")
        for seed in (0, 1)
    ]
    trend = ANALYSIS.compute(study_with(*records, models=("small", "large"))).trends[1]
    assert trend.verdict == verdict
    assert "of large minus small at 4 tokens" in trend.test


# ------------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("predictions", "missing"),
    [
        (None, "predictions of held-out rows"),
        (predictions(), "a predictor's word on held-out training rows of which it is known what was recited"),
        (predictions(prediction([0.5] * 4, [None] * 4)), "a predictor's word on held-out"),
        (predictions(prediction([0.5] * 4, [True] * 4, role="control")), "a predictor's word on held-out"),
        (predictions(prediction([0.5] * 4, [True] * 4, method=MAJORITY)), "a predictor's word on held-out"),
    ],
)
def test_missing_data_is_reported(predictions, missing):
    finding = ANALYSIS.compute(replace(study_with(), predictions=predictions))
    assert finding.claim.startswith(
        f"Whether it can be foretold which tokens a model recites cannot be said: the study lacks {missing}"
    )
    assert finding.missing == (
        "Record states: `mematlas score ... --signals hidden,free,truth`, then run `mematlas fit STUDY`."
    )
    assert len(finding.trends) == 4


def test_one_class_has_no_auroc_and_says_so():
    finding = ANALYSIS.compute(
        study_with(prediction([0.4] * 4, [False] * 4), prediction([0.1] * 4, [False] * 4, seed=1))
    )
    scores = record(finding, continuation=4)
    assert (scores["auroc"], scores["auprc"], scores["f1"], scores["token_accuracy"]) == (None, None, None, 1)
    assert (
        "100.0 % of tokens are rightly told to be recited by m or not (guessing 100.0 %; 0.0 % of 8 in 2 "
        in finding.claim
    )
    assert "Where held-out tokens are all recited, or all are not, there is no AUROC." in finding.caveats
    assert "No baseline stands beside the predictor of m." in finding.caveats
    assert (
        "The corpus names no documents: rows are held out, and rows of one document may be on both sides."
        in finding.caveats
    )
    assert "Nothing was predicted before generating." in finding.caveats


def test_the_papers_numbers_are_included():
    published = ANALYSIS.compute(with_predictions(study())).table("published")
    assert published.filter(continuation=64, model="12B").row(0) == (64, "12B", 82.1, 6.0)


def test_baselines_are_all_compared():
    finding = ANALYSIS.compute(with_predictions(study(60), methods=(PREDICTOR, *BASELINES), sees=("generated",)))
    assert set(finding.table("gains")["method"]) == set(BASELINES)
    assert finding.table("scores").filter("drawn", model="large", continuation=32).height == 3
