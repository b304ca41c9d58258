"""Classifiers of pairs of texts (paraphrase or not), from a local folder."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from mematlas.errors import ModelError

_BATCH: Final = 64


def load_pair_classifier(folder: Path, device: str = "cpu") -> Callable[[Sequence[tuple[str, str]]], list[float]]:
    """A function: pairs of texts -> the probability of each that it belongs to the positive class.

    The model has one output, read through a sigmoid, as sentence-transformers' CrossEncoder writes it; or two, of which
    the second is the positive one, as models of MRPC have it. Pairs are cut to the model's length.

    Raises:
        ModelError: there is no model, or it has other outputs.
    """
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"{folder} has no config.json; name a local folder with a classifier of sentence pairs, as "
            "save_pretrained() writes it."
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
        raise ModelError(f"{folder} cannot be loaded as a classifier of sentence pairs ({reason}).") from error
    labels = model.config.num_labels
    if labels not in (1, 2):
        raise ModelError(
            f"The classifier in {folder} has {labels} classes; a paraphrase model has two, or one output: name another."
        )
    model.to(device).eval()

    @torch.inference_mode()
    def probabilities(pairs: Sequence[tuple[str, str]]) -> list[float]:
        found: list[float] = []
        for start in range(0, len(pairs), _BATCH):
            batch = pairs[start : start + _BATCH]
            inputs = tokenizer(
                [pair[0] for pair in batch],
                [pair[1] for pair in batch],
                padding=True,
                truncation=True,
                return_tensors="pt",
            ).to(device)
            logits = model(**inputs).logits.float()
            found += (logits.sigmoid()[:, 0] if labels == 1 else logits.softmax(-1)[:, 1]).tolist()
        return found

    return probabilities
