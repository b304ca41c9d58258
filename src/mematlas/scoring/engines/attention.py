"""How widely a model's attention is spread over a prompt while it writes after it (P7)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from mematlas.models.base import Model
from mematlas.types import Ids


@torch.inference_mode()
def attention_entropy(model: Model, prompt: Ids, output: Ids) -> float | None:
    """Entropy of the last block's attention to the prompt, 0 (one token) to 1 (all tokens alike).

    H = -sum a ln a / ln n, with a the attention to each of the n tokens of the prompt, averaged over heads and over the
    steps that write the output, and divided by its sum. P7 gives no formula; it reads the last decoder-encoder block of
    T5, so that attention to the output itself does not count here either (our choice).

    Args:
        prompt, output: token ids, shape (n,) and (steps,).

    Returns:
        None for a prompt of one token, an empty output, or a model without attention, such as a recurrent one.
    """
    network = getattr(model, "network", None)
    if network is None or len(prompt) < 2 or not len(output):
        return None
    tokens = torch.from_numpy(np.concatenate([prompt, output])[None, :-1].astype(np.int64)).to(model.device)
    with _eager_attention(network):
        attentions = network(input_ids=tokens, use_cache=False, output_attentions=True).attentions
    if not attentions or attentions[-1] is None:
        return None
    to_prompt = attentions[-1][0, :, len(prompt) - 1 :, : len(prompt)].double().mean((0, 1))
    shares = to_prompt / to_prompt.sum()
    return float(torch.special.entr(shares).sum() / np.log(len(prompt)))


@contextmanager
def _eager_attention(network: Any) -> Iterator[None]:
    """Fused kernels of attention do not give it out."""
    before = network.config._attn_implementation
    network.set_attn_implementation("eager")
    try:
        yield
    finally:
        network.set_attn_implementation(before)
