"""Processes of this machine: every task done once, whoever dies."""

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
from tests.executors import sample_workers as made

ROOT = Path(__file__).parents[2]


def carried_out(make_worker, tasks, workers=2):
    """Results, tasks given up, and what was said."""
    results, said = [], []
    lost = LocalExecutor(WorkerPool(workers)).run(make_worker, tasks, results.append, said.append)
    return results, lost, said


def test_every_task_is_done_once_in_other_processes_that_share_the_cores():
    results, lost, said = carried_out(made.make_squarer, list(range(40)))
    assert sorted(result[:2] for result in results) == [(task, task * task) for task in range(40)]
    processes = {process for *_, process, _ in results}
    assert len(processes) == 2
    assert os.getpid() not in processes
    assert {threads for *_, threads in results} == {max(1, cores() // 2)}
    assert lost == said == []


def test_no_more_processes_are_started_than_there_are_tasks():
    results, _, _ = carried_out(made.make_squarer, [7], workers=5)
    assert [result[:2] for result in results] == [(7, 49)]


def test_a_worker_that_is_killed_is_replaced_and_its_task_tried_again(tmp_path):
    results, lost, said = carried_out(made.mortal(tmp_path, deadly=3, deaths=2), list(range(8)))
    assert sorted(results) == [task * task for task in range(8)]
    assert lost == []
    assert said == ["A worker died (signal 9, often for want of memory); another takes over 3."] * 2


def test_a_task_that_kills_every_worker_is_given_up_and_all_others_are_done(tmp_path):
    results, lost, said = carried_out(made.mortal(tmp_path, deadly=0, deaths=99), list(range(5)))
    assert sorted(results) == [1, 4, 9, 16]
    assert [(found.task, found.tries) for found in lost] == [(0, RETRIES + 1)]
    assert "signal 9" in lost[0].how
    assert len(said) == RETRIES
    assert len(list(tmp_path.glob("0-*"))) == RETRIES + 1


def test_what_a_user_must_mend_is_raised_here_and_no_task_is_begun_after_it(tmp_path):
    with pytest.raises(ModelError, match="the model is gone; bring it back"):
        carried_out(made.refusing(tmp_path), list(range(50)), workers=1)
    assert {path.name for path in tmp_path.iterdir()} == {"0", "1", "2"}


def test_a_task_that_was_lost_comes_before_those_not_begun():
    queue = TaskQueue(["a", "b", "c"])
    task, tried = queue.take()
    queue.died(task, tried, "signal 9", lambda text: None)
    assert [queue.take(), queue.take(), queue.take()] == [("a", 1), ("b", 0), ("c", 0)]
    assert not queue


def alive(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the children of a process in /proc")
def test_workers_end_with_a_parent_that_is_killed():
    script = (
        "import time\nfrom mematlas.executors.base import Crew\nfrom mematlas.executors.local import LocalExecutor\n"
        "from tests.executors import made\n"
        "if __name__ == '__main__':\n"
        "    LocalExecutor(Crew(2)).run(made.make_squarer, range(10**5), lambda r: print(r[2], flush=True), print)\n"
    )
    driver = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    workers = set()
    while len(workers) < 2:
        workers.add(int(driver.stdout.readline()))
    assert all(map(alive, workers))
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    driver.stdout.close()
    end = time.monotonic() + 10
    while any(map(alive, workers)) and time.monotonic() < end:
        time.sleep(0.02)
    assert not any(map(alive, workers))
