"""Asks a model for canaries: what `mematlas canaries check` does.

OUT/finding.json, levels.parquet, canaries.parquet, curve.parquet     the result, with its tables
    exposure.svg                                                      the picture
    scores/                                                           finished parts, with which a stopped check goes on
"""

from pathlib import Path

from mematlas.auditing.canaries.config import CheckConfig
from mematlas.auditing.canaries.exposure import canary_exposures
from mematlas.auditing.canaries.finding import canary_finding
from mematlas.auditing.canaries.key import read_key
from mematlas.auditing.canaries.scores import SecretScores, alternatives_of, score_secrets
from mematlas.auditing.sources import find_sources
from mematlas.findings.finding import Finding, write_finding
from mematlas.models.base import LoadOptions, Model, ModelSource
from mematlas.progress import Progress
from mematlas.report.charts.export import write_picture
from mematlas.report.charts.specification import draw


def check_canaries(model: str, config: CheckConfig, out: Path | None, progress: Progress) -> tuple[Finding, Path]:
    """Rank every canary by a model, and write what that shows; returns it with its folder.

    out: the folder; by default `check-MODEL` beside the key.

    Raises:
        MematlasError: model, key or options cannot be used; what is finished is kept.
    """
    assert config.key is not None  # checked with the options
    key = read_key(config.key)
    others = alternatives_of(key, config.alternatives)
    if len(others) < config.alternatives:
        progress.say(f"The template has no more than {len(others):,} other secrets; canaries are ranked among these.")
    source, base, encoder = find_sources(model, config.base)
    home = config.key if config.key.is_dir() else config.key.parent
    folder = out or home / f"check-{source.card.label}"

    def load(each: ModelSource) -> Model:
        return each.load(LoadOptions(device=config.device, dtype=config.dtype))

    def scored(each: ModelSource) -> SecretScores:
        return score_secrets(each, load, encoder, key, others, folder / "scores" / config.dtype, progress)

    result = canary_exposures(key, scored(source), None if base is None else scored(base))
    finding = canary_finding(result, source.card.label, None if base is None else base.card.label)
    write_finding(folder, finding)
    _write_picture(folder, finding)
    return finding, folder


def _write_picture(folder: Path, finding: Finding) -> None:
    """Write the finding's chart."""
    for chart in finding.charts:
        drawing = draw(chart, finding.table(chart.table), f"{chart.title}. {finding.sentence}")
        if drawing is not None:
            write_picture(folder / f"{chart.name}.svg", drawing, "svg")
