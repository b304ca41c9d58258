"""Load a base model with an adapter by peft, and merge the two where that changes nothing but the speed."""

import warnings
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import safe_open
from transformers import AutoModelForCausalLM

from mematlas.errors import ModelError
from mematlas.models.base import LoadOptions, Model, ModelCard, first_line
from mematlas.models.causal import CausalModel
from mematlas.models.causality import check_causal
from mematlas.models.huggingface import FolderSource
from mematlas.models.loading import load_network
from mematlas.models.peft_adapters.folder import ADAPTER_WEIGHTS


@torch.inference_mode()
def load_adapted(folder: Path, base: FolderSource, card: ModelCard, options: LoadOptions) -> Model:
    """The base model changed by the adapter in `folder`, in the number type that the options name.

    Raises:
        ModelError: as `load_causal`; or the adapter has other weights than peft needs for this base model.
    """
    network, device = load_network(AutoModelForCausalLM, "causal", str(base.folder), base.card, options)
    if network.get_input_embeddings().weight.shape[0] != card.vocabulary != base.card.vocabulary:
        network.resize_token_embeddings(card.vocabulary, mean_resizing=False)  # the adapter has the new rows
    network = _adapted(network, folder, card, device)
    check_causal(network, card.vocabulary, device, card.spec, card.max_length)
    return CausalModel(network, card.vocabulary, device)


def _adapted(network: Any, folder: Path, card: ModelCard, device: torch.device) -> Any:
    is_quantized = getattr(network, "is_quantized", False)
    ties = _tied(network)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they say of weights is checked below
            model = PeftModel.from_pretrained(network, str(folder), torch_device=str(device))
            _check_weights(model, folder, card)
            network = model.get_base_model()
            if not is_quantized and not (ties and _changes_embeddings(network)):
                network = model.merge_and_unload()
    except ModuleNotFoundError:
        raise
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError, NotImplementedError) as error:
        raise ModelError(
            f"{card.spec!r} cannot be loaded on its base model {card.base!r} ({first_line(error)}); check that it is "
            "the model that the adapter was trained on, and that peft is current."
        ) from error
    network.eval()
    return network


def _check_weights(model: Any, folder: Path, card: ModelCard) -> None:
    """Refuse weights that the adapter lacks, which would be random, and those that the base model has no place for."""
    with safe_open(folder / ADAPTER_WEIGHTS, "pt") as file:
        stored = set(file.keys())
    needed = set(get_peft_model_state_dict(model, save_embedding_layers=False))
    places = set(get_peft_model_state_dict(model, save_embedding_layers=True))
    lacking, superfluous = sorted(needed - stored), sorted(stored - needed - places)
    if lacking or superfluous:
        raise ModelError(
            f"{card.spec!r} and its base model {card.base!r} do not fit together: the adapter "
            + (f"lacks {lacking[0]}" if lacking else f"has {superfluous[0]}, for which the base has no place")
            + "; name the model that it was trained on: 'ADAPTER@BASE'."
        )


def _tied(network: Any) -> bool:
    """Whether the input and the output embeddings are one matrix."""
    output = network.get_output_embeddings()
    return output is not None and output.weight is network.get_input_embeddings().weight


def _changes_embeddings(network: Any) -> bool:
    """Whether the adapter wraps the input or output embeddings.

    Where they are one matrix, merging a change of one into it would change the other as well, unlike in training.
    """
    modules = (network.get_input_embeddings(), network.get_output_embeddings())
    return any(isinstance(module, BaseTunerLayer) for module in modules)
