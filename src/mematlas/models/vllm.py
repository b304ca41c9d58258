"""vLLM as the way to run a model: prompts of token ids in, greedy tokens and margins out; no states, no logits."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mematlas.errors import MissingExtra, ModelError
from mematlas.models.base import LoadOptions, ModelCard
from mematlas.types import EosPolicy, Ids


@dataclass(frozen=True, slots=True)
class Continued:
    """Greedy continuations. token [n, L] int64: -1 behind a stopping EOS; margin [n, L] float32: largest minus second
    largest logit among the tokens that may be chosen, +inf where nothing was chosen."""

    token: Ids
    margin: NDArray[np.float32]


class ServedModel:
    """A model that vLLM has loaded.

    Args:
        folder: as `save_pretrained` wrote it; width: tokens of the longest prompt with its continuation.
        eos: ids that the policy speaks of.

    Raises:
        MissingExtra: vLLM is not installed.
        ModelError: vLLM cannot load the model; the message gives the first line of its reason.
    """

    def __init__(
        self, folder: Path, card: ModelCard, options: LoadOptions, width: int, policy: EosPolicy, eos: tuple[int, ...]
    ) -> None:
        self._label, self._policy, self._vllm = card.label, policy, _library()
        self._eos = tuple(token for token in eos if token < card.vocabulary)  # its sampler dies of others
        # a forbidden token may be among the largest: so many more are asked for
        self._wanted = 2 + (len(self._eos) if policy == "suppress" else 0)
        try:
            self._engine = self._vllm.LLM(
                model=str(folder),
                skip_tokenizer_init=card.tokenizer is None,
                dtype=options.dtype,
                trust_remote_code=options.trust_remote_code,
                tensor_parallel_size=max(1, torch.cuda.device_count()) if options.device_map else 1,
                max_model_len=width,
                max_logprobs=self._wanted,
                enable_prefix_caching=False,  # what was in the cache before would have a say in the rounding
                generation_config="vllm",  # no sampling defaults from the model's folder
                seed=0,
            )
        except (RuntimeError, ValueError, OSError, ImportError, torch.OutOfMemoryError) as error:
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise ModelError(
                f"{card.spec!r} cannot be loaded by vLLM: {reason}; score it with --backend torch."
            ) from error

    def continued(self, prompts: Sequence[Sequence[int]], length: int) -> Continued:
        """`length` greedy tokens after each prompt.

        Raises:
            ModelError: fewer tokens came back than asked for, or logits that are no numbers.
        """
        found = self._engine.generate(
            [{"prompt_token_ids": list(prompt)} for prompt in prompts], self._sampling(length), use_tqdm=False
        )
        tokens = np.full((len(prompts), length), -1, dtype=np.int64)
        margins = np.full((len(prompts), length), np.inf, dtype=np.float32)
        for row, request in enumerate(found):
            said = request.outputs[0]
            count = len(said.token_ids)
            stopped = self._policy == "stop" and count and said.token_ids[-1] in self._eos
            if count != length and not stopped:
                raise ModelError(f"{self._label}: vLLM gave {count} tokens where {length} were asked for; report it.")
            tokens[row, :count] = said.token_ids
            margins[row, :count] = [
                self._margin(token, entries) for token, entries in zip(said.token_ids, said.logprobs, strict=True)
            ]
        return Continued(tokens, margins)

    def _sampling(self, length: int) -> Any:
        """Greedy decoding under the EOS policy; ids are given here, so that the model's own say nothing."""
        policy: dict[str, Any] = {}
        if self._eos and self._policy != "ignore":
            policy["stop_token_ids"] = list(self._eos)
            policy["min_tokens"] = length if self._policy == "suppress" else 0  # until then it forbids those ids
        return self._vllm.SamplingParams(
            temperature=0.0, max_tokens=length, ignore_eos=True, logprobs=self._wanted, detokenize=False, **policy
        )

    def _margin(self, token: int, entries: dict[int, Any]) -> float:
        """Chosen minus largest other; differences of log-probabilities are those of logits."""
        forbidden = self._eos if self._policy == "suppress" else ()
        allowed = {int(name): float(entry.logprob) for name, entry in entries.items() if int(name) not in forbidden}
        margin = allowed.pop(token, np.nan) - max(allowed.values(), default=np.nan)
        if np.isnan(margin):
            raise ModelError(
                f"{self._label}: vLLM gave log-probabilities that are not numbers, so that nothing can be read from "
                "them; check the model's weights, or score with --dtype float32."
            )
        return margin


def _library() -> Any:
    try:
        import vllm
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"The backend 'vllm' needs the library {error.name!r}, which is not installed; "
            'run: pip install "mematlas[vllm]"'
        ) from error
    return vllm
