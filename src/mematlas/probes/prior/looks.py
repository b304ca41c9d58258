"""What `mematlas probe prior` measures, shard by shard."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mematlas.probes.prior.config import PriorConfig
from mematlas.probes.prior.prefixes import draw_prefixes
from mematlas.probes.prior.tables import CARRIED_BY_ONE, FEW_PREFIXES, IMPOSSIBLE, PRIOR
from mematlas.probes.rows.looks import SHARD_ROWS, RowLooks, as_objects, keys
from mematlas.probes.rows.opening import ProbedRows, RowProbe, teacher_forced
from mematlas.probes.rows.stages import Stage
from mematlas.stats.prior_ratio import PriorRatio, prior_ratio
from mematlas.types import Ids


class PriorLooks(RowLooks):
    """Makes the shards."""

    def __init__(self, probe: RowProbe, config: PriorConfig) -> None:
        super().__init__(probe, config)
        self.config = config

    def stages(self) -> list[Stage]:
        """What is to be made, in order; costs are rows that pass the network."""
        cost = min(len(self.rows), SHARD_ROWS) * (self.config.prefixes + 2)
        return [self.row_stage(), Stage("prior", PRIOR, self.shards, self._prior, cost)]

    @cached_property
    def _prefixes(self) -> list[Ids | None]:
        """For each row so many prompts as are averaged, and one more for the control."""
        return draw_prefixes(self.probe, self.rows, self.config.prefixes + 1)

    def _prior(self, index: int) -> Mapping[str, Any]:
        start = index * SHARD_ROWS
        rows = self.rows.subset(np.arange(start, min(start + SHARD_ROWS, len(self.rows))))
        prefixes = self._prefixes[start : start + SHARD_ROWS]
        has_some = np.array([prompts is not None for prompts in prefixes])
        own = self._log_probability(rows, rows.tokens[:, : rows.context])
        columns: dict[str, list[Any]] = {field.name: [None] * len(rows) for field in PRIOR}
        columns |= {name: values.tolist() for name, values in keys(rows).items()} | {"log_probability": own.tolist()}
        columns["reason"] = [FEW_PREFIXES] * len(rows)
        known = np.flatnonzero(has_some)
        if len(known):
            prompts = np.stack([prompts for prompts in prefixes if prompts is not None])
            for name, values in self._ratios(rows.subset(known), own[known], prompts).items():
                for row, value in zip(known.tolist(), values, strict=True):
                    columns[name][row] = value
        return {name: as_objects(values) for name, values in columns.items()}

    def _ratios(self, rows: ProbedRows, own: NDArray[np.float64], prompts: Ids) -> dict[str, list[Any]]:
        """The columns of rows with prompts [rows, c + 1, C], the last of which serves as the control."""
        count = prompts.shape[1]
        repeated = rows.subset(np.repeat(np.arange(len(rows)), count))
        after = self._log_probability(repeated, prompts.reshape(-1, rows.context)).reshape(len(rows), count)
        ratio = prior_ratio(own, after[:, :-1])
        shuffled = after[:, -1] - ratio.log_prior
        numbers = {
            "log_prior": ratio.log_prior,
            "log_ratio": ratio.log_ratio,
            "log_ratio_lower": ratio.lower,
            "log_ratio_upper": ratio.upper,
            "mean_log_ratio": ratio.mean_log_ratio,
            "effective": ratio.effective,
            "shuffled_log_ratio": np.where(np.isfinite(shuffled), shuffled, np.nan),
        }
        columns: dict[str, list[Any]] = {
            name: [None if np.isnan(value) else value for value in values.tolist()] for name, values in numbers.items()
        }
        return columns | {"reason": _reasons(ratio)}

    def _log_probability(self, rows: ProbedRows, prompts: Ids) -> NDArray[np.float64]:
        """Of the continuation of each row after another prompt, [rows]."""
        tokens = np.concatenate([prompts, rows.tokens[:, rows.context :]], axis=1)
        changed = ProbedRows(rows.row, rows.is_control, tokens, rows.context, rows.left_out)
        return teacher_forced(self.model, self.probe.source.card, changed, self.batch)[1]


def _reasons(ratio: PriorRatio) -> list[str | None]:
    return [
        IMPOSSIBLE if np.isnan(log_ratio) else CARRIED_BY_ONE if np.isnan(lower) else None
        for log_ratio, lower in zip(ratio.log_ratio.tolist(), ratio.lower.tolist(), strict=True)
    ]
