"""Load a causal or masked network with transformers, and check that its weights are whole."""

from pathlib import Path
from typing import Any, Final

import torch

from mematlas.errors import ModelError
from mematlas.models.base import LoadOptions, ModelCard, pick_device
from mematlas.models.weight_files import read_json
from mematlas.types import Objective

#: What a model that cannot be loaded for one objective may be good for.
_OTHER: Final[dict[Objective, tuple[tuple[str, ...], str]]] = {
    "causal": (("ForMaskedLM",), "It is a masked language model: score it with --objective masked."),
    "masked": (("ForCausalLM", "LMHeadModel"), "It is a causal language model: leave out --objective masked."),
}


def load_network(
    auto_class: Any, objective: Objective, folder: str, card: ModelCard, options: LoadOptions, **extra: Any
) -> tuple[Any, torch.device]:
    """The network in `folder` in evaluation mode, and the device for its input.

    Args:
        auto_class: AutoModelForCausalLM or AutoModelForMaskedLM, as `objective` says; extra: for its `from_pretrained`.

    Raises:
        ModelError: transformers cannot load it, a weight is missing or has another shape, or the embedding is smaller
            than the vocabulary that the card states.
    """
    from huggingface_hub.errors import StrictDataclassError
    from transformers.utils import logging

    device = pick_device(options.device)
    device_map: Any = {"": device} if card.quantization else None  # quantized weights do not move once they are loaded
    device_map = options.device_map or device_map
    if device_map is not None:
        extra["device_map"] = device_map
    logging.disable_progress_bar()
    try:
        network, loading_info = auto_class.from_pretrained(
            folder,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported below with their names
            dtype=getattr(torch, options.dtype),
            trust_remote_code=options.trust_remote_code,
            local_files_only=True,
            use_safetensors=None if "gguf_file" in extra else True,
            **extra,
        )
    except ModuleNotFoundError:
        raise
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, StrictDataclassError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        reason = " ".join(lines[: 2 if lines[0].endswith(":") else 1])
        raise ModelError(
            f"{card.spec!r} cannot be loaded as a {objective} language model: {_other(folder, objective) or reason}"
        ) from error
    _check_weights(loading_info, card, _other(folder, objective))
    if device_map is None:
        network = network.to(device)
    elif options.device_map is not None:
        device = _input_device(network.get_input_embeddings())
    network.eval()
    _check_vocabulary(network, card)
    return network, device


def _check_vocabulary(network: Any, card: ModelCard) -> None:
    rows = network.get_input_embeddings().weight.shape[0]
    if rows < card.vocabulary:
        raise ModelError(
            f"{card.spec!r} states a vocabulary of {card.vocabulary} but embeds {rows} tokens; fetch the model again."
        )


def _check_weights(loading_info: dict[str, Any], card: ModelCard, remedy: str | None) -> None:
    mismatched = (name for name, *_ in loading_info["mismatched_keys"])
    invalid = sorted({*loading_info["missing_keys"], *mismatched})
    if invalid:
        remedy = remedy or "Fetch or convert the model again."
        raise ModelError(
            f"{card.spec!r} lacks {len(invalid)} of its weights or has them in another shape than it states "
            f"(first: {invalid[0]}), so they would be random; {remedy[0].lower()}{remedy[1:]}"
        )


def _other(folder: str, objective: Objective) -> str | None:
    """The remedy if the model was saved as one for the other objective."""
    suffixes, remedy = _OTHER[objective]
    names = read_json(Path(folder) / "config.json").get("architectures") or []
    return remedy if any(str(name).endswith(suffixes) for name in names) else None


def _input_device(embeddings: Any) -> torch.device:
    """The device for input tokens: an offloaded embedding is on a device only while it is used."""
    execution_device = getattr(getattr(embeddings, "_hf_hook", None), "execution_device", None)
    return embeddings.weight.device if execution_device is None else torch.device(execution_device)
