"""A fitted predictor: network, scaling, calibration and card in one safetensors file; a folder of them is an ensemble.

FOLDER/seed-0.safetensors ...   one per seed; FOLDER/README.md   the model card for people
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mematlas.errors import ModelError
from mematlas.io.local_copies import fetch
from mematlas.io.paths import study_path, write_atomically
from mematlas.predictors.calibration import Calibration, calibrate
from mematlas.predictors.examples import Floats
from mematlas.predictors.network import PredictorNetwork
from mematlas.predictors.options import PredictorConfig
from mematlas.predictors.scaling import Scaling
from mematlas.predictors.training import network_logits
from mematlas.study.schemas.predictions import Sees


@dataclass(frozen=True, slots=True)
class PredictorCard:
    """What a predictor reads, and how it was fitted.

    model, fingerprint: the model whose states it was fitted to; run: of the study; sees, inputs, config: see
    `PredictorConfig`; width: numbers per state; layer: of the states; context, continuation: in tokens; rows: number
    of rows in each part of the split; documents: number of groups of documents; recited: share of the tokens of the
    fitted rows; epochs: passes run; best: the pass whose weights are stored; calibration: slope and offset; scores:
    method -> AUROC on what was held out; held_out: its unit, rows where the corpus names no documents.
    """

    model: str
    fingerprint: str
    run: str
    sees: Sees
    inputs: tuple[str, ...]
    width: int
    layer: str
    context: int
    continuation: int
    seed: int
    rows: dict[str, int]
    documents: int
    recited: float
    epochs: int
    best: int
    validation_loss: float
    calibration: Calibration
    scores: dict[str, float | None]
    config: dict[str, Any]
    versions: dict[str, str]
    held_out: Literal["documents", "rows"] = "documents"


@dataclass(frozen=True, slots=True)
class Predictor:
    """Predicts which tokens of a row will be recited."""

    network: PredictorNetwork
    scaling: Scaling
    card: PredictorCard

    def logits(self, states: np.ndarray, inputs: Floats) -> Floats:
        """Uncalibrated logits [n, continuation], from states [n, positions, width] and inputs [n, positions, F]."""
        return network_logits(self.network, self.scaling, states, inputs)

    def probabilities(self, states: np.ndarray, inputs: Floats) -> Floats:
        """The probability that each token is recited: [n, continuation].

        Args:
            states: [n, positions, width] of `card.layer`; a predictor that sees the context alone needs `card.context`
                positions, another one context + continuation - 1.
            inputs: [n, positions, F], in the order of `card.inputs`; NaN where unknown.

        Raises:
            ModelError: the states have another width, or too few positions.
        """
        card = self.card
        needed = card.context if card.sees == "context" else card.context + card.continuation - 1
        if states.shape[2] != card.width:
            raise ModelError(
                f"This predictor reads states of {card.width} numbers, as {card.model} has them; these have "
                f"{states.shape[2]}. Fit one to this model: `mematlas fit STUDY`."
            )
        if states.shape[1] < needed:
            raise ModelError(
                f"This predictor reads the states of {needed} tokens per row; these rows have {states.shape[1]}."
            )
        return calibrate(self.logits(states[:, :needed], inputs[:, :needed]), card.calibration)


def save_predictor(predictor: Predictor, folder: Path) -> Path:
    """Write a predictor to `folder`; returns the path of its file."""
    from safetensors.torch import save_file

    path = folder / f"seed-{predictor.card.seed}.safetensors"
    tensors = {f"network.{name}": values.contiguous() for name, values in predictor.network.state_dict().items()}
    tensors |= {f"scaling.{name}": _tensor(getattr(predictor.scaling, name)) for name in ("mean", "deviation")}
    card = {"card": json.dumps(asdict(predictor.card))}
    write_atomically(path, lambda temporary: save_file(tensors, temporary, card))
    return path


def load_predictors(path: str | Path) -> list[Predictor]:
    """The predictor in a file, or those of all seeds in a folder, by seed.

    Raises:
        ModelError: there is none, or a file is damaged.
    """
    location = study_path(path)
    files = sorted(location.glob("seed-*.safetensors")) if location.is_dir() else [location]
    if not files or not files[0].is_file():
        raise ModelError(
            f"{path} contains no predictor; `mematlas fit STUDY` writes them to STUDY/predictors/RUN/MODEL/context."
        )
    return sorted((_load(file) for file in files), key=lambda predictor: predictor.card.seed)


def mean_probabilities(predictors: Sequence[Predictor], states: np.ndarray, inputs: Floats) -> Floats:
    """[n, continuation]: the mean over seeds."""
    return np.mean([predictor.probabilities(states, inputs) for predictor in predictors], axis=0, dtype=np.float32)


def _load(path: Path) -> Predictor:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(fetch(path), framework="pt") as file:
            fields = json.loads(file.metadata()["card"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is not a dict
        fields |= {"inputs": tuple(fields["inputs"]), "calibration": tuple(fields["calibration"])}
        card = PredictorCard(**fields)
        config = PredictorConfig.model_validate(card.config)
        network = PredictorNetwork(
            config,
            card.sees,
            width=card.width,
            inputs=len(card.inputs),
            context=card.context,
            continuation=card.continuation,
        )
        prefix = "network."
        weights = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        network.load_state_dict(weights)
        scaling = Scaling(tensors["scaling.mean"].numpy(), tensors["scaling.deviation"].numpy())
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = next(iter(str(error).splitlines()), "")
        raise ModelError(
            f"{path} is not a predictor, or is damaged ({reason}); fit one: `mematlas fit STUDY`."
        ) from None
    return Predictor(network.eval(), scaling, card)


def _tensor(values: Floats) -> Any:
    import torch

    return torch.from_numpy(values)
