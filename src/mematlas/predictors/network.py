"""The Transformer that predicts, at each index of a continuation, whether the token will be recited.

P1 describes a Transformer that takes last-layer states and entropies and gives a binary label for each index; its
architecture is not published, so this one is our choice: states are projected, positions are learned, and attention is
causal. Before anything is generated, a learned placeholder replaces the continuation's states, so that one network
serves both settings.
"""

import torch
from torch import Tensor, nn

from mematlas.predictors.options import PredictorConfig
from mematlas.study.schemas.predictions import Sees


class PredictorNetwork(nn.Module):
    """Several Transformers that differ in their initial weights; the prediction is the mean of their logits.

    With few rows, a single one depends too much on its initial weights (our choice).

    Args:
        width: numbers per state; inputs: numbers per position beside the state; context, continuation: in tokens;
            sees: see `PredictorConfig`.
    """

    def __init__(
        self, config: PredictorConfig, sees: Sees, *, width: int, inputs: int, context: int, continuation: int
    ) -> None:
        super().__init__()
        self.context, self.positions = context, context + continuation - 1
        self.members = nn.ModuleList(
            MemberNetwork(config, sees, width=width, inputs=inputs, context=context, continuation=continuation)
            for _ in range(config.members)
        )

    def forward(self, states: Tensor) -> Tensor:
        """Logits [members, n, continuation], from standardised states and inputs [n, positions, width + inputs]."""
        return torch.stack([member(states) for member in self.members])


class MemberNetwork(nn.Module):
    """States and inputs of a row -> one logit for each index of its continuation. Args: see PredictorNetwork."""

    def __init__(
        self, config: PredictorConfig, sees: Sees, *, width: int, inputs: int, context: int, continuation: int
    ) -> None:
        super().__init__()
        self.context, self.sees = context, sees
        positions = context + continuation - 1
        self.states = nn.Linear(width, config.width)
        # inputs have a projection of their own: a few of them would drown in a wide state
        self.inputs = nn.Linear(inputs, config.width) if inputs else None
        self.positions = nn.Parameter(0.02 * torch.randn(positions, config.width))
        self.blank = nn.Parameter(0.02 * torch.randn(config.width))
        layer = nn.TransformerEncoderLayer(
            config.width,
            config.heads,
            2 * config.width,
            config.dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        layer.self_attn.dropout = 0.0  # dropout of attention weights doubles the time without a measurable gain
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.TransformerEncoder(
            layer, config.layers, norm=nn.LayerNorm(config.width), enable_nested_tensor=False
        )
        self.label = nn.Linear(config.width, 1)
        self.register_buffer("causal_mask", torch.ones(positions, positions).triu(1).bool(), persistent=False)

    def forward(self, states: Tensor) -> Tensor:
        """Logits [n, continuation], from standardised states and inputs [n, positions, width + inputs].

        If the network sees the context alone, later positions are ignored.
        """
        width = self.states.in_features
        embedded = self.states(states[..., :width])
        if self.inputs is not None:
            embedded = embedded + self.inputs(states[..., width:])
        if self.sees == "context":
            blank = self.blank.expand(len(embedded), self.positions.shape[0] - self.context, -1)
            embedded = torch.cat([embedded[:, : self.context], blank], dim=1)
        hidden = self.layers(self.dropout(embedded) + self.positions, mask=self.causal_mask, is_causal=True)
        logits: Tensor = self.label(hidden)[:, self.context - 1 :, 0]
        return logits
