"""List options of the command line: repeated, or with commas, or both: `--context 16,32 --context 64`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cyclopts import Parameter, Token, convert

from mematlas.scoring.config import ScoreConfig
from mematlas.types import as_list


def _convert(type_: Any, tokens: Sequence[Token]) -> Any:
    parts = [token.evolve(value=str(part)) for token in tokens for part in as_list(token.value)]
    return convert(type_, parts)


#: A list option whose type cyclopts converts; the lists of pydantic models split their values themselves.
COMMAS = Parameter(converter=_convert)


def split_control_models(config: ScoreConfig) -> ScoreConfig:
    """Separate `--control-models` at commas, unless a comma is part of a path that exists, as in parrot:a,b.npy:14."""
    names: list[str] = []
    for name in config.control_models:
        is_path = any(Path(part).expanduser().exists() for part in (name, *name.split(":")))
        names += [name] if is_path else [str(part) for part in as_list(name)]
    return config.model_copy(update={"control_models": names})
