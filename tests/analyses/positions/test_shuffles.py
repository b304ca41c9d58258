"""The negative control: labels shuffled 200 times."""

import numpy as np
import pytest

from mematlas.analyses.positions import shuffles
from mematlas.analyses.positions.profiles import Group
from mematlas.analyses.positions.shuffles import SHUFFLED, shuffled_difference, shuffled_rows


def group(indices, role=SHUFFLED, alignment="border", origins=0, name="memorized", clusters=None):
    key = {"model": "m", "role": role, "class": name, "alignment": alignment}
    indices = np.asarray(indices)
    own_clusters = None if clusters is None else np.asarray(clusters)[indices]
    return Group(key, True, indices, np.broadcast_to(origins, indices.shape).astype(np.int64), own_clusters)


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


# ------------------------------------------------------------------------------------------------- rows of documents


def documents(count=300, size=4, seed=0):
    """Values of rows, alike within documents of `size` rows, with the documents; three columns."""
    rng = np.random.default_rng(seed)
    clusters = np.arange(count) // size
    return rng.normal(5, 2, (count // size, 3))[clusters] + 0.1 * rng.normal(size=(count, 3)), clusters


@pytest.mark.parametrize("most", [20_000, 100], ids=["counted", "computed"])
def test_shuffled_classes_of_documents_vary_as_documents(most, monkeypatch):
    monkeypatch.setattr(shuffles, "MAX_ROWS", most)
    values, clusters = documents()
    groups = [group(range(60), clusters=clusters), group(range(60, 300), name="unmemorized", clusters=clusters)]
    result = shuffled_rows(groups).means(groups[0], rows_of(values))
    spread = 1.96 * values[::4].std(0, ddof=1) * np.sqrt((1 / 15) * (1 - 15 / 75))  # 15 of 75 documents
    assert result.estimate == pytest.approx(values.mean(0), abs=0.1)
    assert result.upper - result.lower == pytest.approx(2 * spread, rel=0.25)
    assert (result.count.tolist(), result.clusters.tolist()) == ([60] * 3, [15] * 3)
    alone = [group(range(60)), group(range(60, 300), name="unmemorized")]
    rows = shuffled_rows(alone).means(alone[0], rows_of(values))
    assert (rows.upper - rows.lower < 0.7 * (result.upper - result.lower)).all()


@pytest.mark.parametrize("most", [20_000, 100], ids=["counted", "scaled"])
def test_shuffled_points_of_documents_vary_as_documents(most, monkeypatch):
    """The value of every row at a point is the point: those of a document are all the same."""
    monkeypatch.setattr(shuffles, "MAX_ROWS", most)
    clusters = np.arange(600) // 4
    points = np.random.default_rng(0).integers(0, 20, 150)[clusters]
    groups = [
        group(rows, alignment="divergence", origins=points[rows], name=name, clusters=clusters)
        for rows, name in ((np.arange(200), "half-memorized"), (np.arange(200, 600), "other"))
    ]
    result = shuffled_rows(groups).means(groups[0], lambda indices, origins: origins[:, None].astype(float))
    spread = 1.96 * points[::4].std(ddof=1) * np.sqrt((1 / 50) * (1 - 50 / 150))
    assert result.estimate[0] == pytest.approx(points.mean(), abs=0.2)
    assert result.upper[0] - result.lower[0] == pytest.approx(2 * spread, rel=0.35)


@pytest.mark.parametrize("most", [20_000, 100], ids=["counted", "computed"])
def test_a_shuffled_difference_of_documents_varies_as_documents(most, monkeypatch):
    monkeypatch.setattr(shuffles, "MAX_ROWS", most)
    values, clusters = documents()
    first, second = values[:120, 0], values[120:, 0]
    numbers = shuffled_difference(first, second, clusters[:120], clusters[120:])
    assert (numbers[:2], numbers[-1]) == ((120, 180), 75)
    assert abs(numbers[2]) < 0.15
    spread = 1.96 * values[::4, 0].std(ddof=1) * np.sqrt(1 / 30 + 1 / 45)
    assert numbers[4] - numbers[3] == pytest.approx(2 * spread, rel=0.25)


def test_one_document_a_row_changes_nothing():
    values, _ = documents()
    ids = np.random.default_rng(0).permutation(300)
    for alignment in ("border", "divergence"):
        results = []
        for clusters in (None, ids):
            options = {"alignment": alignment, "clusters": clusters}
            groups = [group(range(60), **options), group(range(60, 300), name="unmemorized", **options)]
            results.append(shuffled_rows(groups).means(groups[0], rows_of(values)))
        assert results[0].estimate.tolist() == results[1].estimate.tolist()
        assert results[0].upper.tolist() == pytest.approx(results[1].upper.tolist(), nan_ok=True)
    plain, clustered = (
        shuffled_difference(values[:60, 0], values[60:, 0], *which) for which in ((), (ids[:60], ids[60:]))
    )
    assert plain == clustered


def test_the_same_rows_give_the_same_numbers():
    values = np.random.default_rng(0).normal(size=(90, 2))
    groups = [group(range(20)), group(range(20, 90), name="other")]
    runs = [shuffled_rows(groups).means(groups[0], rows_of(values)) for _ in range(2)]
    assert runs[0].lower.tolist() == runs[1].lower.tolist()
