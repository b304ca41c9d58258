import polars as pl
import pytest

from mematlas.analyses.trend_tests import clustered_majority_verdict, combined_verdict, majority_verdict


@pytest.mark.parametrize(
    ("rows_for", "rows_against", "verdict"),
    [
        (6, 0, "shows"),  # 2 of 64 samples without an effect are as one-sided
        (0, 6, "contradicts"),
        (5, 0, "cannot tell"),  # 2 of 32, more than 5 %
        (15, 5, "shows"),  # 4.1 %
        (12, 4, "cannot tell"),  # 7.7 %
        (55, 45, "cannot tell"),
        (45, 55, "cannot tell"),
        (0, 0, "cannot tell"),
    ],
)
def test_a_majority_is_one_whose_interval_is_on_one_side_of_a_half(rows_for, rows_against, verdict):
    assert majority_verdict(rows_for, rows_against) == verdict


def test_one_row_per_cluster_is_the_verdict_of_independent_rows():
    counts = pl.DataFrame({"cluster": range(16), "up": [1] * 12 + [0] * 4, "down": [0] * 12 + [1] * 4})
    assert clustered_majority_verdict(counts, "up", "down") == "cannot tell"
    assert clustered_majority_verdict(counts.drop("cluster"), "up", "down") == "cannot tell"
    copies = counts.with_columns(pl.col("up", "down") * 5)
    assert clustered_majority_verdict(copies.drop("cluster"), "up", "down") == "shows"  # what the clusters are for
    assert clustered_majority_verdict(copies.head(12), "up", "down") == "shows"
    assert clustered_majority_verdict(pl.concat([copies, copies[12:]]), "up", "down") == "cannot tell"
    assert clustered_majority_verdict(counts.head(0), "up", "down") == "cannot tell"


def test_what_is_said_of_all_needs_all_and_falls_with_one():
    assert combined_verdict(["shows", "shows"]) == "shows"
    assert combined_verdict(["shows", "cannot tell"]) == "cannot tell"
    assert combined_verdict(["cannot tell", "contradicts", "shows"]) == "contradicts"
    assert combined_verdict([]) == "cannot tell"
