"""The part of vLLM's interface that mematlas uses, over a transformers network on the CPU, without a cache."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from transformers import AutoModelForCausalLM


@dataclass
class SamplingParams:
    temperature: float = 1.0
    max_tokens: int = 16
    min_tokens: int = 0
    ignore_eos: bool = False
    stop_token_ids: list[int] = field(default_factory=list)
    logprobs: int | None = None
    detokenize: bool = True


@dataclass
class Logprob:
    logprob: float
    rank: int | None = None
    decoded_token: str | None = None


@dataclass
class CompletionOutput:
    token_ids: list[int]
    logprobs: list[dict[int, Logprob]]
    finish_reason: str


@dataclass
class RequestOutput:
    prompt_token_ids: list[int]
    outputs: list[CompletionOutput]


class LLM:
    """Greedy only. Log-probabilities are those before any token is forbidden, as in vLLM's mode raw_logprobs."""

    loaded: ClassVar[list[dict[str, Any]]] = []

    def __init__(self, model: str, max_model_len: int, max_logprobs: int, dtype: str, **options: Any) -> None:
        LLM.loaded.append({"model": model, "max_model_len": max_model_len, "dtype": dtype, **options})
        self._network = AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, dtype)).eval()
        self._max_model_len, self._max_logprobs = max_model_len, max_logprobs
        self._own_eos = self._network.generation_config.eos_token_id

    def generate(
        self, prompts: list[dict[str, list[int]]], sampling_params: SamplingParams, use_tqdm: bool = True
    ) -> list[RequestOutput]:
        assert sampling_params.temperature == 0
        assert sampling_params.logprobs is not None
        assert sampling_params.logprobs <= self._max_logprobs
        assert len({len(prompt["prompt_token_ids"]) for prompt in prompts}) == 1
        return self._complete([prompt["prompt_token_ids"] for prompt in prompts], sampling_params)

    @torch.inference_mode()
    def _complete(self, prompts: list[list[int]], params: SamplingParams) -> list[RequestOutput]:
        assert len(prompts[0]) + params.max_tokens <= self._max_model_len
        stops = {*params.stop_token_ids, *([] if params.ignore_eos else [self._own_eos])}
        completions = [CompletionOutput([], [], "length") for _ in prompts]
        text = torch.tensor(prompts)
        for step in range(params.max_tokens):
            logits = self._network(input_ids=text).logits[:, -1].float()
            allowed = logits.clone()
            if step < params.min_tokens:
                allowed[:, list(stops)] = float("-inf")
            chosen, logs = allowed.argmax(1), logits.log_softmax(1)
            text = torch.cat([text, chosen[:, None]], dim=1)
            for completion, token, log in zip(completions, chosen.tolist(), logs, strict=True):
                if completion.finish_reason == "length":
                    listed = [token, *log.topk(params.logprobs).indices.tolist()]
                    completion.token_ids.append(token)
                    completion.logprobs.append({name: Logprob(float(log[name])) for name in listed})
                    completion.finish_reason = "stop" if token in stops else "length"
        return [RequestOutput(prompt, [completion]) for prompt, completion in zip(prompts, completions, strict=True)]
