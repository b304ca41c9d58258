"""Noise in the residual stream: how firmly does a model hold on to what it recites (K7)?

    h  <-  h + strength * |h| * e / sqrt(d)        after the first decoder block, at every position

where e is standard normal [d] and |h| the norm of that token's state, so that strength 1 adds as much as there is.

The noise of a position depends on the seed and on the tokens up to it, and on nothing else: rows may be scored in any
order, in batches of any size, with or without a cache, and give the same numbers. Equal rows get equal noise.
"""

from functools import partial
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mematlas.errors import ModelError
from mematlas.interventions.blocks import (
    PatchableModel,
    block_outputs,
    forward_hooks,
    patchable,
    state_of,
    with_state,
)
from mematlas.interventions.changed import ChangedSource, changed_source, split_spec
from mematlas.models.base import Session
from mematlas.models.causal import CausalModel
from mematlas.models.output_head.screened import ScreenedHead
from mematlas.models.prefix_session import PrefixSession
from mematlas.types import Ids

#: Odd constants of SplitMix64 (Steele, Lea and Flood 2014), as signed numbers.
_STEP: Final = 0x9E3779B97F4A7C15 - (1 << 64)
_FACTORS: Final = (0xBF58476D1CE4E5B9 - (1 << 64), 0x94D049BB133111EB - (1 << 64))


class NoisyModel:
    """A model whose first block's output is disturbed. It shares the network of `found`, which stays as it is."""

    def __init__(self, found: PatchableModel, strength: float, seed: int = 0) -> None:
        self.model, self.strength, self.seed = found.model, strength, seed
        self.block, model = found.blocks[0], found.model
        self.vocabulary, self.layers = model.vocabulary, model.layers
        self.device, self.dtype = model.device, model.dtype

    def start(self, rows: int, capacity: int) -> Session:
        session = self.model.start(rows, capacity)
        if isinstance(session, PrefixSession):
            raise ModelError(
                f"Rows of {capacity} tokens change the positions of all tokens in this model, so that noise cannot be "
                "kept the same; score shorter rows."
            )
        return _NoisySession(self, session, torch.empty((rows, 0), dtype=torch.int64, device=self.device))

    def keep(self, layer: int) -> None:
        self.model.keep(layer)

    def release(self) -> None:
        self.model.release()

    def head(self, states: Tensor) -> Tensor:
        return self.model.head(states)

    @property
    def screened(self) -> ScreenedHead | None:
        return self.model.screened


class _NoisySession:
    """Rows with a digest of the tokens up to each position, [rows, positions]."""

    def __init__(self, model: NoisyModel, session: Session, digests: Tensor) -> None:
        self._model, self._session, self._digests = model, session, digests

    def feed(self, tokens: Tensor, last: int | None = None) -> Tensor:
        self._digests = torch.cat([self._digests, _digests(tokens.to(self._model.device), self._digests)], dim=1)
        with forward_hooks([(self._model.block, self._disturb)]):
            states = self._session.feed(tokens, last)
        self.kept = self._session.kept
        return states

    def _disturb(self, _module: object, _inputs: object, output: object) -> object:
        state = state_of(output)
        digests = self._digests[:, -state.shape[1] :].to(state.device)  # all of them, if there is no cache
        return with_state(output, add_noise(state, digests, self._model.strength, self._model.seed))

    def fork(self, rows: Tensor, length: int) -> "_NoisySession":
        digests = self._digests[rows.to(self._digests.device), :length]
        return _NoisySession(self._model, self._session.fork(rows, length), digests)

    def rewind(self, length: int) -> None:
        self._session.rewind(length)
        self._digests = self._digests[:, :length]


def _digests(tokens: Tensor, before: Tensor) -> Tensor:
    """A number for the tokens of a row up to each of `tokens` [rows, k]; before: those of earlier ones, [rows, t]."""
    positions = torch.arange(before.shape[1], before.shape[1] + tokens.shape[1], device=tokens.device)
    sums = _mix((tokens << 32) + positions + 1).cumsum(1)  # modulo 2^64
    return sums + before[:, -1:] if before.shape[1] else sums


@torch.inference_mode()
def state_cosines(model: PatchableModel, rows: Ids, strength: float, seed: int) -> NDArray[np.float64]:
    """How alike the states of `rows` [rows, length] are with and without noise: mean cosine over a row's positions,
    [layers, rows]."""
    tokens = torch.from_numpy(rows)
    digests = row_digests(tokens.to(model.model.device))

    def disturb(_module: object, _inputs: object, output: object) -> object:
        return with_state(output, add_noise(state_of(output), digests, strength, seed))

    clean = block_outputs(model, tokens)
    with forward_hooks([(model.blocks[0], disturb)]):
        noisy = block_outputs(model, tokens)
    cosines: NDArray[np.float64] = (
        torch.cosine_similarity(clean.double(), noisy.double(), dim=-1).mean(-1).cpu().numpy()
    )
    return cosines


def row_digests(tokens: Tensor) -> Tensor:
    """A number for the tokens of each row [rows, length] up to each position, [rows, length]."""
    return _digests(tokens, tokens[:, :0])


def add_noise(states: Tensor, digests: Tensor, strength: float, seed: int) -> Tensor:
    """States [rows, positions, width] with the noise that belongs to their digests [rows, positions]."""
    if not strength:
        return states
    width = states.shape[-1]
    noise = standard_normal(_mix(digests ^ _mix(torch.tensor(seed + 1, device=digests.device))), width)
    scale = strength / width**0.5 * states.float().norm(dim=-1, keepdim=True)
    return (states.float() + scale * noise).to(states.dtype)


def standard_normal(keys: Tensor, width: int) -> Tensor:
    """Standard normal numbers [..., width] in float32 that depend on each key [...] alone (Box and Muller 1958)."""
    half = (width + 1) // 2
    bits = _mix(keys[..., None] + _STEP * torch.arange(1, half + 1, device=keys.device))
    first, second = ((bits >> 40) & 0xFFFFFF) + 1, bits & 0xFFFFFF
    radius = (-2 * (first.float() / (1 << 24)).log()).sqrt()
    angle = second.float() * (2 * torch.pi / (1 << 24))
    return torch.cat([radius * angle.cos(), radius * angle.sin()], dim=-1)[..., :width]


def _mix(numbers: Tensor) -> Tensor:
    """SplitMix64's output function: int64 to int64, every bit of the one depends on every bit of the other."""
    for shift, factor in zip((30, 27), _FACTORS, strict=True):
        numbers = (numbers ^ _shifted(numbers, shift)) * factor
    return numbers ^ _shifted(numbers, 31)


def _shifted(numbers: Tensor, by: int) -> Tensor:
    """Shifted to the right, with zeros from the left."""
    return (numbers >> by) & ((1 << (64 - by)) - 1)


def _disturbed(model: CausalModel, strength: float, seed: int, name: str) -> NoisyModel:
    return NoisyModel(patchable(model, name), strength, seed)


def resolve(rest: str) -> ChangedSource:
    """Resolve `noise:STRENGTH[/SEED]@MODEL`.

    Raises:
        ModelError: the strength or the seed is no number, or there is no such model.
    """
    text, base = split_spec("noise", rest, "noise:0.1@MODEL, or noise:0.1/7@MODEL with the seed 7")
    first, _, last = text.partition("/")
    try:
        strength, seed = float(first), int(last or 0)
    except ValueError:
        strength, seed = -1.0, 0
    if not 0 <= strength < float("inf") or seed < 0:
        raise ModelError(f"noise:{text} states no strength of 0 or more (and seed); write noise:0.1 or noise:0.1/7.")
    name = f"{strength:g}" + (f"/{seed}" if seed else "")
    change = partial(_disturbed, strength=strength, seed=seed, name=base.card.spec)
    return changed_source(base, f"noise:{name}", f"noise-{name.replace('/', '-seed')}", change)
