import pytest

from mematlas.analyses.trend_tests import combined_verdict, majority_verdict


@pytest.mark.parametrize(
    ("rows_for", "rows_against", "verdict"),
    [
        (4, 0, "shows"),
        (0, 4, "contradicts"),
        (3, 0, "cannot tell"),
        (55, 45, "cannot tell"),
        (45, 55, "cannot tell"),
        (0, 0, "cannot tell"),
    ],
)
def test_a_majority_is_one_whose_interval_is_on_one_side_of_a_half(rows_for, rows_against, verdict):
    assert majority_verdict(rows_for, rows_against) == verdict


def test_what_is_said_of_all_needs_all_and_falls_with_one():
    assert combined_verdict(["shows", "shows"]) == "shows"
    assert combined_verdict(["shows", "cannot tell"]) == "cannot tell"
    assert combined_verdict(["cannot tell", "contradicts", "shows"]) == "contradicts"
    assert combined_verdict([]) == "cannot tell"
