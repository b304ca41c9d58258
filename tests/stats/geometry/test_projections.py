"""Projections of planted rows."""

import numpy as np
import pytest

from mematlas.stats.geometry.projections import UMAP_MIN_ROWS, principal_components, umap_coordinates, umap_is_installed


def test_points_on_a_line_are_explained_by_one_axis():
    positions = np.array([0.0, 1, 3, 10])
    points, shares = principal_components(np.outer(positions, [3, 0, 4]) + 5.0)
    assert shares == pytest.approx([1, 0])
    assert points[:, 0] == pytest.approx(5 * (positions - 3.5))  # the largest is made positive
    assert points[:, 1] == pytest.approx(0, abs=1e-9)


def test_two_axes_are_ordered_by_what_they_explain():
    points, shares = principal_components([[0, 2], [0, -2], [1, 0], [-1, 0]])
    assert shares == pytest.approx([0.8, 0.2])
    assert np.abs(points) == pytest.approx(np.array([[2, 0], [2, 0], [0, 1], [0, 1]]), abs=1e-12)


def test_one_dimension_and_constant_rows():
    points, shares = principal_components([[1.0], [3.0]])
    assert np.abs(points) == pytest.approx(np.array([[1, 0], [1, 0]]))
    assert shares == pytest.approx([1, 0])
    assert np.isnan(principal_components(np.ones((3, 2)))[1]).all()


@pytest.mark.slow
@pytest.mark.skipif(not umap_is_installed(), reason="an extra")
def test_umap_separates_distant_clusters_and_is_reproducible():
    rng = np.random.default_rng(0)
    group = np.arange(UMAP_MIN_ROWS) < UMAP_MIN_ROWS // 2
    states = rng.normal(size=(UMAP_MIN_ROWS, 4)) + 30 * group[:, None]
    points = umap_coordinates(states)
    centers = points[group].mean(0), points[~group].mean(0)
    assert np.linalg.norm(centers[0] - centers[1]) > 2 * np.linalg.norm(points[group] - centers[0], axis=1).max()
    assert np.array_equal(points, umap_coordinates(states))
