"""The two largest logits, exact, by an output head that screens the vocabulary in 16 bits.

Decoding needs two numbers of a whole row of logits: the largest and the second largest. The head multiplies in
bfloat16, which many processors do several times as fast as in float32; the logit of every token that could still be one
of the two is then computed anew from the float32 weights. The bound that decides "could still be" is proved:

    h, w      state and row of the output matrix, float32;   h', w' their roundings to bfloat16
    h.w       = h'.w' + (h - h').w + h'.(w - w')             exactly
    |h.w - h'.w'| <= |h - h'| |w| + |h'| |w - w'|            Cauchy-Schwarz, with the norms of the actual roundings
    a         = h'.w' summed in float32 in any order and rounded to bfloat16:
    |a - h'.w'| <= g |h'| |w'| + u |a|                       g = 2 n 2^-23 for n terms (products of two bfloat16 are
                                                             exact in float32; 2^-23 also covers truncation), u = 2^-8

A float32 product of h and w in any order is within g |h| |w| of h.w, so that with twice that in the bound the logits
which a float32 head would compute are covered as well: the token is that of the float32 head, unless its two largest
logits are closer than float32 tells apart. Products below the smallest normal float32 may be flushed to zero:
n 2^-126, which is below 2^-110 for any width up to 32,768.

The bound is taken first with the largest norms of each block of 64 tokens, so that it costs a small matrix, and then,
in the few blocks that could hold one of the two, with each token's own.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Final

import torch
from torch import Tensor

from mematlas.models.buffer import Scratch

BLOCK: Final = 64
_UNIT: Final = 2.0**-8 * (1 + 2.0**-8)  # relative error of rounding to bfloat16, seen from the rounded number
_FLOAT32: Final = 2.0**-23
_FLUSHED: Final = 2.0**-110  # products below the smallest normal float32, of up to 32,768 terms
_LOWEST: Final = torch.finfo(torch.bfloat16).min
_CANDIDATES_AT_ONCE: Final = 1 << 13  # rows of the matrix that are multiplied together
_FEWEST_WEIGHTS: Final = 1 << 22  # a smaller matrix takes no time worth saving
_SHARE: Final = 4  # one in so many blocks may be looked into
_FEWEST_STATES: Final = 16  # fewer are bound by reading the weights
_REPEATS: Final = 3


@dataclass(frozen=True, slots=True, eq=False)
class TopTwo:
    """token: [n] int64, the token with the largest logit, the lowest of equals; margin: [n] float32, its logit minus
    the second largest; candidates: number of logits that were computed anew."""

    token: Tensor
    margin: Tensor
    candidates: int


def screened_head(matrix: Tensor | None, vocabulary: int) -> "ScreenedHead | None":
    """The screened head of an output matrix; None where it could not be faster, or its bound would not hold.

    That is so without a matrix, for a small one, in 16 bits already, on a GPU (whose 16-bit products may be summed in
    16 bits), and on a processor without arithmetic in bfloat16.
    """
    if matrix is None or matrix.dtype != torch.float32 or matrix.device.type != "cpu":
        return None
    has_bfloat16 = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    if not has_bfloat16 or vocabulary * matrix.shape[1] < _FEWEST_WEIGHTS or vocabulary < 2 * BLOCK:
        return None
    return ScreenedHead(matrix.detach(), vocabulary)


class ScreenedHead:
    """Finds the two largest of h.w over the rows of an output matrix without computing all logits in float32.

    Args:
        weight: the output matrix, float32 [vocabulary or more, width]; it is not copied.
        vocabulary: number of token ids; further rows of the matrix are ignored.
    """

    def __init__(self, weight: Tensor, vocabulary: int) -> None:
        self._weight, self._vocabulary = weight, vocabulary
        rows = -(-vocabulary // BLOCK) * BLOCK
        self._rounded = weight.new_zeros((rows, weight.shape[1]), dtype=torch.bfloat16)
        self._rounded[:vocabulary] = weight[:vocabulary]
        norm, error = weight.new_zeros(rows), weight.new_zeros(rows)
        for start in range(0, vocabulary, _CANDIDATES_AT_ONCE):
            part = weight[start : min(start + _CANDIDATES_AT_ONCE, vocabulary)]
            own = slice(start, start + len(part))
            norm[own] = part.double().norm(dim=1).float()
            error[own] = (part.double() - self._rounded[own].double()).norm(dim=1).float()
        up = 1 + 2.0**-20  # for the rounding of the bound itself
        self._norm, self._error = (values.view(-1, BLOCK).double() * up for values in (norm, error))
        self._block_norm, self._block_error = self._norm.amax(1), self._error.amax(1)
        self.is_usable = bool(self._norm.isfinite().all() and self._rounded.isfinite().all())
        self._scratch = Scratch()
        self._faster: dict[int, bool] = {}
        self._version = _version(weight)

    @property
    def is_current(self) -> bool:
        """Whether the output matrix is still what it was; training changes it."""
        return _version(self._weight) == self._version

    def is_faster(self, states: Tensor, full: Callable[[], object], excluded: Tensor | None = None) -> bool:
        """Whether the screen finds the two largest logits after `states` [n, width] in less time than `full` does.

        Measured once for each power of two in n, on the first such states. Never so for few states, nor for a matrix
        that is not finite in 16 bits.
        """
        size = len(states).bit_length()
        if len(states) < _FEWEST_STATES or not self.is_usable:
            return False
        if size not in self._faster:
            screen, plain = [], []
            for _ in range(_REPEATS):
                screen.append(_seconds(lambda: self.top_two(states, excluded)))
                plain.append(_seconds(full))
            self._faster[size] = median(screen) < median(plain)
        return self._faster[size]

    @torch.inference_mode()
    def top_two(self, states: Tensor, excluded: Tensor | None = None) -> TopTwo | None:
        """The two largest logits after each of `states` [n, width].

        Args:
            excluded: ids that may not be chosen.

        Returns:
            None if a state is not finite, or so many logits are close that the screen saves nothing.
        """
        screened = self._screen(states, excluded)
        blocks = screened.view(-1, BLOCK, len(states))
        maxima = blocks.amax(1).T.float()
        lengths = self._lengths(states)
        error = _bound(lengths[:, None], self._block_norm, self._block_error)
        spread = maxima.abs() * _UNIT + error
        floor = (maxima - spread).topk(min(2, maxima.shape[1]), dim=1).values[:, -1:]
        row, block = ((maxima + spread) >= floor).nonzero(as_tuple=True)
        if len(row) > maxima.numel() // _SHARE or not bool(states.isfinite().all()):
            return None
        inside = blocks[block, :, row].float()
        error = _bound(lengths[row, None], self._norm[block], self._error[block])
        reaches = inside + inside.abs() * _UNIT + error >= floor[row]
        pair, offset = reaches.nonzero(as_tuple=True)
        row, token = row[pair], block[pair] * BLOCK + offset
        is_real = token < self._vocabulary
        if excluded is not None:
            is_real &= ~torch.isin(token, excluded)
        row, token = row[is_real], token[is_real]
        return _two_largest(self._exact(states, row, token), row, token, len(states))

    def _screen(self, states: Tensor, excluded: Tensor | None) -> Tensor:
        """Logits in bfloat16, [vocabulary rounded up to whole blocks, n]; the lowest number for tokens that are none.

        In this order the product is up to twice as fast as in the other, and so are the maxima of blocks.
        """
        out = self._scratch.take(self._rounded, len(self._rounded), len(states))
        screened = torch.mm(self._rounded, states.to(torch.bfloat16).T, out=out)
        screened[self._vocabulary :] = _LOWEST
        if excluded is not None:
            screened[excluded] = _LOWEST
        return screened

    def _lengths(self, states: Tensor) -> Tensor:
        """[n, 2] float64: factors of the norm of a row of the matrix, and of the norm of its rounding error."""
        rounded = states.to(torch.bfloat16).double()
        norm, width = rounded.norm(dim=1), states.shape[1]
        of_state = (states.double() - rounded).norm(dim=1) + 6 * width * _FLOAT32 * norm
        return torch.stack([of_state, norm], dim=1)

    def _exact(self, states: Tensor, row: Tensor, token: Tensor) -> Tensor:
        """The logit of each pair of state and token, summed in float64."""
        parts = zip(row.split(_CANDIDATES_AT_ONCE), token.split(_CANDIDATES_AT_ONCE), strict=True)
        logits = [(states[own].double() * self._weight[chosen].double()).sum(1) for own, chosen in parts]
        return torch.cat(logits).float()


def _version(weight: Tensor) -> int:
    """A number that grows with every change of a tensor; one made for inference alone does not count."""
    return 0 if weight.is_inference() else weight._version


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _bound(lengths: Tensor, norm: Tensor, error: Tensor) -> Tensor:
    """Largest error of screened logits but for that of their last rounding; lengths: [..., 2], as of `_lengths`."""
    total = lengths[..., 0] * norm + lengths[..., 1] * error
    return (total * (1 + 2.0**-20) + _FLUSHED).float()


def _two_largest(logit: Tensor, row: Tensor, token: Tensor, rows: int) -> TopTwo:
    """The largest and the second largest of each row's candidates, of which every row has at least two."""
    lowest = torch.full((rows,), float("-inf"), device=logit.device)
    largest = lowest.scatter_reduce(0, row, logit, "amax")
    beyond = torch.full((rows,), torch.iinfo(torch.int64).max, device=logit.device)
    chosen = beyond.scatter_reduce(0, row[logit == largest[row]], token[logit == largest[row]], "amin")
    others = token != chosen[row]
    second = lowest.scatter_reduce(0, row[others], logit[others], "amax")
    return TopTwo(chosen, largest - second, len(logit))
