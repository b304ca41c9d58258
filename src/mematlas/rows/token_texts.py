"""The texts of a finished study's tokens, by the tokenizer that it was scored with; loads no model, and not torch."""

from collections.abc import Iterable

from mematlas.errors import MematlasError
from mematlas.errors.libraries import missing_libraries
from mematlas.models.huggingface import tokenizer_encoder
from mematlas.scoring.reopen import reopen_decoder
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
            encoder = reopen_decoder(study, run.key)
            if encoder is not None:
                return _decoded(encoder, distinct), None
            return None, "Token ids are shown: the models of this study have no tokenizer."
    except MematlasError as error:
        return None, f"Token ids are shown, as the tokenizer cannot be read: {error}"


def _decoded(encoder: Encoder, ids: list[int]) -> dict[int, str]:
    """Ids beyond the tokenizer's own, which padded vocabularies have, are shown as `<id>`."""
    assert encoder.decode is not None
    known = [token for token in ids if 0 <= token < encoder.vocabulary]
    return {token: f"<{token}>" for token in ids} | dict(zip(known, encoder.decode(known), strict=True))
