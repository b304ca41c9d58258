"""Look: does the model know the canaries of its training file?"""

from pathlib import Path
from typing import Any, Final

import polars as pl

from mematlas.auditing.base import Look, Material, Measure, could_not_be_judged
from mematlas.auditing.canaries.exposure import canary_exposures
from mematlas.auditing.canaries.finding import canary_finding
from mematlas.auditing.canaries.key import Key, read_key
from mematlas.auditing.canaries.scores import SecretScores, alternatives_of, score_secrets
from mematlas.auditing.config import AuditConfig
from mematlas.models.base import ModelSource
from mematlas.study import digest

TITLE: Final = "Canaries"
_ALTERNATIVES: Final = 999


def look(material: Material) -> Look:
    """Rank every canary among never-shown secrets of its format, by the model and by its base."""
    config = material.config
    if config.canaries is None:
        return could_not_be_judged("canaries", TITLE, "there is no key of canaries (--canaries).")
    key = read_key(Path(config.canaries))
    others = alternatives_of(key, max(_ALTERNATIVES, config.alternatives))
    folder = config.out / "canaries" / config.dtype

    def scored(source: ModelSource) -> SecretScores:
        return score_secrets(source, material.load, material.encoder, key, others, folder, material.progress)

    result = canary_exposures(key, scored(material.model), None if material.base is None else scored(material.base))
    finding = canary_finding(result, material.model_label, material.base_label)
    shown = result.canaries.filter(pl.col("repetitions") > 0)
    by_base = pl.col("emitted_by_base") if material.base is not None else pl.lit(value=False)
    given = shown.filter(pl.col("emitted") & ~by_base).height
    p = float(result.levels["q"].drop_nulls().min())  # type: ignore[arg-type]  # numbers
    return Look(
        "canaries",
        TITLE,
        finding.claim,
        p,
        "recites" if given else "membership",
        measures=tuple(_measure(record, result.maximum) for record in result.levels.iter_rows(named=True)),
        caveats=(*finding.caveats, *_of_another_file(key, config)),
        share=given / shown.height,
        table=result.canaries.rename({"secret": "value"}),
    )


def _measure(record: dict[str, Any], maximum: float) -> Measure:
    return Measure(
        f"mean exposure, bits (at most {maximum:.2f})",
        f"in the file {record['repetitions']:,} times",
        record["exposure"],
        record["exposure_low"],
        record["exposure_high"],
        record["canaries"],
        "canaries",
        share=False,
    )


def _of_another_file(key: Key, config: AuditConfig) -> tuple[str, ...]:
    """A caveat if the key is not that of the training file."""
    train = Path(str(config.train))
    if train.is_file() and digest(train) == key.digest:
        return ()
    return (f"The key is not that of {train}: whether the model was trained on its canaries is not known.",)
