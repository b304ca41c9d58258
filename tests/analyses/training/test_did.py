"""`did`: checkpoints of one training, made with a known effect of being shown."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from mematlas.analyses.training.checkpoint_scores import checkpoint_scores_of, one_trainings
from mematlas.analyses.training.counterfactual.finding import compute as counterfactual
from mematlas.analyses.training.did import compute
from tests.analyses.synthetic_tables import tables, with_documents

CELL, STEPS = (16, 32), (0, 100, 200, 300, 400)
#: Step in which each row is shown: by the first checkpoint, in four cohorts, or never.
SHOWN = np.repeat([0, 50, 150, 250, 350, -1], [10, 60, 60, 60, 60, 80])
ROWS = len(SHOWN)
#: Right tokens of 32 more after being shown: at the next checkpoint, one later ...
GAIN = np.array([12, 6, 4, 2])


def exposures_of(shown: np.ndarray, models: list[str], times: int = 1) -> pl.LazyFrame:
    frames = [
        pl.DataFrame({"model": model, "row": row, "times": times, "first_step": shown[row], "last_step": shown[row]})
        for model, step in zip(models, STEPS, strict=True)
        if len(row := np.flatnonzero((shown >= 0) & (shown <= step)))
    ]
    return pl.concat(frames).lazy()


def training(*, gain=GAIN, apart: float = 0.0, seed: int = 0, control: int = 20, shown=SHOWN, size="s"):
    """Five checkpoints. apart: right tokens per checkpoint that rows to be shown gain anyway."""
    rng = np.random.default_rng(seed)
    cohort = np.where(shown < 0, len(STEPS), -(-shown // 100))
    chance = rng.uniform(0.1, 0.3, ROWS)
    names, matches = [f"{size}-{step}" for step in STEPS], {}
    for number, name in enumerate(names):
        since = number - cohort
        more = np.where(since >= 0, gain[np.clip(since, 0, len(gain) - 1)], 0) + apart * number * (shown >= 0)
        right = rng.binomial(16, chance) + number + np.round(more).astype(int)
        matches[name] = {CELL: [*np.clip(right, 0, 32).tolist(), *rng.binomial(16, 0.2, control) + number]}
    roles = ["train"] * ROWS + ["control"] * control
    steps = dict(zip(names, STEPS, strict=True))
    study = tables(matches, roles=roles, parameters=dict.fromkeys(names, 10**6), steps=steps)
    return replace(study, exposures=exposures_of(shown, names))


@pytest.fixture(scope="module")
def finding():
    return compute(training())


def test_records_are_of_every_row_and_checkpoint_with_the_first_checkpoint_that_was_shown_it():
    lines = checkpoint_scores_of(training())
    assert lines.height == 5 * (ROWS + 20)
    assert lines.filter(row=10)["first"].unique().to_list() == [100]
    assert lines.filter(row=ROWS - 1)["first"].null_count() == 5
    assert lines.filter(row=ROWS + 3)["times"].to_list() == [0] * 5
    assert lines.filter(row=0)["step"].to_list() == list(STEPS)


def test_the_effect_on_every_cohort_is_recovered(finding):
    table = finding.table("att")
    after = table.filter(when="after").with_columns(since=(pl.col("step") - pl.col("cohort")) // 100)
    truth = GAIN[after["since"].to_numpy()] / 32
    inside = (after["att_lower"].to_numpy() <= truth) & (truth <= after["att_upper"].to_numpy())
    assert inside.mean() >= 0.9
    assert after["rows"].unique().to_list() == [60]
    assert after.filter(cohort=100, step=100)["controls"].item() == 180 + 80 + 20
    assert after.filter(cohort=400, step=400)["controls"].item() == 80 + 20
    before = table.filter(when="before")
    assert before.select("cohort", "step").sort("cohort", "step").rows() == [
        (200, 0), (300, 0), (300, 100), (400, 0), (400, 100), (400, 200),
    ]  # fmt: skip
    assert (before["att"].abs() < 0.06).all()


def test_the_profile_averages_cohorts_and_the_claim_says_it(finding):
    profile = finding.table("profile")
    assert profile["after"].to_list() == [-4, -3, -2, 0, 1, 2, 3]
    assert profile.filter(pl.col("after") >= 0)["cohorts"].to_list() == [4, 3, 2, 1]
    for record in profile.iter_rows(named=True):
        truth = GAIN[record["after"]] / 32 if record["after"] >= 0 else 0
        assert record["att_lower"] - 0.01 <= truth <= record["att_upper"] + 0.01
    assert finding.claim.startswith("At 16 + 32 tokens being shown changes mean M of a row by +0.3")
    assert "(240 rows of 4 cohorts, beside 280 rows not yet or never shown); 3 checkpoints later" in finding.claim
    assert finding.strength > 10
    assert "where it should be 0. The test that all such differences are 0 has p = " in finding.control


def test_rows_shown_by_the_first_checkpoint_are_left_out_and_counted(finding):
    record = finding.table("parallel").row(0, named=True)
    assert (record["dropped"], record["never"], record["leads"], record["again"]) == (10, 100, 3, 0)
    assert record["p"] > 0.05
    assert any(caveat.startswith("10 rows had been shown by the first checkpoint") for caveat in finding.caveats)
    assert not any("Parallel trends are broken" in caveat for caveat in finding.caveats)


def test_a_break_of_parallel_trends_is_flagged_and_takes_the_strength():
    finding = compute(training(apart=2.0))
    assert finding.strength is None
    assert any(caveat.startswith("Parallel trends are broken (1,000,000 parameters") for caveat in finding.caveats)


def test_showings_that_change_nothing_have_no_effect():
    """The negative control."""
    profile = compute(training(gain=np.zeros(4, int), seed=1)).table("profile")
    assert ((profile["att_lower"] <= 0) & (profile["att_upper"] >= 0)).sum() >= profile.height - 1
    assert (profile["att"].abs() < 0.05).all()


def test_rows_of_a_document_widen_the_interval():
    study, documents = training(), [row // 20 for row in range(ROWS + 20)]
    width = {}
    for name, tables_of in (("rows", study), ("documents", with_documents(study, documents))):
        record = compute(tables_of).table("profile").filter(after=0).row(0, named=True)
        width[name] = record["att_upper"] - record["att_lower"]
    assert width["documents"] != width["rows"]


def test_checkpoints_of_one_training_are_no_random_subsets():
    finding = counterfactual(training())
    assert finding.missing is not None
    assert "models of several trainings" in finding.claim
    assert "`mematlas analyze STUDY --only did`" in finding.missing


def test_models_of_several_trainings_are_no_checkpoints():
    study = training()
    some = study.exposures.filter((pl.col("row") % 2 == 0) | (pl.col("model") != "s-400"))
    assert one_trainings(replace(study, exposures=some)) == []
    finding = compute(replace(study, exposures=some))
    assert "the study lacks checkpoints of one training between which" in finding.claim
    assert "`mematlas import exposures order.csv --study STUDY`" in finding.missing
    assert "a record of which checkpoints" in compute(replace(study, exposures=None)).claim


def test_a_pair_of_trainings_of_other_lengths_is_none_of_them():
    """A control that was trained shorter and on fewer rows looks like a checkpoint, but nothing says when."""
    study = training()
    unknown = study.exposures.with_columns(first_step=pl.lit(None, pl.Int64), last_step=pl.lit(None, pl.Int64))
    assert one_trainings(replace(study, exposures=unknown)) == []
    assert one_trainings(study) == [tuple(f"s-{step}" for step in STEPS)]
    other = study.exposures.with_columns(first_step=pl.col("first_step") + (pl.col("model") == "s-400").cast(pl.Int64))
    assert one_trainings(replace(study, exposures=other)) == []


def test_rows_shown_again_are_said():
    study = training()
    finding = compute(replace(study, exposures=study.exposures.with_columns(times=pl.lit(3, pl.Int64))))
    assert any("100.0% of the rows were shown more than once" in caveat for caveat in finding.caveats)
