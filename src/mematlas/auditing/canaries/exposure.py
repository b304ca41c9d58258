"""From scores to exposure: of every canary, and by how often canaries were shown."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mematlas.auditing.canaries.key import Key
from mematlas.auditing.canaries.scores import SecretScores
from mematlas.stats.classification.exposure_by_chance import exposure_by_chance
from mematlas.stats.classification.fitted_exposure import fitted_exposures
from mematlas.stats.classification.membership import exposures, mean_exposure
from mematlas.stats.estimates.averages import means
from mematlas.stats.hypotheses.by_document import holm

Floats = NDArray[np.float64]
LEVEL: Final = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class CanaryExposures:
    """canaries: one record each: canary, repetitions, secret, log_probability, exposure, fitted, emitted (and, with a
    base, log_probability_of_base, exposure_of_base, emitted_by_base); levels: one record for each number of
    repetitions, see `_level`; alternatives: how many; maximum: exposure of the best rank among them; chance: mean
    exposure of a canary that was never shown; null_p: of a mean exposure of these canaries that is as far
    from chance, None if all scores are alike; fit_p: see `FittedExposures`, None if nothing could be fitted.
    """

    canaries: pl.DataFrame
    levels: pl.DataFrame
    alternatives: int
    maximum: float
    chance: float
    null_p: float | None
    fit_p: float | None

    @property
    def never_shown(self) -> dict[str, float | None]:
        """The record of the canaries that were never shown."""
        return self.levels.row(by_predicate=pl.col("repetitions") == 0, named=True)

    @property
    def null_holds(self) -> bool | None:
        """Whether never-shown canaries are exposed as chance explains, at 5 %; None if that cannot be told."""
        return None if self.null_p is None else self.null_p > LEVEL


def canary_exposures(key: Key, model: SecretScores, base: SecretScores | None) -> CanaryExposures:
    """Rank every canary among the alternatives by its log-probability, with a base by the gain over it."""
    score = model.log_probability if base is None else model.log_probability - base.log_probability
    count = key.table.height
    own, references = score[:count], score[count:]
    ranked = exposures(own, references)
    size = float(key.table["format_size"][0])
    fitted = fitted_exposures(own, references, size) if np.ptp(references) > 0 else None
    canaries = key.table.select("canary", "repetitions", "secret").with_columns(
        pl.Series("log_probability", model.log_probability[:count]),
        pl.Series("exposure", ranked.bits),
        pl.Series("fitted", [None] * count if fitted is None else fitted.bits, pl.Float64),
        pl.Series("emitted", model.is_greedy[:count]),
    )
    if base is not None:
        of_base = base.log_probability
        canaries = canaries.with_columns(
            pl.Series("log_probability_of_base", of_base[:count]),
            pl.Series("exposure_of_base", exposures(of_base[:count], of_base[count:]).bits),
            pl.Series("emitted_by_base", base.is_greedy[:count]),
        )
    levels = pl.DataFrame(
        [_level(part, canaries, score, base) for part in sorted(set(canaries["repetitions"]))], infer_schema_length=None
    )
    q = pl.Series("q", holm(levels["p"].fill_null(float("nan")).to_numpy())).fill_nan(None)
    never = own[(key.table["repetitions"] == 0).to_numpy()]
    return CanaryExposures(
        canaries,
        levels.with_columns(q),
        len(references),
        ranked.maximum,
        ranked.chance,
        None if fitted is None else exposure_by_chance(never, references).different,
        None if fitted is None else fitted.fit_p,
    )


def _level(repetitions: int, canaries: pl.DataFrame, score: Floats, base: SecretScores | None) -> dict[str, object]:
    """The canaries of one number of repetitions.

    canaries; exposure, exposure_low, exposure_high: mean in bits by rank, with its 95 % interval over canaries and
    alternatives; fitted, fitted_low, fitted_high: the same by the fitted tail, over canaries; emitted: how many greedy
    decoding gives; exposure_of_base ...: by the base; p: of a mean exposure as high by chance (null for the level 0).
    """
    count = canaries.height
    is_level = (canaries["repetitions"] == repetitions).to_numpy()
    part = canaries.filter(pl.col("repetitions") == repetitions)
    by_rank = mean_exposure(score[:count][is_level], score[count:])
    record: dict[str, object] = {
        "repetitions": repetitions,
        "canaries": part.height,
        **_interval("exposure", by_rank.estimate[0], by_rank.lower[0], by_rank.upper[0]),
        **_mean("fitted", part["fitted"]),
        "emitted": int(part["emitted"].sum()),
    }
    if base is not None:
        of_base = mean_exposure(base.log_probability[:count][is_level], base.log_probability[count:])
        record |= _interval("exposure_of_base", of_base.estimate[0], of_base.lower[0], of_base.upper[0])
    p = None if repetitions == 0 else exposure_by_chance(score[:count][is_level], score[count:]).at_least
    return record | {"p": p}


def _interval(name: str, estimate: float, low: float, high: float) -> dict[str, float | None]:
    values = {name: estimate, f"{name}_low": low, f"{name}_high": high}
    return {key: None if np.isnan(value) else float(value) for key, value in values.items()}


def _mean(name: str, values: pl.Series) -> dict[str, float | None]:
    result = means(values.fill_null(float("nan")).to_numpy()[:, None])
    return _interval(name, result.estimate[0], result.lower[0], result.upper[0])
