"""Workers as actors of a Ray cluster: `--address auto`, an address, or a fresh cluster of this machine alone.

An actor that is lost, with its process or with a whole node, is replaced by a new one, which gets a task only once it
runs; the task of the lost actor comes next. Ray's own restarts are not used: they hold a task back until its actor is
alive again, and do not count attempts.
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
    Result,
    Say,
    Task,
    TaskQueue,
    WorkerFactory,
    WorkerPool,
    WorkerSlot,
)
from mematlas.executors.local import cores

_WAITING_INTERVAL = 30.0  # seconds between messages while the cluster has no room for any worker
_CONNECT_TIMEOUT = 5.0  # seconds for a cluster to accept a connection


class RayExecutor:
    """Runs tasks in `pool.workers` actors, each with its share of CPUs and GPUs. See `base.Executor`."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool

    def run(
        self,
        make_worker: "WorkerFactory[Task, Result]",
        tasks: Sequence[Task],
        on_result: Callable[[Result], None],
        say: Say,
    ) -> "list[FailedTask[Task]]":
        pool = self._pool
        workers = min(pool.workers, len(tasks))
        threads = max(1, cores() // max(1, workers)) if pool.address is None else 1
        with _connected(pool.address, workers * threads):
            gpus = min(1.0, ray.cluster_resources().get("GPU", 0.0)) if pool.gpus is None else pool.gpus
            actor_class = ray.remote(num_cpus=threads, num_gpus=gpus, max_restarts=0)(_Actor)
            actors = _ActorPool(lambda: actor_class.remote(make_worker, threads))
            return actors.run(TaskQueue(tasks), workers, on_result, say, f"{threads} CPU and {gpus:g} GPU")


class _Actor:
    def __init__(self, make_worker: "WorkerFactory[Any, Any]", threads: int) -> None:
        os.environ.setdefault("POLARS_MAX_THREADS", str(threads))  # Ray itself limits the other libraries
        self._slot: WorkerSlot[Any, Any] = WorkerSlot(make_worker, threads)

    def ready(self) -> None:
        """Returns once the actor runs."""

    def run(self, task: Any) -> Any:
        return self._slot.run(task)


class _ActorPool:
    """The running actors; each has one pending call, which is either `ready` or a task."""

    def __init__(self, create_actor: Callable[[], Any]) -> None:
        self._create_actor = create_actor
        self._startup_failures = 0  # consecutive actors that died before they had a task
        self._pending: dict[Any, tuple[Any, tuple[Any, int] | None]] = {}  # call -> actor, (task, earlier attempts)

    def run(
        self, queue: "TaskQueue[Any]", workers: int, on_result: Callable[[Any], None], say: Say, needs: str
    ) -> "list[FailedTask[Any]]":
        try:
            for _ in range(workers):
                self._start_actor()
            while queue or self._has_running_task():
                completed, _ = ray.wait(list(self._pending), timeout=_WAITING_INTERVAL)
                if not completed and not self._has_running_task():
                    say(f"The cluster has no room for a worker yet (each needs {needs}); waiting.")
                for call in completed:
                    self._handle_reply(call, queue, on_result, say)
        finally:
            for actor, _ in self._pending.values():
                ray.kill(actor)
        return queue.finish()

    def _has_running_task(self) -> bool:
        return any(assigned for _, assigned in self._pending.values())

    def _start_actor(self) -> None:
        actor = self._create_actor()
        self._pending[actor.ready.remote()] = actor, None

    def _count_startup_failure(self, error: RayError) -> None:
        """Count an actor that died before it had a task.

        Raises:
            StudyError: too many actors in a row could not start.
        """
        self._startup_failures += 1
        if self._startup_failures > RETRIES * (len(self._pending) + 1):
            raise StudyError(
                f"No worker can start on the cluster ({_death_reason(error)}: {' '.join(str(error).split())[:400]}); "
                "check that all machines have the same mematlas with its extras, and run the same command again."
            ) from None

    def _handle_reply(self, call: Any, queue: "TaskQueue[Any]", on_result: Callable[[Any], None], say: Say) -> None:
        """Take the result of a completed call; then give its actor the next task, or start a replacement."""
        actor, assigned = self._pending.pop(call)
        try:
            result = ray.get(call)
        except RayError as error:
            if assigned is not None:
                queue.requeue_or_fail(*assigned, _death_reason(error), say)
            else:
                self._count_startup_failure(error)
            ray.kill(actor)
            self._start_actor()
            return
        self._startup_failures = 0
        if assigned is not None:
            queue.handle_result(result, on_result)
        if queue:
            assigned = queue.take()
            self._pending[actor.run.remote(assigned[0])] = actor, assigned
        else:
            ray.kill(actor)


def _death_reason(error: RayError) -> str:
    """Why a worker was lost, in a few words."""
    if isinstance(error, RayTaskError):
        return f"{type(error.cause).__name__}: {error.cause}"
    return type(error).__name__


@contextmanager
def _connected(address: str | None, cpus: int) -> Iterator[None]:
    """A connection to the cluster; a cluster that was started here ends with it.

    Raises:
        StudyError: no cluster answers.
    """
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster that is started here reports no usage
    try:
        _check_listening(address)
        settings = {"num_cpus": cpus, "include_dashboard": False} if address is None else {}
        ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **settings)
    except (OSError, RayError, RuntimeError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise StudyError(
            f"No Ray cluster answers at {address or 'this machine'!r} ({reason}); start one with `ray start --head`, "
            "correct --address, or leave it out for a cluster of this machine alone."
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def _check_listening(address: str | None) -> None:
    """Try to connect to host:port first: Ray itself waits for minutes if nothing answers there.

    Raises:
        OSError: nothing answers.
    """
    host, colon, port = (address or "").rpartition(":")
    if colon and port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=_CONNECT_TIMEOUT).close()
