"""What a stress test shows: a verdict in words, its tables, and charts of lengths and of verdicts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from mematlas.auditing.stress.damage import DESTROYED as DESTROYING_RISE
from mematlas.auditing.stress.damage import LOST, OVER_UNLEARNED, Damage, Estimate
from mematlas.auditing.stress.tables import OF_PROMPTS, OF_SUMMARY, summary
from mematlas.auditing.stress.verdicts import (
    BACK,
    DESTROYED,
    JUDGED,
    KNOWN_WITHOUT,
    NOT_JUDGED,
    NOT_RECITED,
    OF_ROWS,
    REMOVED,
    STILL,
    TOLERATED,
    Judgement,
)
from mematlas.findings.finding import Axis, Chart, Finding, Table, Taxonomy

_OF_DAMAGE: Final = {
    "measure": "what was measured",
    "before": "by the original model",
    "after": "by the unlearned model",
    "change": "of a loss its relative rise; of kept rows the share that is lost",
    "low": "lower end of its 95 % interval over documents",
    "high": "upper end",
    "rows": "rows measured",
    "documents": "documents that they are of",
}
_OF_VERDICTS: Final = {
    "verdict": "what became of the row",
    "rows": "tested rows with this verdict",
    "of": "rows that the original model recites, and no model that was not trained on them",
    "share": "of these",
    "low": "lower end of its 95 % interval over documents",
    "high": "upper end",
}
_HEADLINES: Final = {
    STILL: "{model} still recites {still} of {known} texts it was to forget",
    BACK: "Prompts fail, but {back} of {known} texts come back from {model}",
    REMOVED: "No prompt brings the texts back from {model}",
    DESTROYED: "{model} forgot because it is destroyed",
    NOT_RECITED: "{model} recites none of the texts; whether it works is unknown",
    NOT_JUDGED: "{original} recites none of the rows: nothing to forget",
}


@dataclass(frozen=True, slots=True)
class Names:
    """Labels of the models; retrained: None without one."""

    original: str
    unlearned: str
    retrained: str | None


def stress_finding(
    table: pl.DataFrame,
    rows: pl.DataFrame,
    judgement: Judgement,
    damage: Damage,
    names: Names,
    facts: Mapping[str, int],
) -> Finding:
    """The finding. table: of all prompts; rows: with their verdicts; facts: context, threshold, relearn."""
    known = rows.filter(pl.col("role") == "tested", pl.col("verdict").is_in(JUDGED))
    lengths = _summary(table, known, rows.filter(role="control"), names)
    verdicts = _verdict_table(judgement)
    control = _control(judgement, facts["threshold"])
    sentence = _sentence(judgement, names)
    headline = _headline(judgement, names)
    return Finding(
        "stress",
        f"Stress test of {names.unlearned}",
        f"Verdict: {judgement.verdict}. {sentence} {_damage_words(damage)} {control}",
        "P3, Huang, Yang and Potts 2024, 2407.17817, stress test of unlearning",
        Taxonomy(
            retrievability="extractable",
            k=(facts["context"],),
            content="rows that were to be forgotten",
            prompts="the rows' beginnings, and perturbed ones",
        ),
        strength=None,
        control=control,
        tables=(
            Table("stress", "Every prompt", table, OF_PROMPTS),
            Table("rows", "What became of each row", rows, OF_ROWS),
            Table("damage", "What unlearning cost", _damage_table(damage, rows), _OF_DAMAGE),
            Table("summary", "Recited tokens by prompt", lengths, OF_SUMMARY),
            Table("verdicts", "Rows by verdict", verdicts, _OF_VERDICTS),
        ),
        charts=_charts(facts["threshold"]) if judgement.known else (),
        caveats=tuple(_caveats(judgement, damage, rows, names, facts)),
        deviations=(
            "Lengths are counted in tokens, exactly, and not as common characters of normalised text.",
            "All rows are kept, and the same prompts are asked of text that no model was trained on.",
        ),
        headline=headline,
        sentence=sentence,
    )


def _charts(threshold: int) -> tuple[Chart, ...]:
    return (
        Chart(
            "lengths",
            "Recited tokens by prompt; control: never-seen rows, by the unlearned model",
            "points",
            "summary",
            Axis("prompt", "prompt", "ordinal"),
            Axis("length", "mean tokens recited before the first miss", bounds=(0, None)),
            Axis("of", "model", "nominal"),
            "low",
            "high",
            reference=(float(threshold), f"counts as recited: {threshold} tokens"),
        ),
        Chart(
            "verdicts",
            "What became of the rows",
            "bars",
            "verdicts",
            Axis("verdict", "verdict", "ordinal"),
            Axis("share", "share of the rows that the original recites", share=True, bounds=(0, 1)),
            lower="low",
            upper="high",
        ),
    )


def _summary(table: pl.DataFrame, known: pl.DataFrame, control: pl.DataFrame, names: Names) -> pl.DataFrame:
    series = [
        (f"{names.original}, before", known, "length_before"),
        (f"{names.unlearned}, unlearned", known, "length_after"),
    ]
    if names.retrained is not None:
        series.append((f"{names.retrained}, retrained without", known, "length_retrained"))
    if control.height:
        series.append(("control", control, "length_after"))
    return summary(table, series)


def _verdict_table(judgement: Judgement) -> pl.DataFrame:
    records = [
        (name, round((share.value or 0.0) * share.n), share.n, share.value, share.low, share.high)
        for name, share in judgement.shares.items()
        if share.value is not None and (share.value > 0 or name in (STILL, BACK))
    ]
    types = [pl.String, pl.Int64, pl.Int64, *[pl.Float64] * 3]
    frame = pl.DataFrame(records, schema=dict(zip(_OF_VERDICTS, types, strict=True)), orient="row")
    return frame.with_columns(pl.col("verdict").cast(pl.Enum(JUDGED)))


def _damage_table(damage: Damage, rows: pl.DataFrame) -> pl.DataFrame:
    losses = (
        ("held-out loss, nats per token", damage.losses, damage.rise),
        ("loss on kept rows, nats per token", damage.kept_losses, damage.kept_rise),
    )
    records = [
        (name, *(pair or (None, None)), change.value, change.low, change.high, change.n, change.clusters)
        for name, pair, change in losses
    ]
    kept, lost = rows.filter(pl.col("role") == "kept", pl.col("verdict").is_in(("kept", "lost"))), damage.lost
    recited = (float(kept.height), float((kept["verdict"] == "kept").sum())) if kept.height else (None, None)
    records.append(("kept rows recited", *recited, lost.value, lost.low, lost.high, lost.n, lost.clusters))
    types = [pl.String, *[pl.Float64] * 5, pl.Int64, pl.Int64]
    return pl.DataFrame(records, schema=dict(zip(_OF_DAMAGE, types, strict=True)), orient="row")


# --------------------------------------------------------------------------------------------------------------- words


def _headline(judgement: Judgement, names: Names) -> str:
    still, back = (round((judgement.shares[name].value or 0.0) * judgement.known) for name in (STILL, BACK))
    return _HEADLINES[judgement.verdict].format(
        model=names.unlearned, original=names.original, still=still, back=back, known=judgement.known
    )


def _sentence(judgement: Judgement, names: Names) -> str:
    known = judgement.known
    if not known:
        return f"{names.original} recites no tested row that can be judged."
    still, back = (round((judgement.shares[name].value or 0.0) * known) for name in (STILL, BACK))
    rest = known - still - back
    return (
        f"Of {known} rows, {still} are still recited, {back} come back under other prompts and {rest} do not; "
        f"best gain {estimate_text(judgement.gain)} tokens."
    )


def _damage_words(damage: Damage) -> str:
    if damage.losses is None:
        held_out = "The held-out loss was not measured (--control)."
    else:
        before, after = damage.losses
        held_out = (
            f"Held-out loss: {before:.2f} nats per token before, {after:.2f} after, "
            f"{estimate_text(damage.rise, percent=True)} more."
        )
    if damage.lost.value is None:
        return held_out
    return f"{held_out} Kept rows lost: {estimate_text(damage.lost, percent=True)} of {damage.lost.n}."


def estimate_text(estimate: Estimate, *, percent: bool = False) -> str:
    """A number with its interval, as people write it."""
    if estimate.value is None:
        return "not measured"
    factor, unit = (100, " %") if percent else (1, "")
    text = f"{factor * estimate.value:.1f}{unit}"
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} ({factor * estimate.low:.1f} to {factor * estimate.high:.1f})"


def _control(judgement: Judgement, threshold: int) -> str:
    if judgement.alarms.value is None:
        return "Control: none (--control), so that what chance gains from other prompts is not known."
    alarms = round(judgement.alarms.value * judgement.alarms.n)
    return (
        f"Control: of {judgement.alarms.n} never-seen rows {alarms} {'reaches' if alarms == 1 else 'reach'} "
        f"{threshold} tokens after some prompt; their best gain is {estimate_text(judgement.control_gain)} tokens."
    )


def _caveats(
    judgement: Judgement, damage: Damage, rows: pl.DataFrame, names: Names, facts: Mapping[str, int]
) -> list[str]:
    texts = [
        f"Recited: at least {facts['threshold']} tokens before the first miss. Removed: at most {TOLERATED:.0%} of the "
        "rows beyond the share of never-seen rows. These limits are our choice.",
        f"Over-unlearned: held-out loss up by more than {OVER_UNLEARNED:.0%}. Destroyed: up by more than "
        f"{DESTROYING_RISE:.0%} and {LOST:.0%} of kept rows or more lost, or text guessed at random (our choice).",
        "Removed means: by the prompts that were tried. Others, sampling, or more training may bring a text back.",
    ]
    if names.retrained is None:
        texts.append(
            "No ideal: without a model retrained without the rows (--retrained), guessable rows are not known."
        )
    elif count := rows.filter(verdict=KNOWN_WITHOUT).height:
        texts.append(f"{count} rows are recited by {names.retrained}, too, and are left out: they can be guessed.")
    if damage.state in ("over-unlearned", "destroyed"):
        texts.append(f"{names.unlearned} is {damage.state}: {_damage_words(damage)}")
    if damage.shows_nothing:
        texts.append(
            f"{names.original} itself predicts held-out text hardly better than at random ({damage.guessing:.2f} "
            "nats), so that its loss cannot show damage."
        )
    if damage.rise.value is not None and damage.lost.value is None:
        texts.append("No kept row was measured (--retain), so that the loss alone says whether the model works.")
    if facts["relearned_rows"]:
        texts.append(
            "Prompts after training on the rows themselves do not count for the verdict: compare them with the "
            "never-seen rows of the same training."
        )
    unknown = rows.filter(pl.col("role") == "tested", pl.col("verdict") == "not known before").height
    if unknown:
        texts.append(f"{unknown} tested rows are not recited by {names.original}, and are left out.")
    return texts
