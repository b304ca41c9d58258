"""A set of rows that is measured while an arm trains, by the scoring engine itself.

Metrics of a row, of which the mean over the set's rows is recorded:
    M          share of tokens that are the most probable one after the true tokens before (Tirumala et al. 2022);
               all tokens of a row but its first; masked models: hidden tokens, over the fixed masks
    loss       nats per token, over the same tokens
    verbatim   tokens recited after the context before the first miss (causal models only)
    shown      how often the rows were shown up to this step

A set with a `Recital` has the metrics of `recital.py` instead of M, loss and verbatim, and V_text of `recital_text.py`;
one with `Targets` has the loss alone, over the tokens of each row's target.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mematlas.errors import OptionError
from mematlas.experiments.design.plan import Plan
from mematlas.experiments.training.recital import Recital
from mematlas.models.base import Model, ModelCard
from mematlas.models.causal import CausalModel
from mematlas.models.masked_lm.masks import MASKING
from mematlas.models.masked_lm.model import MaskedModel, SpecialTokens
from mematlas.scoring.engines.causal import Engine
from mematlas.scoring.engines.masked import MaskedEngine
from mematlas.scoring.engines.results import ContextResult
from mematlas.scoring.options import ScoringOptions
from mematlas.stats.bits import unintended_bits
from mematlas.study import fingerprint
from mematlas.types import Grid, Ids, TokenRows


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """The tokens of each row of a set whose loss is measured: starts, stops: [rows], from 1; what follows is not read.

    names: what each row is recorded under, rows of one name as their mean; texts: for each row, the positions in the
    plan's tokens of the texts whose showings are counted for it; symbols: of how many the targets were drawn uniformly,
    to measure the bits of each that the model holds, too (`mematlas.stats.bits`).
    """

    starts: Ids
    stops: Ids
    names: tuple[str, ...]
    texts: tuple[Ids, ...]
    symbols: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ProbeSet:
    """Rows measured at some steps.

    name: of the set ("train", "validation", ...); rows: positions in the plan's tokens; steps: after which they are
    measured, 0 for before the first; context: tokens that prompt the model for the metric verbatim; blocks: parts of
    consecutive rows that are recorded one by one, as NAME:0, NAME:1 ..., so that means have an interval; recital: to
    measure how long a piece of each row is recited from any prompt inside it (causal models only); text_steps: those
    of the steps after which that piece is measured on text, too, which takes a generation for every prompt; length:
    tokens of every row that are measured, its first ones; None for all.
    """

    name: str
    rows: Ids
    steps: tuple[int, ...]
    context: int = 16
    blocks: int = 1
    recital: Recital | None = None
    text_steps: tuple[int, ...] = ()
    length: int | None = None
    targets: Targets | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.blocks <= len(self.rows):
            raise OptionError(
                f"The {len(self.rows)} rows of the set {self.name} cannot be divided into {self.blocks} blocks; take "
                "from 1 to as many as rows."
            )

    def parts(self) -> dict[str, Ids]:
        """Indices of the set's rows, by the name that they are recorded under."""
        every = np.arange(len(self.rows))
        if self.targets is not None:
            names = np.array(self.targets.names)
            return {name: np.flatnonzero(names == name) for name in dict.fromkeys(self.targets.names)}
        if self.blocks == 1:
            return {self.name: every}
        return {f"{self.name}:{number}": part for number, part in enumerate(np.array_split(every, self.blocks))}

    def times_shown(self, times: Ids) -> NDArray[np.float64]:
        """How often each of the set's rows was shown; times: the same of every row of the plan's tokens."""
        if self.targets is not None:
            return np.array([times[texts].sum() for texts in self.targets.texts], dtype=np.float64)
        return times[self.rows].astype(np.float64)

    def fingerprint(self, plan: Plan) -> str:
        """A hash of the rows with their tokens, the steps, the context and the blocks."""
        tokens = np.ascontiguousarray(plan.tokens[self.rows], dtype=np.int64)
        digest = hashlib.sha256(np.asarray(self.rows, dtype=np.int64).tobytes() + tokens.tobytes()).hexdigest()
        settings: list[Any] = [] if self.recital is None else [asdict(self.recital)]
        settings += [{"text_steps": list(self.text_steps)}] if self.text_steps else []
        settings += [] if self.length is None else [{"length": self.length}]
        if self.targets is not None:
            of_rows = zip(self.targets.starts, self.targets.stops, self.targets.names, self.targets.texts, strict=True)
            settings.append([[int(start), int(stop), name, texts.tolist()] for start, stop, name, texts in of_rows])
            settings.append(self.targets.symbols)
        return fingerprint([self.name, digest, list(self.steps), self.context, self.blocks, *settings])


def measure_causal(
    network: Any, tokens: NDArray[Any], context: int, device: torch.device, prefix: int = 0
) -> dict[str, NDArray[np.float64]]:
    """The metrics of rows [rows, row_length], each [rows], with a loaded causal network, which stays as it is."""
    vocabulary = network.get_input_embeddings().weight.shape[0]
    return measure_model(CausalModel(network, vocabulary, device), tokens, context, prefix)


def measure_model(model: Model, tokens: NDArray[Any], context: int, prefix: int = 0) -> dict[str, NDArray[np.float64]]:
    """The metrics of rows [rows, row_length], each [rows], with any causal model.

    Args:
        prefix: tokens in front of every row that are only read: the same tokens count as of rows without them.
    """
    rows = len(tokens)
    values = {name: np.empty(rows) for name in ("M", "loss", "verbatim")}
    for result in _scored(model, tokens, context + prefix):
        values["M"][result.rows] = result.truth["hit"][:, prefix:].astype(np.float64).mean(axis=1)
        values["loss"][result.rows] = -result.truth["log_probability"][:, prefix:].astype(np.float64).mean(axis=1)
        values["verbatim"][result.rows] = np.cumprod(result.hit, axis=1).sum(axis=1)
    return values


def measure_targets(
    network: Any, tokens: NDArray[Any], targets: Targets, device: torch.device
) -> dict[str, NDArray[np.float64]]:
    """The loss on the targets of rows [rows, row_length], in nats per token, with a loaded causal network.

    With `symbols` also the bits of each target that the network holds, and those of the source that drew it (entropy).
    """
    vocabulary = network.get_input_embeddings().weight.shape[0]
    read = tokens[:, : int(targets.stops.max())]
    of_tokens = np.zeros(read.shape)
    for result in _scored(CausalModel(network, vocabulary, device), read, 1):
        of_tokens[result.rows, 1:] = -result.truth["log_probability"]
    places = np.arange(read.shape[1])
    is_target = (places >= targets.starts[:, None]) & (places < targets.stops[:, None])
    sums, counts = np.where(is_target, of_tokens, 0.0).sum(axis=1), is_target.sum(axis=1)
    values = {"loss": sums / counts}
    if targets.symbols is not None:
        entropies = counts * np.log(targets.symbols)
        values |= {"bits": unintended_bits(-sums, -entropies), "entropy": entropies / np.log(2)}
    return values


def _scored(model: Model, tokens: NDArray[Any], context: int) -> Sequence[ContextResult]:
    """What the engine says of whole rows [rows, row_length] after this context, with signals of the true tokens."""
    rows, length = tokens.shape
    options = ScoringOptions(Grid((context,), (length - context,)), depth="verbatim", signals=("truth",))
    engine = Engine(model, ModelCard("probe", "probe", "", model.vocabulary), options)
    return engine.score(TokenRows(tokens.astype(np.int64), np.full(rows, length)), np.arange(rows))


def measure_masked(
    network: Any, tokens: NDArray[Any], special: SpecialTokens, device: torch.device
) -> dict[str, NDArray[np.float64]]:
    """M and loss of rows [rows, row_length] with a masked network, by the masks of `mematlas score --objective masked`.

    NaN for rows with too few tokens that are not special.
    """
    rows, length = tokens.shape
    vocabulary = network.get_input_embeddings().weight.shape[0]
    card = ModelCard("probe", "probe", "", vocabulary)
    options = ScoringOptions(Grid((length,), (MASKING.asked(length),), "masked"), signals=("truth",))
    engine = MaskedEngine(MaskedModel(network, card, special, device), card, options)
    values = {name: np.full(rows, np.nan) for name in ("M", "loss")}
    for result in engine.score(TokenRows(tokens.astype(np.int64), np.full(rows, length)), np.arange(rows)):
        values["M"][result.rows] = result.hit.mean(axis=1)
        values["loss"][result.rows] = -result.truth["log_probability"].astype(np.float64).mean(axis=1)
    return values
