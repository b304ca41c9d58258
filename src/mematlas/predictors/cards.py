"""The model card of a predictor: machine-readable in its file, and as README.md beside the files."""

from pathlib import Path
from typing import Final

import numpy as np

from mematlas.io.paths import write_text
from mematlas.predictors.examples import Examples
from mematlas.predictors.fitting import Fit
from mematlas.predictors.options import PredictorConfig
from mematlas.predictors.predictor import PredictorCard, load_predictors
from mematlas.study.schemas.predictions import PREDICTOR, SHUFFLED, Sees

_WHEN: Final = {
    "context": "before anything is generated, from the context's states alone",
    "generated": "while the model generates, at each token from all states up to the one that the token is chosen from",
}
#: What a predictor was tested on, by what was held out.
_OTHERS: Final = {
    "documents": "rows of other documents",
    "rows": "other rows, as the corpus names no documents",
}


def build_card(
    fit: Fit,
    examples: Examples,
    held_out: Examples,
    origin: tuple[str, str, str],
    task: tuple[Sees, int],
    config: PredictorConfig,
    versions: dict[str, str],
) -> PredictorCard:
    """The card of a fit.

    Args:
        held_out: the test and control rows; origin: model, its fingerprint, run; task: sees, seed.
    """
    model, fingerprint, run = origin
    sees, seed = task
    fitted = examples.take(fit.parts.fit)
    test = held_out.take(held_out.train)
    return PredictorCard(
        model,
        fingerprint,
        run,
        sees,
        examples.names,
        examples.states.shape[2],
        examples.layer,
        examples.context,
        examples.hits.shape[1],
        seed,
        {name: int(getattr(fit.parts, name).sum()) for name in ("fit", "validation", "test")},
        len(np.unique(examples.groups[examples.train])),
        float(fitted.hits[fitted.has_label].mean()),
        fit.trained.epochs,
        fit.trained.best_epoch,
        fit.trained.validation_loss,
        fit.methods[PREDICTOR][1],
        {method: _auroc(fit, method, test) for method in fit.methods},
        config.model_dump(),
        versions,
        "documents" if examples.documents_known else "rows",
    )


def _auroc(fit: Fit, method: str, examples: Examples) -> float | None:
    from sklearn.metrics import roc_auc_score

    hits = fit.hits(method, examples)
    has_label = hits >= 0
    if len(np.unique(hits[has_label])) < 2:
        return None
    return float(roc_auc_score(hits[has_label], fit.probabilities(method, examples)[has_label]))


def write_readme(folder: Path) -> None:
    """Write FOLDER/README.md from the predictors in `folder`."""
    text = readme([predictor.card for predictor in load_predictors(folder)])
    write_text(folder / "README.md", text)


def readme(cards: list[PredictorCard]) -> str:
    """The README of predictors that differ only in their seed."""
    card = cards[0]
    methods = [PREDICTOR, *(name for name in card.scores if name not in (PREDICTOR, SHUFFLED)), SHUFFLED]
    table = [f"| {name} | " + " | ".join(_number(other.scores.get(name)) for other in cards) + " |" for name in methods]
    layers = "one layer" if card.config["layers"] == 1 else f"{card.config['layers']} layers"
    inputs = ", ".join(card.inputs) or "nothing"
    return f"""# Predictor of memorization for {card.model}

Predicts which of the next {card.continuation} tokens {card.model} recites after a context of {card.context} tokens,
{_WHEN[card.sees]}.

- **Reads** the states of layer {card.layer} ({card.width} numbers a token), and beside them: {inputs}.
- **Is** the mean of {card.config["members"]} Transformers of {layers} and width {card.config["width"]}, with learned
  positions and causal attention.
- **Was fitted** to {card.rows["fit"]} training rows (run {card.run}), of which {card.recited:.1%} of the tokens are
  recited; stopped by {card.rows["validation"]} rows and tested on {card.rows["test"]} {_OTHERS[card.held_out]}
  ({card.documents} groups of {card.held_out} in all; rows that share 13 consecutive tokens are in one group if row
  features were available). Classes weigh the same in the loss; probabilities are calibrated to the scored corpus on
  the rows that stopped the training.
- **Not for** other models, layers or contexts, nor as evidence that a text was *not* trained on: it predicts reciting.

AUROC on the {card.held_out} held out, by seed, with one instance per token (0.5 is chance level; intervals and all
other figures are in the study's report, section "predict"):

| method | {" | ".join(f"seed {other.seed}" for other in cards)} |
|---|{"---|" * len(cards)}
{chr(10).join(table)}

Use it: `mematlas predict MODEL --corpus PATH --predictor FOLDER`. Options: {_options(card)}.
"""


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3f}"


def _options(card: PredictorCard) -> str:
    shown_above = ("sees", "inputs", "seeds", "members", "width", "layers")
    return ", ".join(f"{name} {value}" for name, value in card.config.items() if name not in shown_above)
