"""Weights stored in fewer bits, as config.json states: how, and by which library they are read."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Final

from mematlas.errors import ModelError

#: quant_method of transformers -> names under which libraries that read it are imported; one of them is enough.
_LIBRARIES: Final[dict[str, tuple[str, ...]]] = {
    "bitsandbytes": ("bitsandbytes",),
    "gptq": ("gptqmodel",),
    "awq": ("gptqmodel",),
    "compressed-tensors": ("compressed_tensors",),
    "aqlm": ("aqlm",),
    "eetq": ("kernels", "eetq"),
    "hqq": ("hqq",),
    "quanto": ("optimum",),
    "torchao": ("torchao",),
}


def quantization(config: Mapping[str, Any]) -> str | None:
    """How the weights of a model are stored, such as "bitsandbytes, 4 bits"; None if as plain numbers.

    Args:
        config: content of config.json.
    """
    stated = config.get("quantization_config")
    if not isinstance(stated, Mapping):
        return None
    bits = stated.get("bits") or (4 if stated.get("load_in_4bit") else 8 if stated.get("load_in_8bit") else None)
    return _method(stated) + (f", {bits} bits" if isinstance(bits, int) else "")


def check_library(config: Mapping[str, Any], name: str) -> None:
    """Check that a library is installed that reads the quantized weights of a model.

    Args:
        config: content of config.json; name: of the model, for the message.

    Raises:
        ModelError: it is not; libraries of unknown methods are left to transformers.
    """
    stated = config.get("quantization_config")
    libraries = _LIBRARIES.get(_method(stated), ()) if isinstance(stated, Mapping) else ()
    if libraries and not any(find_spec(library) for library in libraries):
        package = libraries[0].replace("_", "-")
        raise ModelError(
            f"The weights of {name!r} are quantized ({quantization(config)}), which needs the library "
            f"{libraries[0]!r}, which is not installed; run: pip install {package} accelerate"
        )


def _method(stated: Mapping[str, Any]) -> str:
    is_old = stated.get("quant_method") is None and (stated.get("load_in_4bit") or stated.get("load_in_8bit"))
    return "bitsandbytes" if is_old else str(stated.get("quant_method") or "of an unnamed kind")
