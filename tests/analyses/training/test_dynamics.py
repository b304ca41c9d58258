"""Curves by epoch: T(N, tau) and the mark of overfitting on hand-made curves."""

import pytest

from mematlas.analyses.training.dynamics import (
    ANALYSIS,
    TAUS,
    epochs_to_reach,
    overfitting_epochs,
    training_epochs,
)
from tests.analyses.awkward_studies import full_study
from tests.analyses.synthetic_tables import with_probes


def curves(arms: dict[str, list[float]], validation_loss=(5, 4, 3, 3.5, 3), steps_per_epoch=4) -> list[tuple]:
    """Records of arms whose M on two equal training rows is as given, 0.1 apart."""
    found = []
    for arm, ms in arms.items():
        for epoch, m in enumerate(ms):
            step = epoch * steps_per_epoch
            for block, offset in enumerate((-0.05, 0.05)):
                found += [(arm, step, f"train:{block}", "M", m + offset, 1)]
                found += [(arm, step, f"train:{block}", "shown", float(epoch), 1)]
                found += [(arm, step, f"train:{block}", "loss", 4 - m, 1)]
                found += [(arm, step, f"validation:{block}", "M", 0.1, 1)]
                found += [(arm, step, f"validation:{block}", "loss", float(validation_loss[epoch]), 1)]
                found += [(arm, step, f"validation:{block}", "shown", 0.0, 1)]
    return found


SLOW, FAST = [0.1, 0.2, 0.3, 0.45, 0.55], [0.1, 0.5, 0.9, 0.8, 0.95]


def epochs_of(records):
    tables = with_probes(full_study(60), records)
    return training_epochs(tables.probes.collect(), tables.models)


def test_epochs_are_showings_of_the_training_rows():
    epochs = epochs_of(
        [*curves({"s1": SLOW}), ("s1", 2, "train:0", "shown", 0.5, 1), ("s1", 2, "train:0", "M", 0.1, 1)]
    )
    train = epochs.filter(set="train")
    assert train["epoch"].to_list() == [0, 1, 2, 3, 4], "step 2 is in the middle of an epoch"
    assert train["M"].to_list() == pytest.approx(SLOW)
    assert train["step"].to_list() == [0, 4, 8, 12, 16]
    assert epochs["parameters"].unique().to_list() == [10**6]
    assert (train["M_lower"] < train["M"]).all()


def test_t_is_the_first_epoch_that_reaches_tau_and_null_if_none_does():
    tau = epochs_to_reach(epochs_of(curves({"s1": SLOW, "s4": FAST})))
    assert tau.filter(arm="s4")["T"].to_list() == [0, 1, 1, 1, 1, 2, 2, 2, 2]
    assert tau.filter(arm="s1")["T"].to_list() == [0, 1, 2, 3, 4, None, None, None, None]
    assert tau.filter(arm="s1")["tau"].to_list() == list(TAUS)
    for _, of_arm in tau.group_by("arm"):
        assert of_arm["T"].drop_nulls().is_sorted(), "T does not fall as tau grows"


def test_t_does_not_depend_on_the_order_of_records():
    records = curves({"s1": SLOW, "s4": FAST})
    assert epochs_to_reach(epochs_of(records[::-1])).equals(epochs_to_reach(epochs_of(records)))


def test_overfitting_begins_where_the_loss_on_validation_rows_first_rises():
    marks = overfitting_epochs(epochs_of(curves({"s4": FAST}))).row(0, named=True)
    assert (marks["overfitting"], marks["train_M"]) == (3, pytest.approx(0.8))
    assert (marks["validation_loss"], marks["lowest_loss"]) == (3.5, 3.0)
    falling = overfitting_epochs(epochs_of(curves({"s4": FAST}, validation_loss=(5, 4, 3, 2, 2)))).row(0, named=True)
    assert (falling["overfitting"], falling["train_M"]) == (None, pytest.approx(0.95))


@pytest.mark.parametrize(
    ("small", "large", "verdict"),
    [(SLOW, FAST, "shows"), (FAST, SLOW, "contradicts"), (SLOW, SLOW, "cannot tell"), ([0.1] * 5, FAST, "shows")],
)
def test_the_trend_compares_the_smallest_with_the_largest(small, large, verdict):
    (trend,) = ANALYSIS.compute(with_probes(full_study(60), curves({"s1": small, "s4": large}))).trends
    assert trend.verdict == verdict


def test_the_claim_says_when_half_is_memorized_and_where_overfitting_begins():
    finding = ANALYSIS.compute(with_probes(full_study(60), curves({"s1": [0.1] * 5, "s4": FAST})))
    assert finding.claim == (
        "Half of the training tokens are memorized by s1 not within 4 epochs, s4 after 1 epoch; the loss on rows "
        "never shown first rises after epoch 3, where M is 0.10 to 0.80."
    )
    assert finding.control == "M of rows never shown is 0.10 at the end."
