"""Run a model with vLLM: prompts of token ids in, greedy tokens and margins out, without states or logits."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mematlas.errors import ModelError
from mematlas.errors.libraries import missing_libraries
from mematlas.models.base import Continuations, LoadOptions, ModelCard, first_line
from mematlas.types import EosPolicy


class VllmModel:
    """A model loaded by vLLM.

    Args:
        folder: model folder written by `save_pretrained`.
        width: tokens of the longest prompt with its continuation.
        eos: token ids that `policy` applies to.

    Raises:
        MissingExtra: vLLM is not installed.
        ModelError: vLLM cannot load the model; the message gives the first line of its reason.
    """

    def __init__(
        self, folder: Path, card: ModelCard, options: LoadOptions, width: int, policy: EosPolicy, eos: tuple[int, ...]
    ) -> None:
        self._label, self._policy, self._vllm = card.label, policy, _import_vllm()
        self._eos = tuple(token for token in eos if token < card.vocabulary)  # its sampler crashes on larger ids
        # forbidden tokens may be among the largest, so their number is requested in addition
        self._logprob_count = 2 + (len(self._eos) if policy == "suppress" else 0)
        try:
            self._engine = self._vllm.LLM(
                model=str(folder),
                skip_tokenizer_init=card.tokenizer is None,
                dtype=options.dtype,
                trust_remote_code=options.trust_remote_code,
                tensor_parallel_size=max(1, torch.cuda.device_count()) if options.device_map else 1,
                max_model_len=width,
                max_logprobs=self._logprob_count,
                enable_prefix_caching=False,  # else earlier prompts would affect the rounding
                generation_config="vllm",  # no sampling defaults from the model's folder
                seed=0,
            )
        except (RuntimeError, ValueError, OSError, ImportError, torch.OutOfMemoryError) as error:
            raise ModelError(
                f"{card.spec!r} cannot be loaded by vLLM: {first_line(error)}; score it with --backend torch."
            ) from error

    def generate(self, prompts: Sequence[Sequence[int]], length: int) -> Continuations:
        """Generate `length` greedy tokens after each prompt.

        Raises:
            ModelError: vLLM returned too few tokens, or log-probabilities that are not numbers.
        """
        outputs = self._engine.generate(
            [{"prompt_token_ids": list(prompt)} for prompt in prompts], self._sampling(length), use_tqdm=False
        )
        tokens = np.full((len(prompts), length), -1, dtype=np.int64)
        margins = np.full((len(prompts), length), np.inf, dtype=np.float32)
        for row, output in enumerate(outputs):
            completion = output.outputs[0]
            count = len(completion.token_ids)
            stopped = self._policy == "stop" and count and completion.token_ids[-1] in self._eos
            if count != length and not stopped:
                raise ModelError(
                    f"{self._label}: vLLM returned {count} tokens instead of {length}; please report this."
                )
            tokens[row, :count] = completion.token_ids
            margins[row, :count] = [
                self._margin(token, entries)
                for token, entries in zip(completion.token_ids, completion.logprobs, strict=True)
            ]
        return Continuations(tokens, margins)

    def _sampling(self, length: int) -> Any:
        """vLLM's sampling parameters for greedy decoding under the EOS policy; these override the model's EOS ids."""
        eos_options: dict[str, Any] = {}
        if self._eos and self._policy != "ignore":
            eos_options["stop_token_ids"] = list(self._eos)
            # vLLM forbids the stop tokens until min_tokens is reached
            eos_options["min_tokens"] = length if self._policy == "suppress" else 0
        return self._vllm.SamplingParams(
            temperature=0.0,
            max_tokens=length,
            ignore_eos=True,
            logprobs=self._logprob_count,
            detokenize=False,
            **eos_options,
        )

    def _margin(self, token: int, entries: dict[int, Any]) -> float:
        """Logit of the chosen token minus the largest other; log-probabilities differ by the same amount as logits."""
        forbidden = self._eos if self._policy == "suppress" else ()
        allowed = {int(name): float(entry.logprob) for name, entry in entries.items() if int(name) not in forbidden}
        margin = allowed.pop(token, np.nan) - max(allowed.values(), default=np.nan)
        if np.isnan(margin):
            raise ModelError(
                f"{self._label}: vLLM returned log-probabilities that are not numbers, so margins are undefined; "
                "check the model's weights, or score with --dtype float32."
            )
        return margin


def _import_vllm() -> Any:
    with missing_libraries("The backend 'vllm'", extra="vllm"):
        import vllm
    return vllm
