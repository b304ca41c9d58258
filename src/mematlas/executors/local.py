"""Workers as processes of this machine, spawned, so that they share no state of their parent (CUDA, threads)."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, Generic

from mematlas.executors.base import FailedTask, Result, Say, Task, TaskQueue, WorkerFactory, WorkerPool, WorkerSlot
from mematlas.executors.gpus import gpu_of, visible_gpus

_EXIT_TIMEOUT = 10.0  # seconds for a worker to exit after it was told to
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "POLARS_MAX_THREADS")  # read when NumPy and polars are imported


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalExecutor:
    """Runs tasks in `pool.workers` processes, which share the cores and take the GPUs in turn where a worker may have
    one; a process that dies is replaced. See `base.Executor`."""

    def __init__(self, pool: WorkerPool) -> None:
        self._workers = pool.workers
        self._gpus = visible_gpus(os.environ) if pool.gpus is None and pool.workers > 1 else []

    def run(
        self,
        make_worker: "WorkerFactory[Task, Result]",
        tasks: Sequence[Task],
        on_result: Callable[[Result], None],
        say: Say,
    ) -> "list[FailedTask[Task]]":
        queue = TaskQueue(tasks)
        threads = max(1, cores() // min(self._workers, max(1, len(tasks))))
        slot = WorkerSlot(make_worker, threads)
        busy: dict[Any, _Process[Task]] = {}
        try:
            while queue and len(busy) < self._workers:
                gpu = gpu_of(len(busy), self._gpus)
                process: _Process[Task] = _Process(slot, _worker_environment(os.environ, threads, gpu))
                process.assign(*queue.take())
                busy[process.connection] = process
            while busy:
                for connection in wait(list(busy)):
                    self._handle_reply(busy[connection], queue, on_result, say, slot, busy)
        finally:
            for process in busy.values():
                process.stop()
        return queue.finish()

    def _handle_reply(
        self,
        process: "_Process[Task]",
        queue: "TaskQueue[Task]",
        on_result: Callable[[Any], None],
        say: Say,
        slot: "WorkerSlot[Task, Any]",
        busy: "dict[Any, _Process[Task]]",
    ) -> None:
        """Receive a worker's result, or notice its death; then assign the next task to it or to its replacement."""
        task, attempts = process.assigned
        try:
            result = process.connection.recv()
        except (EOFError, OSError):
            del busy[process.connection]
            queue.requeue_or_fail(task, attempts, process.stop(), say)
            process = _Process(slot, process.environment) if queue else process
        else:
            queue.handle_result(result, on_result)
        if queue:
            process.assign(*queue.take())
            busy[process.connection] = process
        else:
            busy.pop(process.connection, None)
            process.stop()


def _worker_environment(environment: Mapping[str, str], threads: int, gpu: str | None) -> dict[str, str]:
    """Variables set before a worker imports anything: its own GPU, and its threads unless the user has set them."""
    limits = dict.fromkeys((name for name in _THREAD_VARIABLES if name not in environment), str(threads))
    return limits if gpu is None else limits | {"CUDA_VISIBLE_DEVICES": gpu}


class _Process(Generic[Task]):
    """One worker process. assigned: its current task, and how often that was tried before."""

    assigned: tuple[Task, int]

    def __init__(self, slot: "WorkerSlot[Task, Any]", environment: dict[str, str]) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.environment = environment
        self.connection, child_end = spawn.Pipe()
        self._process = spawn.Process(target=_worker_main, args=(child_end, environment), daemon=True)
        self._process.start()
        child_end.close()
        with suppress(OSError):
            self.connection.send(slot)

    def assign(self, task: Task, attempts: int) -> None:
        self.assigned = task, attempts
        with suppress(OSError):  # a dead process is noticed when its result is received
            self.connection.send(task)

    def stop(self) -> str:
        """End the process if it is alive; return how it ended."""
        self.connection.close()
        self._process.join(0.2)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(_EXIT_TIMEOUT)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        code = self._process.exitcode or 0
        hint = ", often for lack of memory" if code == -signal.SIGKILL else ""
        return f"signal {-code}{hint}" if code < 0 else f"exit code {code}; its last output is shown above"


def _worker_main(connection: "Connection[Any, Any]", environment: dict[str, str]) -> None:
    """Main function of a worker process: receives its slot, then repeatedly a task, and sends each result.

    It exits when its parent does, at any moment. The slot comes over the connection because unpickling it imports
    modules, which must find `environment` set.
    """
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent ends the others
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    with suppress(EOFError):
        slot: WorkerSlot[Any, Any] = connection.recv()
        while True:
            task = connection.recv()
            connection.send(slot.run(task))


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
