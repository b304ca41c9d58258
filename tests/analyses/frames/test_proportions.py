"""Shares as columns: independent rows, rows in clusters, and what is not known."""

import numpy as np
import polars as pl
import pytest

from mematlas.analyses.frames.proportions import Share, out_of_all, share_columns, with_effective_rows, with_shares
from mematlas.stats.estimates.clustered import cluster_sums, clustered_shares
from mematlas.stats.estimates.intervals import wilson


def test_a_frame_without_clusters_has_wilsons_intervals():
    frame = with_shares(pl.DataFrame({"hits": [3, 0], "rows": [10, 4]}), "hits")
    expected = [wilson(3, 10), wilson(0, 4)]
    assert frame["share"].to_list() == [0.3, 0.0]
    assert frame["share_lower"].to_list() == pytest.approx([share.lower for share in expected])
    assert frame["share_upper"].to_list() == pytest.approx([share.upper for share in expected])
    assert frame["clusters"].to_list() == [10, 4]
    assert frame["design_effect"].to_list() == [1.0, 1.0]


def test_counts_of_clusters_are_summed_and_have_the_clustered_interval():
    random = np.random.default_rng(0)
    rows = random.integers(1, 6, 40)
    hits = random.binomial(rows, random.beta(0.5, 1, 40))
    frame = pl.DataFrame({"model": ["a"] * 40, "hits": hits, "rows": rows, "also": 1, "cluster": range(40)})
    result = with_shares(frame, "hits", sums=("also",)).row(0, named=True)
    expected = clustered_shares(cluster_sums(hits, rows))
    assert (result["hits"], result["rows"], result["also"], result["clusters"]) == (hits.sum(), rows.sum(), 40, 40)
    assert result["share_lower"] == pytest.approx(expected.lower[0])
    assert result["design_effect"] == pytest.approx(expected.design_effect[0])


def test_rows_that_are_clusters_of_their_own_have_the_same_interval_as_their_counts():
    frame = pl.DataFrame({"hits": [1] * 3 + [0] * 7, "rows": 1, "cluster": range(10)})
    plain = with_shares(pl.DataFrame({"hits": [3], "rows": [10]}), "hits")
    clustered = with_shares(frame, "hits").select(plain.columns)
    for name in ("share", "share_lower", "share_upper"):
        assert clustered[name][0] == pytest.approx(plain[name][0], abs=1e-12)


def test_a_share_of_nothing_is_null_and_so_is_one_of_an_unknown_number():
    frame = with_shares(pl.DataFrame({"hits": [None, 0], "rows": [5, 0]}), "hits")
    assert frame["share"].to_list() == [None, None]
    assert frame["share_lower"].to_list() == [None, None]
    assert frame["clusters"].to_list() == [None, 0]
    clustered = with_shares(
        pl.DataFrame({"hits": [None, None], "rows": [5, 3], "cluster": [0, 1]}, schema_overrides={"hits": pl.Int64}),
        "hits",
    )
    assert clustered.select("hits", "rows", "share").rows() == [(None, 8, None)]


def test_several_shares_of_different_counts_have_their_own_sample_sizes():
    frame = pl.DataFrame({"a": [1, 0], "b": [2, 2], "c": [0, 1], "d": [1, 1], "cluster": [0, 1]})
    shares = [Share("a", "b", "x", "x_clusters", "x_effect"), Share("c", "d", "y", "y_clusters", "y_effect")]
    result = share_columns(frame, shares).row(0, named=True)
    assert (result["x"], result["y"]) == (0.25, 0.5)
    assert (result["a"], result["b"], result["c"], result["d"]) == (1, 4, 1, 2)
    assert result["y_effect"] == 1.0


def test_more_hits_than_rows_are_refused():
    with pytest.raises(ValueError, match="hits must be between 0 and rows in every record"):
        with_shares(pl.DataFrame({"hits": [3], "rows": [2]}), "hits")


def test_counts_of_exclusive_kinds_are_completed_with_zeros():
    counts = pl.DataFrame({"kind": ["a", "b", "a"], "rows": [2, 1, 3], "cluster": [0, 0, 1]})
    complete = out_of_all(counts).sort("kind", "cluster")
    assert complete.select("kind", "cluster", "rows", "of").rows() == [
        ("a", 0, 2, 3),
        ("a", 1, 3, 3),
        ("b", 0, 1, 3),
        ("b", 1, 0, 3),
    ]
    shares = with_shares(complete, "rows", "of").sort("kind")
    assert shares.select("kind", "rows", "of").rows() == [("a", 5, 6), ("b", 1, 6)]


def test_the_clusters_of_a_share_remain_where_another_is_not_known():
    frame = pl.DataFrame(
        {"rows": [10], "memorized": [3], "unmemorized": [None]}, schema_overrides={"unmemorized": pl.Int64}
    )
    answer = with_shares(frame, ["memorized", "unmemorized"], "rows").row(0, named=True)
    assert (answer["clusters"], answer["unmemorized_share"]) == (10, None)


def test_effective_rows_of_a_single_cluster_are_one():
    frame = pl.DataFrame({"model": ["a", "b", "b"], "hits": [3, 1, 0], "rows": [9, 1, 1], "cluster": [0, 1, 2]})
    shares = with_effective_rows(with_shares(frame, "hits"), "hits").sort("model")
    assert shares["effective_rows"].to_list() == [1, 2]
    independent = with_effective_rows(with_shares(frame.drop("cluster"), "hits"), "hits")
    assert independent["effective_rows"].to_list() == [9, 1, 1]
