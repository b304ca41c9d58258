"""The loss on every fact's targets at every measured step, in the treatment and in its control."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mematlas.analyses.training.arms import block_means, split_names, with_parameters

TREATMENT: Final = "treatment"
CONTROL: Final = "control"
#: The control as tables and charts name it: it is a model, and no set of rows.
CONTROL_MODEL: Final = "control model"
GROUPS: Final = ("paraphrased", "duplicated", "once", "never")
NEVER: Final = GROUPS[-1]
QUESTIONS: Final = ("verbatim", "paraphrase", "composed")
#: Steps after a showing in which its effect is looked for: half of those to the next (Chang et al.: 50 of 100), or so
#: many after a single one.
_WINDOW: Final = 50

_MODEL: Final = {"model": "size of the models, of all seeds", "parameters": "number of weights"}
KEYS: Final = {
    **_MODEL,
    "group": "how facts were shown: paraphrased (each time in other words), duplicated, once, never",
    "question": "verbatim (words that were shown), paraphrase (other words), composed (from two sentences)",
}
LOSS_COLUMNS: Final = {
    **KEYS,
    "arm": "treatment, or control model: its twin, which was shown no fact",
    "t": "steps since right before the first showing",
    "facts": "facts, each with the mean over its questions and over seeds",
    "loss": "nats per token of the target, mean over facts",
    "loss_lower": "lower end of its 95 % interval (Student's t over facts)",
    "loss_upper": "upper end of the same",
}
FACT_COLUMNS: Final = ("model", "parameters", "arm", "group", "question", "fact", "t", "showings", "loss")


def fact_losses(probes: pl.DataFrame, models: pl.DataFrame) -> pl.DataFrame:
    """The loss of every fact, mean over its questions and over seeds: columns FACT_COLUMNS.

    fact: its number in its group: facts of one number are measured in the same steps; showings: so far, in the
    treatment, of the facts of this number that are shown each time.
    """
    keys = ["trained", "arm", "group", "question", "fact", "step"]
    known = split_names(probes).filter(
        pl.col("set").str.starts_with("facts/"), pl.col("branch").is_in([TREATMENT, CONTROL])
    )
    parts = pl.col("set").str.split("/").list
    named = known.with_columns(
        trained="group",
        arm=pl.col("branch").replace(CONTROL, CONTROL_MODEL),
        group=parts.get(1, null_on_oob=True),
        question=parts.get(2, null_on_oob=True),
        fact="block",
    )

    def value(metric: str) -> pl.Expr:
        return pl.col("value").filter(pl.col("metric") == metric).first()

    wide = named.group_by(keys, maintain_order=True).agg(loss=value("loss"), showings=value("shown")).drop_nulls()
    place = ["trained", "fact"]
    wide = wide.with_columns(
        t=pl.col("step") - pl.col("step").min().over(place),
        showings=pl.col("showings").max().over(*place, "step").round().cast(pl.Int64),
        model=pl.col("trained").str.replace(r"-seed\d+$", ""),
    )
    sized = with_parameters(wide.rename({"group": "shown_as", "trained": "group"}), models, "group")
    sized = sized.drop("group").rename({"shown_as": "group"})
    by = [name for name in FACT_COLUMNS if name not in ("showings", "loss")]
    means = sized.group_by(by).agg(pl.col("showings").max(), pl.col("loss").sort().mean())
    return ordered(means.select(*FACT_COLUMNS), "arm", "fact", "t")


def mean_losses(facts: pl.DataFrame) -> pl.DataFrame:
    """The mean loss over facts, by group, question, arm and time; columns LOSS_COLUMNS."""
    by = [name for name in LOSS_COLUMNS if name not in ("facts", "loss", "loss_lower", "loss_upper")]
    found = block_means(facts.rename({"fact": "block"}).with_columns(n=pl.lit(1)), "loss", by)
    return ordered(found.rename({"rows": "facts"}).select(*LOSS_COLUMNS), "arm", "t")


def ordered(records: pl.DataFrame, *by: str) -> pl.DataFrame:
    """Records by size, then as GROUPS and QUESTIONS have them, and by `by`; the treatment before its control."""
    places = [
        pl.col(name).replace_strict(dict(zip(names, range(len(names)), strict=True)), default=9, return_dtype=pl.Int64)
        for name, names in (("group", GROUPS), ("question", QUESTIONS))
    ]
    keys = [pl.col(name) for name in by]
    descending = [False] * 4 + [name == "arm" for name in by]
    return records.sort("parameters", "model", *places, *keys, descending=descending, nulls_last=True)


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """What one size, arm, group and question is measured as. times: [times]; losses: [facts, times]; never: the same of
    facts never shown, in the same arm; before: times right before the showings of this group."""

    key: dict[str, Any]
    times: NDArray[np.int64]
    losses: NDArray[np.float64]
    never: NDArray[np.float64]
    before: tuple[int, ...]
    window: int


def group_curves(facts: pl.DataFrame, arm: str = TREATMENT) -> list[Curves]:
    """The curves of every size, group and question, of groups that are shown; facts: as `fact_losses`."""
    found = []
    for (model,), part in facts.group_by("model", maintain_order=True):
        before, window = showing_times(part)
        of_arm = part.filter(arm=arm)
        for (group, question), records in of_arm.group_by("group", "question", maintain_order=True):
            others = of_arm.filter(group=NEVER, question=question)
            if group == NEVER or others.is_empty() or not before:
                continue
            wide, never = _matrix(records), _matrix(others)
            times = np.intersect1d(wide[0], never[0])
            shown = before[:1] if group == "once" else before
            key = {"model": model, "parameters": records["parameters"][0], "group": group, "question": question}
            losses, of_never = (values[:, np.isin(at, times)] for at, values in (wide, never))
            found.append(Curves(key, times, losses, of_never, tuple(shown), window))
    return found


def showing_times(facts: pl.DataFrame) -> tuple[list[int], int]:
    """Times right before each showing of one size's facts, and the window after it, in steps."""
    shown = facts.filter(arm=TREATMENT).group_by("t").agg(pl.col("showings").max()).sort("t")
    rises = shown.with_columns(next=pl.col("showings").shift(-1)).filter(pl.col("next") > pl.col("showings"))
    before = rises["t"].to_list()
    return before, int(before[1] - before[0]) // 2 if len(before) > 1 else _WINDOW


def _matrix(records: pl.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Times at which all facts were measured, and their losses: [facts, times]."""
    wide = records.pivot(on="t", index="fact", values="loss", sort_columns=False).sort("fact").drop("fact")
    columns = sorted((name for name in wide.columns if not wide[name].null_count()), key=int)
    return np.array([int(name) for name in columns], dtype=np.int64), wide.select(columns).to_numpy()
