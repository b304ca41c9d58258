"""The engine over a masked language model: fixed masks hide tokens of a row, and the model is asked for them (P8).

M of a row is the share of hidden tokens, over all its masks, whose most probable token is the true one. Every mask is
one forward pass; nothing is decoded and nothing is padded, as all rows have the same length.
"""

from collections.abc import Callable

import numpy as np
import torch

from mematlas.errors import ModelError
from mematlas.models.base import LoadOptions, ModelCard, ModelSource
from mematlas.models.huggingface import FolderSource
from mematlas.models.masked_lm.masks import MASKING, Masking
from mematlas.models.masked_lm.model import MaskedModel, load_masked
from mematlas.scoring.engines.memory import score_or_halve
from mematlas.scoring.engines.readout import NonFiniteLogits, Readout
from mematlas.scoring.engines.results import ContextResult
from mematlas.scoring.engines.rows import check_vocabulary, distinct_rows, spread_to_duplicates
from mematlas.scoring.options import ScoringOptions
from mematlas.types import Ids, TokenRows


class MaskedEngine:
    """Scores token rows with one masked model; `score` is like `Engine.score`. masking: which tokens are hidden.

    Raises (constructor):
        ModelError: rows are longer than the model allows, with the tokens that its tokenizer puts around them.
    """

    def __init__(
        self,
        model: MaskedModel,
        card: ModelCard,
        options: ScoringOptions,
        say: Callable[[str], None] = lambda text: None,
        masking: Masking = MASKING,
    ) -> None:
        around = len(model.tokens.before) + len(model.tokens.after)
        width = options.grid.width
        if model.max_length is not None and width + around > model.max_length:
            raise ModelError(
                f"{card.label} reads at most {model.max_length} tokens, of which its tokenizer puts {around} around a "
                f"row, but rows have {width}; choose a shorter --context or --continuation."
            )
        self._model, self._card, self._options, self._say = model, card, options, say
        self._readout, self._masking = Readout(model), masking
        self._special = np.array(model.tokens.special, dtype=np.int64)
        assert options.batch != "auto"  # refused by the configuration
        self.batch = options.batch

    @property
    def special_tokens(self) -> dict[str, str]:
        """What a shard's metadata record: the ids that stand for a hidden token, before a row and after it."""
        tokens = self._model.tokens
        return {"mask": str(tokens.mask), "before": str([*tokens.before]), "after": str([*tokens.after])}

    def score(self, rows: TokenRows, ids: Ids, on_rows: Callable[[int], None] = lambda n: None) -> list[ContextResult]:
        """Score the rows of a shard; those with too few tokens to hide are left out.

        Args:
            rows: at least `grid.width` tokens wide; ids: their row ids, for messages.
            on_rows: called after each batch with the number of the shard's rows that it scored.
        """
        check_vocabulary(self._card, rows, ids)
        distinct, inverse, counts = distinct_rows(rows)
        width = self._options.grid.width
        masks = {
            row: hidden
            for row in np.flatnonzero(distinct.lengths >= width).tolist()
            if (hidden := self._masking.positions(distinct.ids[row, :width], self._special)) is not None
        }
        group, results, start = np.array([*masks], dtype=np.int64), [], 0
        while start < len(group):  # the batch may be halved on the way
            part = group[start : start + self.batch]
            start += len(part)
            try:
                scored = self._score_or_halve(distinct, part, masks)
            except NonFiniteLogits as error:
                row = ids[int(np.flatnonzero(inverse == self._first_non_finite_row(distinct, part, masks))[0])]
                raise ModelError(f"{self._card.label}, row {row}: {error}") from None
            results += [spread_to_duplicates(result, inverse) for result in scored]
            on_rows(int(counts[part].sum()))
        return results

    def _score_or_halve(self, rows: TokenRows, part: Ids, masks: dict[int, Ids]) -> list[ContextResult]:
        too_large = (
            f"One row of {self._options.grid.width} tokens does not fit into memory with {self._card.label}; use "
            "shorter rows, --dtype bfloat16, or --device-map auto."
        )
        return score_or_halve(
            lambda part: [self._score_rows(rows, part, masks)], part, too_large=too_large, on_halving=self._halve
        )

    def _halve(self, rows: int, half: int) -> None:
        if half < self.batch:
            self.batch = half
            self._say(f"Out of memory with {rows} rows at a time; continuing with {half}.")
        if self._model.device.type == "cuda":
            torch.cuda.empty_cache()

    def _first_non_finite_row(self, rows: TokenRows, part: Ids, masks: dict[int, Ids]) -> int:
        """The first row of a batch whose logits are not finite by themselves; the first of all if none is."""
        for row in part:
            try:
                self._score_rows(rows, np.array([row]), masks)
            except NonFiniteLogits:
                return int(row)
        return int(part[0])

    def _score_rows(self, rows: TokenRows, part: Ids, masks: dict[int, Ids]) -> ContextResult:
        tokens = rows.ids[part, : self._options.grid.width]
        hit, margin, truth = [], [], []
        for hidden in np.stack([masks[row] for row in part.tolist()], axis=1):  # one mask of every row: [rows, hidden]
            states = self._model.states(torch.from_numpy(tokens), torch.from_numpy(hidden))
            targets = np.take_along_axis(tokens, hidden, axis=1)
            chosen = {name: values.reshape(hidden.shape) for name, values in self._read(states, targets).items()}
            hit.append(chosen.pop("token") == targets)
            margin.append(chosen.pop("margin"))
            truth.append(chosen)
        asked, none = np.full(len(part), self._masking.asked(tokens.shape[1])), np.zeros(len(part), dtype=np.int64)
        hits, margins = np.concatenate(hit, axis=1), np.concatenate(margin, axis=1)
        signals = {name: np.concatenate([values[name] for values in truth], axis=1) for name in truth[0]}
        return ContextResult(
            part, tokens.shape[1], hits, margins, asked, {}, signals, 0, asked if self._options.truth else none
        )

    def _read(self, states: torch.Tensor, targets: Ids) -> dict[str, np.ndarray]:
        """Token and margin for states [n, width]; with the option `truth` also the signals of the true `targets`."""
        if self._options.truth:
            true = torch.from_numpy(targets).flatten().to(states.device)
            read = self._readout.truth(states, true)
        else:
            read = self._readout.choose(states)
        return {name: values.cpu().numpy() for name, values in read.items()}


def load_masked_engine(
    source: ModelSource,
    load: LoadOptions,
    options: ScoringOptions,
    tokenizer: str | None,
    say: Callable[[str], None] = lambda text: None,
) -> MaskedEngine:
    """Load a masked language model and return the engine over it.

    Args:
        tokenizer: name of the tokenizer that has the mask token, instead of the model's own.

    Raises:
        ModelError: it cannot be loaded, is a causal one, or reads no rows of this length.
    """
    assert isinstance(source, FolderSource)  # resolve_job refuses other sources
    return MaskedEngine(load_masked(str(source.folder), source.card, load, tokenizer), source.card, options, say)
