"""Several trainings at once, each in a thread with few cores of its own.

Models this small keep one core busy and make poor use of a second: on two cores, two trainings of one thread each end
earlier than one after the other with two threads, and much earlier when other programs want the cores too (threads that
wait for each other at every operation lose both their turns).
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Event

import torch

Progress = Callable[[int, int, float | None, str], None]
"""Called as progress(step, steps, loss, label): nats a token of the step's batch, None where there is no loss."""


class _Stopped(Exception):
    """Ends a training because another one failed or the caller wants no more."""


def side_by_side(jobs: Sequence[Callable[[Progress], None]], at_once: int, progress: Progress) -> None:
    """Run the jobs, `at_once` at a time; `progress` is called in this thread only, whichever job reports.

    What `progress` or a job raises stops the other jobs at their next report, and is raised here.
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
                found = reports.get()
                if found is not None:
                    progress(*found)
                for future in futures:
                    if future.done():
                        future.result()
        finally:
            is_over.set()
            for future in futures:
                future.cancel()


@contextmanager
def _shared_threads(at_once: int) -> Iterator[None]:
    """Deal torch's threads out to `at_once` trainings."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before // at_once))
    try:
        yield
    finally:
        torch.set_num_threads(before)
