"""`mematlas probe layers` from its options to the tables; see `probes.rows.stages` for the folder."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Unpack, cast

import numpy as np
import torch

from mematlas.errors.functions import public_function
from mematlas.interventions.blocks import PatchableModel, block_outputs, forward_hooks, patchable, state_of, with_state
from mematlas.interventions.heads import AttentionHeads, ablated, attention_heads
from mematlas.interventions.lens import final_norm, logit_lens
from mematlas.interventions.noise import NoisyModel, add_noise, row_digests
from mematlas.models.causal import CausalModel
from mematlas.probes.layers.config import LayersConfig, LayersKeywords
from mematlas.probes.layers.tables import HEADS, LENS, NOISE, RECOVERY, ROWS
from mematlas.probes.rows.config import resolve_probe
from mematlas.probes.rows.opening import DEFAULT_ROWS, ProbedRows, Reaction, RowProbe, open_probe, react, row_columns
from mematlas.probes.rows.stages import ProbeResult, Stage, finish_probe, run_stages
from mematlas.progress import Progress, Silent
from mematlas.scoring.engines.causal import Engine
from mematlas.scoring.model_names import model_names
from mematlas.scoring.options import ScoringOptions
from mematlas.study import fingerprint
from mematlas.types import Grid, Ids, TokenRows

#: Part of every key; raised when a change of the code can change a number.
VERSION: Final = 1
_RECOVERY_ROWS: Final = 64  # of each of corpus and control, whose states are compared


@public_function(LayersConfig)
def probe_layers(
    model: str | Path, *, progress: Progress | None = None, **options: Unpack[LayersKeywords]
) -> ProbeResult:
    """Where a model recites from and how firmly, as `mematlas probe layers` finds out (K7).

    Args:
        model: folder or hub id of a transformers model with attention alone.
        progress: shows the progress; silent by default.
        options: see `LayersConfig`: corpus, control, rows, looks, strengths ...

    Raises:
        MematlasError: one line with value, rule and remedy; finished parts are kept.
    """
    name, *_ = model_names([model])
    return run_layers(name, resolve_probe(LayersConfig, "probe layers", **options), progress or Silent())


def run_layers(model: str, config: LayersConfig, progress: Progress) -> ProbeResult:
    """`probe_layers` with a validated configuration."""
    probe = open_probe(model, config, progress)
    settings = {
        **probe.settings,
        "strengths": config.strengths,
        "repeats": config.repeats,
        "ablation": config.ablation,
        "version": VERSION,
    }
    card = probe.source.card
    folder = config.out / f"{card.label.replace('/', '_')}-layers-{fingerprint(settings)}"
    look = _Layers(probe, config)
    stages = look.stages()
    run_stages(folder, config.out, stages, settings, progress, card.label)
    facts = {
        "model": card.label,
        "corpus": config.corpus,
        "selection": config.rows or f"{DEFAULT_ROWS} at random",
        "control": config.control,
        "rows": len(look.rows),
        "left_out": look.rows.left_out,
        "context": config.context,
        "continuation": config.continuation,
        "looks": config.looks,
        "strengths": config.strengths,
        "repeats": config.repeats,
        "ablation": config.ablation,
        "seed": config.seed,
    }
    return finish_probe(folder, stages, facts, settings, _card(facts))


class _Layers:
    """Makes the shards; rows are read and the model is loaded when a shard needs them."""

    def __init__(self, probe: RowProbe, config: LayersConfig) -> None:
        self.probe, self.config = probe, config
        self.rows = probe.read()
        self.label = repr(probe.source.card.spec)

    @cached_property
    def model(self) -> CausalModel:
        model = self.probe.load()
        patchable(model, self.label)  # refuses models without blocks
        return cast(CausalModel, model)

    @cached_property
    def blocks(self) -> PatchableModel:
        return patchable(self.model, self.label)

    @cached_property
    def heads(self) -> AttentionHeads:
        return attention_heads(self.model, self.label)

    def stages(self) -> list[Stage]:
        """What is to be made, in order; costs are rows that pass the network."""
        config, count = self.config, len(self.rows)
        stages = [Stage("rows", ROWS, 1, self._row_table, count)]
        if "noise" in config.looks:
            draws = len(config.strengths) * config.repeats
            stages.append(Stage("noise", NOISE, draws, self._noise, count))
            stages.append(Stage("recovery", RECOVERY, len(config.strengths), self._recovery, count))
        if "lens" in config.looks:
            parts = -(-count // config.batch)
            stages.append(Stage("lens", LENS, parts, self._lens, min(count, config.batch)))
        if "heads" in config.looks:
            layers = self._layers()
            stages.append(Stage("heads", HEADS, layers + 1, self._heads, count))
        return stages

    def _layers(self) -> int:
        """The number of layers, from the model's configuration alone if it says it."""
        return self.model.layers

    def _own(self, rows: ProbedRows) -> dict[str, Any]:
        return {"row": rows.row, "control": rows.is_control}

    def _react(self, model: Any) -> Reaction:
        return react(model, self.probe.source.card, self.rows, self.config.batch)

    def _row_table(self, _index: int) -> Mapping[str, Any]:
        return {**row_columns(self.rows, self._react(self.model)), "control": self.rows.is_control}

    def _noise(self, index: int) -> Mapping[str, Any]:
        number, draw = divmod(index, self.config.repeats)
        strength = self.config.strengths[number]
        reaction = self._react(NoisyModel(self.model, strength, self._seed(draw), self.label))
        count = len(self.rows)
        return {
            **self._own(self.rows),
            "strength": np.full(count, strength),
            "draw": np.full(count, draw),
            "matches": reaction.matches,
            "verbatim": reaction.verbatim,
            "log_probability": reaction.log_probability,
        }

    def _seed(self, draw: int) -> int:
        return self.config.seed + 1_000_003 * draw

    @torch.inference_mode()
    def _recovery(self, index: int) -> Mapping[str, Any]:
        """Of the first rows of corpus and control, so that the states fit into memory."""
        strength = self.config.strengths[index]
        chosen = np.concatenate(
            [np.flatnonzero(self.rows.is_control == control)[:_RECOVERY_ROWS] for control in (False, True)]
        )
        rows = self.rows.subset(chosen)
        parts = [self._cosines(rows.tokens[start : start + 32], strength) for start in range(0, len(rows), 32)]
        cosine = np.concatenate(parts, axis=1)  # [layers, rows]
        layers = len(cosine)
        return {
            "row": np.tile(rows.row, layers),
            "control": np.tile(rows.is_control, layers),
            "strength": np.full(cosine.size, strength),
            "layer": np.repeat(np.arange(1, layers + 1), len(rows)),
            "cosine": cosine.reshape(-1),
        }

    def _cosines(self, tokens: Ids, strength: float) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Mean cosine of states with and without noise, [layers, rows]."""
        texts = torch.from_numpy(tokens)
        digests = row_digests(texts.to(self.model.device))

        def disturb(_module: object, _inputs: object, output: object) -> object:
            return with_state(output, add_noise(state_of(output), digests, strength, self._seed(0)))

        clean = block_outputs(self.blocks, texts)
        with forward_hooks([(self.blocks.blocks[0], disturb)]):
            noisy = block_outputs(self.blocks, texts)
        return torch.cosine_similarity(clean.double(), noisy.double(), dim=-1).mean(-1).cpu().numpy()

    def _lens(self, index: int) -> Mapping[str, Any]:
        start = index * self.config.batch
        rows = self.rows.subset(np.arange(start, min(start + self.config.batch, len(self.rows))))
        lens = logit_lens(self.blocks, self._norm, rows.tokens, rows.context)
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
    def _norm(self) -> torch.nn.Module:
        return final_norm(self.blocks, self.label)

    def _heads(self, layer: int) -> Mapping[str, Any]:
        """The whole model for layer 0, and each head of another layer switched off alone."""
        alone = [(layer, head) for head in range(self.heads.heads)] if layer else []
        parts = []
        for off in alone or [None]:
            with ablated(self.heads, [] if off is None else [off], self.config.ablation):
                parts.append(_teacher_forced(self.model, self.probe, self.rows, self.config.batch))
        count, switched = len(self.rows), len(parts)
        return {
            "row": np.tile(self.rows.row, switched),
            "control": np.tile(self.rows.is_control, switched),
            "layer": np.full(count * switched, layer),
            "head": np.repeat([head for _, head in alone] or [-1], count),
            "hits": np.concatenate([hits for hits, _ in parts]),
            "log_probability": np.concatenate([logs for _, logs in parts]),
        }


def _teacher_forced(model: CausalModel, probe: RowProbe, rows: ProbedRows, batch: int) -> tuple[Ids, Any]:
    """Hits and log-probability of every continuation, each token after the true ones before it: [rows], [rows]."""
    options = ScoringOptions(
        Grid((rows.context,), (rows.continuation,)), depth="verbatim", signals=("truth",), batch=batch
    )
    table = TokenRows(rows.tokens, np.full(len(rows), rows.tokens.shape[1]))
    hits, logs = np.zeros(len(rows), np.int64), np.zeros(len(rows))
    for result in Engine(model, probe.source.card, options).score(table, np.arange(len(rows))):
        own = slice(rows.context - 1, None)
        hits[result.rows] = result.truth["hit"][:, own].sum(axis=1)
        logs[result.rows] = result.truth["log_probability"][:, own].astype(np.float64).sum(axis=1)
    return hits, logs


def _card(facts: Mapping[str, Any]) -> list[str]:
    control = f" and of {facts['control']}" if facts["control"] else ""
    return [
        f"# Where {facts['model']} recites from",
        f"{facts['rows']} rows of {facts['corpus']} (`--rows {facts['selection']}`){control}: {facts['context']} "
        f"tokens of prompt, {facts['continuation']} to recite.",
        "- **noise**: relative Gaussian noise is added to the output of the first block at every position; that of a "
        "position depends on the seed and the tokens up to it.",
        "- **recovery**: how alike the states behind each block are with and without this noise.",
        "- **lens**: the model's norm and output head read the states behind every layer.",
        f"- **heads**: one attention head at a time is switched off (its output is "
        f"{'zero' if facts['ablation'] == 'zero' else 'the mean of the other heads of its layer'}).",
    ]
