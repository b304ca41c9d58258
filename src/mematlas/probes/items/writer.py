"""What writes texts for a probe: a model that is loaded when the first text is needed, or one that was given."""

from dataclasses import dataclass
from functools import cached_property

from mematlas.errors import ModelError, OptionError
from mematlas.models.base import LoadOptions, ModelSource
from mematlas.models.endpoints.source import EndpointSource
from mematlas.models.resolve import find_model
from mematlas.probes.items.answering import TextModel


@dataclass(frozen=True)
class Writer:
    """A model that writes texts.

    model: its name; load: how it is loaded; function: Python function that takes a model as `text_model`; text_model:
    what writes instead, if it was given.
    """

    model: str
    load: LoadOptions
    function: str
    text_model: TextModel | None = None

    @cached_property
    def source(self) -> ModelSource | None:
        """The model that was found by its name; None if another one was given.

        Raises:
            MematlasError: there is no such model, or it is behind an API.
        """
        source = None if self.text_model is not None else find_model(self.model)
        if isinstance(source, EndpointSource):
            raise OptionError(
                f"{self.model} is a model behind an API, which this command does not ask: name a model's folder, or "
                f"give mematlas.{self.function}() the endpoint as text_model."
            )
        return source

    @property
    def remarks(self) -> tuple[str, ...]:
        """Sentences for the user on how the name was understood."""
        return () if self.source is None else self.source.card.remarks

    @property
    def label(self) -> str:
        """The model's short name."""
        return self.model if self.source is None else self.source.card.label

    @property
    def identity(self) -> str:
        """What tells the model from others, for keys."""
        return self.model if self.source is None else self.source.card.fingerprint

    @cached_property
    def loaded(self) -> TextModel:
        """What writes; loaded at the first use.

        Raises:
            ModelError: the model has no tokenizer, or cannot be loaded.
        """
        if self.text_model is not None:
            return self.text_model
        from mematlas.probes.items.local_model import LocalModel

        assert self.source is not None
        encoder = self.source.encoder()
        if encoder is None or encoder.decode_windows is None:
            raise ModelError(f"{self.model} has no tokenizer, which texts need; save it beside the weights.")
        return LocalModel(self.source.load(self.load), self.source.card, encoder)
