"""The Transformer that predicts, at each index of a continuation, whether the token will be recited.

P1 says that a Transformer takes last-layer states and entropies and gives a binary label an index; its architecture is
not published, so this one is our choice: states are projected, positions are learned, and no index looks ahead. Before
anything is generated the continuation's states are a learned blank, so that one network serves both questions.
"""

import torch
from torch import Tensor, nn

from mematlas.predictors.options import PredictorConfig
from mematlas.study.schemas.predictions import Sees


class PredictorNetwork(nn.Module):
    """Several Transformers that differ in their first weights; the mean of their logits is what is predicted.

    One alone is at the mercy of its start where there are few rows (our choice).

    Args:
        width, inputs: numbers a position of each; context, continuation: in tokens; sees: see `PredictorConfig`.
    """

    def __init__(
        self, config: PredictorConfig, sees: Sees, *, width: int, inputs: int, context: int, continuation: int
    ) -> None:
        super().__init__()
        self.context, self.positions = context, context + continuation - 1
        self.members = nn.ModuleList(
            Member(config, sees, width=width, inputs=inputs, context=context, continuation=continuation)
            for _ in range(config.members)
        )

    def forward(self, states: Tensor) -> Tensor:
        """Logits [members, n, continuation], from standardised states and inputs [n, positions, width + inputs]."""
        return torch.stack([member(states) for member in self.members])


class Member(nn.Module):
    """States and inputs of a row -> a logit an index of its continuation.

    Args:
        width, inputs: numbers a position of each; context, continuation: in tokens; sees: see `PredictorConfig`.
    """

    def __init__(
        self, config: PredictorConfig, sees: Sees, *, width: int, inputs: int, context: int, continuation: int
    ) -> None:
        super().__init__()
        self.context, self.sees = context, sees
        positions = context + continuation - 1
        self.states = nn.Linear(width, config.width)
        self.inputs = nn.Linear(inputs, config.width) if inputs else None  # else few inputs drown in a wide state
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
        layer.self_attn.dropout = 0.0  # of attention weights: it doubles the time and changed nothing seen
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.TransformerEncoder(
            layer, config.layers, norm=nn.LayerNorm(config.width), enable_nested_tensor=False
        )
        self.label = nn.Linear(config.width, 1)
        self.register_buffer("ahead", torch.ones(positions, positions).triu(1).bool(), persistent=False)

    def forward(self, states: Tensor) -> Tensor:
        """Logits [n, continuation], from standardised states and inputs [n, positions, width + inputs]; where the
        network sees the context alone, those of later positions are not read."""
        width = self.states.in_features
        read = self.states(states[..., :width])
        if self.inputs is not None:
            read = read + self.inputs(states[..., width:])
        if self.sees == "context":
            blank = self.blank.expand(len(read), self.positions.shape[0] - self.context, -1)
            read = torch.cat([read[:, : self.context], blank], dim=1)
        seen = self.layers(self.dropout(read) + self.positions, mask=self.ahead, is_causal=True)
        logits: Tensor = self.label(seen)[:, self.context - 1 :, 0]
        return logits
