"""Exposure of canaries: exact for planted ranks, that of chance for canaries that nobody was shown."""

import numpy as np
import polars as pl
import pytest
from scipy.stats import kstest, norm, skewnorm

from mematlas.auditing.canaries.exposure import canary_exposures
from mematlas.auditing.canaries.finding import canary_finding
from mematlas.auditing.canaries.key import SCHEMA, Key
from mematlas.auditing.canaries.scores import SecretScores
from mematlas.stats.classification.exposure_by_chance import exposure_by_chance
from mematlas.stats.classification.fitted_exposure import fitted_exposures
from mematlas.stats.classification.membership import exposures

CHANCE = 1 / np.log(2)


def key(repetitions, size=1e9):
    count = len(repetitions)
    constants = {
        "text": "",
        "record": "{}",
        "template": "A {digits:9}",
        "column": None,
        "seed": 0,
        "file": "",
        "digest": "",
    }
    columns = {name: [value] * count for name, value in constants.items()}
    columns |= {"canary": list(range(1, count + 1)), "secret": [f"{n:09d}" for n in range(count)]}
    columns |= {"repetitions": repetitions, "format_size": [size] * count, "records": [[]] * count}
    return Key(pl.DataFrame(columns, schema=SCHEMA))


def scores(own, others, emitted=()):
    values = np.array([*own, *others], float)
    return SecretScores(values, np.isin(np.arange(len(values)), list(emitted)))


def test_planted_ranks_give_exact_exposures():
    """Among 1,023 alternatives, rank 1 is 10 bits, rank 512 is 1 bit, and behind all is 0."""
    others = -np.arange(1.0, 1024)
    result = canary_exposures(key([0, 0, 4, 4]), scores([-511.5, -2000, 0, -3.5], others, emitted=[2]), None)
    assert result.canaries["exposure"].to_list() == pytest.approx([1.0, 0.0, 10.0, 8.0])
    assert result.canaries["emitted"].to_list() == [False, False, True, False]
    assert (result.alternatives, result.maximum) == (1023, 10.0)
    assert result.chance == pytest.approx(CHANCE, abs=0.01)
    levels = result.levels
    assert levels["exposure"].to_list() == pytest.approx([0.5, 9.0])
    assert levels["emitted"].to_list() == [0, 1]
    assert levels["p"][0] is None
    assert levels["p"][1] < 0.001


def test_chance_gives_a_mean_exposure_as_often_as_it_should():
    """p-values of rows that are references themselves are uniform; those of one row are its rank."""
    random = np.random.default_rng(4)
    p = [exposure_by_chance(random.normal(size=8), random.normal(size=60)) for _ in range(120)]
    assert kstest([each.at_least for each in p], "uniform").pvalue > 0.01
    assert kstest([each.at_most for each in p], "uniform").pvalue > 0.01
    references = -np.arange(1.0, 100)
    for rank in (1, 5, 100):
        by_chance = exposure_by_chance([0.5 - rank], references)
        assert by_chance.at_least == pytest.approx(rank / 100, abs=0.015)
        assert by_chance.at_most == pytest.approx((101 - rank) / 100, abs=0.015)


def test_the_lowest_of_a_million_has_almost_20_bits():
    assert exposures([1.0], -np.arange(999_999.0)).bits == pytest.approx([19.93], abs=0.01)


def test_never_shown_canaries_have_the_exposure_of_chance_and_shown_ones_do_not():
    """Over many: 1.44 bits by rank and by the fitted tail, in the interval of 95 of 100 small checks."""
    random = np.random.default_rng(0)
    result = canary_exposures(
        key([0] * 150 + [1] * 150), scores(random.normal(size=300), random.normal(size=4000)), None
    )
    never, once = result.levels.to_dicts()
    assert never["exposure_low"] < CHANCE < never["exposure_high"]
    assert never["exposure_high"] - never["exposure_low"] < 0.6
    assert never["fitted"] == pytest.approx(CHANCE, abs=0.2)
    assert result.null_holds
    assert once["p"] > 0.01, "shown, but not learned"
    holds = [
        canary_exposures(key([0] * 12 + [1]), scores(random.normal(size=13), random.normal(size=200)), None).null_holds
        for _ in range(25)
    ]
    assert 21 <= sum(holds) <= 25
    raised = scores([*random.normal(1.5, 1, 30), 0.0], random.normal(size=999))
    assert canary_exposures(key([0] * 30 + [1]), raised, None).null_holds is False


def test_with_a_base_what_was_likely_before_does_not_count():
    random = np.random.default_rng(1)
    before = np.concatenate([[5.0, 5.0, 0.0], random.normal(size=500)])
    gain = np.concatenate([[0.0, 0.0, 9.0], random.normal(size=500)])
    model, base = SecretScores(before + gain, before > 99), SecretScores(before, before > 99)
    alone = canary_exposures(key([0, 0, 1]), model, None).canaries["exposure"].to_list()
    beside = canary_exposures(key([0, 0, 1]), model, base)
    assert alone[:2] == pytest.approx([np.log2(501)] * 2, abs=1)
    assert beside.canaries["exposure"][0] == pytest.approx(1, abs=0.3)
    assert beside.canaries["exposure"][2] == pytest.approx(np.log2(501))
    assert beside.canaries["exposure_of_base"][0] == pytest.approx(np.log2(501))
    assert beside.canaries["exposure_of_base"][2] == pytest.approx(1, abs=0.3)


def test_the_fitted_tail_goes_beyond_the_references():
    """Scores of a known distribution: a loss at its quantile 2^-b has b bits, up to all values of the format."""
    known = skewnorm(2, 30, 4)
    bits = [1.0, 5.0, 14.0, 25.0]
    own = [-known.ppf(2.0**-b) for b in bits]
    result = fitted_exposures(own, -known.rvs(20_000, random_state=0), 2.0**60)
    assert result.bits == pytest.approx(bits, rel=0.12)
    assert result.fit_p > 0.05
    assert fitted_exposures([-norm.ppf(1e-60)], -norm().rvs(50_000, random_state=0), 2.0**900).bits == pytest.approx(
        [-np.log2(1e-60)], rel=0.15
    )
    assert fitted_exposures([1e6], -known.rvs(999, random_state=1), 2.0**30).bits == pytest.approx([30.0])
    assert fitted_exposures([-1e6], -known.rvs(999, random_state=1), 2.0**30).bits == pytest.approx([0.0])


def test_references_of_another_distribution_are_told():
    random = np.random.default_rng(2)
    two_peaks = np.concatenate([random.normal(-9, 1, 500), random.normal(9, 1, 500)])
    assert fitted_exposures([0.0], two_peaks, 1e9).fit_p < 1e-6
    with pytest.raises(ValueError, match="not all equal"):
        fitted_exposures([0.0], [1.0] * 9, 1e9)


def test_the_sentence_says_from_how_many_showings_on_and_what_to_doubt():
    random = np.random.default_rng(3)
    levels = [0] * 10 + [1] * 10 + [4] * 10 + [16] * 10
    own = [*random.normal(size=20), *random.normal(2.5, 1, 10), *([9.0] * 10)]
    result = canary_exposures(key(levels), scores(own, random.normal(size=999), emitted=range(33, 40)), None)
    finding = canary_finding(result, "tuned", None)
    assert finding.headline == "tuned knows canaries that it was shown 4 times"
    assert finding.sentence == (
        "tuned ranks canaries higher than chance explains from 4 showings on: canaries shown 16 times have a mean "
        "exposure of 9.97 bits, of at most 9.97, and greedy decoding gives 7 of 10."
    )
    assert finding.control is not None
    assert finding.control.startswith("10 canaries that were never shown have ")
    assert f"and chance gives 1.44 (p = {result.null_p:.2f})." in finding.control
    curve = finding.table("curve")
    assert set(curve["of"]) == {"tuned, by rank", "tuned, by the fitted tail"}
    nothing = canary_exposures(key(levels), scores(random.normal(size=40), random.normal(size=999)), None)
    assert canary_finding(nothing, "tuned", None).headline == "tuned shows no canary above chance"
    uniform = canary_finding(canary_exposures(key(levels), scores([0.0] * 40, [0.0] * 99), None), "uniform", None)
    assert uniform.headline == "uniform shows no canary above chance"
    assert any("All secrets have the same score" in caveat for caveat in uniform.caveats)
