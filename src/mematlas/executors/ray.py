"""Workers as actors of a Ray cluster: `--address auto`, an address, or a fresh cluster of this machine alone.

Whoever is lost, with a process or with a whole node, is replaced by a new actor, which gets a task only once it runs
somewhere; the lost one's task comes next. Ray's own restarts are not used: they hold a task back until its actor lives
again, and count no tries.
"""

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from mematlas.errors import StudyError
from mematlas.executors.base import (
    RETRIES,
    FailedTask,
    MakeWorker,
    Result,
    Say,
    Task,
    TaskQueue,
    WorkerPool,
    WorkerSlot,
)
from mematlas.executors.local import cores

_EVERY = 30.0  # seconds between lines while no worker finds a place
_KNOCK = 5.0  # seconds for a cluster to answer at all


class RayExecutor:
    """`crew.workers` actors, each with its share of CPUs and GPUs. See `base.Executor`."""

    def __init__(self, crew: WorkerPool) -> None:
        self._crew = crew

    def run(
        self,
        make_worker: "MakeWorker[Task, Result]",
        tasks: Sequence[Task],
        on_result: Callable[[Result], None],
        say: Say,
    ) -> "list[FailedTask[Task]]":
        workers = min(self._crew.workers, len(tasks))
        threads = max(1, cores() // max(1, workers)) if self._crew.address is None else 1
        with _connected(self._crew.address, workers * threads):
            gpus = min(1.0, ray.cluster_resources().get("GPU", 0.0)) if self._crew.gpus is None else self._crew.gpus
            actor = ray.remote(num_cpus=threads, num_gpus=gpus, max_restarts=0)(_Actor)
            crew = _Actors(lambda: actor.remote(make_worker, threads))
            return crew.carry_out(TaskQueue(tasks), workers, on_result, say, f"{threads} CPU and {gpus:g} GPU")


class _Actor:
    def __init__(self, make_worker: "MakeWorker[Any, Any]", threads: int) -> None:
        os.environ.setdefault("POLARS_MAX_THREADS", str(threads))  # of the other libraries Ray limits them
        self._seat: WorkerSlot[Any, Any] = WorkerSlot(make_worker, threads)

    def here(self) -> None:
        """Answers once the actor runs."""

    def do(self, task: Any) -> Any:
        return self._seat.do(task)


class _Actors:
    """The actors at work; each has one call out: whether it is there yet, or a task."""

    def __init__(self, start: Callable[[], Any]) -> None:
        self._start = start
        self._stillborn = 0  # actors in a row that died before they had a task
        self._out: dict[Any, tuple[Any, tuple[Any, int] | None]] = {}  # call -> actor, its task and how often tried

    def carry_out(
        self, queue: "TaskQueue[Any]", workers: int, on_result: Callable[[Any], None], say: Say, needs: str
    ) -> "list[FailedTask[Any]]":
        try:
            for _ in range(workers):
                self._hire()
            while queue or any(held for _, held in self._out.values()):
                done, _ = ray.wait(list(self._out), timeout=_EVERY)
                if not done and not any(held for _, held in self._out.values()):
                    say(f"The cluster has no room for a worker yet (each needs {needs}); waiting.")
                for call in done:
                    self._hear(call, queue, on_result, say)
        finally:
            for actor, _ in self._out.values():
                ray.kill(actor)
        return queue.end()

    def _hire(self) -> None:
        actor = self._start()
        self._out[actor.here.remote()] = actor, None

    def _mourn(self, error: RayError) -> None:
        """Count an actor that died before it had a task.

        Raises:
            StudyError: no actor comes to life here.
        """
        self._stillborn += 1
        if self._stillborn > RETRIES * (len(self._out) + 1):
            raise StudyError(
                f"No worker comes to life on the cluster ({_how(error)}: {' '.join(str(error).split())[:400]}); see "
                "that all machines have the same mematlas with its extras, and run the same command again."
            ) from None

    def _hear(self, call: Any, queue: "TaskQueue[Any]", on_result: Callable[[Any], None], say: Say) -> None:
        """Take what a call brought, and give its actor, or its successor, something to do."""
        actor, held = self._out.pop(call)
        try:
            answer = ray.get(call)
        except RayError as error:
            if held is not None:
                queue.died(*held, _how(error), say)
            else:
                self._mourn(error)
            ray.kill(actor)
            self._hire()
            return
        self._stillborn = 0
        if held is not None:
            queue.answered(answer, on_result)
        if queue:
            held = queue.take()
            self._out[actor.do.remote(held[0])] = actor, held
        else:
            ray.kill(actor)


def _how(error: RayError) -> str:
    """How a worker was lost, in a few words."""
    if isinstance(error, RayTaskError):
        return f"{type(error.cause).__name__}: {error.cause}"
    return type(error).__name__


@contextmanager
def _connected(address: str | None, cpus: int) -> Iterator[None]:
    """A connection to the cluster; a fresh one ends with it.

    Raises:
        StudyError: no cluster answers.
    """
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a fresh cluster tells nobody that it was used
    try:
        _check_listens(address)
        fresh = {"num_cpus": cpus, "include_dashboard": False} if address is None else {}
        ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **fresh)
    except (OSError, RayError, RuntimeError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise StudyError(
            f"No Ray cluster answers at {address or 'this machine'!r} ({reason}); begin one with `ray start --head`, "
            "correct --address, or leave it out for a cluster of this machine alone."
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def _check_listens(address: str | None) -> None:
    """Knock at host:port first: Ray itself waits for minutes where nobody answers.

    Raises:
        OSError: nobody does.
    """
    host, colon, port = (address or "").rpartition(":")
    if colon and port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=_KNOCK).close()
