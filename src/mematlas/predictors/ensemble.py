"""The predictors in a folder taken together, what the study that they were fitted in says, and whom they suit."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Final

from mematlas.errors import ModelError, StudyError
from mematlas.study import Study
from mematlas.study.schemas.predictions import PREDICTOR
from mematlas.types import EosPolicy

if TYPE_CHECKING:
    from mematlas.models.base import Model, ModelCard
    from mematlas.predictors.predictor import Predictor, PredictorCard

#: What seeds of one predictor have in common.
_SHARED: Final = ("fingerprint", "sees", "inputs", "width", "layer", "context", "continuation")


@dataclass(frozen=True, slots=True)
class Origin:
    """How the states were recorded that predictors were fitted to.

    vocabulary, tokenizer: of their model; bos, eos: as `mematlas score` was told; truth: whether the entropies at every
    token of the context were recorded, and not at the last alone.
    """

    vocabulary: int
    tokenizer: str | None
    bos: bool
    eos: EosPolicy
    truth: bool


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Predictors that differ in their seed alone. digest: of their files; origin: None if their study is not found."""

    predictors: "list[Predictor]"
    digest: str
    origin: Origin | None

    @property
    def card(self) -> "PredictorCard":
        return self.predictors[0].card


def open_ensemble(path: Path) -> Ensemble:
    """The predictors in a file or a folder, if one forward pass over a context is all that they need.

    Raises:
        ModelError: there are none, they are damaged or differ in more than their seed, or need more than the context.
    """
    from mematlas.predictors.predictor import load_predictors

    predictors = load_predictors(path)
    cards = [predictor.card for predictor in predictors]
    for name in _SHARED:
        found = list({getattr(card, name): None for card in cards})
        if len(found) > 1:
            raise ModelError(
                f"The predictors in {path} differ in more than their seed: {name} {found[0]} and {found[1]}; "
                "name one of the files, or a folder as `mematlas fit` writes it."
            )
    _check_inputs(path, cards[0])
    files = sorted(path.glob("seed-*.safetensors")) if path.is_dir() else [path]
    digests = sorted(hashlib.blake2b(file.read_bytes(), digest_size=10).hexdigest() for file in files)
    return Ensemble(predictors, ",".join(digests), _origin(path, cards[0]))


def _check_inputs(path: Path, card: "PredictorCard") -> None:
    if card.sees != "context":
        beside = (path if path.is_dir() else path.parent).parent / "context"
        remedy = f"take {beside}" if beside.is_dir() else "`mematlas fit STUDY --sees context` makes one"
        raise ModelError(
            f"{path} predicts while the model generates, but no row is decoded here; a predictor that sees the "
            f"context alone can be used: {remedy}."
        )
    counts = [name for name in card.inputs if name != "entropy"]
    if counts:
        raise ModelError(
            f"{path} reads corpus counts ({', '.join(counts)}) beside the states, which are not made here; fit one "
            "without them: `mematlas fit STUDY --inputs entropy`."
        )


def _origin(path: Path, card: "PredictorCard") -> Origin | None:
    """What STUDY says, if the predictors still lie in STUDY/predictors/RUN/MODEL/SEES."""
    above = (path if path.is_dir() else path.parent).resolve().parents
    if len(above) < 4:
        return None
    try:
        noted = Study(above[3]).manifest()["runs"][card.run]
        question, model = noted["question"], noted["models"][card.model]
        truth = "truth" in question["signals"]
        return Origin(model["vocabulary"], model["tokenizer"], question["bos"], question["eos"], truth)
    except (StudyError, KeyError, TypeError, ValueError, OSError):
        return None


def check_suits(ensemble: Ensemble, model: "ModelCard") -> list[str]:
    """Look whether the predictors can read a model; returns what a user should know, a line each.

    Raises:
        ModelError: its states have another width, or its tokens are others.
    """
    card, origin = ensemble.card, ensemble.origin
    if model.width is not None and model.width != card.width:
        raise ModelError(
            f"{model.label} has hidden states of {model.width} numbers, but the predictor reads those of {card.model}, "
            f"which have {card.width}; {_remedy(model.label)}"
        )
    if origin is not None:
        _check_tokens(card.model, origin, model)
    lines = []
    if card.fingerprint != model.fingerprint:
        lines.append(
            f"Careful: {model.label} is not the model that the predictor was fitted to. {_auroc(ensemble.predictors)} "
            f"was measured on {card.model}, and nothing was measured on {model.label}."
        )
    if origin is None:
        lines.append(
            "Careful: the study that the predictor was fitted in is not found around it, so that the tokenizer of "
            f"{card.model} cannot be compared; contexts are taken to begin without BOS, with entropies at every token."
        )
    return lines


def _check_tokens(name: str, origin: Origin, model: "ModelCard") -> None:
    """Equal tokenizers are enough: models of one family pad their vocabularies differently."""
    if None not in (origin.tokenizer, model.tokenizer):
        same, what = origin.tokenizer == model.tokenizer, "tokenizer"
    else:
        same, what = origin.vocabulary == model.vocabulary, "vocabulary"
    if not same:
        raise ModelError(
            f"{model.label} has another {what} than {name}, to which the predictor was fitted, so that its tokens "
            f"are others; {_remedy(model.label)}"
        )


def _remedy(label: str) -> str:
    return f"score {label} with --signals hidden and fit one to it: `mematlas fit STUDY`."


def _auroc(predictors: "Sequence[Predictor]") -> str:
    scores = [predictor.card.scores.get(PREDICTOR) for predictor in predictors]
    found = [score for score in scores if score is not None]
    return f"Its AUROC of {mean(found):.3f} on documents held out" if found else "What its card states"


def check_layer(ensemble: Ensemble, model: "Model", label: str) -> None:
    """Look whether a loaded model has the layer that the predictors read.

    Raises:
        ModelError: it has fewer.
    """
    layer = ensemble.card.layer
    if layer != "last" and int(layer) > model.layers:
        raise ModelError(
            f"This predictor reads layer {layer} of {ensemble.card.model}, but {label} has {model.layers} layers; "
            f"{_remedy(label)}"
        )
