"""A fitted predictor: network, scaling, calibration and card in one safetensors file; a folder of them is an ensemble.

FOLDER/seed-0.safetensors ...   one a seed; FOLDER/README.md   the model card for people
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mematlas.errors import ModelError
from mematlas.io.local_copies import fetch
from mematlas.io.paths import study_path, write_atomically
from mematlas.predictors.calibration import Line, calibrated
from mematlas.predictors.examples import Floats
from mematlas.predictors.network import PredictorNetwork
from mematlas.predictors.options import PredictorConfig
from mematlas.predictors.scaling import Scaling
from mematlas.predictors.training import network_logits
from mematlas.study.schemas.predictions import Sees


@dataclass(frozen=True, slots=True)
class PredictorCard:
    """What a predictor is and how it came about.

    model, fingerprint: to whose states it was fitted; run: of the study; sees, inputs, config: see `PredictorConfig`;
    width: numbers a state; layer: that the states are of; context, continuation: tokens; rows: how many of each part,
    documents: groups of documents that they come from; recited: share of the tokens of the fitted rows; epochs, best:
    passes run, and the one kept; calibration: slope and offset; scores: method -> AUROC on the documents held out.
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
    calibration: Line
    scores: dict[str, float | None]
    config: dict[str, Any]
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class Predictor:
    """Predicts which tokens of a row will be recited."""

    network: PredictorNetwork
    scaling: Scaling
    card: PredictorCard

    def logits(self, states: np.ndarray, inputs: Floats) -> Floats:
        """[n, continuation], from states [n, positions, width] and inputs [n, positions, F]; not calibrated."""
        return network_logits(self.network, self.scaling, states, inputs)

    def probabilities(self, states: np.ndarray, inputs: Floats) -> Floats:
        """[n, continuation]: that each token is recited.

        Args:
            states: [n, positions, width] of `card.layer`; a predictor that sees the context alone needs `card.context`
                positions, another one context + continuation - 1.
            inputs: [n, positions, F], `card.inputs` in their order; NaN where not known.

        Raises:
            ModelError: states of another width, or too few positions.
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
                f"This predictor reads the states of {needed} tokens a row; these rows have {states.shape[1]}."
            )
        return calibrated(self.logits(states[:, :needed], inputs[:, :needed]), card.calibration)


def save_predictor(predictor: Predictor, folder: Path) -> Path:
    """Write it to `folder`; its file."""
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
    found = study_path(path)
    files = sorted(found.glob("seed-*.safetensors")) if found.is_dir() else [found]
    if not files or not files[0].is_file():
        raise ModelError(
            f"{path} holds no predictor; `mematlas fit STUDY` writes them to STUDY/predictors/RUN/MODEL/context."
        )
    return sorted((_load(file) for file in files), key=lambda predictor: predictor.card.seed)


def mean_probabilities(predictors: Sequence[Predictor], states: np.ndarray, inputs: Floats) -> Floats:
    """[n, continuation]: the mean over seeds."""
    return np.mean([predictor.probabilities(states, inputs) for predictor in predictors], axis=0, dtype=np.float32)


def _load(path: Path) -> Predictor:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(fetch(path), framework="pt") as file:
            kept = json.loads(file.metadata()["card"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no dict
        card = PredictorCard(**kept | {"inputs": tuple(kept["inputs"]), "calibration": tuple(kept["calibration"])})
        config = PredictorConfig.model_validate(card.config)
        network = PredictorNetwork(
            config,
            card.sees,
            width=card.width,
            inputs=len(card.inputs),
            context=card.context,
            continuation=card.continuation,
        )
        own = {name.removeprefix("network."): values for name, values in tensors.items() if name.startswith("network.")}
        network.load_state_dict(own)
        scaling = Scaling(tensors["scaling.mean"].numpy(), tensors["scaling.deviation"].numpy())
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = next(iter(str(error).splitlines()), "")
        raise ModelError(f"{path} is no predictor, or a damaged one ({reason}); `mematlas fit` writes it.") from None
    return Predictor(network.eval(), scaling, card)


def _tensor(values: Floats) -> Any:
    import torch

    return torch.from_numpy(values)
