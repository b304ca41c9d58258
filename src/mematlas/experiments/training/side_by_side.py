"""Several trainings at the same time, each in a thread with a share of the cores.

Models this small use one core fully and a second one poorly: on two cores, two concurrent trainings with one thread
each finish earlier than one after the other with two threads, and much earlier when other programs use the cores too
(threads that wait for each other at every operation are delayed by both).
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Event

import torch

Progress = Callable[[int, int, float | None, str], None]
"""Called as progress(step, steps, loss, label); loss: in nats per token of the step's batch, or None."""


class _Stopped(Exception):
    """Ends a training after another one failed or the caller stopped it."""


def side_by_side(jobs: Sequence[Callable[[Progress], object]], at_once: int, progress: Progress) -> None:
    """Run the jobs, `at_once` at a time; `progress` is called in this thread only, no matter which job reports.

    An exception of `progress` or of a job stops the other jobs at their next report, and is raised here.
    """
    if min(at_once, len(jobs)) <= 1:
        for job in jobs:
            job(progress)
        return
    reports: SimpleQueue[tuple[int, int, float | None, str] | None] = SimpleQueue()
    is_over = Event()

    def report(step: int, steps: int, loss: float | None, label: str) -> None:
        if is_over.is_set():
            raise _Stopped
        reports.put((step, steps, loss, label))

    with _shared_threads(at_once), ThreadPoolExecutor(at_once) as pool:
        futures = [pool.submit(job, report) for job in jobs]
        try:
            for future in futures:
                future.add_done_callback(lambda _: reports.put(None))
            while not all(future.done() for future in futures) or not reports.empty():
                received = reports.get()
                if received is not None:
                    progress(*received)
                for future in futures:
                    if future.done():
                        future.result()
        finally:
            is_over.set()
            for future in futures:
                future.cancel()


@contextmanager
def _shared_threads(at_once: int) -> Iterator[None]:
    """Divide torch's threads among `at_once` trainings."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before // at_once))
    try:
        yield
    finally:
        torch.set_num_threads(before)
