"""Work shared by threads: the order of results, how far it runs ahead, and how many threads there are."""

import threading

import pytest

from mematlas.executors import threads
from mematlas.executors.threads import map_in_threads, threads_beside_blas


@pytest.mark.parametrize("count", [1, 2, 5])
def test_results_come_in_the_order_of_their_items(count):
    assert list(map_in_threads(lambda item: item * item, range(20), count)) == [item * item for item in range(20)]
    assert list(map_in_threads(str, [], count)) == []


def test_at_most_so_many_results_wait():
    taken: list[int] = []

    def items():
        for item in range(10):
            taken.append(item)
            yield item

    results = map_in_threads(lambda item: item, items(), 2)
    assert next(results) == 0
    assert taken == [0, 1, 2]


def test_items_are_done_at_the_same_time():
    both = threading.Barrier(2, timeout=20)
    assert sorted(map_in_threads(lambda _: both.wait(), range(2), 2)) == [0, 1]


def test_an_error_reaches_the_caller():
    with pytest.raises(ZeroDivisionError):
        list(map_in_threads(lambda item: 1 // item, [1, 0, 1], 2))


@pytest.mark.parametrize(
    ("limit", "expected"), [("1", 3), ("2", 3), ("4", 2), ("8", 1), ("16", 1), (None, 1), ("", 1), ("0", 1), ("4,2", 1)]
)
def test_threads_fill_the_cores_that_linear_algebra_leaves(monkeypatch, limit, expected):
    monkeypatch.setattr(threads, "cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if limit is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", limit)
    assert threads_beside_blas(3) == expected
