"""A model that is changed on purpose is a model: spelled `kind:strength@MODEL`, and scored like any other."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from mematlas.errors import ModelError
from mematlas.models.base import LoadOptions, Model, ModelCard, ModelSource
from mematlas.models.causal import CausalModel
from mematlas.models.resolve import find_model
from mematlas.study import fingerprint
from mematlas.types import Encoder


@dataclass
class ChangedSource:
    """A model of transformers that is changed once it is loaded. card: its own; change: what is done to it."""

    base: ModelSource
    card: ModelCard
    change: Callable[[CausalModel], Model]

    def encoder(self) -> Encoder | None:
        return self.base.encoder()

    def load(self, options: LoadOptions) -> Model:
        """Load the model and change it.

        Raises:
            ModelError: it is no network of transformers, or not built as the change needs it.
        """
        model = self.base.load(options)
        if not isinstance(model, CausalModel):
            raise ModelError(
                f"{self.card.spec} changes hidden states, and {self.base.card.spec} has none; name a model "
                "of transformers."
            )
        return self.change(model)


def split_spec(kind: str, rest: str, example: str) -> tuple[str, ModelSource]:
    """The strength in `strength@MODEL`, and the model.

    Raises:
        ModelError: one of the two is missing, or there is no such model.
    """
    strength, _, name = rest.partition("@")
    if not strength or not name:
        raise ModelError(f"{kind}:{rest} names no strength or no model; write {example}.")
    return strength, find_model(name)


def changed_source(
    base: ModelSource, intervention: str, suffix: str, change: Callable[[CausalModel], Model]
) -> ChangedSource:
    """A changed model. intervention: kind and strength, as in `noise:0.1`; suffix: of its label."""
    card = replace(
        base.card,
        label=f"{base.card.label}~{suffix}",
        spec=f"{intervention}@{base.card.spec}",
        fingerprint=fingerprint([intervention, base.card.fingerprint]),
        intervention=intervention,
    )
    return ChangedSource(base, card, change)
