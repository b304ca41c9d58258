"""Refuse networks whose predictions depend on later tokens, such as BERT: the attention is measured, not looked up.

One token in the middle of a text is changed. In a causal network the logits before it stay the same, up to rounding; in
a bidirectional one they change about as much as those after it:

    tokens     t_0 ... t_5 | t_6 changed | t_7 ... t_11
    logits     before      |             | after             share = before / (before + after)

Measured on tiny networks of 160 architectures that transformers 5.23 can build, in float32 and 16 bits: the share of
142 causal ones is at most 6e-6 (not 0 where rounding depends on the other tokens, as in mixtures of experts), that of
18 bidirectional ones 0.05 to 0.7. The limits in between are our choice.
"""

from typing import Any, Final

import torch
from torch import Tensor

from mematlas.errors import ModelError

_LENGTH: Final = 12
#: Largest share of the change that may fall before the changed token: in float32, and in 16 bits, which round more.
_SHARE_LIMIT: Final = {torch.float32: 1e-2}
_SHARE_LIMIT_16_BITS: Final = 0.05
_CONFIRMATIONS: Final = 4
_NOISE_FACTOR: Final = 4


@torch.inference_mode()
def check_causal(network: Any, vocabulary: int, device: torch.device, spec: str, max_length: int | None = None) -> None:
    """Check that the network's logits do not depend on later tokens; takes one forward pass of 24 tokens.

    Args:
        vocabulary: number of token ids; device: where the network takes them; spec: its name, for the message.
        max_length: the most tokens that it accepts, None if it states none.

    Raises:
        ModelError: they do.
    """
    length = min(_LENGTH, max_length or _LENGTH)
    if vocabulary >= 2 and length >= 3 and _reads_later_tokens(network, vocabulary, device, length):
        raise ModelError(
            f"{spec!r} predicts each token from later ones too (its attention is bidirectional, as in BERT), so it "
            "cannot be asked to recite a text; give a causal language model, or score a masked one with "
            "--objective masked."
        )


@torch.inference_mode()
def check_bidirectional(
    network: Any, vocabulary: int, device: torch.device, spec: str, max_length: int | None = None
) -> None:
    """Check that the network's logits do depend on later tokens; arguments as in `check_causal`.

    Raises:
        ModelError: they do not.
    """
    length = min(_LENGTH, max_length or _LENGTH)
    if vocabulary >= 2 and length >= 3 and not _reads_later_tokens(network, vocabulary, device, length):
        raise ModelError(
            f"{spec!r} predicts each token from earlier ones only, so it is no masked language model; leave out "
            "--objective masked."
        )


def _reads_later_tokens(network: Any, vocabulary: int, device: torch.device, length: int) -> bool:
    limit = _SHARE_LIMIT.get(next(network.parameters()).dtype, _SHARE_LIMIT_16_BITS)
    logits = _logits(network, _texts(vocabulary, length, 0).to(device))
    if share_before((logits[1] - logits[0]).abs().amax(-1)) <= limit:
        return False
    # one text may mislead: rounding decides near ties between experts, and some networks draw random numbers
    seeds = range(1, _CONFIRMATIONS + 1)
    return min(_careful_share(network, _texts(vocabulary, length, seed).to(device)) for seed in seeds) > limit


def share_before(change: Tensor) -> float:
    """The share of the change of logits, [length], that falls before the changed token; 0 where nothing changes."""
    middle = len(change) // 2
    before, after = float(change[:middle].sum()), float(change[middle + 1 :].sum())
    return before / (before + after) if before > 0 else 0.0


def _texts(vocabulary: int, length: int, seed: int) -> Tensor:
    """Token ids [2, length]: a text, and the same one with another token in the middle."""
    text = (torch.arange(length) * 7919 + 104729 * seed) % vocabulary
    changed = text.clone()
    changed[length // 2] = (text[length // 2] + vocabulary // 2) % vocabulary
    return torch.stack([text, changed])


def _careful_share(network: Any, texts: Tensor) -> float:
    """The share from passes of equal shape; 0 if repeating the same text changes the logits about as much."""
    first, again, second = (_logits(network, texts[row, None])[0] for row in (0, 0, 1))
    change, noise = ((logits - first).abs().amax(-1) for logits in (second, again))
    middle = len(change) // 2
    return share_before(change) if change[:middle].sum() > _NOISE_FACTOR * noise[:middle].sum() else 0.0


def _logits(network: Any, tokens: Tensor) -> Tensor:
    """Logits [texts, length, vocabulary] in float32."""
    logits: Tensor = network(input_ids=tokens, use_cache=False).logits
    return logits.float()
