"""The options that choose the workers of a command; scoring has two more of its own (`mematlas.scoring.config`)."""

from typing import Final, Literal, TypedDict

from pydantic import BaseModel, ConfigDict, Field

from mematlas.errors import OptionError
from mematlas.errors.configurations import resolve_options


class WorkerOptions(BaseModel):
    """Options of every command whose work can be shared by several processes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    workers: int = Field(default=1, description="Number of processes that share the work.", gt=0)
    executor: Literal["local", "ray"] = Field(
        default="local", description="Where workers run: processes on this machine, or a Ray cluster."
    )
    address: str | None = Field(
        default=None, description="Address of the Ray cluster, or auto; by default a new cluster on this machine alone."
    )

    def uses_workers(self, tasks: int) -> bool:
        """Whether this number of tasks is run by other processes than this one."""
        return tasks > 0 and (self.executor != "local" or min(self.workers, tasks) > 1)


class WorkerKeywords(TypedDict, total=False):
    """The options as keywords of public functions, for editors and type checkers."""

    workers: int
    executor: Literal["local", "ray"]
    address: str | None


#: One worker, which is this process.
SINGLE_PROCESS: Final = WorkerOptions()


def resolve_worker_options(command: str, /, **options: object) -> WorkerOptions:
    """Check the worker options of a command.

    Raises:
        OptionError: an option is unknown or breaks a rule; the message names the option as the command line does.
    """
    checked = resolve_options(WorkerOptions, command, options)
    check_ray_only_options(checked.executor, address=checked.address)
    return checked


def check_ray_only_options(executor: str, **options: object) -> None:
    """Refuse options of the Ray executor where another executor was chosen; `options`: name -> value or None.

    Raises:
        OptionError: one is given.
    """
    for name, value in options.items():
        if value is not None and executor != "ray":
            option = f"--{name.replace('_', '-')}"
            raise OptionError(
                f"{option} {value} is an option of Ray clusters only: add --executor ray, or leave it out."
            )
