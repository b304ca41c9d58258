"""The texts of a finished study's tokens, by the tokenizer that it was scored with; loads no model, and not torch."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mematlas.errors import MematlasError, ModelError
from mematlas.errors.libraries import missing_libraries
from mematlas.models.huggingface import tokenizer_encoder, tokenizer_fingerprint
from mematlas.models.resolve import find_model
from mematlas.study import Run, Study
from mematlas.types import Encoder


def token_texts(
    study: Study, run: Run, ids: Iterable[int], tokenizer: str | None = None
) -> tuple[dict[int, str] | None, str | None]:
    """Token id -> its text, and None; or None, and one sentence that says why there is no text.

    Args:
        tokenizer: folder or hub id of a tokenizer; by default the one that scoring used, if it is unchanged.

    Raises:
        ModelError: `tokenizer` is none.
    """
    distinct = sorted(set(ids))
    with missing_libraries("Showing tokens as text"):
        if tokenizer is not None:
            return _decoded(tokenizer_encoder(tokenizer, None), distinct), None
    try:
        with missing_libraries("Showing tokens as text"):
            encoder = study_encoder(study, run)
            if encoder is not None:
                return _decoded(encoder, distinct), None
            return None, "Token ids are shown: the models of this study have no tokenizer."
    except MematlasError as error:
        return None, f"Token ids are shown, as the tokenizer cannot be read: {error}"


def study_encoder(study: Study, run: Run) -> Encoder | None:
    """The tokenizer that a run used; None if its models have none.

    Raises:
        ModelError: it is gone, or has changed.
        MissingExtra: transformers is not installed.
    """
    configuration = study.manifest().get("runs", {}).get(run.key, {}).get("configuration", {})
    cards = study.models(run.key).to_dicts()
    if configuration.get("tokenizer"):
        return tokenizer_encoder(configuration["tokenizer"], _vocabulary(cards))
    reasons = []
    for card in cards:
        spec, fingerprint = card.get("spec"), card.get("tokenizer")
        if spec is None or fingerprint is None:
            continue
        try:
            encoder = _encoder(spec, card.get("vocabulary"))
        except ModelError as error:
            reasons.append(str(error))
            continue
        if encoder is not None and encoder.fingerprint == fingerprint:
            return encoder
        reasons.append(f"That of {spec} has changed since it was scored; name the former one with --tokenizer.")
    if reasons:
        raise ModelError(reasons[0])
    return None


def _vocabulary(cards: list[dict[str, Any]]) -> int | None:
    """The smallest number of token ids that a model accepts, where known."""
    return min((card["vocabulary"] for card in cards if card.get("vocabulary") is not None), default=None)


def _encoder(spec: str, vocabulary: int | None) -> Encoder | None:
    """A model's tokenizer; where it is a file of a folder, without reading the model's weights."""
    folder = Path(spec.removeprefix("hf:")).expanduser()
    if folder.is_dir() and tokenizer_fingerprint(folder) is not None:
        return tokenizer_encoder(str(folder), vocabulary)
    return find_model(spec).encoder()


def _decoded(encoder: Encoder, ids: list[int]) -> dict[int, str]:
    """Ids beyond the tokenizer's own, which padded vocabularies have, are shown as `<id>`."""
    assert encoder.decode is not None
    known = [token for token in ids if 0 <= token < encoder.vocabulary]
    return {token: f"<{token}>" for token in ids} | dict(zip(known, encoder.decode(known), strict=True))
