"""The interface of an executor, which runs tasks in worker processes, and what all executors share.

A worker is a callable that takes a task. It is created once per process and keeps what it has loaded. Each worker has
at most one task at a time, so that neither tasks nor results pile up anywhere.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from mematlas.errors import MematlasError
from mematlas.errors.libraries import missing_libraries
from mematlas.executors.allocation import keep_freed_memory

Task = TypeVar("Task")
Result = TypeVar("Result")

#: Shows one line of text to the user, as `Progress.say` does.
Say = Callable[[str], None]

#: Called with a number of threads in the worker process, it returns the worker. It is pickled, so it must be a function
#: of a module, or a `partial` of one.
WorkerFactory = Callable[[int], Callable[[Task], Result]]

#: How often a task is retried after its worker died. Our choice: a node may leave, but a task that kills must end.
RETRIES = 3


@dataclass(frozen=True, slots=True)
class WorkerPool:
    """The requested workers.

    Args:
        workers: their number.
        address: of the cluster; None for one of this machine alone.
        gpus: per worker; None for one where the machine has any, taken in turn by processes of this machine.
    """

    workers: int
    address: str | None = None
    gpus: float | None = None


@dataclass(frozen=True, slots=True)
class FailedTask(Generic[Task]):
    """A task that was given up after `attempts`, because its worker died each time; reason: of the last death."""

    task: Task
    attempts: int
    reason: str


class Executor(Protocol):
    """Runs tasks in worker processes; created with a `WorkerPool`."""

    def run(
        self,
        make_worker: "WorkerFactory[Task, Result]",
        tasks: Sequence[Task],
        on_result: Callable[[Result], None],
        say: Say,
    ) -> "list[FailedTask[Task]]":
        """Run `tasks`, started in their order; `on_result` is called with each result, in this process.

        Returns:
            The tasks that were given up because their workers kept dying; all others are done.

        Raises:
            MematlasError: a worker raised an error that the user must fix; no further task was started then.
        """
        ...


@dataclass(frozen=True, slots=True)
class UserError:
    """Returned by a worker in place of a result: an error that the user must fix."""

    error: MematlasError


class WorkerSlot(Generic[Task, Result]):
    """The place of one worker in its process: creates the worker with its first task, and returns errors as values."""

    def __init__(self, make_worker: "WorkerFactory[Task, Result]", threads: int) -> None:
        self._make_worker, self._threads = make_worker, threads
        self._worker: Callable[[Task], Result] | None = None

    def run(self, task: Task) -> Result | UserError:
        try:
            with missing_libraries("A worker"):
                if self._worker is None:
                    keep_freed_memory()
                    self._worker = self._make_worker(self._threads)
                return self._worker(task)
        except MematlasError as error:
            return UserError(error)


class TaskQueue(Generic[Task]):
    """The tasks still to be started, how often each was tried, and those that were given up."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._pending = [(task, 0) for task in reversed(tasks)]
        self.failed_tasks: list[FailedTask[Task]] = []
        self.user_error: MematlasError | None = None

    def __bool__(self) -> bool:
        return bool(self._pending) and self.user_error is None

    def take(self) -> tuple[Task, int]:
        """The next task, and how often it was tried before."""
        return self._pending.pop()

    def requeue_or_fail(self, task: Task, attempts: int, reason: str, say: Say) -> None:
        """Put a task whose worker died at the head of the queue, or give it up after too many attempts.

        Args:
            attempts: how often the task was tried before this one; reason: of the worker's death.
        """
        if attempts < RETRIES:
            say(f"A worker died ({reason}); another takes over {task}.")
            self._pending.append((task, attempts + 1))
        else:
            self.failed_tasks.append(FailedTask(task, attempts + 1, reason))

    def handle_result(self, result: Any, on_result: Callable[[Any], None]) -> None:
        """Pass a result on; after the first `UserError` no further task is started."""
        if isinstance(result, UserError):
            self.user_error = self.user_error or result.error
        else:
            on_result(result)

    def finish(self) -> "list[FailedTask[Task]]":
        """Return the tasks that were given up.

        Raises:
            MematlasError: the first error that a worker returned.
        """
        if self.user_error is not None:
            raise self.user_error
        return self.failed_tasks
