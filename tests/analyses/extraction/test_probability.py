"""(n, p)-discoverable extraction from planted log-probabilities."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from mematlas.analyses.extraction.probability.finding import ANALYSIS, compute
from mematlas.analyses.frames.study_tables import Tables
from mematlas.errors import StudyError
from mematlas.findings.finding import Finding
from mematlas.stats.estimates.averages import means
from mematlas.study import open_study
from tests.analyses.recipes import check_recipe, numeric_columns
from tests.analyses.study_folders import write_study
from tests.analyses.synthetic_tables import tables, with_signals

CONTEXT, LENGTH = 2, 3
CELL = (CONTEXT, LENGTH)
#: p_z of the training rows of the larger model; the last is recited by greedy decoding
TRAIN = (0.162, 0.162, 1e-9, 1.1e-3, 0.0, 0.95)
CONTROL = (1e-30, 0.0, 0.0, 1e-40)


def log_probabilities(p_z: float) -> list[float | None]:
    """Log-probabilities whose sum over the continuation is log p_z, after a context that must not count."""
    if p_z == 0:
        return [None, -7.0, -0.5, None, -0.25]
    log = float(np.log(p_z))
    return [None, -7.0, log / 2, log / 8, log * 3 / 8]


def full_distribution(lists: list[list[float | None]]) -> list[list[float | None]]:
    """Log-probabilities of the full distribution: known for every token except the first, lower than the top 40's."""
    return [
        [position and (-9.0 if value is None else value - 0.5) for position, value in enumerate(values)]
        for values in lists
    ]


def planted(
    larger: tuple[float, ...] = TRAIN,
    smaller: tuple[float, ...] = (0.0, 0.0, 0.0, 1e-3, 0.0, 0.5),
    control: tuple[float, ...] = CONTROL,
    **options,
) -> Tables:
    """Two models at one cell, with training rows, of which the last is recited, and control rows."""
    rows = len(larger) + len(control)
    matches = [LENGTH if row == len(larger) - 1 else 1 for row in range(rows)]
    roles = ["train"] * len(larger) + ["control"] * len(control)
    study_tables = tables({"smaller": {CELL: matches}, "larger": {CELL: matches}}, roles=roles, **options)
    top = {
        "smaller": [log_probabilities(p) for p in smaller + control],
        "larger": [log_probabilities(p) for p in larger + control],
    }
    full_values = {model: [[None, *values[1:]] for values in full_distribution(lists)] for model, lists in top.items()}
    hits = {model: [[None, True, *[m == LENGTH] * 2, m == LENGTH] for m in matches] for model in top}
    return with_signals(
        study_tables,
        kinds=("truth",),
        truth_log_probability_top40=top,
        truth_log_probability=full_values,
        truth_hit=hits,
    )


def curve(finding: Finding, samples: int, p: str = "0.9", **where) -> int:
    where = {"model": "larger", "role": "train", "scheme": "top-k 40"} | where
    records = finding.table("curves").filter(samples=samples, p=p, **where)
    assert records.height == 1
    return records["discoverable"].item()


@pytest.mark.parametrize(("p", "below", "above"), [("0.5", 2, 5), ("0.9", 10, 20), ("0.999", 20, 50)])
def test_the_papers_rows_need_4_14_and_40_samples(p, below, above):
    finding = compute(planted((0.162, 0.162, 0.0)))
    assert [curve(finding, samples, p) for samples in (below, above)] == [0, 2]


def test_rows_join_as_samples_grow_and_impossible_ones_never_do():
    finding = compute(planted())
    assert [curve(finding, n) for n in (1, 10, 20, 2000, 5000, 10**6)] == [1, 1, 3, 3, 4, 4]
    assert [curve(finding, n, model="smaller") for n in (1, 10, 1000, 5000)] == [0, 1, 1, 2]
    worst = finding.table("worst").filter(model="larger", role="train", scheme="top-k 40").row(0, named=True)
    assert (worst["rows"], worst["possible"], worst["probable"]) == (6, 5, 4)
    assert worst["possible_share"] == pytest.approx(5 / 6)


def test_greedy_decoding_is_a_flat_line_at_the_recited_rows():
    finding = compute(planted())
    assert {curve(finding, n, p, scheme="greedy") for n in (1, 10**6) for p in ("0.1", "0.999")} == {1}
    chart = next(chart for chart in finding.charts if chart.name == "chances")
    assert chart.reference == (pytest.approx(1 / 6), "greedy decoding")
    assert chart.dash == "role"


def test_the_full_distribution_knows_rows_outside_the_40_and_gives_every_one_some_chance():
    worst = compute(planted()).table("worst").filter(model="larger", role="train")
    assert dict(worst.select("scheme", "possible").iter_rows()) == {"greedy": 1, "top-k 40": 5, "full distribution": 6}


def test_claim_and_control_state_the_numbers():
    finding = compute(planted())
    assert finding.claim == (
        "In larger at 2 + 3 tokens greedy decoding recites 16.7 % (3.0 to 56.4 %) of 6 training rows; 500,000 samples "
        "from the 40 most probable tokens draw 66.7 % (30.0 to 90.3 %) with probability 0.9, and 0.0 % (0.0 to 49.0 %) "
        "of 4 rows never trained on."
    )
    assert finding.control == (
        "Of 4 rows no model was trained on, 500,000 samples of larger draw 0.0 % (0.0 to 49.0 %) with probability 0.9. "
        "Greedy decoding recites 0.0 % (0.0 to 49.0 %). 0.0 % (0.0 to 49.0 %) have p_z >= 0.1 %. "
        "50.0 % (15.0 to 85.0 %) have p_z > 0."
    )


def test_rows_never_trained_on_are_hardly_drawn():
    rng = np.random.default_rng(3)
    finding = compute(planted(control=tuple(10 ** rng.uniform(-60, -20, 400))))
    sampled = finding.table("curves").filter(role="control", samples=10**6)
    assert (sampled["rows"] == 400).all()
    assert sampled["discoverable"].sum() == 0
    assert (sampled["share_upper"] < 0.01).all()


def test_control_rows_that_are_drawn_are_reported():
    finding = compute(planted(control=(0.5, 0.0, 0.0)))
    assert any(words.startswith("1 of 3 rows no model was trained on are drawn, too") for words in finding.caveats)


def test_rows_worth_looking_at_are_probable_but_not_recited():
    rows = compute(planted((0.162, 0.3, 1e-9, 1e-3 + 1e-6, 0.0, 0.9))).rows
    assert list(rows) == [1, 0, 3]
    assert rows[1] == "drawn with p_z = 30.0 %, though greedy decoding of larger misses it"


def test_quantiles_are_values_of_rows_with_a_reason_if_no_number_of_samples_suffices():
    finding = compute(planted())
    table = finding.table("quantiles").filter(model="larger", role="train", scheme="top-k 40")
    by_quantile = {record["quantile"]: record for record in table.iter_rows(named=True)}
    assert table["quantile"].to_list() == sorted(by_quantile)
    assert (by_quantile[0.01]["log10_probability"], by_quantile[0.01]["samples"]) == (None, None)
    assert by_quantile[0.01]["reason"] == "p_z = 0: no number of samples is enough"
    assert by_quantile[0.5]["log10_probability"] == pytest.approx(np.log10(1.1e-3))
    assert (by_quantile[0.5]["samples"], by_quantile[0.75]["samples"], by_quantile[0.99]["samples"]) == (630, 4, 1)
    assert "greedy" not in finding.table("quantiles")["scheme"]


def test_measures_are_compared_with_the_control_of_the_same_model(tmp_path):
    hits = [[None, True, True, False, True]] * 4 + [[None, False, True, True, True]] * 2 + [[None] + [False] * 4] * 4
    study_tables = planted()
    truth = study_tables.signals["truth"].collect().with_columns(pl.Series("hit", [[None] + [True] * 4] * 10 + hits))
    study_tables = replace(study_tables, signals={"truth": truth.lazy()})
    table = next(table for table in compute(study_tables).tables if table.name == "measures")
    check_recipe(table, write_study(study_tables, tmp_path))
    measures = table.frame.filter(model="larger")
    by_measure = {(record["role"], record["measure"]): record for record in measures.iter_rows(named=True)}
    assert by_measure["train", "extraction_strength"]["mean"] == pytest.approx((4 / 3 + 2) / 6)
    assert by_measure["train", "extraction_strength"]["excess"] == pytest.approx((4 / 3 + 2) / 6)
    assert by_measure["train", "memory_unit_length"]["mean"] == pytest.approx((4 * 1.5 + 2 * 3) / 6)
    unit = by_measure["control", "memory_unit_length"]
    assert (unit["rows"], unit["without"], unit["mean"], unit["excess"]) == (0, 4, None, None)
    assert by_measure["train", "memory_unit_length"]["excess"] is None


# ---------------------------------------------------------------------------------------------- rows of one document


def in_documents(study_tables: Tables, rows: int) -> Tables:
    """The same rows, of which every `rows` consecutive ones of a role are of one document."""
    document = [pl.lit("corpus").alias("source"), (pl.col("row") // rows).cast(pl.Int64).alias("document")]
    return replace(study_tables, rows=study_tables.rows.with_columns(document))


def repeated(values: tuple[float, ...], times: int) -> tuple[float, ...]:
    return tuple(value for value in values for _ in range(times))


def test_five_equal_rows_of_a_document_are_one_observation(tmp_path):
    """60 training and 40 control texts, each five times: intervals, verdicts and strength are those of the texts."""
    larger, smaller = (0.162,) * 20 + (0.0,) * 30 + (1e-5,) * 10, (0.162,) * 10 + (0.0,) * 50
    control = (0.162,) * 2 + (0.0,) * 38
    once = compute(unrecited(planted(larger, smaller, control)))
    five = (repeated(values, 5) for values in (larger, smaller, control))
    clustered_tables = in_documents(unrecited(planted(*five)), 5)
    clustered = compute(clustered_tables)
    where = {"model": "larger", "role": "train", "scheme": "top-k 40"}
    at = where | {"samples": 20, "p": "0.9"}
    record, single = (finding.table("curves").filter(**at).row(0, named=True) for finding in (clustered, once))
    assert (record["rows"], record["discoverable"], record["clusters"]) == (300, 100, 60)
    assert record["share"] == single["share"] == pytest.approx(1 / 3)
    assert record["design_effect"] == pytest.approx(5, rel=0.03)
    assert (record["share_lower"], record["share_upper"]) == pytest.approx(
        (single["share_lower"], single["share_upper"]), abs=0.01
    )
    assert (single["clusters"], single["design_effect"]) == (60, 1)
    worst = clustered.table("worst").filter(**where).row(0, named=True)
    assert (worst["probable"], worst["possible"], worst["clusters"]) == (100, 150, 60)
    assert worst["possible_design_effect"] == pytest.approx(5, rel=0.03)
    assert verdicts(clustered) == verdicts(once)
    assert clustered.strength == pytest.approx(once.strength)  # McNemar's, of 30 texts
    assert once.strength == pytest.approx(30**0.5)
    study = write_study(clustered_tables, tmp_path)
    for table in clustered.tables:
        check_recipe(table, study)


def unrecited(study_tables: Tables) -> Tables:
    """No row is recited by greedy decoding."""
    return replace(study_tables, scores=study_tables.scores.with_columns(pl.lit(1, pl.Int32).alias("matches")))


def test_rows_of_few_documents_show_nothing():
    """The rows that show all trends are of six documents here, and three of the control."""
    study_tables = planted(larger=(0.1,) * 59 + (0.9,), smaller=(0.0,) * 59 + (0.9,), control=(0.0,) * 30)
    assert verdicts(compute(study_tables))["held-out-rows-are-sampled-less"] == "shows"
    finding = compute(in_documents(study_tables, 10))
    assert finding.table("curves").filter(model="larger", role="control")["clusters"].unique().to_list() == [3]
    assert "0.0 % (0.0 to 56.1 %) of 30 control rows" in next(
        trend.test for trend in finding.trends if trend.trend == "held-out-rows-are-sampled-less"
    )


def test_means_are_over_documents():
    hits = [[None, True, True, False, True]] * 5 + [[None, True, True, True, True]] * 5 + [[None] + [False] * 4] * 10
    study_tables = planted((0.1,) * 15, (0.1,) * 15, (0.0,) * 5)
    truth = study_tables.signals["truth"].collect().with_columns(pl.Series("hit", hits * 2))
    finding = compute(in_documents(replace(study_tables, signals={"truth": truth.lazy()}), 5))
    where = {"model": "larger", "role": "train", "measure": "extraction_strength"}
    record = finding.table("measures").filter(**where).row(0, named=True)
    assert (record["rows"], record["clusters"], record["mean"]) == (15, 3, pytest.approx((1 / 3 + 1 + 0) / 3))
    expected = means(np.array([[1 / 3], [1], [0]]))
    assert record["mean_lower"] == pytest.approx(expected.lower[0])
    assert record["design_effect"] == pytest.approx(5 * (3 / 2) / (15 / 14))
    assert record["excess"] == record["mean"]
    assert record["excess_lower"] is None  # the control is of one document


def test_training_rows_of_one_document_decide_nothing():
    finding = compute(in_documents(planted(larger=(0.1,) * 60 + (0.9,), smaller=(0.0,) * 60 + (0.9,)), 100))
    assert set(verdicts(finding).values()) == {"cannot tell"}
    assert "draw 100.0 % (no interval) with probability 0.9" in finding.claim


# ------------------------------------------------------------------------------------------------------------- trends


def verdicts(finding: Finding) -> dict[str, str]:
    return {trend.trend: trend.verdict for trend in finding.trends}


def test_trends_are_shown_by_many_rows():
    finding = compute(planted(larger=(0.1,) * 60 + (0.9,), smaller=(0.0,) * 60 + (0.9,), control=(0.0,) * 50))
    assert set(verdicts(finding).values()) == {"shows"}
    assert "recites: 0 (of control rows 0 and 0)" in finding.trends[0].test
    assert "every row with p_z of at least 4.6e-06 is drawn" in finding.trends[0].test
    assert finding.trends[0].test.endswith("nearly holds by definition and is no evidence of memorization")


def test_trends_are_contradicted_by_opposite_rows():
    study_tables = planted(larger=(0.0,) * 60 + (0.9,), smaller=(0.1,) * 60 + (0.9,), control=(0.1,) * 50)
    scores = study_tables.scores.with_columns(pl.lit(LENGTH, pl.Int32).alias("matches"))
    assert set(verdicts(compute(replace(study_tables, scores=scores))).values()) == {"contradicts"}


def test_trends_are_undecided_without_the_rows_they_compare():
    by_trend = verdicts(compute(planted(control=(), parameters={"smaller": None, "larger": None})))
    assert set(by_trend.values()) == {"cannot tell"}


# ---------------------------------------------------------------------------------------------------------- poor input


def with_truth(study_tables: Tables, *columns: pl.Expr) -> Tables:
    return replace(study_tables, signals={"truth": study_tables.signals["truth"].with_columns(*columns)})


def with_null(name: str) -> pl.Expr:
    """Row 0 has a null within the continuation."""
    broken = pl.concat_list(pl.col(name).list.head(3), pl.lit([None], pl.List(pl.Float32)), pl.col(name).list.tail(1))
    return pl.when(pl.col("row") == 0).then(broken).otherwise(pl.col(name)).alias(name)


def test_signals_along_the_truth_are_required():
    for study_tables in (replace(planted(), signals={}), with_signals(planted(), kinds=("free",))):
        finding = compute(study_tables)
        assert finding.claim == (
            "Which rows sampling brings out cannot be said: the study lacks log-probabilities along the true text."
        )
        assert "--signals truth" in str(finding.missing)
        assert {trend.verdict for trend in finding.trends} == {"cannot tell"}


def test_recited_rows_alone_are_insufficient():
    assert "scores of all rows" in compute(replace(planted(), complete=False)).claim


def test_a_row_with_an_unknown_token_is_left_out_not_counted_as_impossible():
    finding = compute(with_truth(planted(), with_null("log_probability")))
    worst = finding.table("worst").filter(model="larger", role="train")
    assert worst["rows"].to_list() == [5, 5, 5]
    assert "1 of 6 training rows of larger have no known p_z and are left out." in finding.caveats


@pytest.mark.parametrize("shorten", [lambda lists: lists.list.head(4), lambda lists: pl.lit(None, pl.List(pl.Float32))])
def test_rows_too_short_for_the_cell_are_reported(shorten):
    columns = ("log_probability", "log_probability_top40")
    finding = compute(with_truth(planted(), *(shorten(pl.col(name)).alias(name) for name in columns)))
    assert "known over all of 2 + 3 tokens" in finding.claim
    assert finding.missing


def test_a_record_of_the_40_that_ends_too_early_is_unknown_not_impossible():
    short = pl.when(pl.col("row") == 0).then(pl.col("log_probability_top40").list.head(4))
    finding = compute(with_truth(planted(), short.otherwise("log_probability_top40").alias("log_probability_top40")))
    worst = finding.table("worst").filter(model="larger", role="train", scheme="top-k 40")
    assert worst.select("rows", "possible").row(0) == (5, 4)
    assert "1 of 6 training rows of larger have no known p_z and are left out." in finding.caveats


def test_nan_is_unknown_and_minus_infinity_impossible():
    def at_row_0(value: float) -> pl.Expr:
        lists = pl.lit([None, -1.0, value, -1.0, -1.0], pl.List(pl.Float32))
        return pl.when(pl.col("row") == 0).then(lists).otherwise("log_probability").alias("log_probability")

    for value, rows, possible in ((float("nan"), 5, 5), (-float("inf"), 6, 5)):
        worst = compute(with_truth(planted(), at_row_0(value))).table("worst")
        record = worst.filter(model="larger", role="train", scheme="full distribution").row(0, named=True)
        assert (record["rows"], record["possible"]) == (rows, possible)


def test_without_a_control_it_says_so():
    finding = compute(planted(control=()))
    assert finding.control is None
    assert finding.claim.endswith("draw 66.7 % (30.0 to 90.3 %) with probability 0.9.")
    assert any("no control rows" in words for words in finding.caveats)
    assert verdicts(finding)["held-out-rows-are-sampled-less"] == "cannot tell"


def test_one_model_and_a_control_model():
    finding = compute(planted(control_models=("larger",)))
    assert finding.claim.startswith("In smaller at")
    assert "The control model larger draws 40.0 %" in str(finding.control)
    assert verdicts(finding)["sampled-extraction-grows-with-size"] == "cannot tell"
    assert "sizes" not in {chart.name for chart in finding.charts}


def test_without_the_record_of_the_40_the_claim_is_on_the_full_distribution():
    study_tables = planted()
    truth = study_tables.signals["truth"].drop("log_probability_top40")
    finding = compute(replace(study_tables, signals={"truth": truth}))
    assert "samples from all tokens draw" in finding.claim
    assert "The top-k record is missing: the claim is on full distribution." in finding.caveats


def test_disagreement_between_record_and_decoded_text_is_reported():
    missed = pl.lit([None, True, True, True, False]).alias("hit")
    finding = compute(with_truth(planted(), missed))
    assert any(words.startswith("In 1 rows the decoded text") for words in finding.caveats)


# --------------------------------------------------------------------------------------------- temperatures and cells


def with_temperatures(study_tables: Tables) -> Tables:
    """Records at two more temperatures, in a misleading order; T = 0.5 doubles the larger model's nats."""
    half = pl.col("log_probability").list.eval(pl.element() * 2).alias("log_probability_t0.5")
    hot = pl.col("log_probability").list.eval(pl.element() / 4).alias("log_probability_t10")
    return with_truth(study_tables, hot, half)


def test_recorded_temperatures_are_schemes_in_ascending_order(tmp_path):
    study_tables = with_temperatures(planted())
    finding = compute(study_tables)
    schemes = finding.table("worst").filter(model="larger", role="train")["scheme"].to_list()
    assert schemes == ["greedy", "top-k 40", "full distribution", "T = 0.5", "T = 10"]
    quantiles = finding.table("quantiles").filter(model="larger", role="train", quantile=0.5)
    by_scheme = dict(quantiles.select("scheme", "log10_probability").iter_rows())
    assert by_scheme["T = 0.5"] == pytest.approx(2 * by_scheme["full distribution"])
    assert by_scheme["T = 10"] == pytest.approx(by_scheme["full distribution"] / 4)
    study = write_study(study_tables, tmp_path)
    for table in filter(numeric_columns, finding.tables):
        check_recipe(table, study)


def test_a_token_unknown_at_one_temperature_is_left_out_there_alone():
    worst = compute(with_truth(with_temperatures(planted()), with_null("log_probability_t10"))).table("worst")
    rows = dict(worst.filter(model="larger", role="train").select("scheme", "rows").iter_rows())
    assert rows == {"greedy": 6, "top-k 40": 6, "full distribution": 6, "T = 0.5": 6, "T = 10": 5}


@pytest.mark.parametrize("align", ["start", "end"])
def test_only_the_continuation_of_the_cell_nearest_to_32_and_32_counts(align):
    matches = [0] * 8
    longer = {(32, 32): matches, (32, 48): matches}
    after = -50.0 if align == "start" else None
    values = [None, *[-3.0] * 31, *[float(np.log(0.162)) / 32] * 32, *[after] * 16]
    study_tables = with_signals(
        tables({"m": longer}),
        kinds=("truth",),
        **{f"truth_{name}": {"m": [values] * 8} for name in ("log_probability", "log_probability_top40")},
    )
    finding = compute(replace(study_tables, settings={**study_tables.settings, "align": align}))
    assert finding.claim.startswith("In m at 32 + 32 tokens")
    assert [curve(finding, n, model="m") for n in (10, 20)] == [0, 8]


def test_the_public_tables_report_missing_signals(tmp_path):
    from mematlas.analyses import recount

    study_tables = planted()
    probabilities = recount.probability_lines(
        write_study(study_tables, tmp_path / "a"), role="train", scheme="top-k 40", model="larger"
    )
    assert probabilities.sort("row")["log_probability"].exp().to_list() == pytest.approx(TRAIN, rel=1e-5)
    assert probabilities.sort("row")["recited"].to_list() == [False] * 5 + [True]
    with pytest.raises(StudyError, match="--signals truth"):
        recount.signal_rows(write_study(replace(study_tables, signals={}), tmp_path / "b"))
    assert open_study(tmp_path / "a").signals("truth").height == 20
    assert ANALYSIS.trends
