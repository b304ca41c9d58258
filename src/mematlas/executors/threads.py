"""Work shared by threads of this process: for functions that spend their time in NumPy or other compiled code."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from mematlas.executors.local import cores

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_threads(function: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """`function` of each item, in their order; at most `threads` results wait for the caller."""
    with ThreadPoolExecutor(threads) as pool:
        pending: deque[Future[Result]] = deque()
        for item in items:
            if len(pending) == threads:
                yield pending.popleft().result()
            pending.append(pool.submit(function, item))
        while pending:
            yield pending.popleft().result()


def threads_beside_blas(most: int) -> int:
    """How many threads keep the cores busy if each calls linear algebra, which has threads of its own; at most `most`.

    One, unless the variable OMP_NUM_THREADS limits those to fewer than there are cores, as it does in workers.
    """
    of_blas = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(most, cores() // int(of_blas))) if of_blas.isdecimal() and int(of_blas) else 1
