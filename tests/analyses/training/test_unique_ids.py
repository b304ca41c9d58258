"""Gains in epochs over hand-made curves: exact, in the right direction, and none where there is nothing."""

import numpy as np
import polars as pl
import pytest

from mematlas.analyses.training.dynamics import TAUS, training_epochs
from mematlas.analyses.training.unique_ids import ANALYSIS, id_curves, id_gains, id_gains_over_seeds
from tests.analyses.awkward_studies import full_study, probed
from tests.analyses.synthetic_tables import with_probes

BASELINE = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
FASTER = [0.0, 0.4, 0.8, 1.0, 1.0, 1.0]


def study(arms: dict[str, list[float]], noise: float = 0.0, blocks: int = 6):
    """Arms whose M after every epoch is as given, in blocks of 4 rows; each block has a level of its own."""
    rng, found = np.random.default_rng(0), []
    for arm, ms in arms.items():
        for block in range(blocks):
            level = rng.normal(0, noise)
            for epoch, m in enumerate(ms):
                key = (arm, 5 * epoch, f"train:{block}")
                found += [(*key, "M", m + level, 4), (*key, "shown", float(epoch), 4)]
                found.append((arm, 5 * epoch, f"validation:{block}", "M", 0.1, 4))
        found.append((arm, 2, "train:0", "M", 0.9, 4))  # in the middle of an epoch
        found.append((arm, 2, "train:0", "shown", 0.5, 4))
    return with_probes(full_study(60), found)


def three(baseline=BASELINE, enlarged=BASELINE, ids=FASTER, seeds=("s4",)) -> dict[str, list[float]]:
    values = {"baseline": baseline, "enlarged": enlarged, "ids": ids}
    return {f"{seed}--{branch}": ms for seed in seeds for branch, ms in values.items()}


def gains_of(tables) -> pl.DataFrame:
    return id_gains(tables.probes.collect(), tables.models)


def test_gains_are_differences_of_interpolated_epochs():
    gains = gains_of(study(three()))
    ids = gains.filter(branch="ids", over="baseline")
    assert ids["tau"].to_list() == list(TAUS)
    assert ids["T_over"].to_list() == pytest.approx([5 * tau for tau in TAUS])
    assert ids["T"].to_list() == pytest.approx([2.5 * tau for tau in TAUS[:8]] + [2.5])
    assert ids["gain"].to_list() == pytest.approx([2.5 * tau for tau in TAUS[:8]] + [2.0])
    assert gains.filter(branch="enlarged")["gain"].to_list() == [0.0] * len(TAUS), "equal curves gain nothing"
    assert gains.filter(branch="ids", over="enlarged").drop("over").equals(ids.drop("over"))
    assert gains["parameters"].unique().to_list() == [10**9]


def test_a_share_that_is_not_reached_is_null():
    gains = gains_of(study(three(ids=[0.0, 0.1, 0.2, 0.3, 0.4, 0.5])))
    ids = gains.filter(branch="ids", over="baseline")
    assert ids["T"].null_count() == ids["gain"].null_count() == 4
    assert ids["T_over"].null_count() == 0
    assert (ids["gain"].drop_nulls() < 0).all(), "slower arms have negative gains"


def test_intervals_over_blocks_hold_the_gain_and_one_block_has_none():
    gains = gains_of(study(three(), noise=0.02)).filter(branch="ids", over="baseline", tau=0.5).row(0, named=True)
    assert gains["gain_lower"] < 1.25 < gains["gain_upper"]
    assert 0 < gains["gain_upper"] - gains["gain_lower"] < 1
    assert gains_of(study(three(), blocks=1))["gain_lower"].null_count() == 3 * len(TAUS)


def test_seeds_are_averaged_with_an_interval():
    arms = three(seeds=("s1", "s1b")) | {"s1c--baseline": BASELINE, "s1c--ids": BASELINE}
    models = pl.DataFrame({"model": ["s1", "s1b", "s1c"], "parameters": [5, 5, 5]})
    tables = study(arms)
    sizes = id_gains_over_seeds(id_gains(tables.probes.collect(), models))
    row = sizes.filter(branch="ids", over="baseline", tau=0.4).row(0, named=True)
    assert (row["parameters"], row["seeds"]) == (5, 3)
    assert row["gain"] == pytest.approx(2 / 3)
    half = 4.3027 * np.std([1, 1, 0], ddof=1) / 3**0.5
    assert row["gain_upper"] - row["gain"] == pytest.approx(half, rel=1e-4)


def test_curves_leave_out_what_is_within_an_epoch_and_do_not_depend_on_the_order():
    tables = study(three(), noise=0.05)
    probes = tables.probes.collect()
    curves = id_curves(probes)
    assert curves.filter(branch="ids", set="train")["epoch"].to_list() == [0, 1, 2, 3, 4, 5]
    shuffled = probes.sample(fraction=1, shuffle=True, seed=1)
    assert id_curves(shuffled).equals(curves)
    assert id_gains(shuffled, tables.models).equals(gains_of(tables))


@pytest.mark.parametrize(
    ("ids", "verdict"), [(FASTER, "shows"), (BASELINE, "cannot tell"), ([0, 0.1, 0.2, 0.3, 0.4, 0.5], "contradicts")]
)
def test_the_trend_is_decided_over_seeds(ids, verdict):
    arms = {}
    for number, seed in enumerate(("s1", "s1b", "s1c")):
        shift = number / 100
        arms |= {f"{seed}--enlarged": BASELINE, f"{seed}--ids": [m + shift * (m > 0) for m in ids]}
    if verdict == "cannot tell":
        arms["s1c--ids"] = [0.0, 0.1, 0.3, 0.5, 0.7, 0.9]
    tables = study(arms)
    (trend,) = ANALYSIS.compute(tables).trends
    assert (trend.trend, trend.verdict) == ("unique-ids-are-memorized-faster", verdict), trend.test


def test_the_claim_names_both_comparisons():
    half_way = [0.0, 0.5, 1.0, 1.0, 1.0, 1.0]  # after 1 epoch, not 2.5
    assert ANALYSIS.compute(study(three(ids=half_way))).claim == (
        "Half of the training tokens are memorized 0.0 epochs sooner with an enlarged vocabulary that is not used "
        "than with the original vocabulary; 1.5 epochs sooner with a token of its own in front of every row than with "
        "the original vocabulary; 1.5 epochs sooner with a token of its own in front of every row than with the "
        "enlarged one (1 seed)."
    )
    low = [0.0, 0.1, 0.1, 0.2, 0.2, 0.3]
    nothing = ANALYSIS.compute(study(three(low, low, low)))
    assert nothing.claim == "Half of the training tokens are memorized by no arm and its counterpart within 5 epochs."


def test_other_studies_say_what_to_run_and_arms_with_ids_are_no_sizes():
    for tables in (full_study(60), probed(arms=("s1",))):
        assert ANALYSIS.compute(tables).missing == "Train such models: `mematlas experiment ids ids.yaml`."
    tables = study(three())
    assert training_epochs(tables.probes.collect(), tables.models).is_empty()
