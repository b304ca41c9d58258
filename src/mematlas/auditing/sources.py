"""The audited model and its base, where both must read the same tokens."""

from mematlas.auditing.config import AuditConfig
from mematlas.errors import ModelError
from mematlas.models.base import ModelSource
from mematlas.models.resolve import find_model
from mematlas.types import Encoder


def find_sources(model: str, config: AuditConfig) -> tuple[ModelSource, ModelSource | None, Encoder]:
    """The model, its base (of an adapter by itself) and their tokenizer.

    Raises:
        ModelError: there is no such model, it has no tokenizer, or the base has another one.
    """
    source = find_model(model)
    base_name = config.base or source.card.base
    base = find_model(base_name) if base_name else None
    encoder = source.encoder()
    if encoder is None:
        raise ModelError(f"{model} has no tokenizer, which an audit of texts needs; save it beside the weights.")
    if base is not None and _rules(base) != _rules(source):
        raise ModelError(
            f"{base.card.spec} has another tokenizer than {source.card.spec}, so their tokens cannot be compared; name "
            "a base with the same one, or leave out --base."
        )
    return source, base, encoder


def _rules(source: ModelSource) -> str | None:
    """What turns texts into ids; the same rules may lie in different files."""
    return source.card.tokenizer_rules or source.card.tokenizer
