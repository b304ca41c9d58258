"""What a model says after single prompts: how probable some continuations are, and what it gives by itself.

For questions about single texts: prompts have different lengths, and continuations are not those of a corpus' rows.
Everything goes through the sessions that scoring uses, so numbers are the same.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from mematlas.models.base import Model
from mematlas.models.cuda.waiting import steps_between_reads, to_device
from mematlas.scoring.engines.readout import Readout
from mematlas.types import Ids

_LOGITS_AT_ONCE: Final = 512  # of so many positions are in memory
_REDUCED_AT_ONCE: Final = 16
_PROMPT_TOKENS_AT_ONCE: Final = 2_048  # one step of decoding reads all weights, for few rows or many
_Choose = Callable[[torch.Tensor, Sequence[int], int], torch.Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class ContinuationScores:
    """log_probability: [n], of all tokens of a continuation together, in nats; is_greedy: [n], whether greedy decoding
    gives the continuation, as each of its tokens is the most probable one."""

    log_probability: NDArray[np.float64]
    is_greedy: NDArray[np.bool_]


@torch.inference_mode()
def score_continuations(model: Model, prompt: Ids, continuations: Sequence[Ids]) -> ContinuationScores:
    """How probable each continuation [its length] is after `prompt` [tokens], which has at least one token."""
    longest = max(map(len, continuations), default=1)
    session = model.start(1, len(prompt) + longest)
    prompted = session.feed(torch.from_numpy(np.asarray(prompt, np.int64))[None].to(model.device), 1)
    first = torch.log_softmax(model.head(prompted[:, -1])[:, : model.vocabulary].double(), -1)[0]
    log_probability, is_greedy = np.empty(len(continuations)), np.empty(len(continuations), bool)
    for part in _of_one_length(continuations, _LOGITS_AT_ONCE):
        tokens = torch.from_numpy(np.stack([continuations[i] for i in part]).astype(np.int64)).to(model.device)
        total, greedy = first[tokens[:, 0]], first.argmax() == tokens[:, 0]
        if tokens.shape[1] > 1:
            rows = torch.zeros(len(part), dtype=torch.int64, device=model.device)
            states = session.fork(rows, len(prompt)).feed(tokens[:, :-1], tokens.shape[1] - 1)
            logs, hits = _log_probabilities(model, states.flatten(0, 1), tokens[:, 1:].flatten())
            total = total + logs.view(len(part), -1).sum(-1)
            greedy = greedy & hits.view(len(part), -1).all(-1)
        log_probability[part], is_greedy[part] = total.cpu().numpy(), greedy.cpu().numpy()
    return ContinuationScores(log_probability, is_greedy)


@torch.inference_mode()
def token_log_probabilities(model: Model, tokens: Ids) -> NDArray[np.float64]:
    """[tokens - 1]: the log-probability of each token but the first after all true ones before it, in nats."""
    ids = torch.from_numpy(np.asarray(tokens, np.int64))[None].to(model.device)
    if ids.shape[1] < 2:
        return np.empty(0)
    states = model.start(1, ids.shape[1]).feed(ids[:, :-1], ids.shape[1] - 1)[0]
    return np.asarray(_log_probabilities(model, states, ids[0, 1:])[0].cpu().numpy(), np.float64)


def _log_probabilities(model: Model, states: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """[n] float64 log-probability of each token after its state [n, width], and whether it is the most probable one."""
    logs, hits = [], []
    for own, true in zip(states.split(_LOGITS_AT_ONCE), tokens.split(_LOGITS_AT_ONCE), strict=True):
        logits = model.head(own)[:, : model.vocabulary]
        for part, target in zip(logits.split(_REDUCED_AT_ONCE), true.split(_REDUCED_AT_ONCE), strict=True):
            exact = part.double()  # few rows at once stay in a core's cache
            logs.append(exact.gather(1, target[:, None])[:, 0] - exact.logsumexp(1))
            hits.append(part.argmax(1) == target)
    return torch.cat(logs), torch.cat(hits)


def score_prompts(model: Model, prompts: Ids, continuation: Ids, batch: int) -> ContinuationScores:
    """How probable one `continuation` [tokens] is after each of `prompts` [n, tokens], of which `batch` run at once.

    Returns:
        log_probability and is_greedy, by prompt.
    """
    log_probability, is_greedy = np.empty(len(prompts)), np.empty(len(prompts), bool)
    true = torch.from_numpy(np.asarray(continuation, np.int64)).to(model.device)
    for start in range(0, len(prompts), batch):
        part = torch.from_numpy(np.asarray(prompts[start : start + batch], np.int64)).to(model.device)
        tokens = torch.cat([part, true[:-1].expand(len(part), -1)], dim=1)
        states = model.start(len(part), tokens.shape[1]).feed(tokens, len(true)).flatten(0, 1)
        logs, hits = _log_probabilities(model, states, true.repeat(len(part)))
        ends = slice(start, start + len(part))
        log_probability[ends] = logs.view(len(part), -1).sum(1).cpu().numpy()
        is_greedy[ends] = hits.view(len(part), -1).all(1).cpu().numpy()
    return ContinuationScores(log_probability, is_greedy)


@torch.inference_mode()
def greedy_continuations(model: Model, prompts: Sequence[Ids], new_tokens: int, stop: Sequence[int] = ()) -> list[Ids]:
    """The most probable token after each prompt, again and again, up to `new_tokens` or a token of `stop`."""
    readout = Readout(model)
    return _continuations(
        model, prompts, new_tokens, stop, lambda states, rows, step: readout.choose(states, check=False)["token"]
    )


def sampled_continuations(
    model: Model,
    prompts: Sequence[Ids],
    new_tokens: int,
    temperature: float,
    seeds: Sequence[Sequence[int]],
    stop: Sequence[int] = (),
) -> list[Ids]:
    """A token drawn after each prompt, again and again, up to `new_tokens` or a token of `stop`.

    The chances are the softmax of logits / temperature, of all tokens. The largest of logits with Gumbel noise is such
    a draw; the noise depends on a prompt's own seeds alone, so that it is the same in any batch.

    Args:
        temperature: above 0. seeds: of each prompt.
    """

    def draw(states: torch.Tensor, rows: Sequence[int], step: int) -> torch.Tensor:
        logits = model.head(states)
        noise = np.stack([np.random.default_rng([*seeds[row], step]).gumbel(size=logits.shape[-1]) for row in rows])
        return (logits.double() / temperature + torch.from_numpy(noise).to(logits.device)).argmax(-1)

    return _continuations(model, prompts, new_tokens, stop, draw)


@torch.inference_mode()
def _continuations(
    model: Model, prompts: Sequence[Ids], new_tokens: int, stop: Sequence[int], choose: _Choose
) -> list[Ids]:
    """Continue each prompt by what `choose` takes, called with states [rows, width], prompts and step."""
    results: list[Ids] = [np.empty(0, np.int64)] * len(prompts)
    stops = to_device(torch.tensor(stop, dtype=torch.int64), model.device) if stop else None
    for part in _of_one_length(prompts, _PROMPT_TOKENS_AT_ONCE):
        tokens = torch.from_numpy(np.stack([prompts[i] for i in part]).astype(np.int64)).to(model.device)
        session = model.start(len(part), tokens.shape[1] + new_tokens)
        states, generated = session.feed(tokens, 1), []
        has_ended = torch.zeros(len(part), dtype=torch.bool, device=model.device)
        for number in range(new_tokens):
            chosen = choose(states[:, -1], part, number)
            generated.append(chosen)
            if number + 1 == new_tokens:
                break
            if stops is not None:
                has_ended |= torch.isin(chosen, stops)
                if number % steps_between_reads(model.device) == 0 and bool(has_ended.all()):
                    break
            states = session.feed(chosen[:, None], 1)
        for i, row in zip(part, torch.stack(generated, dim=1).cpu().numpy(), strict=True):
            ends = np.flatnonzero(np.isin(row, list(stop)))
            results[i] = row[: ends[0]] if len(ends) else row
    return results


def _of_one_length(sequences: Sequence[Ids], tokens: int) -> Iterator[list[int]]:
    """Positions of sequences of the same length, of at most so many tokens together."""
    lengths = np.array([len(sequence) for sequence in sequences], np.int64)
    for length in np.unique(lengths):
        positions = np.flatnonzero(lengths == length).tolist()
        at_once = max(1, tokens // max(1, int(length)))
        for start in range(0, len(positions), at_once):
            yield positions[start : start + at_once]
