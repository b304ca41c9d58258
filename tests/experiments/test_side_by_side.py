"""Concurrent jobs: every report arrives in the caller's thread, and one failure ends them all."""

import threading
import time

import pytest
import torch

from mematlas.experiments.training.side_by_side import Progress, side_by_side


def silent(step: int, steps: int, loss: float | None, label: str) -> None:
    """Ignore the report."""


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_every_report_arrives_in_the_callers_thread(at_once: int) -> None:
    reports: list[tuple[str, int]] = []
    threads = set()

    def record(step: int, steps: int, loss: float | None, label: str) -> None:
        reports.append((label, step))
        threads.add(threading.get_ident())

    def job(name: str, progress: Progress) -> None:
        for step in range(50):
            progress(step, 50, 0.0, name)

    side_by_side([lambda p, n=name: job(n, p) for name in "abcd"], at_once, record)
    assert threads == {threading.get_ident()}
    for name in "abcd":
        assert [step for label, step in reports if label == name] == list(range(50))


def test_a_failing_job_stops_the_others_and_is_raised() -> None:
    def endless(progress: Progress) -> None:
        while True:
            time.sleep(0.001)
            progress(0, 1, 0.0, "endless")

    def failing(progress: Progress) -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        side_by_side([endless, failing], 2, silent)


def test_no_job_starts_after_a_failure() -> None:
    started: list[str] = []

    def failing(progress: Progress) -> None:
        raise ValueError("broken")

    def reporting(progress: Progress) -> None:
        started.append("reporting")
        for _ in range(1_000):
            time.sleep(0.002)
            progress(0, 1, 0.0, "reporting")
        started.append("ended")

    with pytest.raises(ValueError, match="broken"):
        side_by_side([failing, reporting, reporting, reporting], 2, silent)
    assert "ended" not in started


def test_threads_are_divided_and_restored() -> None:
    before = torch.get_num_threads()
    thread_counts: list[int] = []

    def job(progress: Progress) -> None:
        torch.ones(4) @ torch.ones(4)
        thread_counts.append(torch.get_num_threads())

    side_by_side([job, job], 2, silent)
    assert thread_counts == [max(1, before // 2)] * 2
    assert torch.get_num_threads() == before
