"""The output head of a transformers network: a function from the states of its body to its logits, bit for bit."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPast

from mematlas.models.buffer import Scratch


@dataclass(frozen=True, slots=True, eq=False)
class OutputHead:
    """logits: [n, vocabulary] from states [n, width]; matrix: [vocabulary, width], if logits are its product with the
    states and nothing else, None otherwise."""

    logits: Callable[[Tensor], Tensor]
    matrix: Tensor | None


@torch.inference_mode()
def exact_head(network: Any, vocabulary: int, device: torch.device, **arguments: Any) -> OutputHead | None:
    """The first function from states to logits that reproduces the network's own logits bit for bit.

    For most causal models the output matrix is enough. If logits are scaled, capped or projected, the network's own
    forward is called with a body that returns the given states. None if no function does.

    Args:
        vocabulary: number of token ids; device: where the network takes them; arguments: of every forward pass.
    """
    probe = (torch.arange(12, device=device) * 7919 % vocabulary)[None]
    expected = network(input_ids=probe, **arguments).logits[0]
    states = network.base_model(input_ids=probe, **arguments).last_hidden_state[0]
    functions = _HeadFunctions(network, device)
    for logits in (functions.scratch_head, functions.matrix_head, functions.network_head):
        try:
            if torch.equal(logits(states).to(expected.device), expected):
                return OutputHead(logits, functions.matrix if logits == functions.scratch_head else None)
        except (RuntimeError, TypeError, ValueError, AttributeError, IndexError):
            continue  # this architecture cannot be split this way
    return None


class _HeadFunctions:
    def __init__(self, network: Any, device: torch.device) -> None:
        self._network, self._device = network, device
        self._output = network.get_output_embeddings()
        self._scratch = Scratch()

    @property
    def matrix(self) -> Tensor:
        weight: Tensor = self._output.weight
        return weight

    def scratch_head(self, states: Tensor) -> Tensor:
        weight = self.matrix
        if type(self._output) is not torch.nn.Linear or self._output.bias is not None or weight.device.type != "cpu":
            raise TypeError("the output layer is not a plain matrix on a CPU")
        return torch.mm(states, weight.T, out=self._scratch.take(states, len(states), len(weight)))

    def matrix_head(self, states: Tensor) -> Tensor:
        device = self._output.weight.device
        logits: Tensor = self._output(
            states if device.type == "meta" else states.to(device)
        )  # meta: offloaded weights, loaded by a hook
        return logits

    def network_head(self, states: Tensor) -> Tensor:
        body = self._network.base_model
        hooked = body.__dict__.get("forward")  # accelerate's hook, if the body is offloaded
        body.forward = lambda *args, **kwargs: BaseModelOutputWithPast(last_hidden_state=states[:, None])
        try:
            empty = torch.zeros((len(states), 1), dtype=torch.int64, device=self._device)
            logits: Tensor = self._network(input_ids=empty).logits[:, 0]
            return logits
        finally:
            if hooked is None:
                del body.forward
            else:
                body.forward = hooked
