"""distinct-n against counting by hand, and against a naive implementation on random windows."""

import numpy as np
import pytest

from mematlas.stats.redundancy import distinct_ratio


def naive(window, n):
    ngrams = [tuple(window[start : start + n]) for start in range(len(window) - n + 1)]
    return len(set(ngrams)) / len(ngrams)


def ratios(*windows, n):
    return distinct_ratio(np.array(windows, np.int64), n).tolist()


def test_a_repeated_token_is_most_redundant_and_distinct_tokens_least():
    assert ratios([7, 7, 7, 7], [1, 2, 3, 4], n=1) == [0.25, 1.0]
    assert ratios([7, 7, 7, 7], [1, 2, 3, 4], n=2) == [pytest.approx(1 / 3), 1.0]


def test_the_order_of_tokens_matters_from_two():
    assert ratios([1, 2, 1, 2, 1], n=1) == [0.4]
    assert ratios([1, 2, 1, 2, 1], n=2) == [0.5]
    assert ratios([1, 1, 2, 2, 1], n=2) == [1.0]


@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("scale", [1, 2**40, -3])
def test_as_counted_naively_whatever_the_ids(n, scale):
    windows = np.random.default_rng(n).integers(0, 4, size=(60, 11)) * scale
    windows.flags.writeable = False
    assert distinct_ratio(windows, n).tolist() == pytest.approx([naive(window, n) for window in windows.tolist()])


def test_many_distinct_long_ngrams_do_not_overflow():
    windows = np.random.default_rng(0).integers(0, 2**62, size=(300, 40))
    windows[:, 20:] = windows[:, :20]
    assert distinct_ratio(windows, 8).tolist() == pytest.approx([naive(window, 8) for window in windows.tolist()])


def test_no_rows_and_windows_shorter_than_n():
    assert distinct_ratio(np.zeros((0, 5), np.int64), 2).shape == (0,)
    assert np.isnan(distinct_ratio(np.zeros((2, 1), np.int64), 2)).all()
    with pytest.raises(ValueError, match="at least one token, not 0"):
        distinct_ratio(np.zeros((2, 3), np.int64), 0)
