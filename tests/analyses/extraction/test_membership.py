"""Membership inference and exposure, on log-probabilities planted by hand."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from mematlas.analyses.extraction.membership.blind_check import why_unchecked
from mematlas.analyses.extraction.membership.finding import ANALYSIS
from mematlas.analyses.extraction.membership.row_scores import PERCENTS, SCORES, membership_scores
from mematlas.analyses.frames.study_tables import Cell
from mematlas.literature.published import TABLES
from mematlas.metrics import METRICS
from mematlas.report.document import strongest_findings
from mematlas.stats.classification.membership import min_k_mean, token_z_scores, true_positive_rate
from tests.analyses.synthetic_tables import tables, with_features, with_signals

CELL = (4, 4)
WIDTH, COUNT = 8, 240
ROLES = ["control" if row % 3 == 0 else "train" for row in range(COUNT)]
SHOWN = [0 if row % 3 == 0 else (1, 2, 5, 64)[row % 4] for row in range(COUNT)]
MEMBER = np.array([role == "train" for role in ROLES])


def planted(lift=1.0, models=("small", "large"), *, by_repetitions=False, features=True, seed=0, **options):
    """Signals of log-probabilities that are `lift` higher in training rows for the last model (times log2 of how often
    they were shown, if `by_repetitions`), and the same in all rows for the others."""
    rng = np.random.default_rng(seed)
    study_tables = tables(
        {model: {CELL: [row % 5 for row in range(COUNT)]} for model in models},
        **{"roles": ROLES, "repetitions": SHOWN} | options,
    )
    study_tables = with_features(study_tables) if features else study_tables
    values = {model: rng.normal(-6, 1, (COUNT, WIDTH)) for model in models}
    step = np.log2(np.maximum(SHOWN, 1)) / 6 if by_repetitions else MEMBER
    values[models[-1]] += lift * step[:, None]
    log_probabilities = {model: [[None, *row[1:]] for row in rows.tolist()] for model, rows in values.items()}
    return with_signals(study_tables, truth_log_probability=log_probabilities)


def compute(study_tables):
    return ANALYSIS.compute(study_tables)


def record(finding, table="scores", **where):
    return finding.table(table).filter(**where).row(0, named=True)


def without_column(frame, column):
    return frame.with_columns(pl.lit(None, frame.collect_schema()[column]).alias(column))


# -------------------------------------------------------------------------------------------------------- the numbers


def test_members_score_above_control_rows_and_not_the_other_way_round():
    finding = compute(planted(1.0))
    for score in ("loss", "zlib ratio", "Min-K%", "Min-K%++", "reference model"):
        result = record(finding, model="large", score=score)
        assert result["auroc_lower"] > 0.5, score
        assert (result["members"], result["controls"]) == (160, 80)
    assert record(finding, model="small", score="loss")["auroc_lower"] < 0.5
    assert record(finding, model="small", score="loss")["auroc_upper"] > 0.5
    below = record(compute(planted(-1.0)), model="large", score="loss")
    assert below["auroc_upper"] < 0.45


def test_a_lift_of_one_deviation_of_the_mean_is_the_area_of_two_gaussians():
    """Seven tokens of deviation 1: a lift of 1 / sqrt(7) moves their mean by one standard deviation."""
    results = [
        record(compute(planted(7**-0.5, seed=seed, features=False)), model="large", score="loss") for seed in range(8)
    ]
    assert np.mean([result["auroc"] for result in results]) == pytest.approx(0.760, abs=0.03)


def test_the_loss_is_over_the_window_without_its_first_token():
    study_tables = planted()
    rows = next(membership_scores(study_tables, Cell(*CELL)))
    signals = study_tables.cell_signals("truth", Cell(*CELL)).filter(model="small").collect().sort("row")
    for at in (0, 7):
        log_probabilities = signals["log_probability"][at].to_list()[1:]
        assert len(log_probabilities) == WIDTH - 1
        assert rows["loss"][at] == pytest.approx(np.mean(log_probabilities))
        assert rows["min_k_20"][at] == pytest.approx(min(log_probabilities))  # int(0.2 * 7) is one
        assert rows["min_k_100"][at] == pytest.approx(rows["loss"][at])
        assert rows["zlib_ratio"][at] == pytest.approx(np.mean(log_probabilities) / _bytes(study_tables)[at])


def _bytes(study_tables):
    return study_tables.features["texts"].collect().sort("row")["compressed_bytes"].to_list()


def test_a_smaller_cell_is_a_cut_of_the_signals():
    study_tables = planted()
    rows = next(membership_scores(study_tables, Cell(2, 3)))
    log_probabilities = (
        study_tables.signals["truth"].filter(model="small").collect().sort("row")["log_probability"][5].to_list()[1:5]
    )
    assert rows["loss"][5] == pytest.approx(np.mean(log_probabilities))


def test_the_reference_is_the_smallest_model_and_has_none_itself():
    rows = list(membership_scores(planted(), Cell(*CELL)))
    assert rows[0]["reference"].null_count() == COUNT
    assert rows[1]["reference"].to_list() == pytest.approx((rows[1]["loss"] - rows[0]["loss"]).to_list())
    finding = compute(planted())
    assert any("The reference model small was trained on the corpus too" in words for words in finding.caveats)


def test_a_control_model_is_the_reference_and_has_no_members():
    finding = compute(planted(models=("a", "b", "c"), control_models=("b",)))
    assert record(finding, model="b", score="loss")["role"] == "control model"
    assert "reference model" not in finding.table("scores").filter(model="b")["score"]
    assert "The loss of b, which never saw the corpus, has 0." in finding.control
    assert not any("reference model" in words for words in finding.caveats)


def test_metrics_of_signals_are_the_scores_of_the_analysis():
    study_tables = planted()
    rows = next(membership_scores(study_tables, Cell(*CELL)))
    signals = study_tables.cell_signals("truth", Cell(*CELL)).filter(model="small").collect().sort("row")
    names = {"mean_log_probability": "loss", "min_k": "min_k_20", "min_k_plus_plus": "min_k_plus_plus_20"}
    for metric, column in names.items():
        values = signals.select(value=METRICS.load(metric).expression())["value"]
        assert values.to_list() == pytest.approx(rows[column].to_list()), metric


def test_the_metric_leaves_out_tokens_without_variance_as_the_statistic_does():
    frame = pl.DataFrame(
        {
            "log_probability": [[None, -1.0, -5.0, -2.0], [None, -1.0, -1.0, -1.0]],
            "mean_log_probability": [[None, -2.0, -2.0, -2.0], [None, -1.0, -1.0, -1.0]],
            "variance_log_probability": [[None, 4.0, 0.0, 1.0], [None, 0.0, 0.0, 0.0]],
        }
    )
    values = frame.select(value=METRICS.load("min_k_plus_plus").expression())["value"].to_list()
    z = token_z_scores([[-1, -5, -2]], [[-2, -2, -2]], [[4, 0, 1]])
    assert values == [min_k_mean(z, 0.2)[0], None]
    assert values[0] == 0.0


def test_the_sweep_has_every_k_and_ends_at_the_loss():
    finding = compute(planted())
    sweep = finding.table("sweep").filter(model="large", score="Min-K%")
    assert sweep["k"].to_list() == list(PERCENTS)
    assert sweep.filter(k=100)["auroc"].item() == pytest.approx(record(finding, model="large", score="loss")["auroc"])
    assert {score.k for score in SCORES if not score.swept_only} == {None, 20}


# ------------------------------------------------------------------------------------------------------ by repetitions


def test_rows_shown_often_are_discriminated_better():
    finding = compute(planted(3.0, by_repetitions=True))
    table = finding.table("repetitions").filter(model="large", score="loss")
    assert table.select("repetitions", "most").rows() == [(1, 1), (2, 3), (4, 7), (64, 127)]
    assert table["members"].to_list() == [40] * 4
    assert table["auroc"].is_sorted()
    assert table["auroc"][0] < 0.62
    assert table["auroc"][-1] == 1.0
    assert table["auroc_lower"][-1] == pytest.approx(0.025 ** (1 / 40))  # all 40 are above all 80 control rows
    assert finding.trends[0].verdict == "shows"
    assert "rows shown once with 0." in finding.claim
    assert "rows shown 64 to 127 times with 1.000" in finding.claim


def test_the_trend_is_contradicted_by_decreasing_aurocs_and_undecided_without_any():
    assert compute(planted(-3.0, by_repetitions=True)).trends[0].verdict == "contradicts"
    assert compute(planted(0.0)).trends[0].verdict == "cannot tell"
    finding = compute(planted(repetitions=[None] * COUNT, features=False))
    assert finding.trends[0].verdict == "cannot tell"
    assert "How often rows were shown is not known: nothing is said by repetitions." in finding.caveats
    assert "repetitions" not in [chart.name for chart in finding.charts]


@pytest.mark.parametrize("lift", [1.9, 2.4])
def test_buckets_that_are_both_nearly_apart_from_the_control_differ_in_at_most_six_percent_of_cases(lift):
    """10 members a bucket, as often right as each other: once an area of 1.000 counted as known to the last digit."""
    count, verdicts = 60, []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        roles, shown = ["train"] * 20 + ["control"] * 40, [1] * 10 + [64] * 10 + [0] * 40
        study_tables = tables({"m": {CELL: [0] * count}}, roles=roles, repetitions=shown)
        values = rng.normal(-6, 1, (count, WIDTH)) + lift * (np.arange(count) < 20)[:, None]
        signals = with_signals(study_tables, truth_log_probability={"m": [[None, *row[1:]] for row in values.tolist()]})
        verdicts.append(compute(signals).trends[0].verdict)
    assert verdicts.count("cannot tell") >= 37


def test_copies_in_the_corpus_replace_repetitions():
    study_tables = planted(repetitions=[None] * COUNT)
    finding = compute(study_tables)
    assert finding.table("repetitions")["repetitions"].unique().to_list() == [1]
    assert any("their exact copies in the corpus stand in for it" in words for words in finding.caveats)


def test_training_rows_never_shown_are_not_members():
    shown = [0 if row < 30 else 1 for row in range(COUNT)]
    result = record(compute(planted(repetitions=shown)), model="large", score="loss")
    assert result["members"] == 160 - 20


def test_exposure_is_in_bits_among_the_control_rows():
    finding = compute(planted(20.0))
    result = record(finding, "exposure", model="large")
    assert (result["rows"], result["references"], result["at_limit"]) == (160, 80, 160)
    assert result["exposure"] == pytest.approx(np.log2(81)) == pytest.approx(result["most_bits"])
    assert result["exposure_lower"] is None
    unexposed = record(finding, "exposure", model="small")
    assert unexposed["exposure_lower"] < unexposed["chance"] < unexposed["exposure_upper"]
    assert 1.3 < unexposed["chance"] < 1.45
    assert "Training rows are exposed by 6.34 bits on average in large" in finding.control


# --------------------------------------------------------------------------------------------------- the blind baseline


def test_an_uninformative_bag_of_words_is_reported_for_every_model():
    finding = compute(planted())
    for model in ("small", "large"):
        result = record(finding, model=model, score="bag of words")
        assert result["auroc_lower"] < 0.5 < result["auroc_upper"]
        assert result["members"] == 160
    assert "a bag of words without a model reaches 0." in finding.claim
    assert "need no model" not in finding.claim
    assert finding.strength > 3


def test_a_control_of_other_words_is_a_warning():
    study_tables = planted()
    tokens = study_tables.features["tokens"].collect()
    changed = [
        [999, *row_tokens[1:]] if role == "control" else row_tokens
        for row_tokens, role in zip(tokens["tokens"].to_list(), ROLES, strict=True)
    ]
    dated = tokens.with_columns(pl.Series("tokens", changed, dtype=pl.List(pl.Int32))).lazy()
    finding = compute(replace(study_tables, features=study_tables.features | {"tokens": dated}))
    assert record(finding, model="large", score="bag of words")["auroc"] > 0.95
    assert finding.claim.endswith(", so that the control differs in ways that need no model.")
    assert finding.caveats[0].startswith("A bag of words tells members from the control (lower end above 0.55)")
    assert finding.strength is None
    plain = compute(study_tables)
    assert record(finding, model="large", score="loss") == record(plain, model="large", score="loss")


UNCHECKED = "No bag of words stands beside the scores, so that no score shows memorization"


def of_documents(study_tables, documents):
    known = study_tables.rows.with_columns(pl.Series("document", documents, dtype=pl.Int64), source=pl.lit("s"))
    return replace(study_tables, rows=known)


def with_tokens_of(study_tables, rows):
    tokens = study_tables.features["tokens"].filter(pl.col("row").is_in(rows))
    return replace(study_tables, features=study_tables.features | {"tokens": tokens})


ONE_CONTROL = [-1 if role == "control" else row // 12 for row, role in enumerate(ROLES)]
FEW_CONTROL = [row for row in range(COUNT) if ROLES[row] == "train" or row < 57]


@pytest.mark.parametrize(
    ("study_tables", "reason"),
    [
        (planted(features=False), "it needs row features (`mematlas features STUDY`)"),
        (
            with_tokens_of(planted(), FEW_CONTROL),
            "it needs 20 rows of each side, and there are 160 training rows and 19 control rows with known tokens",
        ),
        (
            of_documents(planted(), MEMBER.astype(int)),
            "all 160 training rows and all 80 control rows are of one document, and one document on a side leaves "
            "nothing to hold out; take rows of several documents on both sides",
        ),
        (
            of_documents(planted(), ONE_CONTROL),
            "all 80 control rows are of one document, and one document on a side leaves nothing to hold out; take rows "
            "of several documents on both sides",
        ),
    ],
    ids=["no features", "few rows", "a document a side", "one control document"],
)
def test_without_a_blind_check_nothing_is_a_headline_and_the_caveat_says_why(study_tables, reason):
    finding = compute(study_tables)
    assert record(finding, model="large", score="loss")["auroc"] > 0.9  # with the check it would be a headline
    assert finding.caveats[0] == f"{UNCHECKED}: {reason}."
    assert finding.claim.endswith("; whether words alone, without a model, tell them apart is not known.")
    assert finding.strength is None
    assert strongest_findings([finding]) == []


def test_with_a_blind_check_the_claim_is_a_headline():
    finding = compute(of_documents(planted(), [row // 3 for row in range(COUNT)]))
    assert "a bag of words without a model reaches" in finding.claim
    assert "is not known" not in finding.claim
    assert not any(words.startswith(UNCHECKED) for words in finding.caveats)
    assert strongest_findings([finding]) == [finding]


def test_where_no_other_reason_applies_too_few_rows_are_left():
    """Documents that stand on both sides may all be in one fold, so that the others lack a side."""
    assert why_unchecked(planted(), Cell(*CELL)) == (
        "with documents held out too few rows of a side are left; take rows of more documents"
    )


def test_rows_of_a_document_do_not_reveal_each_other():
    """Each document has words of its own and is entirely on one side: its other rows must not reveal a row's side."""
    documents = [row // 12 for row in range(COUNT)]
    roles = ["control" if document % 3 == 0 else "train" for document in documents]
    study_tables = planted(roles=roles)
    token_lists = [[50 + document] * WIDTH for document in documents]
    tokens = pl.LazyFrame({"row": range(COUNT), "tokens": token_lists})
    rows = study_tables.rows.with_columns(pl.Series("document", documents, dtype=pl.Int64), source=pl.lit("s"))
    study_tables = replace(study_tables, features=study_tables.features | {"tokens": tokens})
    assert record(compute(study_tables), model="large", score="bag of words")["auroc"] == 1.0
    result = record(compute(replace(study_tables, rows=rows)), model="large", score="bag of words")
    assert result["auroc"] < 0.6


def test_copies_of_a_row_do_not_reveal_it():
    """Texts stand 12 times each, all on one side, without documents: a copy in the other folds would reveal a row."""
    texts = [row // 12 for row in range(COUNT)]
    roles = ["control" if text % 3 == 0 else "train" for text in texts]
    study_tables = planted(roles=roles, repetitions=[1] * COUNT)
    words = np.random.default_rng(0).integers(0, 10**6, (COUNT // 12, 14))

    def areas(width):
        token_lists = [words[text, :width].tolist() for text in texts]
        tokens = pl.LazyFrame({"row": range(COUNT), "tokens": token_lists})
        finding = compute(replace(study_tables, features=study_tables.features | {"tokens": tokens}))
        return record(finding, model="large", score="bag of words")

    short, copies = areas(8), areas(14)  # 8 tokens are too few to tell a copy
    assert (short["auroc"], short["clusters"]) == (1.0, COUNT)
    assert copies["auroc"] < 0.6
    assert copies["clusters"] == COUNT // 12


def test_intervals_are_over_documents():
    """With rows in documents of ten that are all alike, intervals are those of the documents, about sqrt(10) wider."""
    documents = np.arange(COUNT) // 10
    roles = ["control" if document % 3 == 0 else "train" for document in documents]
    study_tables = planted(0.0, roles=roles, repetitions=[1] * COUNT, features=False)
    values = np.repeat(np.random.default_rng(1).normal(-6, 1, (COUNT // 10, WIDTH)), 10, axis=0)
    study_tables = with_signals(
        study_tables,
        truth_log_probability={model: [[None, *row[1:]] for row in values.tolist()] for model in ("small", "large")},
    )
    known = study_tables.rows.with_columns(pl.Series("document", documents, dtype=pl.Int64), source=pl.lit("s"))
    for table, name in (("scores", "auroc"), ("exposure", "exposure")):
        where = {"model": "large"} | ({"score": "loss"} if table == "scores" else {})
        by_rows = record(compute(study_tables), table, **where)
        by_documents = record(compute(replace(study_tables, rows=known)), table, **where)
        assert by_documents[name] == pytest.approx(by_rows[name])
        widths = [result[f"{name}_upper"] - result[f"{name}_lower"] for result in (by_documents, by_rows)]
        assert 2.2 < widths[0] / widths[1] < 4.5, table


def test_true_positive_rates_are_over_documents():
    """600 texts in documents of five equal rows: the interval of the rate is wider than that of 600 rows."""
    count = 600
    documents = np.arange(count) // 5
    roles = ["control" if document % 2 else "train" for document in documents]
    study_tables = tables({"m": {CELL: [0] * count}}, roles=roles, repetitions=[1] * count)
    values = np.random.default_rng(1).normal(-6, 1, (count // 5, WIDTH)) + (documents[::5] % 2 == 0)[:, None]

    def rates(rows, **columns):
        log_probability = {"m": [[None, *row[1:]] for row in rows.tolist()]}
        signals = with_signals(study_tables, truth_log_probability=log_probability)
        known = signals.rows.with_columns(**columns)
        return record(compute(replace(signals, rows=known)), model="m", score="loss")

    document = {"document": pl.Series(documents, dtype=pl.Int64), "source": pl.lit("s")}
    by_rows, by_documents = rates(np.repeat(values, 5, axis=0)), rates(np.repeat(values, 5, axis=0), **document)
    assert by_rows["tpr_at_1"] == by_documents["tpr_at_1"]
    widths = [result["tpr_at_1_upper"] - result["tpr_at_1_lower"] for result in (by_documents, by_rows)]
    assert widths[0] > 1.3 * widths[1]
    member_values, control_values = (values[start::2, 1:].mean(1).astype(np.float32) for start in (0, 1))
    expected = true_positive_rate(
        *(np.repeat(side, 5) for side in (member_values, control_values)), 0.01, *[np.repeat(np.arange(60), 5)] * 2
    )
    assert (by_documents["tpr_at_1_lower"], by_documents["tpr_at_1_upper"]) == pytest.approx(
        (expected.lower, expected.upper)
    )


def test_members_of_one_document_have_a_rate_without_interval_and_a_reason():
    roles = ["train"] * 40 + ["control"] * 200
    study_tables = planted(roles=roles, repetitions=[1] * COUNT, features=False)
    documents = pl.when(pl.col("role") == "train").then(0).otherwise("row").cast(pl.Int64)
    rows = study_tables.rows.with_columns(document=documents, source=pl.lit("s"))
    result = record(compute(replace(study_tables, rows=rows)), model="large", score="loss")
    assert result["tpr_at_1"] is not None
    assert (result["tpr_at_1_lower"], result["tpr_at_1_upper"]) == (None, None)
    assert result["reason"] == "no interval at 1 %: all members are of one document, 0.1 % needs 1,000 control rows"


def test_without_features_missing_bag_of_words_and_zlib_are_reported():
    finding = compute(planted(features=False))
    assert set(finding.table("scores")["score"]) == {"loss", "Min-K%", "Min-K%++", "reference model"}
    assert "bag of words" not in finding.claim
    assert finding.caveats[0] == f"{UNCHECKED}: it needs row features (`mematlas features STUDY`)."
    assert any("No zlib ratio" in words for words in finding.caveats)


# ------------------------------------------------------------------------------------------------------------ bad input


def test_a_true_positive_rate_needs_its_control_rows():
    result = record(compute(planted()), model="large", score="loss")
    assert (result["tpr_at_1"], result["tpr_at_01"]) == (None, None)
    assert result["reason"] == "1 % needs 100 control rows, 0.1 % needs 1,000 control rows"


def test_rows_that_lack_tokens_are_reported_and_rows_without_any_left_out():
    study_tables = planted(features=False)
    signals = study_tables.signals["truth"].collect()
    lists = signals["log_probability"].to_list()
    lists[1] = [None, None, *lists[1][2:]]  # of the model small
    lists[2] = [None] * WIDTH
    lists[4] = lists[4][:5]
    changed = signals.with_columns(pl.Series("log_probability", lists, dtype=pl.List(pl.Float32))).lazy()
    finding = compute(replace(study_tables, signals={"truth": changed}))
    assert record(finding, model="small", score="loss")["members"] == 159
    assert record(finding, model="large", score="loss")["members"] == 160
    assert any(words.startswith("3 rows lack log-probabilities") for words in finding.caveats)


def test_a_constant_model_does_not_discriminate_and_has_no_z_scores():
    study_tables = planted(features=False, models=("flat",))
    flat = pl.lit([None] + [-3.0] * (WIDTH - 1), pl.List(pl.Float32)).alias("log_probability")
    no_variance = pl.lit([None] + [0.0] * (WIDTH - 1), pl.List(pl.Float32)).alias("variance_log_probability")
    finding = compute(
        replace(study_tables, signals={"truth": study_tables.signals["truth"].with_columns(flat, no_variance)})
    )
    result = record(finding, model="flat", score="loss")
    assert (result["auroc"], result["auroc_lower"]) == (0.5, None)
    assert set(finding.table("scores")["score"]) == {"loss", "Min-K%"}
    assert "with AUROC 0.500 (no interval)" in finding.claim
    assert record(finding, "exposure", model="flat")["tied"] == 160
    assert record(finding, "exposure", model="flat")["exposure"] < 1
    assert "One model alone: there is no reference model." in finding.caveats


@pytest.mark.parametrize(
    ("make_tables", "missing"),
    [
        (lambda: replace(planted(), signals={}), "per-token signals of the true text (truth)"),
        (lambda: planted(roles=["train"] * COUNT), "rows of a control corpus"),
        (
            lambda: planted(roles=["control"] * 9 + ["train"] * (COUNT - 9)),
            "10 training rows and 10 control rows with log-probabilities",
        ),
        (
            lambda: replace(
                planted(), signals={"truth": without_column(planted().signals["truth"], "log_probability")}
            ),
            "10 training rows and 10 control rows with log-probabilities",
        ),
    ],
)
def test_missing_data_is_reported(make_tables, missing):
    finding = compute(make_tables())
    assert finding.claim == (
        f"Whether training rows can be told from rows the models never saw cannot be said: the study lacks {missing}."
    )
    assert "--signals truth" in finding.missing
    assert "--control PATH" in finding.missing
    assert [trend.verdict for trend in finding.trends] == ["cannot tell"]
    assert not finding.tables


def test_sizes_that_are_not_known_draw_no_size():
    names = [chart.name for chart in compute(planted(parameters={"small": None, "large": None})).charts]
    assert names == ["repetitions", "sweep", "exposure"]
    assert [chart.name for chart in compute(planted()).charts] == ["repetitions", "sizes", "sweep", "exposure"]


def test_the_claim_names_numbers_intervals_and_rows_in_one_sentence():
    claim = compute(planted(1.0)).claim
    assert claim.startswith(
        "At 4 + 4 tokens the loss of large tells 160 training rows from 80 control rows with AUROC 0."
    )
    assert " (95 % interval 0." in claim
    assert len(claim) <= 350
    assert claim.count(".") == claim.count("0.") + claim.count("1.000") + 1


def test_the_published_numbers_are_included():
    table = compute(planted()).table("published")
    assert table.filter(duplicates=16).row(0) == (16, 0.732, 0.813)
    assert TABLES["membership-by-duplicates"].evidence == "S"
