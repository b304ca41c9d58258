"""The finding on made-up facts: what was planted is found, and nothing where nothing was shown."""

import polars as pl
import pytest

from mematlas.analyses.training.facts.finding import ANALYSIS
from mematlas.analyses.training.facts.losses import fact_losses, mean_losses, showing_times
from mematlas.analyses.training.facts.tables import fact_effectivity, fact_forgetting, fact_retention, fact_showings
from tests.analyses.awkward_studies import full_study, with_facts


def losses_of(tables) -> pl.DataFrame:
    return fact_losses(tables.probes.collect(), tables.models)


@pytest.fixture(scope="module")
def exact():
    return losses_of(with_facts(noise=0.0, sizes=("s4",), slope=0.25))


def test_losses_are_means_over_seeds_by_fact_and_time_since_the_first_showing(exact):
    one = exact.filter(group="duplicated", question="verbatim", fact=2, arm="treatment")
    assert one["t"].to_list()[:8] == [0, 1, 2, 3, 5, 9, 10, 11]
    assert one["loss"].to_list()[:2] == [6.0, 5.0]
    assert one.filter(t=10)["showings"].item() == 1
    assert showing_times(exact) == ([0, 10], 5)
    means = mean_losses(exact).filter(group="never", question="verbatim", arm="treatment")
    assert means["loss"].unique().to_list() == [6.0]
    assert means["loss_lower"].null_count() == means.height, "equal facts have no interval"


def test_effectivity_and_forgetting_are_exact_without_noise(exact):
    found = fact_effectivity(exact).filter(arm="treatment")
    by_group = {(r["group"], r["question"]): r["corrected"] for r in found.to_dicts()}
    assert by_group["once", "verbatim"] == pytest.approx(1)
    assert by_group["once", "composed"] == 0
    assert fact_effectivity(exact).filter(arm="control model")["corrected"].unique().to_list() == [0]
    once = fact_forgetting(exact).filter(group="once", question="paraphrase").row(0, named=True)
    assert once["acquired"] == pytest.approx(1)
    assert (once["slope"], once["period"]) == (pytest.approx(-0.25), pytest.approx(10**4))
    assert (once["slope_chang"], once["facts_chang"]) == (pytest.approx(-0.25), 4)
    twice = fact_forgetting(exact).filter(group="duplicated", question="verbatim").row(0, named=True)
    assert (twice["acquired"], twice["slope"]) == (pytest.approx(2), pytest.approx(-0.25))
    showings = fact_showings(exact).filter(group="duplicated", question="verbatim")
    assert showings["showing"].to_list() == [1, 2]


def test_what_was_not_acquired_is_null_with_a_reason(exact):
    composed = fact_forgetting(exact).filter(question="composed")
    assert composed["slope"].null_count() == composed["period"].null_count() == composed.height == 3
    assert set(composed["reason"]) == {"nothing was clearly acquired, so that there is no share of it"}
    left = fact_retention(exact).filter(question="composed")
    assert left["R"].null_count() == left["reason"].is_not_null().sum() == left.height


def test_noise_alone_shows_gain_only_without_the_correction():
    noise = losses_of(with_facts(acquired=0.0, noise=0.5, facts=100, sizes=("s4",), seeds=(0,)))
    found = fact_effectivity(noise).filter(arm="treatment")
    assert found["effectivity"].min() > 0.3
    assert ((found["corrected_lower"] <= 0) & (found["corrected_upper"] >= 0)).sum() >= found.height - 1


def test_the_headline_and_the_trend_follow_what_was_planted():
    finding = ANALYSIS.compute(with_facts(facts=8))
    assert finding.headline == "Showing a fact makes questions in other words easier"
    assert finding.trends[0].verdict == "shows"
    chart = next(chart for chart in finding.charts if chart.name == "losses")
    assert chart.events == (0.0, 10.0)
    nothing = ANALYSIS.compute(with_facts(acquired=0.0, facts=8))
    assert nothing.headline == "Showing facts makes no clear difference to questions in other words"
    assert nothing.trends[0].verdict == "cannot tell"
    worse = ANALYSIS.compute(with_facts(acquired=-1.0, facts=8))
    assert worse.headline == "Showing a fact makes questions in other words harder"


def test_a_study_without_facts_says_what_to_run():
    for tables in (full_study(60), with_facts(arms=("control",)), with_facts(groups=("once", "duplicated"))):
        assert "`mematlas experiment facts facts.yaml`" in ANALYSIS.compute(tables).missing
