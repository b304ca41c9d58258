"""Whose shares the texts of a model have: those of its training, or those of a control (P6)."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

import polars as pl

from mematlas.findings.finding import Axis, Chart, Finding, Table, Taxonomy
from mematlas.probes.ratios.run import table_of_ratios
from mematlas.probes.ratios.tables import (
    DISTANCES_COLUMNS,
    ERRORS_COLUMNS,
    NEARNESS_COLUMNS,
    SHARES_COLUMNS,
    SHUFFLED,
    TOLD,
)
from mematlas.probes.ratios.telling import BASE, CONTROL, MODEL, TRAINING
from mematlas.probes.rows.stages import ProbeResult

_LEVEL: Final = 0.05
_BESIDE: Final = {CONTROL: "the control texts", BASE: "the base model's texts"}


def ratios_finding(result: ProbeResult) -> Finding:
    """The finding of a finished probe."""
    names = ("shares", "distances", "nearness", "errors")
    shares, distances, nearness, errors = (table_of_ratios(result, name) for name in names)
    headline, sentence = _texts(shares, distances, nearness, result.facts)
    words = result.facts["start_words"]
    taxonomy = Taxonomy(
        "content",
        "discoverable",
        content="distributional properties: shares of labels",
        decoding="sampled, T = 1",
        prompts=f"first {words} words of control texts" if words else "the token that starts a text",
    )
    chart = Chart(
        "shares",
        "Shares in training texts and in the model's",
        "bars",
        "shares",
        Axis("label", result.facts["property"], "nominal"),
        Axis("share", "texts", share=True, bounds=(0, 1)),
        Axis("source", "texts", "nominal"),
        "low",
        "high",
        count="texts",
    )
    tables = [
        Table("shares", "Shares of labels", shares, SHARES_COLUMNS),
        Table("distances", "Distances from the model's shares", distances, DISTANCES_COLUMNS),
        Table("nearness", "Nearer to training or to a control", nearness, NEARNESS_COLUMNS),
    ]
    if errors.height:
        tables.append(Table("errors", "Errors of the classifier", errors, ERRORS_COLUMNS))
    return Finding(
        "ratios",
        "Shares in free text",
        sentence,
        "P6, distributional properties",
        taxonomy,
        control="Texts that are not in the training or a model before it; texts permuted between training and control; "
        "labels shuffled among all texts; a classifier fitted to shuffled labels.",
        tables=tuple(tables),
        charts=(chart,),
        caveats=tuple(_caveats(distances, nearness, result.facts)),
        deviations=("The survey names the question and no measure; labels, distance and tests are our choice.",),
        headline=headline,
        sentence=sentence,
    )


Nearer = Literal["training", "control"] | None


def nearer(row: Mapping[str, Any]) -> Nearer:
    """Whom a record of nearness is for: its interval excludes 0, and p is below 0.05; else None."""
    if row["p"] >= _LEVEL or row["low"] <= 0 <= row["high"]:
        return None
    return "training" if row["difference"] > 0 else "control"


def _texts(
    shares: pl.DataFrame, distances: pl.DataFrame, nearness: pl.DataFrame, facts: Mapping[str, Any]
) -> tuple[str, str]:
    rows = nearness.filter(labels=TOLD).to_dicts()
    verdicts = {row["control"]: nearer(row) for row in rows}
    lost = [control for control, verdict in verdicts.items() if verdict == "control"]
    if lost:
        what = f"shares are nearer to those of {_BESIDE[lost[0]]}"
    elif all(verdicts.values()):
        what = "shares are nearer to those of its training"
    else:
        what = "shares are not clearly nearer to either side's"
    row = next((row for row in rows if row["control"] in lost), min(rows, key=lambda row: row["difference"]))
    label = max(
        facts["labels"], key=lambda label: abs(_share(shares, TRAINING, label) - _share(shares, row["control"], label))
    )
    own, known, other = (_share(shares, source, label) for source in (MODEL, TRAINING, row["control"]))
    far = {record["to"]: record["distance"] for record in distances.to_dicts()}
    return (
        f"{facts['model']}: {what}",
        f"{label}: {100 * own:.0f} % of its texts, {100 * known:.0f} % of training, {100 * other:.0f} % of "
        f"{row['control']}; distances {far[TRAINING]:.2f} and {far[row['control']]:.2f}, {_p(row['p'])}.",
    )


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _share(shares: pl.DataFrame, source: str, label: str) -> float:
    return float(shares.filter(source=source, label=label)["share"][0])


def _caveats(distances: pl.DataFrame, nearness: pl.DataFrame, facts: Mapping[str, Any]) -> Iterator[str]:
    for row in nearness.filter(labels=SHUFFLED).to_dicts():
        if nearer(row) is not None:
            yield (
                f"Labels shuffled among all texts make the model nearer to one side, too ({row['control']}, "
                f"{_p(row['p'])}), which is chance; take another --seed or more --samples."
            )
    if facts["error_rate"] is not None:
        rates = ", ".join(f"{100 * rate:.0f} % of {source}" for source, rate in facts["error_rate"].items())
        yield (
            f"The classifier is wrong in {rates} that it was not fitted to, and in "
            f"{100 * facts['error_rate_shuffled']:.0f} % if fitted to shuffled labels; shares are not corrected for "
            "it. How often it is wrong in a model's texts is not known."
        )
    if (far := distances.filter(to=TRAINING).row(0, named=True))["p"] < _LEVEL:
        yield (
            f"The model's shares are not those of its training: their distance is {far['distance']:.2f}, and equal "
            f"shares would give {far['permuted']:.2f} ({_p(far['p'])})."
        )
    if facts["start_words"]:
        yield "The model continues control texts, which pulls its shares towards theirs."
    if facts["too_short"]:
        yield f"{facts['too_short']:,} texts have no word after the first {facts['start_words']} and were left out."
    for source, count in facts["empty"].items():
        if count:
            yield f"{count:,} of the {source} have no characters and were left out."
    yield f"All texts are cut to {facts['characters']:,} characters, the median of what the model wrote."
    yield "Recited training texts have the shares of what is recited; score the texts to tell shares from recitation."
