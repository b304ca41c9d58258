"""Embeddings of texts from a table with one vector for each token, as model2vec writes them: the mean of the vectors.

A folder with tokenizer.json and model.safetensors, whose one matrix [tokens, width] is the table.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mematlas.errors import ModelError
from mematlas.models.huggingface import tokenizer_encoder


def static_embedder(folder: Path) -> Callable[[Sequence[str]], NDArray[Any]]:
    """What turns texts into vectors, [texts, width] float64; a text without known tokens has zeros.

    Raises:
        ModelError: the folder has no such files, or no table that fits the tokenizer.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    paths = [folder / name for name in ("tokenizer.json", "model.safetensors")]
    for path in paths:
        if not path.is_file():
            raise ModelError(
                f"{path} is missing: an embedder is a folder with tokenizer.json and model.safetensors, as model2vec "
                "saves it."
            )
    encoder = tokenizer_encoder(str(folder), None)
    try:
        matrices = [values for values in load_file(paths[1]).values() if values.ndim == 2]
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{paths[1]} cannot be read ({error}); save it again.") from None
    if len(matrices) != 1 or len(matrices[0]) < encoder.vocabulary:
        raise ModelError(
            f"{paths[1]} has {len(matrices)} matrices, of which one with a vector for each of the "
            f"{encoder.vocabulary} tokens is needed; only static embedders, as model2vec makes, are read."
        )
    table = matrices[0].astype(np.float64)

    def embed(texts: Sequence[str]) -> NDArray[Any]:
        rows = encoder.encode(list(texts))
        return np.stack([table[ids].mean(0) if ids else np.zeros(table.shape[1]) for ids in rows])

    return embed
