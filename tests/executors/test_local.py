"""Processes of this machine: every task is done once, no matter which worker dies."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mematlas.errors import ModelError
from mematlas.executors.base import RETRIES, TaskQueue, WorkerPool
from mematlas.executors.local import LocalExecutor, cores
from tests.executors import sample_workers

ROOT = Path(__file__).parents[2]


def run_tasks(make_worker, tasks, workers=2):
    """Returns the results, the failed tasks and the messages."""
    results, messages = [], []
    failed = LocalExecutor(WorkerPool(workers)).run(make_worker, tasks, results.append, messages.append)
    return results, failed, messages


def test_every_task_is_done_once_in_other_processes_that_share_the_cores():
    results, failed, messages = run_tasks(sample_workers.make_squarer, list(range(40)))
    assert sorted(result[:2] for result in results) == [(task, task * task) for task in range(40)]
    processes = {process for *_, process, _ in results}
    assert len(processes) == 2
    assert os.getpid() not in processes
    assert {threads for *_, threads in results} == {max(1, cores() // 2)}
    assert failed == messages == []


def test_no_more_processes_are_started_than_there_are_tasks():
    results, _, _ = run_tasks(sample_workers.make_squarer, [7], workers=5)
    assert [result[:2] for result in results] == [(7, 49)]


def test_a_worker_that_is_killed_is_replaced_and_its_task_tried_again(tmp_path):
    results, failed, messages = run_tasks(
        sample_workers.killed_worker(tmp_path, deadly_task=3, deaths=2), list(range(8))
    )
    assert sorted(results) == [task * task for task in range(8)]
    assert failed == []
    assert messages == ["A worker died (signal 9, often for lack of memory); another takes over 3."] * 2


def test_a_task_that_kills_every_worker_is_given_up_and_all_others_are_done(tmp_path):
    results, failed, messages = run_tasks(
        sample_workers.killed_worker(tmp_path, deadly_task=0, deaths=99), list(range(5))
    )
    assert sorted(results) == [1, 4, 9, 16]
    assert [(failure.task, failure.attempts) for failure in failed] == [(0, RETRIES + 1)]
    assert "signal 9" in failed[0].reason
    assert len(messages) == RETRIES
    assert len(list(tmp_path.glob("0-*"))) == RETRIES + 1


def test_a_user_error_is_raised_here_and_no_further_task_is_started(tmp_path):
    with pytest.raises(ModelError, match="the model is gone; bring it back"):
        run_tasks(sample_workers.failing_worker(tmp_path), list(range(50)), workers=1)
    assert {path.name for path in tmp_path.iterdir()} == {"0", "1", "2"}


def test_a_task_whose_worker_died_comes_before_those_not_started():
    queue = TaskQueue(["a", "b", "c"])
    task, attempts = queue.take()
    queue.requeue_or_fail(task, attempts, "signal 9", lambda text: None)
    assert [queue.take(), queue.take(), queue.take()] == [("a", 1), ("b", 0), ("c", 0)]
    assert not queue


def is_alive(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the children of a process in /proc")
def test_workers_end_with_a_parent_that_is_killed():
    script = (
        "from mematlas.executors.base import WorkerPool\n"
        "from mematlas.executors.local import LocalExecutor\n"
        "from tests.executors import sample_workers\n"
        "if __name__ == '__main__':\n"
        "    executor = LocalExecutor(WorkerPool(2))\n"
        "    executor.run(sample_workers.make_squarer, range(10**5), lambda r: print(r[2], flush=True), print)\n"
    )
    driver = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    workers = set()
    while len(workers) < 2:
        workers.add(int(driver.stdout.readline()))
    assert all(map(is_alive, workers))
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    driver.stdout.close()
    deadline = time.monotonic() + 10
    while any(map(is_alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(is_alive, workers))
