"""The predictors in a folder as an ensemble, the study that they were fitted in, and the models that they can read."""

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

#: Fields of the card that are equal for all seeds of a predictor.
_SHARED_FIELDS: Final = ("fingerprint", "sees", "inputs", "width", "layer", "context", "continuation")


@dataclass(frozen=True, slots=True)
class Origin:
    """How the states that predictors were fitted to were recorded.

    vocabulary, tokenizer, tokenizer_rules: of their model; bos, eos: options of `mematlas score`; truth: whether
    entropies were recorded at every token of the context, not only at its last one.
    """

    vocabulary: int
    tokenizer: str | None
    tokenizer_rules: str | None
    bos: bool
    eos: EosPolicy
    truth: bool


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Predictors that differ only in their seed. digest: of their files; origin: None if their study is not found."""

    predictors: "list[Predictor]"
    digest: str
    origin: Origin | None

    @property
    def card(self) -> "PredictorCard":
        return self.predictors[0].card


def open_ensemble(path: Path) -> Ensemble:
    """Open the predictors in a file or a folder; they must need no more than one forward pass over the context.

    Raises:
        ModelError: there are none, they are damaged or differ in more than their seed, or need more than the context.
    """
    from mematlas.predictors.predictor import load_predictors

    predictors = load_predictors(path)
    cards = [predictor.card for predictor in predictors]
    for name in _SHARED_FIELDS:
        values = list({getattr(card, name): None for card in cards})
        if len(values) > 1:
            raise ModelError(
                f"The predictors in {path} differ in more than their seed: {name} {values[0]} and {values[1]}; "
                "name one of the files, or a folder as `mematlas fit` writes it."
            )
    _check_inputs(path, cards[0])
    files = sorted(path.glob("seed-*.safetensors")) if path.is_dir() else [path]
    digests = sorted(hashlib.blake2b(file.read_bytes(), digest_size=10).hexdigest() for file in files)
    return Ensemble(predictors, ",".join(digests), _read_origin(path, cards[0]))


def _check_inputs(path: Path, card: "PredictorCard") -> None:
    if card.sees != "context":
        sibling = (path if path.is_dir() else path.parent).parent / "context"
        remedy = f"use {sibling}" if sibling.is_dir() else "fit one: `mematlas fit STUDY --sees context`"
        raise ModelError(
            f"{path} predicts while the model generates, but `mematlas predict` does not generate; use a predictor "
            f"that sees the context alone: {remedy}."
        )
    counts = [name for name in card.inputs if name != "entropy"]
    if counts:
        raise ModelError(
            f"{path} reads corpus counts ({', '.join(counts)}) beside the states, which `mematlas predict` does not "
            "compute; fit one without them: `mematlas fit STUDY --inputs entropy`."
        )


def _read_origin(path: Path, card: "PredictorCard") -> Origin | None:
    """How STUDY recorded the states, if the predictors are still stored in STUDY/predictors/RUN/MODEL/SEES."""
    parents = (path if path.is_dir() else path.parent).resolve().parents
    if len(parents) < 4:
        return None
    try:
        run = Study(parents[3]).manifest()["runs"][card.run]
        question, model = run["question"], run["models"][card.model]
        truth = "truth" in question["signals"]
        tokenizer, rules = model["tokenizer"], model.get("tokenizer_rules")  # older versions recorded no rules
        return Origin(model["vocabulary"], tokenizer, rules, question["bos"], question["eos"], truth)
    except (StudyError, KeyError, TypeError, ValueError, OSError):
        return None


def check_compatible(ensemble: Ensemble, model: "ModelCard") -> list[str]:
    """Check that the predictors can read a model; returns warnings for the user, one line each.

    Raises:
        ModelError: its states have another width, or its tokens have other meanings.
    """
    card, origin = ensemble.card, ensemble.origin
    if model.width is not None and model.width != card.width:
        raise ModelError(
            f"{model.label} has hidden states of {model.width} numbers, but the predictor reads those of {card.model}, "
            f"which have {card.width}; {_remedy(model.label)}"
        )
    if origin is not None:
        _check_tokens(card.model, origin, model)
    warnings = []
    if card.fingerprint != model.fingerprint:
        warnings.append(
            f"Warning: {model.label} is not the model that the predictor was fitted to. {_auroc(ensemble.predictors)} "
            f"was measured on {card.model}, and nothing was measured on {model.label}."
        )
    if origin is None:
        warnings.append(
            "Warning: the predictor is not in the folder of the study that it was fitted in, so that the tokenizer of "
            f"{card.model} cannot be compared; contexts are assumed to begin without BOS, with entropies at every "
            "token."
        )
    return warnings


def _check_tokens(name: str, origin: Origin, model: "ModelCard") -> None:
    """Equal tokenizers are enough: models of one family pad their vocabularies differently."""
    if None not in (origin.tokenizer, model.tokenizer):
        is_equal, compared = origin.tokenizer == model.tokenizer, "tokenizer"
        is_equal = is_equal or None is not origin.tokenizer_rules == model.tokenizer_rules
    else:
        is_equal, compared = origin.vocabulary == model.vocabulary, "vocabulary"
    if not is_equal:
        raise ModelError(
            f"{model.label} has another {compared} than {name}, to which the predictor was fitted, so that its token "
            f"ids mean something else; {_remedy(model.label)}"
        )


def _remedy(label: str) -> str:
    return f"score {label} with --signals hidden and fit one to it: `mematlas fit STUDY`."


def _auroc(predictors: "Sequence[Predictor]") -> str:
    scores = [predictor.card.scores.get(PREDICTOR) for predictor in predictors]
    measured = [score for score in scores if score is not None]
    unit = predictors[0].card.held_out
    return f"Its AUROC of {mean(measured):.3f} on {unit} held out" if measured else "The accuracy on its card"


def check_layer(ensemble: Ensemble, model: "Model", label: str) -> None:
    """Check that a loaded model has the layer that the predictors read.

    Raises:
        ModelError: it has fewer.
    """
    layer = ensemble.card.layer
    if layer != "last" and int(layer) > model.layers:
        raise ModelError(
            f"This predictor reads layer {layer} of {ensemble.card.model}, but {label} has {model.layers} layers; "
            f"{_remedy(label)}"
        )
