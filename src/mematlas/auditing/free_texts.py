"""What the model and its base write after the beginnings of texts, and what the detector of P7 finds in it."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from mematlas.auditing.base import COPIED, Document, Material
from mematlas.matching.detector import Detection, Detector
from mematlas.matching.paraphrase import load_paraphrase_model
from mematlas.models.base import ModelSource
from mematlas.scoring.engines.attention import attention_entropy
from mematlas.scoring.engines.prompting import greedy_continuations
from mematlas.study.clusters import join_copies
from mematlas.types import Ids

PROMPT_TOKENS: Final = 50  # P7
_ENTROPIES: Final = 64  # prompts; each takes a pass by itself
#: The number of a document, and the beginning of it that prompts the models, shape (tokens,).
Prompt = tuple[int, Ids]


def choose_prompts(material: Material, documents: Sequence[Document]) -> list[Prompt]:
    """Distinct beginnings of at most PROMPT_TOKENS tokens, of documents with at least half as many after them."""
    half = PROMPT_TOKENS // 2
    drawn = np.random.default_rng(material.config.seed).permutation(len(documents))
    chosen: dict[tuple[int, ...], int] = {}
    for number in drawn.tolist():
        if len(chosen) == material.config.prompts:
            break
        ids = material.encoder.encode([documents[number][1]])[0]
        length = min(PROMPT_TOKENS, len(ids) - half)
        if length >= half:
            chosen.setdefault(tuple(ids[:length]), number)
    return [(number, np.array(prompt, np.int64)) for prompt, number in chosen.items()]


def free_texts(
    material: Material, train: Sequence[Prompt], control: Sequence[Prompt]
) -> tuple[pl.DataFrame, list[Detection]]:
    """What was written after every prompt, and the detections behind the column `class`.

    Returns:
        document, member, cluster, prompt, output, class, source (number of the document that is copied),
        attention_entropy (of the first 64 training prompts), and of the base model, null for the control: of_base (its
        output), class_of_base; class_cut and class_of_base_cut are of both outputs cut to the shorter one's characters.
    """
    prompts, new_tokens = [*train, *control], _new_tokens(material, train)
    of_base: list[str] = []
    if material.base is not None:  # first, as it is still loaded from the look before
        of_base = material.decode([ids.tolist() for ids in _write(material, material.base, train, new_tokens)])
    written = _write(material, material.model, prompts, new_tokens)
    model = material.load(material.model)
    outputs = material.decode([ids.tolist() for ids in written])
    texts = material.decode([prompt.tolist() for _, prompt in prompts])
    shorter = [min(len(output), len(other)) for output, other in zip(outputs, of_base, strict=False)]
    detector = _detector(material)

    def detect(written: Sequence[str]) -> list[Detection]:
        return [detector.detect(output, prompt) for output, prompt in zip(written, texts, strict=False)]

    def classes(written: Sequence[str]) -> pl.Series:
        labels = [detection.label for detection in detect(written)]
        return _of_first(labels, len(prompts), pl.String())

    found = detect(outputs)
    entropies = [
        attention_entropy(model, prompt, ids) for (_, prompt), ids in zip(train[:_ENTROPIES], written, strict=False)
    ]
    table = pl.DataFrame(
        {
            "document": [number for number, _ in prompts],
            "member": [True] * len(train) + [False] * len(control),
            "cluster": _clusters(material, train, control),
            "prompt": texts,
            "output": outputs,
            "class": [detection.label for detection in found],
            "source": pl.Series([detection.document for detection in found], dtype=pl.Int64),
            "attention_entropy": _of_first(entropies, len(prompts), pl.Float64()),
            "of_base": _of_first(of_base, len(prompts), pl.String()),
            "class_of_base": classes(of_base),
            "class_cut": classes([text[:end] for text, end in zip(outputs, shorter, strict=False)]),
            "class_of_base_cut": classes([text[:end] for text, end in zip(of_base, shorter, strict=True)]),
        }
    )
    return table, found


def _of_first(values: Sequence[object], count: int, dtype: pl.DataType) -> pl.Series:
    """A column of `count` records of which only the first have a value."""
    return pl.Series(values, dtype=dtype).extend_constant(None, count - len(values))


def _new_tokens(material: Material, train: Sequence[Prompt]) -> int:
    """As many as were asked for, or as the longest of the texts has after its prompt, if that is fewer."""
    lengths = [len(ids) for ids in material.encoder.encode([material.documents[number][1] for number, _ in train])]
    rests = (length - len(prompt) for length, (_, prompt) in zip(lengths, train, strict=True))
    return min(material.config.new_tokens, max(rests))


def _write(material: Material, source: ModelSource, prompts: Sequence[Prompt], new_tokens: int) -> list[Ids]:
    card = source.card
    room = new_tokens if card.max_length is None else card.max_length - PROMPT_TOKENS
    length = max(1, min(new_tokens, room))
    return greedy_continuations(material.load(source), [prompt for _, prompt in prompts], length, card.eos)


def _detector(material: Material) -> Detector:
    folder = material.config.paraphrase_model
    paraphrase = None if folder is None else load_paraphrase_model(folder)
    return Detector([text for _, text in material.documents], paraphrase=paraphrase)


def _clusters(material: Material, train: Sequence[Prompt], control: Sequence[Prompt]) -> Ids:
    """The cluster of the document behind each prompt."""
    texts = [material.documents[number][1] for number, _ in train]
    texts += [material.control_documents[number][1] for number, _ in control]
    tokens = pl.Series(material.encoder.encode(texts), dtype=pl.List(pl.Int64))
    return join_copies(np.arange(len(texts)), tokens, COPIED)
