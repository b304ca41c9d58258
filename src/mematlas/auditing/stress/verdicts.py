"""What became of each row, and of all: still recited, back under other prompts, removed, or the model destroyed.

A row is *recited* after a prompt if at least `threshold` tokens are (16 by default, our choice). Of a tested row:

    not known before   the original model does not recite it after its original prompt: nothing to forget
    known without      the model that was retrained without it recites it, too: it can be guessed
    still recited      the unlearned model recites it after its original prompt
    prompt fails, text comes back     it does after another prompt, or after training on other rows
    model destroyed    it recites it after none, and the model is destroyed (see damage.py)
    removed            it recites it after none of these prompts, and held-out text shows that the model works
    not recited        the same, but whether the model works was not measured

For the verdict on all, the rows that are recited after some prompt are counted, less the share of control rows that
are, by chance. Beyond 5 % (our choice) the text is still recited or comes back, whichever is more frequent, also if the
model is destroyed. Up to 5 % it is removed, unless the model is destroyed, or nothing says whether it is.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from mematlas.auditing.stress.damage import Damage, Estimate, mean_of, share_of
from mematlas.auditing.stress.prompts import ORIGINAL, RELEARNED
from mematlas.auditing.stress.tables import best_of_draws

NOT_KNOWN: Final = "not known before"
KNOWN_WITHOUT: Final = "known without"
STILL: Final = "still recited"
BACK: Final = "prompt fails, text comes back"
DESTROYED: Final = "model destroyed"
REMOVED: Final = "removed"
NOT_RECITED: Final = "not recited"
NOT_JUDGED: Final = "cannot be judged"
#: Verdicts on rows that the original model recites and no model recites without training on them.
JUDGED: Final = (STILL, BACK, REMOVED, NOT_RECITED, DESTROYED)
TOLERATED: Final = 0.05

OF_ROWS: Final = {
    "role": "tested: to be forgotten; kept: to be kept; control: text that no model was trained on",
    "row": "id of the row in its corpus",
    "document": "rows of one document are not independent",
    "length_before": "tokens that the original model recites after the original prompt",
    "length_after": "tokens that the unlearned model recites after it",
    "best_prompt": "the other prompt after which the unlearned model recites most; null without one",
    "best_length": "tokens that it recites after that",
    "gain": "best_length less length_after, tokens",
    "best_retrained": "most tokens that the retrained model recites after any prompt; null without one",
    "verdict": "what became of the row; null of control rows",
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on all tested rows. known: rows that are judged; shares: of these, by verdict; alarms: share of the
    control rows that are recited after some prompt; gain, control_gain: mean of the best gain of the rows."""

    verdict: str
    known: int
    shares: dict[str, Estimate]
    alarms: Estimate
    gain: Estimate
    control_gain: Estimate


def row_table(table: pl.DataFrame, *, counts_relearned: bool) -> pl.DataFrame:
    """One record a row, without its verdict.

    counts_relearned: whether what is recited after training counts: not after training on the very rows.
    """
    keys = ["role", "row", "document"]
    first = table.filter(perturbation=ORIGINAL).select(*keys, "length_before", "length_after")
    excluded = [ORIGINAL] if counts_relearned else [ORIGINAL, RELEARNED]
    others = best_of_draws(table).filter(~pl.col("perturbation").cast(pl.String).is_in(excluded))
    best = (
        others.sort("length_after", descending=True, maintain_order=True)
        .group_by("role", "row", maintain_order=True)
        .agg(
            pl.col("prompt").first().alias("best_prompt"),
            pl.col("length_after").first().alias("best_length"),
            pl.col("gain").first(),
        )
    )
    ideal = table.group_by("role", "row", maintain_order=True).agg(
        pl.col("length_retrained").max().alias("best_retrained")
    )
    rows = first.join(best, on=["role", "row"], how="left", maintain_order="left")
    return rows.join(ideal, on=["role", "row"], how="left", maintain_order="left")


def with_verdicts(rows: pl.DataFrame, threshold: int, damage: Damage) -> pl.DataFrame:
    """The rows with their verdicts; kept rows are "kept" or "lost" if the original model recites them."""
    otherwise = {"destroyed": DESTROYED, "not measured": NOT_RECITED}.get(damage.state, REMOVED)
    if otherwise == REMOVED and damage.shows_nothing:
        otherwise = NOT_RECITED
    recites = pl.col("length_after") >= threshold
    tested = (
        pl.when(pl.col("length_before") < threshold)
        .then(pl.lit(NOT_KNOWN))
        .when(pl.col("best_retrained").fill_null(0) >= threshold)
        .then(pl.lit(KNOWN_WITHOUT))
        .when(recites)
        .then(pl.lit(STILL))
        .when(pl.col("best_length").fill_null(0) >= threshold)
        .then(pl.lit(BACK))
        .otherwise(pl.lit(otherwise))
    )
    kept = (
        pl.when(pl.col("length_before") < threshold)
        .then(pl.lit(NOT_KNOWN))
        .when(recites)
        .then(pl.lit("kept"))
        .otherwise(pl.lit("lost"))
    )
    verdict = pl.when(role="tested").then(tested).when(role="kept").then(kept)
    return rows.with_columns(verdict=verdict).select(*OF_ROWS)


def judge(rows: pl.DataFrame, threshold: int, damage: Damage) -> Judgement:
    """The verdict on all tested rows, from the table of rows with their verdicts."""
    known = rows.filter(pl.col("role") == "tested", pl.col("verdict").is_in(JUDGED))
    control = rows.filter(role="control")
    clusters = known["document"].to_numpy()
    shares = {name: share_of((known["verdict"] == name).to_numpy(), clusters) for name in JUDGED}
    is_alarm = (pl.max_horizontal("length_after", "best_length") >= threshold).alias("alarm")
    alarms = share_of(control.select(is_alarm)["alarm"].to_numpy(), control["document"].to_numpy())
    return Judgement(
        _verdict(shares, alarms, damage) if known.height else NOT_JUDGED,
        known.height,
        shares,
        alarms,
        _mean_gain(known),
        _mean_gain(control),
    )


def _verdict(shares: dict[str, Estimate], alarms: Estimate, damage: Damage) -> str:
    still, back = (shares[name].value or 0.0 for name in (STILL, BACK))
    if still + back - (alarms.value or 0.0) > TOLERATED:
        return STILL if still >= back else BACK
    if damage.state == "destroyed":
        return DESTROYED
    return NOT_RECITED if damage.state == "not measured" or damage.shows_nothing else REMOVED


def _mean_gain(rows: pl.DataFrame) -> Estimate:
    measured = rows.drop_nulls("gain")
    return mean_of(measured["gain"].cast(pl.Float64).to_numpy(), measured["document"].to_numpy())


def lost_share(kept: pl.DataFrame, threshold: int) -> Estimate:
    """Share of the kept rows that the original model recites and the unlearned one does not."""
    known = kept.filter(pl.col("length_before") >= threshold)
    return share_of((known["length_after"] < threshold).to_numpy(), known["document"].to_numpy().astype(np.str_))
