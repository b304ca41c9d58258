import pytest

from mematlas.analyses.trend_tests import majority, of_all


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
    assert majority(rows_for, rows_against) == verdict


def test_what_is_said_of_all_needs_all_and_falls_with_one():
    assert of_all(["shows", "shows"]) == "shows"
    assert of_all(["shows", "cannot tell"]) == "cannot tell"
    assert of_all(["cannot tell", "contradicts", "shows"]) == "contradicts"
    assert of_all([]) == "cannot tell"
