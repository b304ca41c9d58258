"""What the core asks of an executor, and no more: carry tasks out in other processes, wherever these are.

A worker is anything that can be called with a task; it is made once in its process and keeps what it has loaded. At
most one task is out with a worker, so that neither tasks nor results pile up anywhere.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from mematlas.errors import MematlasError

Task = TypeVar("Task")
Result = TypeVar("Result")
Say = Callable[[str], None]

#: From the number of threads that a worker may use to the worker; it is pickled, so a function of a module it must be.
MakeWorker = Callable[[int], Callable[[Task], Result]]

#: How often a task is tried again after its worker died. Our choice: a node may leave, but a task that kills must end.
RETRIES = 3


@dataclass(frozen=True, slots=True)
class WorkerPool:
    """The workers asked for. address: of the cluster, None for one of this machine alone; gpus: of each worker, None
    for one where there are any, in turn where they are fewer (processes of this machine)."""

    workers: int
    address: str | None = None
    gpus: float | None = None


@dataclass(frozen=True, slots=True)
class FailedTask(Generic[Task]):
    """A task given up after `tries`, because its worker died every time; how: of what, the last time."""

    task: Task
    tries: int
    how: str


class Executor(Protocol):
    """Carries tasks out; made with a `WorkerPool`."""

    def run(
        self,
        make_worker: "MakeWorker[Task, Result]",
        tasks: Sequence[Task],
        on_result: Callable[[Result], None],
        say: Say,
    ) -> "list[FailedTask[Task]]":
        """Carry out `tasks`, begun in their order; `on_result` hears of each that is done, in this process.

        Returns:
            The tasks whose workers died again and again; all others are done.

        Raises:
            MematlasError: a worker met something that a user must mend; no further task was begun then.
        """
        ...


@dataclass(frozen=True, slots=True)
class UserError:
    """The answer of a worker that met what a user must mend."""

    error: MematlasError


class WorkerSlot(Generic[Task, Result]):
    """A worker's place in its own process: makes the worker with its first task, and answers errors as values."""

    def __init__(self, make_worker: "MakeWorker[Task, Result]", threads: int) -> None:
        self._make, self._threads = make_worker, threads
        self._worker: Callable[[Task], Result] | None = None

    def do(self, task: Task) -> Result | UserError:
        try:
            if self._worker is None:
                self._worker = self._make(self._threads)
            return self._worker(task)
        except MematlasError as error:
            return UserError(error)


class TaskQueue(Generic[Task]):
    """The tasks still to be begun, how often each was tried, and those given up."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._waiting = [(task, 0) for task in reversed(tasks)]
        self.lost: list[FailedTask[Task]] = []
        self.refusal: MematlasError | None = None

    def __bool__(self) -> bool:
        return bool(self._waiting) and self.refusal is None

    def take(self) -> tuple[Task, int]:
        """The next task, and how often it was tried before."""
        return self._waiting.pop()

    def died(self, task: Task, tried: int, how: str, say: Say) -> None:
        """Note that the worker of `task` died: it comes next again, or is given up."""
        if tried < RETRIES:
            say(f"A worker died ({how}); another takes over {task}.")
            self._waiting.append((task, tried + 1))
        else:
            self.lost.append(FailedTask(task, tried + 1, how))

    def answered(self, answer: Any, on_result: Callable[[Any], None]) -> None:
        """Pass a result on; after the first refusal no further task is begun."""
        if isinstance(answer, UserError):
            self.refusal = self.refusal or answer.error
        else:
            on_result(answer)

    def end(self) -> "list[FailedTask[Task]]":
        """What was given up.

        Raises:
            MematlasError: the first refusal.
        """
        if self.refusal is not None:
            raise self.refusal
        return self.lost
