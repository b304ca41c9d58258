"""The negative control: labels shuffled 200 times."""

import numpy as np
import pytest

from mematlas.analyses.positions import shuffles
from mematlas.analyses.positions.profiles import Group
from mematlas.analyses.positions.shuffles import SHUFFLED, shuffled_difference, shuffled_rows


def group(indices, role=SHUFFLED, alignment="border", origins=0, name="memorized"):
    key = {"model": "m", "role": role, "class": name, "alignment": alignment}
    indices = np.asarray(indices)
    return Group(key, True, indices, np.broadcast_to(origins, indices.shape).astype(np.int64))


def rows_of(values):
    return lambda indices, origins: values[indices]


def test_shuffled_classes_have_the_mean_of_all_rows_and_the_spread_of_samples():
    values = np.random.default_rng(0).normal(5, 2, (300, 3))
    groups = [group(range(60)), group(range(60, 300), name="unmemorized")]
    result = shuffled_rows(groups).means(groups[0], rows_of(values))
    assert result.estimate == pytest.approx(values.mean(0), abs=0.06)
    spread = 1.96 * values.std(0, ddof=1) * np.sqrt((1 / 60) * (1 - 60 / 300))  # 60 of 300, without replacement
    assert result.upper - result.lower == pytest.approx(2 * spread, rel=0.2)
    assert result.count.tolist() == [60] * 3
    assert result.interval == "middle 95 % of 200 shuffles"


def test_a_class_that_differs_is_outside_of_what_shuffles_give_and_one_that_does_not_inside():
    outside = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        values = rng.normal(size=(200, 1)) + np.where(np.arange(200) < 50, seed % 2, 0)[:, None]
        shuffled, own = group(range(50)), group(range(50), role="train")
        pools = shuffled_rows([shuffled, group(range(50, 200), name="unmemorized")])
        band, mean = pools.means(shuffled, rows_of(values)), pools.means(own, rows_of(values))
        outside.append(not band.lower[0] <= mean.estimate[0] <= band.upper[0])
    assert np.mean(outside[1::2]) > 0.9
    assert np.mean(outside[::2]) <= 0.15


def test_missing_values_are_left_out():
    values = np.random.default_rng(0).normal(size=(40, 2))
    values[::2, 0] = np.nan
    groups = [group(range(20)), group(range(20, 40), name="other")]
    result = shuffled_rows(groups).means(groups[0], rows_of(values))
    assert result.estimate == pytest.approx(np.nanmean(values, axis=0), abs=0.15)
    assert result.count.tolist() == [10, 20]
    values[:] = np.nan
    assert np.isnan(shuffled_rows(groups).means(groups[0], rows_of(values)).estimate).all()


def test_shuffled_points_keep_the_rows_and_change_their_points():
    """Each row is a ramp: the value at a point is the point plus the row's own offset, 100 for the first class."""
    values = np.arange(10.0) + np.where(np.arange(80) < 30, 100, 0)[:, None]
    first = group(range(30), alignment="divergence", origins=2)
    second = group(range(30, 80), alignment="divergence", origins=7, name="other")
    pools = shuffled_rows([first, second])
    result = pools.means(first, lambda indices, origins: values[indices, origins][:, None])
    assert result.estimate[0] == pytest.approx(100 + (30 * 2 + 50 * 7) / 80, abs=0.1)
    assert result.lower[0] < result.estimate[0] < result.upper[0]


def test_many_rows_have_a_normal_spread_that_agrees(monkeypatch):
    values = np.random.default_rng(0).normal(5, 2, (300, 2))
    groups = [group(range(60)), group(range(60, 300), name="unmemorized")]
    points = [group(range(200), alignment="divergence"), group(range(200, 300), alignment="divergence", name="other")]
    counted = [shuffled_rows(pool).means(pool[0], rows_of(values)) for pool in (groups, points)]
    monkeypatch.setattr(shuffles, "MAX_ROWS", 100)
    computed = [shuffled_rows(pool).means(pool[0], rows_of(values)) for pool in (groups, points)]
    assert computed[0].estimate == pytest.approx(counted[0].estimate, abs=0.06)
    assert computed[0].upper - computed[0].lower == pytest.approx(counted[0].upper - counted[0].lower, rel=0.2)
    assert computed[1].estimate == pytest.approx(counted[1].estimate, abs=0.5)


def test_a_shuffled_difference_is_about_zero():
    rng = np.random.default_rng(0)
    first, second = rng.normal(9, 1, 40), np.append(rng.normal(5, 1, 60), np.nan)
    memorized, unmemorized, difference, lower, upper, clusters = shuffled_difference(first, second)
    assert (memorized, unmemorized, clusters) == (40, 60, 100)
    assert abs(difference) < 0.1
    spread = 1.96 * np.std(np.concatenate([first, second[:-1]]), ddof=1) * np.sqrt(1 / 40 + 1 / 60)
    assert upper - lower == pytest.approx(2 * spread, rel=0.2)
    assert shuffled_difference(first, np.array([np.nan])) is None


def test_the_same_rows_give_the_same_numbers():
    values = np.random.default_rng(0).normal(size=(90, 2))
    groups = [group(range(20)), group(range(20, 90), name="other")]
    runs = [shuffled_rows(groups).means(groups[0], rows_of(values)) for _ in range(2)]
    assert runs[0].lower.tolist() == runs[1].lower.tolist()
