"""Rotary positions that extend beyond the length a model was trained for, read from its configuration.

`max_position_embeddings` is the trained length; kinds of RoPE scaling (transformers' `modeling_rope_utils.py`):

    dynamic                  the frequencies follow the number of tokens; any length is possible
    linear, yarn, longrope   positions up to `factor` times the original length are mapped into it

Without scaling, rotary positions beyond the trained length were never seen in training; they count as learned ones do.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

#: Kinds of scaling that extend positions by a factor; "su" is the former name of longrope.
_BY_FACTOR: Final = ("linear", "yarn", "longrope", "su", "llama3")


def supported_lengths(config: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """The most tokens that a model accepts, and the length it was trained for if that is shorter.

    Args:
        config: content of config.json, or of its `text_config`.

    Returns:
        (None, None) if the configuration states no length; (None, trained) if any length is possible.
    """
    trained = config.get("max_position_embeddings") or config.get("n_positions")
    if not isinstance(trained, int):
        return None, None
    scalings = list(_scalings(config))
    if any(_kind(scaling) == "dynamic" for scaling in scalings):
        return None, trained
    longest = max([trained, *(_extended(scaling, config, trained) for scaling in scalings)])
    return longest, None if longest == trained else trained


@dataclass(frozen=True, slots=True)
class LengthDependence:
    """Rotary frequencies that depend on how many tokens a forward pass reads.

    length: up to so many tokens they are the original ones; beyond, `by_token` says whether they differ for every
    number of tokens (dynamic) or are the same for all (longrope).
    """

    length: int
    by_token: bool

    def passes(self, first: int, end: int) -> Iterator[tuple[int, int]]:
        """(tokens read, number of last states) of forward passes that give the states of positions first to end - 1.

        The state of position i is that of a pass over the i + 1 tokens up to it, whatever follows.
        """
        short = min(end, self.length)
        if first < short:
            yield short, short - first
        beyond = max(first, self.length)
        if self.by_token:
            yield from ((position + 1, 1) for position in range(beyond, end))
        elif beyond < end:
            yield end, end - beyond


def length_dependence(config: Mapping[str, Any]) -> LengthDependence | None:
    """How the rotary frequencies depend on the number of tokens; None if they do not."""
    trained = config.get("max_position_embeddings")
    if not isinstance(trained, int):
        return None
    for scaling in _scalings(config):
        if _kind(scaling) == "dynamic":
            return LengthDependence(trained, by_token=True)
        if _kind(scaling) in ("longrope", "su"):
            return LengthDependence(_original(scaling, config, trained), by_token=False)
    return None


def _scalings(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The RoPE settings of a configuration, of which some have one set per kind of layer."""
    settings = config.get("rope_parameters") or config.get("rope_scaling")
    if isinstance(settings, Mapping):
        nested = [value for value in settings.values() if isinstance(value, Mapping)]
        yield from nested or [settings]


def _kind(scaling: Mapping[str, Any]) -> str:
    return str(scaling.get("rope_type") or scaling.get("type") or "default")


def _original(scaling: Mapping[str, Any], config: Mapping[str, Any], trained: int) -> int:
    name = "original_max_position_embeddings"
    return int(scaling.get(name) or config.get(name) or trained)


def _extended(scaling: Mapping[str, Any], config: Mapping[str, Any], trained: int) -> int:
    """The length that the scaling reaches; 0 for kinds that extend nothing."""
    factor = scaling.get("factor")
    if _kind(scaling) not in _BY_FACTOR or not isinstance(factor, int | float):
        return 0
    return int(_original(scaling, config, trained) * factor)
