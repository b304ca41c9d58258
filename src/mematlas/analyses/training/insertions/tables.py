"""Summaries of the items: by level, by size of the corpus, by part of the training, and what chance gives."""

from typing import Any, Final

import numpy as np
import polars as pl
from scipy.stats import t as student_t

from mematlas.analyses.training.arms import block_means
from mematlas.analyses.training.insertions.items import ITEM_COLUMNS, ONCE
from mematlas.stats.classification.discrimination import roc_auc
from mematlas.stats.estimates.contrasts import stratified_difference
from mematlas.stats.estimates.intervals import wilson
from mematlas.stats.hypotheses.label_shuffles import SHUFFLES, label_shuffles, mean_and_middle

_KEYS: Final = {name: ITEM_COLUMNS[name] for name in ("model", "parameters", "arm")}
_WELCH: Final = "of its 95 % interval (Welch, within seeds)"
_GAIN: Final = {
    "gain": "mean loss of level 0 - mean loss of this level, in nats per token, within seeds",
    "gain_lower": f"lower end {_WELCH}",
    "gain_upper": f"upper end {_WELCH}",
}
_AREA: Final = {
    "auc": "probability that an item of this level has a lower loss than one of level 0, within seeds",
    "auc_lower": "lower end of its 95 % interval (DeLong)",
    "auc_upper": "upper end of the same",
}
_DIFFERENCE: Final = {
    "difference_lower": f"lower end {_WELCH}, of differences item by item",
    "difference_upper": f"upper end {_WELCH}, of differences item by item",
}
LEVEL_COLUMNS: Final = {
    **_KEYS,
    "level": ITEM_COLUMNS["level"],
    "n": "items of all seeds",
    "loss": "mean loss, in nats per token",
    "loss_lower": "lower end of its 95 % interval (Student's t over items)",
    "loss_upper": "upper end of the same",
    **_GAIN,
    "recited": "share of items that are recited",
    "recited_lower": "lower end of its 95 % interval (Wilson)",
    "recited_upper": "upper end of the same",
    **_AREA,
}
DILUTION_COLUMNS: Final = {
    "model": ITEM_COLUMNS["model"],
    "parameters": ITEM_COLUMNS["parameters"],
    "comparison": "equal epochs: each corpus once; equal steps: smaller corpora repeated, for as long as the largest",
    "corpus": ITEM_COLUMNS["corpus"],
    "steps": ITEM_COLUMNS["steps"],
    "level": ITEM_COLUMNS["level"],
    "n": "items of all seeds",
    **_GAIN,
    "difference": "gain - gain in the smallest corpus of this comparison",
    **_DIFFERENCE,
}
WINDOW_COLUMNS: Final = {
    "model": ITEM_COLUMNS["model"],
    "parameters": ITEM_COLUMNS["parameters"],
    "window": "part of the training that has all insertions, in percent",
    "start": ITEM_COLUMNS["start"],
    "stop": ITEM_COLUMNS["stop"],
    "level": ITEM_COLUMNS["level"],
    "n": "items of all seeds",
    **_GAIN,
    "auc": _AREA["auc"],
    "auc_lower": _AREA["auc_lower"],
    "auc_upper": _AREA["auc_upper"],
    "difference": "gain - gain where insertions are anywhere in the training",
    **_DIFFERENCE,
}
TREND_COLUMNS: Final = {
    **_KEYS,
    "n": "items of all seeds",
    "slope": "change of the loss where 1 + level doubles, in nats per token, within seeds",
    "slope_lower": "lower end of its 95 % interval (Student's t, any variances)",
    "slope_upper": "upper end of the same",
    "permuted": f"mean slope with levels permuted among the items of a seed, {SHUFFLES} times",
    "permuted_lower": "lower end of the middle 95 % of these",
    "permuted_upper": "upper end of the same",
    "halves": "probability that an item of one half of level 0 has a lower loss than one of the other, within seeds",
    "halves_lower": "lower end of its 95 % interval (DeLong)",
    "halves_upper": "upper end of the same",
}


def insertion_levels(items: pl.DataFrame) -> pl.DataFrame:
    """Every level of every arm, beside level 0 of the same models."""
    records = []
    for key, arm in _arms(items):
        for (level,), of_level in arm.group_by(["level"], maintain_order=True):
            area = _area(arm, pl.col("level") == level) if level else (None, None, None)
            share = wilson(int(of_level["recited"].sum()), of_level.height)
            records.append(
                {**key, "level": level, "n": of_level.height}
                | _named("gain", _gain(arm, "loss", level) if level else (None, None, None))
                | _named("recited", (share.estimate, share.lower, share.upper))
                | _named("auc", area)
            )
    table = pl.DataFrame(records, schema=_schema([name for name in LEVEL_COLUMNS if not name.startswith("loss")]))
    by = ["model", "parameters", "arm", "level"]
    losses = block_means(items.with_columns(block=pl.format("{} {}", "group", "item"), n=pl.lit(1)), "loss", by)
    joined = table.join(losses.drop("rows"), on=by, nulls_equal=True, how="left", maintain_order="left")
    return joined.select(*LEVEL_COLUMNS).sort("parameters", "model", "arm", "level", nulls_last=True)


def insertion_dilution(items: pl.DataFrame) -> pl.DataFrame:
    """What a level gains in corpora of several sizes, at equal epochs and at equal steps."""
    parts = []
    for comparison, ending in (("equal epochs", "epoch"), ("equal steps", "steps")):
        arms = items.filter(pl.col("arm").str.ends_with(f"x-{ending}"))
        if ending == "steps":  # the largest corpus is shown once, and is an arm of both comparisons
            once = pl.col("arm").str.ends_with("x-epoch") & (pl.col("corpus") > 1)
            largest = items.filter(once & (pl.col("corpus") == pl.col("corpus").max()))
            arms = pl.concat([arms, largest]) if arms.height else arms
        found = _differences(arms, f"1x-{ending}")
        parts.append(found.with_columns(comparison=pl.lit(comparison)))
    table = pl.concat(parts)
    sizes = items.select("model", "arm", "corpus", "steps").unique()
    joined = table.join(sizes, on=["model", "arm"], how="left")
    several = pl.col("corpus").n_unique().over("model", "comparison") > 1
    order = ("parameters", "model", "comparison", "corpus", "level")
    return joined.filter(several).select(*DILUTION_COLUMNS).sort(order, nulls_last=True)


def insertion_windows(items: pl.DataFrame) -> pl.DataFrame:
    """What a level gains by the part of the training that has all insertions."""
    arms = items.filter(pl.col("arm").str.starts_with("window-") | (pl.col("arm") == ONCE))
    if arms["arm"].n_unique() < 2:
        return pl.DataFrame(schema=_schema(WINDOW_COLUMNS))
    areas = insertion_levels(arms).select("model", "arm", "level", "auc", "auc_lower", "auc_upper")
    parts = arms.select("model", "arm", "start", "stop").unique()
    joined = _differences(arms, ONCE).join(areas, on=["model", "arm", "level"]).join(parts, on=["model", "arm"])
    named = joined.with_columns(window=pl.format("{}-{}", "start", "stop"))
    order = ("parameters", "model", "level", "start", "stop")
    return named.select(*WINDOW_COLUMNS).sort(order, nulls_last=True)


def insertion_trends(items: pl.DataFrame) -> pl.DataFrame:
    """How the loss falls with the level, with levels permuted, and between halves of level 0."""
    records = []
    for key, arm in _arms(items):
        levels, losses, groups = _centred(arm)
        estimate, low, high = _slope(levels, losses, len(np.unique(groups)))
        permuted = _permuted_slopes(arm)
        zero = arm.filter(level=0).with_columns(place=pl.int_range(pl.len()).over("group"))
        halves = _area(zero.with_columns(level=pl.col("place") % 2), pl.col("place") % 2 == 1)
        records.append(
            {**key, "n": arm.height}
            | _named("slope", (estimate, low, high))
            | _named("permuted", permuted)
            | _named("halves", halves)
        )
    table = pl.DataFrame(records, schema=_schema(TREND_COLUMNS))
    return table.sort("parameters", "model", "arm", nulls_last=True)


def _arms(items: pl.DataFrame) -> list[tuple[dict[str, Any], pl.DataFrame]]:
    """The items of every arm that has a level 0 and another one, with its keys."""
    by = ["model", "parameters", "arm"]
    ordered = items.sort("group", "level", "item")
    parts = ordered.group_by(by, maintain_order=True)
    return [
        (dict(zip(by, key, strict=True)), part)
        for key, part in parts
        if part["level"].min() == 0 and part["level"].n_unique() > 1
    ]


def _gain(arm: pl.DataFrame, column: str, level: object) -> tuple[float | None, ...]:
    """The mean of a column over level 0 minus that over `level`, within groups, with its interval."""
    two = arm.filter(pl.col("level").is_in([0, level])).sort("group", "level", "item")
    found = stratified_difference(
        two[column].to_numpy()[:, None], (two["level"] == 0).to_numpy(), two["group"].rank("dense").to_numpy()
    )
    return tuple(
        None if np.isnan(value[0]) else float(value[0]) for value in (found.estimate, found.lower, found.upper)
    )


def _area(arm: pl.DataFrame, member: pl.Expr) -> tuple[float | None, ...]:
    """How well low losses tell `member` items from those of level 0, losses less the mean of level 0 of their group."""
    centred = arm.with_columns(member=member).filter(pl.col("member") | (pl.col("level") == 0))
    mean = pl.col("loss").filter(pl.col("level") == 0).mean().over("group")
    found = roc_auc(centred.select(mean - pl.col("loss")).to_series().to_numpy(), centred["member"].to_numpy())
    return found.estimate, found.lower, found.upper


def _differences(arms: pl.DataFrame, reference: str) -> pl.DataFrame:
    """The gain of every level in every arm, and its difference from that in the arm `reference`, item by item."""
    keys = ["group", "level", "item"]
    of_reference = arms.filter(arm=reference).select(*keys, of_reference="loss")
    records = []
    for key, arm in _arms(arms):
        paired = arm.join(of_reference, on=keys).with_columns(change=pl.col("loss") - pl.col("of_reference"))
        for level in arm["level"].unique().sort().to_list()[1:]:
            change = _gain(paired, "change", level) if paired.height else (None, None, None)
            if key["arm"] == reference:
                change = (None, None, None)
            record = {**key, "level": level, "n": arm.filter(level=level).height}
            records.append(record | _named("gain", _gain(arm, "loss", level)) | _named("difference", change))
    names = ["model", "parameters", "arm", "level", "n", *_GAIN, "difference", *_DIFFERENCE]
    return pl.DataFrame(records, schema=_schema(names))


def _centred(arm: pl.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """log2(1 + level) and loss of every item, less the means of its group; and the group."""
    level = (1 + pl.col("level")).log(2)
    centred = arm.select(level - level.mean().over("group"), pl.col("loss") - pl.col("loss").mean().over("group"))
    x, y = (centred.to_series(column).to_numpy() for column in range(2))
    return x, y, arm["group"].rank("dense").to_numpy()


def _slope(x: np.ndarray, y: np.ndarray, groups: int) -> tuple[float, float | None, float | None]:
    """The slope of centred values with its interval, which holds for unequal variances (HC1, MacKinnon, White 1985)."""
    square, freedom = float(x @ x), len(x) - groups - 1
    slope = float(x @ y) / square
    residuals = y - slope * x
    error = np.sqrt(len(x) / max(1, freedom) * float((x * residuals) @ (x * residuals))) / square
    if freedom < 1 or error <= 1e-12 * max(1.0, abs(slope)):
        return slope, None, None
    half = float(student_t.ppf(0.975, freedom) * error)
    return slope, slope - half, slope + half


def _permuted_slopes(arm: pl.DataFrame) -> tuple[float | None, ...]:
    """Mean and middle 95 % of the slopes with levels permuted among the items of each group."""
    generator, slopes = np.random.default_rng(0), np.zeros(SHUFFLES)
    x, y, groups = _centred(arm)
    for group in np.unique(groups):
        of_x, of_y = x[groups == group], y[groups == group]
        for number, order in enumerate(label_shuffles(len(of_x), None, SHUFFLES, generator)):
            slopes[number] += float(of_x[order] @ of_y)
    found = mean_and_middle(slopes[:, None] / float(x @ x))
    return tuple(None if np.isnan(value[0]) else float(value[0]) for value in found)


def _named(name: str, values: tuple[float | None, ...]) -> dict[str, float | None]:
    return dict(zip((name, f"{name}_lower", f"{name}_upper"), values, strict=True))


def _schema(names: Any) -> dict[str, Any]:
    texts = ("model", "arm", "comparison", "window")
    integers = ("parameters", "corpus", "steps", "start", "stop", "level", "n")
    return {name: pl.String if name in texts else pl.Int64 if name in integers else pl.Float64 for name in names}
