"""A tuned lens: an affine map of each layer, fitted so that norm and head read its states better (Belrose et al. 2023).

    h  <-  h + W_l h + b_l        before norm and head; l: 0 (embeddings) to L - 1, and h as it is behind the last block

The maps are those that the package tuned-lens saves: a folder with config.json, which states the width and the number
of layers of the model, and params.pt, with the tensors l.weight [width, width] and l.bias [width] of every map. Maps of
zeros are the identity, and the lens is then the logit lens to the bit.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from mematlas.errors import OptionError
from mematlas.interventions.blocks import PatchableModel
from mematlas.io.local_copies import digest
from mematlas.study import fingerprint

CONFIG: Final = "config.json"
PARAMETERS: Final = "params.pt"
_LINEAR: Final = "linear_tuned_lens"
_REMEDY: Final = "name a folder that the package tuned-lens has saved for this model"


@dataclass(frozen=True, slots=True, eq=False)
class TunedLens:
    """The maps of layers 0 to L - 1. weights: [width, width] of each; biases: [width], or None for a lens without."""

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...] | None

    def __call__(self, layer: int, states: Tensor) -> Tensor:
        """The states behind a layer, translated for norm and head: [..., width]."""
        if layer >= len(self.weights):
            return states
        weight = self.weights[layer].to(states)
        bias = None if self.biases is None else self.biases[layer].to(states)
        return states + torch.nn.functional.linear(states, weight, bias)


def lens_facts(folder: Path) -> tuple[str, str]:
    """A fingerprint of a lens, and the model that it states it is of; its maps are not read.

    Raises:
        OptionError: a file is absent, or config.json is none of a linear tuned lens.
    """
    config, path = _read_config(folder), folder / PARAMETERS
    if not path.is_file():
        raise OptionError(f"--lens {folder} has no {PARAMETERS}; {_REMEDY}.")
    shape = [config["d_model"], config["num_hidden_layers"]]
    return fingerprint([*shape, digest(path)]), str(config.get("base_model_name_or_path"))


def read_tuned_lens(folder: Path, model: PatchableModel) -> TunedLens:
    """The maps in a folder, checked against the model's layers and width.

    Raises:
        OptionError: they are not those of a linear tuned lens, or of a model of another shape.
    """
    config, layers, width = _read_config(folder), model.layers, _width(model)
    if (config["num_hidden_layers"], config["d_model"]) != (layers, width):
        raise OptionError(
            f"--lens {folder} is of a model of {config['num_hidden_layers']} layers and width {config['d_model']}, but "
            f"this one has {layers} layers and width {width}; {_REMEDY}."
        )
    tensors = _read_tensors(folder / PARAMETERS, folder)
    names = [f"{layer}.weight" for layer in range(layers)], [f"{layer}.bias" for layer in range(layers)]
    has_bias = any(name in tensors for name in names[1])
    shapes = dict.fromkeys(names[0], (width, width)) | (dict.fromkeys(names[1], (width,)) if has_bias else {})
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if found != shapes:
        odd = next(name for name in (*shapes, *found) if found.get(name) != shapes.get(name))
        raise OptionError(
            f"--lens {folder}: {PARAMETERS} has {_shape(found.get(odd))} as {odd!r}, where a lens of this model has "
            f"{_shape(shapes.get(odd))}; {_REMEDY}."
        )
    weights, biases = (tuple(tensors[name] for name in part if name in tensors) for part in names)
    return TunedLens(weights, biases or None)


def _shape(shape: tuple[int, ...] | None) -> str:
    return "nothing" if shape is None else f"a tensor of {' x '.join(map(str, shape))}"


def _width(model: PatchableModel) -> int:
    return int(model.model.network.config.get_text_config().hidden_size)


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG).read_bytes())
    except (OSError, ValueError):
        raise OptionError(f"--lens {folder} has no {CONFIG} that can be read; {_REMEDY}.") from None
    known = isinstance(config, dict) and all(type(config.get(name)) is int for name in ("d_model", "num_hidden_layers"))
    if not known or config.get("lens_type", _LINEAR) != _LINEAR:
        raise OptionError(
            f"--lens {folder}: {CONFIG} is none of a linear tuned lens, which states d_model and num_hidden_layers; "
            f"{_REMEDY}."
        )
    return dict(config)


def _read_tensors(path: Path, folder: Path) -> dict[str, Tensor]:
    """The tensors of a file, by torch's reader of tensors alone: nothing in it is executed."""
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
        if isinstance(tensors, dict) and all(isinstance(value, Tensor) for value in tensors.values()):
            return dict(tensors)
    except Exception:  # noqa: BLE001  torch raises many kinds: a damaged archive, objects that are no tensors
        pass
    raise OptionError(f"--lens {folder}: {PARAMETERS} is no file of tensors; {_REMEDY}.")
