"""The options that say by whom work is done; scoring has two more of its own (`mematlas.scoring.config`)."""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mematlas.errors import OptionError, explain


class WorkerOptions(BaseModel):
    """Options of every command whose work can be shared."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    workers: int = Field(default=1, description="Processes that share the work.", gt=0)
    executor: Literal["local", "ray"] = Field(
        default="local", description="Where workers run: processes of this machine, or a Ray cluster."
    )
    address: str | None = Field(
        default=None, description="Of the Ray cluster, or auto; default a cluster of this machine alone."
    )

    def shares(self, tasks: int) -> bool:
        """Whether other processes than this one are asked to do so many tasks."""
        return tasks > 0 and (self.executor != "local" or min(self.workers, tasks) > 1)


#: One worker, which is this process.
ALONE: Final = WorkerOptions()


def resolve_workers(command: str, /, **options: object) -> WorkerOptions:
    """Checked options of a command.

    Raises:
        OptionError: an option is unknown or breaks a rule; the message names the option as the command line does.
    """
    try:
        found = WorkerOptions.model_validate(options)
    except ValidationError as error:
        raise OptionError(explain(error, command)) from None
    check_said_to_ray(found.executor, address=found.address)
    return found


def check_said_to_ray(executor: str, **values: object) -> None:
    """Refuse options that mean something to a Ray cluster alone, where there is none; `values`: by their names.

    Raises:
        OptionError: one is given.
    """
    for name, value in values.items():
        if value is not None and executor != "ray":
            option = f"--{name.replace('_', '-')}"
            raise OptionError(f"{option} {value} is said to a Ray cluster: add --executor ray, or leave it out.")
