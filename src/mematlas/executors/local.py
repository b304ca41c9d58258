"""Workers as processes of this machine, spawned, so that they share nothing of their parent's state (CUDA, threads)."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, Generic

from mematlas.executors.base import FailedTask, MakeWorker, Result, Say, Task, TaskQueue, WorkerPool, WorkerSlot
from mematlas.executors.gpus import gpu_of, visible_gpus

_PATIENCE = 10.0  # seconds for a worker to go by itself
_THREADS = ("OMP_NUM_THREADS", "POLARS_MAX_THREADS")  # read when NumPy and polars are imported


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalExecutor:
    """`crew.workers` processes that share the cores, and take turns at the GPUs where a worker may have one; one that
    dies is replaced. See `base.Executor`."""

    def __init__(self, crew: WorkerPool) -> None:
        self._workers = crew.workers
        self._gpus = visible_gpus(os.environ) if crew.gpus is None and crew.workers > 1 else []

    def run(
        self,
        make_worker: "MakeWorker[Task, Result]",
        tasks: Sequence[Task],
        on_result: Callable[[Result], None],
        say: Say,
    ) -> "list[FailedTask[Task]]":
        queue = TaskQueue(tasks)
        threads = max(1, cores() // min(self._workers, max(1, len(tasks))))
        seat = WorkerSlot(make_worker, threads)
        busy: dict[Any, _Process[Task]] = {}
        try:
            while queue and len(busy) < self._workers:
                gpu = gpu_of(len(busy), self._gpus)
                process: _Process[Task] = _Process(seat, _environment(os.environ, threads, gpu))
                process.give(*queue.take())
                busy[process.connection] = process
            while busy:
                for connection in wait(list(busy)):
                    self._hear(busy[connection], queue, on_result, say, seat, busy)
        finally:
            for process in busy.values():
                process.stop()
        return queue.end()

    def _hear(
        self,
        process: "_Process[Task]",
        queue: "TaskQueue[Task]",
        on_result: Callable[[Any], None],
        say: Say,
        seat: "WorkerSlot[Task, Any]",
        busy: "dict[Any, _Process[Task]]",
    ) -> None:
        """Take what a worker answered, or its death, and give it, or its successor, the next task."""
        task, tried = process.holds
        try:
            answer = process.connection.recv()
        except (EOFError, OSError):
            del busy[process.connection]
            queue.died(task, tried, process.stop(), say)
            process = _Process(seat, process.environment) if queue else process
        else:
            queue.answered(answer, on_result)
        if queue:
            process.give(*queue.take())
            busy[process.connection] = process
        else:
            busy.pop(process.connection, None)
            process.stop()


def _environment(known: Mapping[str, str], threads: int, gpu: str | None) -> dict[str, str]:
    """What a worker finds set before it imports anything: its GPU alone, and its threads unless a user said them."""
    limits = dict.fromkeys((name for name in _THREADS if name not in known), str(threads))
    return limits if gpu is None else limits | {"CUDA_VISIBLE_DEVICES": gpu}


class _Process(Generic[Task]):
    """One worker process. holds: the task that is out with it, and how often that was tried before."""

    holds: tuple[Task, int]

    def __init__(self, seat: "WorkerSlot[Task, Any]", environment: dict[str, str]) -> None:
        spawning = multiprocessing.get_context("spawn")
        self.environment = environment
        self.connection, far = spawning.Pipe()
        self._process = spawning.Process(target=_serve, args=(far, environment), daemon=True)
        self._process.start()
        far.close()
        with suppress(OSError):
            self.connection.send(seat)

    def give(self, task: Task, tried: int) -> None:
        self.holds = task, tried
        with suppress(OSError):  # one that is dead is found to be so when it is listened to
            self.connection.send(task)

    def stop(self) -> str:
        """End the process if it lives; says how it ended."""
        self.connection.close()
        self._process.join(0.2)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(_PATIENCE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        code = self._process.exitcode or 0
        often = ", often for want of memory" if code == -signal.SIGKILL else ""
        return f"signal {-code}{often}" if code < 0 else f"exit code {code}; its last words stand above"


def _serve(connection: "Connection[Any, Any]", environment: dict[str, str]) -> None:
    """The life of a worker process: its seat, then a task, its answer, the next; it ends with its parent, at whatever
    moment. The seat comes over the connection, as what it is made of is imported with it, and has to find
    `environment` set."""
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent ends the others
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError):
        seat: WorkerSlot[Any, Any] = connection.recv()
        while True:
            task = connection.recv()
            connection.send(seat.do(task))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
