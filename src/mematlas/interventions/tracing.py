"""What one row's recital depends on, by states of other texts and by those of a twin model (P3).

Beside a twin, states are interchanged both ways: which states of the twin make the model forget, and which states of
the model make the twin recite. It is the same row in both, so that the states differ by what the two models know.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mematlas.errors import OptionError
from mematlas.interventions.blocks import PatchableModel, block_outputs
from mematlas.interventions.patching import dependency


@dataclass(frozen=True, slots=True)
class Direction:
    """The patches of one row whose states come from one place.

    patched: whose pass is changed, "model" or "twin"; source: whose states are put in place, "corpus", "twin" or
    "model"; recited: whether each token after the prompt is predicted without a patch, [K]; changed: number of the
    `patches` at each place that change this, [layers, P, K].
    """

    patched: str
    source: str
    recited: NDArray[np.bool_]
    changed: NDArray[np.int64]
    patches: int


def trace_row(
    model: PatchableModel,
    twin: PatchableModel | None,
    row: NDArray[np.int64],
    context: int,
    windows: NDArray[np.int64],
    batch: int,
    on_patches: Callable[[int], None],
) -> list[Direction]:
    """Patch every state of the first tokens of a row, in every direction.

    Args:
        row: token ids [C + K]; context: C; windows: the first P tokens of other rows, [n, P]; batch: passes at once;
            on_patches: is told how many were made.

    Raises:
        ModelError: a model's states are NaN or infinite.
    """
    tokens = torch.from_numpy(row)
    own = tokens[None, : windows.shape[1]]
    pairs = [("model", "corpus", model, model, torch.from_numpy(windows))]
    if twin is not None:
        pairs += [("model", "twin", model, twin, own)]
        pairs += [("twin", "model", twin, model, own)]
    directions = []
    for patched, source, target, giver, texts in pairs:
        found = dependency(target, tokens, context, block_outputs(giver, texts), batch, on_patches)
        recited = (found.predicted == tokens[context:]).numpy()
        directions.append(Direction(patched, source, recited, found.changed.numpy(), found.patches))
    return directions


def require_same_shape(model: PatchableModel, twin: PatchableModel, names: tuple[str, str]) -> None:
    """Check that states of each model fit into the other; names: of both, for the message.

    Raises:
        OptionError: they have other blocks, or vocabularies.
    """
    mine, other = (_shape(network) for network in (model, twin))
    if mine != other:
        raise OptionError(
            f"--twin {names[1]} has {other}, and {names[0]} has {mine}; name a model of the same architecture and size."
        )


def _shape(model: PatchableModel) -> str:
    width = model.model.network.config.get_text_config().hidden_size
    kind = type(model.blocks[0]).__name__
    return f"{model.layers} blocks ({kind}) of width {width} and a vocabulary of {model.model.vocabulary}"
