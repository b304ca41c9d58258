"""Options of scoring that a model behind an API cannot fulfil: each is refused by name, before anything is asked."""

from collections.abc import Sequence
from typing import Final

from pydantic import BaseModel

from mematlas.errors import OptionError
from mematlas.io.paths import is_remote
from mematlas.models.endpoints.options import api_key
from mematlas.scoring.config import ScoreConfig

#: Options that say how a model is loaded and run, which its server does.
_OF_THE_SERVER: Final = ("dtype", "device", "device_map", "trust_remote_code", "batch", "graphs")


def check_options_of_endpoint(config: ScoreConfig, spec: str) -> None:
    """Refuse what a model behind an API cannot give.

    Args:
        spec: the model's name, for the message.

    Raises:
        OptionError: an option asks for it.
    """
    refusals = (
        (config.endpoint == "chat", "--endpoint chat gives text only, and scores need token ids: leave it out"),
        (bool(config.signals), f"--signals {next(iter(config.signals), '')} needs the model's logits: leave it out"),
        (config.eos == "suppress", "--eos suppress needs the model's logits: use ignore or stop"),
        (config.bos, "--bos needs to know the model's BOS token: put it into the rows, or leave the option out"),
        (config.settle, "--settle needs the model's weights: leave it out"),
        (
            config.workers > 1 or config.executor != "local",
            "--workers and --executor would each have a budget and a pace of their own: use --concurrency",
        ),
        (
            is_remote(config.study),
            f"answers are appended to files, which {config.study} cannot do: name a folder of this machine as --study",
        ),
    )
    for holds, text in refusals:
        if holds:
            raise OptionError(f"{spec} is a model behind an API: {text}.")
    api_key(config)  # where a variable is named that is not set
    check_options_of_server(config, _OF_THE_SERVER, spec, "score other models by a command of their own")


def check_options_of_server(config: BaseModel, names: Sequence[str], spec: str, remedy: str) -> None:
    """Refuse options that say how a model is loaded and run, where a server does both.

    Args:
        names: of these options; spec: the model's name; remedy: what to do besides leaving the option out.

    Raises:
        OptionError: one of them is not as it is by default.
    """
    for name in names:
        value = getattr(config, name)
        if value != type(config).model_fields[name].default:
            raise OptionError(
                f"{spec} is a model behind an API: --{name.replace('_', '-')} {value} is for its server to decide; "
                f"leave it out, and {remedy}."
            )
