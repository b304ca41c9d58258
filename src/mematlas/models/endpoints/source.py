"""The model backend `api:URL#MODEL`: a model behind an API, of which nothing is known before it is asked."""

from dataclasses import dataclass

from mematlas.errors import ModelError
from mematlas.models.base import UNTOLD_VOCABULARY, LoadOptions, Model, ModelCard
from mematlas.models.endpoints.address import EndpointAddress, parse_address
from mematlas.types import Encoder


@dataclass
class EndpointSource:
    """A model behind an API; it is not asked until it is scored."""

    card: ModelCard
    address: EndpointAddress

    def encoder(self) -> Encoder | None:
        """None: which tokenizer it is must be said with --tokenizer."""
        return None

    def load(self, options: LoadOptions) -> Model:
        """There are no weights to load.

        Raises:
            ModelError: always.
        """
        raise ModelError(
            f"{self.card.spec} is a model behind an API, which gives no logits or hidden states; only scores can be "
            "had of it, and everything else needs the model's folder."
        )


def resolve(rest: str) -> EndpointSource:
    """Resolve `URL#MODEL`.

    Raises:
        ModelError: it is no address.
    """
    address = parse_address(rest)
    remark = f"{address.label} is behind an API: nobody can check that it stays the same model"
    card = ModelCard(address.label, address.spec, address.fingerprint, UNTOLD_VOCABULARY, remarks=(remark,))
    return EndpointSource(card, address)
