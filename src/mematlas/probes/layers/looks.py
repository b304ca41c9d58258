"""What `mematlas probe layers` measures, shard by shard."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final

import numpy as np

from mematlas.interventions.blocks import PatchableModel, patchable
from mematlas.interventions.heads import AttentionHeads, ablated, attention_heads
from mematlas.interventions.lens import final_norm, logit_lens
from mematlas.interventions.noise import NoisyModel, state_cosines
from mematlas.interventions.tuned_lens import TunedLens, read_tuned_lens
from mematlas.models.causal import CausalModel
from mematlas.probes.layers.config import LayersConfig
from mematlas.probes.layers.tables import HEADS, LENS, NOISE, RECOVERY
from mematlas.probes.rows.looks import SHARD_ROWS, RowLooks, joined, keys, reaction_columns
from mematlas.probes.rows.opening import ProbedRows, RowProbe, teacher_forced
from mematlas.probes.rows.stages import Stage

_RECOVERY_ROWS: Final = 64  # of each class, whose states are compared


class LayerLooks(RowLooks):
    """Makes the shards; rows are read and the model is loaded when a shard needs them."""

    def __init__(self, probe: RowProbe, config: LayersConfig) -> None:
        super().__init__(probe, config)
        self.config = config
        self.label = repr(probe.source.card.spec)

    @cached_property
    def blocks(self) -> PatchableModel:
        return patchable(self.probe.load(), self.label)

    @cached_property
    def model(self) -> CausalModel:
        return self.blocks.model

    @cached_property
    def heads(self) -> AttentionHeads:
        return attention_heads(self.blocks, self.label)

    def stages(self) -> list[Stage]:
        """What is to be made, in order; costs are rows that pass the network."""
        config, count = self.config, len(self.rows)
        stages = [self.row_stage()]
        if "noise" in config.looks:
            draws = len(config.strengths) * config.repeats
            stages.append(Stage("noise", NOISE, draws, self._noise, count))
            stages.append(Stage("recovery", RECOVERY, len(config.strengths), self._recovery, count))
        if "lens" in config.looks:
            stages.append(Stage("lens", LENS, self.shards, self._lens, min(count, SHARD_ROWS)))
        if "heads" in config.looks:
            stages.append(Stage("heads", HEADS, lambda: self.model.layers + 1, self._heads, count))
        return stages

    def _noise(self, index: int) -> Mapping[str, Any]:
        number, draw = divmod(index, self.config.repeats)
        strength = self.config.strengths[number]
        reaction = self.react(NoisyModel(self.blocks, strength, self._seed(draw)), self.rows)
        count = len(self.rows)
        return {
            **keys(self.rows),
            "strength": np.full(count, strength),
            "draw": np.full(count, draw),
            **reaction_columns(reaction),
        }

    def _seed(self, draw: int) -> int:
        return self.config.seed + 1_000_003 * draw

    def _recovery(self, index: int) -> Mapping[str, Any]:
        """Of the first rows of each class, so that the states fit into memory."""
        strength = self.config.strengths[index]
        classes = np.array(self.rows.classes(self.reaction))
        chosen = [np.flatnonzero(classes == name)[:_RECOVERY_ROWS] for name in np.unique(classes)]
        rows = self.rows.subset(np.sort(np.concatenate(chosen)))
        parts = [
            state_cosines(self.blocks, rows.tokens[at : at + 32], strength, self._seed(0))
            for at in range(0, len(rows), 32)
        ]
        cosine = np.concatenate(parts, axis=1)  # [layers, rows]
        layers = len(cosine)
        return {
            "row": np.tile(rows.row, layers),
            "control": np.tile(rows.is_control, layers),
            "strength": np.full(cosine.size, strength),
            "layer": np.repeat(np.arange(1, layers + 1), len(rows)),
            "cosine": cosine.reshape(-1),
        }

    def _lens(self, index: int) -> Mapping[str, Any]:
        return joined([self._lens_of(rows) for rows in self.batches(index)])

    def _lens_of(self, rows: ProbedRows) -> Mapping[str, Any]:
        lens = logit_lens(self.blocks, self._norm, rows.tokens, rows.context, self._translate)
        layers, count, length = lens.hit.shape
        layer, row, position = (axis.reshape(-1) for axis in np.indices((layers, count, length)))
        return {
            "row": rows.row[row],
            "control": rows.is_control[row],
            "layer": layer,
            "position": rows.context + position,
            "hit": lens.hit.reshape(-1),
            "rank": lens.rank.reshape(-1),
            "log_probability": lens.log_probability.reshape(-1),
            "entropy": lens.entropy.reshape(-1),
        }

    @cached_property
    def _norm(self) -> Any:
        return final_norm(self.blocks, self.label)

    @cached_property
    def _translate(self) -> TunedLens | None:
        return None if self.config.lens is None else read_tuned_lens(self.config.lens, self.blocks)

    def _heads(self, layer: int) -> Mapping[str, Any]:
        """The whole model for layer 0, and each head of another layer switched off alone."""
        alone = [(layer, head) for head in range(self.heads.heads)] if layer else []
        parts = []
        for off in [[head] for head in alone] or [[]]:
            with ablated(self.heads, off, self.config.ablation):
                parts.append(teacher_forced(self.model, self.probe.source.card, self.rows, self.batch))
        count, switched = len(self.rows), len(parts)
        return {
            "row": np.tile(self.rows.row, switched),
            "control": np.tile(self.rows.is_control, switched),
            "layer": np.full(count * switched, layer),
            "head": np.repeat([head for _, head in alone] or [-1], count),
            "hits": np.concatenate([hits for hits, _ in parts]),
            "log_probability": np.concatenate([logs for _, logs in parts]),
        }
