"""How the loss of a continuation changes with each token of its prompt: what greedy coordinate gradient (GCG) follows.

With the prompt's tokens as one-hot vectors e_1 ... e_p, which the embedding maps linearly to states, the gradient

    d loss / d e_i  =  table @ (d loss / d embedding_i)          [vocabulary], of position i

says to first order which token in its place would lower the loss most (Zou et al. 2023, 2307.15043, section 2.2).
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mematlas.errors import ModelError
from mematlas.models.causal import CausalModel
from mematlas.types import Ids


class TokenGradients:
    """Gradients of a transformers network with respect to one-hot tokens; its weights are no longer trainable.

    Args:
        name: of the model, for messages.

    Raises:
        ModelError: the model is no network of transformers, and has no gradients.
    """

    def __init__(self, model: object, name: str) -> None:
        if not isinstance(model, CausalModel):
            raise ModelError(
                f"{name} has no gradients: it is no network of transformers; name one that is, or use --search random."
            )
        self._model, self._network = model, model.network
        _make_differentiable(self._network)
        self._embedding = self._network.get_input_embeddings()
        with torch.no_grad():
            self._table = self._embedding(torch.arange(model.vocabulary, device=model.device))

    def __call__(self, prompt: Ids, continuation: Ids) -> NDArray[np.float32]:
        """The gradient of the mean negative log-probability, in nats, of the continuation's tokens after the prompt.

        Args:
            prompt: [p]; continuation: [k], read along the truth.

        Returns:
            [p, vocabulary]: by position and token, for a change from the token there to none of it.
        """
        self._model.reset_frequencies()
        embedded: list[Tensor] = []

        def listen(_module: Any, _inputs: Any, output: Tensor) -> Tensor:
            embedded.append(output.detach().requires_grad_())
            return embedded[0]

        tokens = torch.from_numpy(np.concatenate([prompt, continuation[:-1]]).astype(np.int64))
        true = torch.from_numpy(np.asarray(continuation, np.int64))
        hook = self._embedding.register_forward_hook(listen)
        try:
            with torch.enable_grad():
                logits = self._network(input_ids=tokens[None].to(self._model.device), use_cache=False).logits[0]
                own = logits[len(prompt) - 1 :, : self._model.vocabulary].float()
                loss = torch.nn.functional.cross_entropy(own, true.to(own.device))
                (gradient,) = torch.autograd.grad(loss, embedded[0])
        finally:
            hook.remove()
        result: NDArray[np.float32] = (gradient[0, : len(prompt)] @ self._table.T).float().cpu().numpy()
        return result


def _make_differentiable(network: Any) -> None:
    """Let gradients pass a network that was loaded in inference mode: buffers made there cannot be part of a graph."""
    network.requires_grad_(False)
    for module in network.modules():
        for store in (module._parameters, module._buffers):
            for name, tensor in store.items():
                if tensor is not None and tensor.is_inference():
                    copy = tensor.clone()
                    store[name] = torch.nn.Parameter(copy, requires_grad=False) if store is module._parameters else copy
