"""What a probe of recall shows, as a finding: a claim with its controls, charts and caveats."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import polars as pl

from mematlas.findings.finding import Axis, Chart, Finding, Table, Taxonomy
from mematlas.probes.recall.accuracy import INITIALS, MAJORITY, RECALL, SHUFFLED
from mematlas.probes.recall.tables import COLUMNS

_FEW: Final = 20  # wrong answers of the list, below which they are not compared
_BARS: Final = (RECALL, "recall where initials say nothing", INITIALS, MAJORITY, SHUFFLED)


def recall_finding(tables: Mapping[str, pl.DataFrame], facts: Mapping[str, Any]) -> Finding:
    """The finding. tables: of `tables.make_tables`; facts: as in facts.json.

    It speaks of the first template with the largest number of examples, decided before anything was asked.
    """
    setting = {"template": next(iter(facts["templates"])), "shots": max(facts["shots"])}
    accuracy = {row["what"]: row for row in tables["accuracy"].filter(**setting).to_dicts()}
    first = accuracy[RECALL]
    own = tables["correlations"].filter(**setting, kind="spearman")
    over = {row["over"]: row for row in own.to_dicts()}
    drawn = list(_charts(tables, setting, facts))
    share = f"{first['hits']:,} of {first['n']:,} answers are right ({100 * first['share']:.1f} %)"
    headline = f"{facts['model']} knows {100 * first['share']:.0f} % of {first['n']:,} items"
    sentence = f"{share}, {_beside(accuracy)}{_with_popularity(over)}."
    return Finding(
        "recall",
        "Recall of facts by name",
        f"{share} with {setting['shots']} solved examples; 95 % interval {100 * first['low']:.1f} to "
        f"{100 * first['high']:.1f} %, {_beside(accuracy)}. {_popularity_claim(over, facts)} "
        f"{_invariance_claim(tables['invariance'])} {_errors_claim(tables['errors'].filter(**setting))}".strip(),
        "P5, recall of identifiers by label",
        Taxonomy("entity", "extractable", content="items of a task", prompts="templates with the item's name"),
        control="Right answers shuffled among the items, inputs and answers that do not exist, the majority answer, "
        "and answers read off the initials.",
        tables=(*_plain_tables(tables), *(table for table, _ in drawn)),
        charts=tuple(chart for _, chart in drawn),
        caveats=tuple(_caveats(tables, accuracy, facts)),
        deviations=(
            "Items are also grouped in buckets of equal size; the paper's buckets, 50 groups of values, are uneven.",
            "Popularity is counted in a corpus, or given; the paper asks a web search.",
        ),
        headline=headline,
        sentence=sentence,
    )


def _plain_tables(tables: Mapping[str, pl.DataFrame]) -> Iterator[Table]:
    for name in ("accuracy", "buckets", "correlations"):
        title, columns = COLUMNS[name]
        yield Table(name, title, tables[name], columns)


# -------------------------------------------------------------------------------------------------------------- words


def _beside(accuracy: Mapping[str, Mapping[str, Any]]) -> str:
    return f"{100 * accuracy[SHUFFLED]['share']:.1f} % with shuffled labels"


def _with_popularity(over: Mapping[str, Mapping[str, Any]]) -> str:
    row = over.get("items")
    if row is None or row["estimate"] is None:
        return ""
    return f"; popularity and hit correlate by {row['estimate']:.2f}"


def _popularity_claim(over: Mapping[str, Mapping[str, Any]], facts: Mapping[str, Any]) -> str:
    if not over:
        return "How frequent the items are is not known."
    parts = []
    for name, what in (("items", "items"), ("equal", "equal buckets"), ("faithful", "buckets of values")):
        row = over[name]
        if row["estimate"] is None:
            parts.append(f"{what}: not defined ({row['reason']})")
        else:
            interval = f"{row['low']:.2f} to {row['high']:.2f}"
            parts.append(f"{what} {row['estimate']:.2f} ({interval}, p = {row['p']:.4f}, n = {row['n']:,})")
    return f"Spearman's correlation of popularity ({facts['popularity']['unit']}) and accuracy over {'; '.join(parts)}."


def _invariance_claim(table: pl.DataFrame) -> str:
    means = table.group_by("axis", maintain_order=True).agg(pl.col("pi").mean(), pl.col("repeats").max(), pl.len())
    parts = [f"{pi:.2f} over {repeats} {axis} (n = {count:,})" for axis, pi, repeats, count in means.iter_rows()]
    return f"Mean prediction invariance is {'; '.join(parts)}." if parts else ""


def _errors_claim(errors: pl.DataFrame) -> str:
    if errors.height < _FEW:
        return ""
    mean = errors.select(pl.col("edit", "random_edit", "label_jaccard", "random_jaccard").mean()).row(0, named=True)
    return (
        f"{errors.height:,} wrong answers belong to other items: {mean['edit']:.2f} characters from the right one "
        f"(random answers: {mean['random_edit']:.2f}), {mean['label_jaccard']:.2f} of the words shared "
        f"({mean['random_jaccard']:.2f})."
    )


def _caveats(
    tables: Mapping[str, pl.DataFrame], accuracy: Mapping[str, Mapping[str, Any]], facts: Mapping[str, Any]
) -> Iterator[str]:
    shares = tables["accuracy"].filter(what=RECALL)["share"].to_numpy()
    if len(shares) > 1:
        yield (
            f"Over {len(shares)} combinations of template and number of examples, recall is {100 * shares.min():.1f} "
            f"to {100 * shares.max():.1f} %: the format of a prompt can matter more than the model."
        )
    guessed = accuracy[INITIALS]["hits"]
    if guessed:
        yield f"{guessed:,} answers can be read off the input's initials; they say nothing about recall."
    sizes = tables["buckets"].filter(scheme="faithful")["n"].to_numpy()
    if len(sizes) and sizes.max() > 2 * sizes.min():
        yield (
            f"The paper's buckets have {sizes.min():,} to {sizes.max():,} items here. Correlations over buckets are "
            "higher than over items, as averages hide what single items do."
        )
    if facts["is_local"]:
        yield "Greedy decoding gives a prompt one answer: invariance over repetitions is 1 by construction."
    else:
        yield "The model gives text alone: log-probabilities and ranks are not measured, and what it says may change."
    yield "Items are taken as independent. Popularity is counted or given, and goes along with much else."


# -------------------------------------------------------------------------------------------------------------- charts


def _charts(
    tables: Mapping[str, pl.DataFrame], setting: Mapping[str, Any], facts: Mapping[str, Any]
) -> Iterator[tuple[Table, Chart]]:
    yield _settings_chart(tables["accuracy"])
    if tables["buckets"].height:
        unit = facts["popularity"]["unit"]
        yield _buckets_chart(tables["buckets"], setting, unit)
        yield _uneven_chart(tables["buckets"].filter(**setting, scheme="faithful"), unit)
    if tables["invariance"].height:
        yield _invariance_chart(tables["invariance"])


def _setting_names(several_templates: bool) -> pl.Expr:
    shots = pl.format("{} examples", "shots")
    return pl.format("{}, {}", "template", shots) if several_templates else shots


def _settings_chart(accuracy: pl.DataFrame) -> tuple[Table, Chart]:
    name, title = "settings", "Right answers by template and number of examples, and what knows nothing"
    guessed = accuracy.filter(what=INITIALS)["hits"].sum()
    bars = _BARS if guessed else tuple(what for what in _BARS if "initials" not in what)
    shown = accuracy.filter(pl.col("what").is_in(bars)).select(
        _setting_names(accuracy["template"].n_unique() > 1).alias("setting"), "what", "share", "low", "high", "n"
    )
    columns = {"setting": "template and solved examples"} | _meanings("accuracy", "what", "share", "low", "high", "n")
    x, y = Axis("setting", "template and solved examples", "nominal"), Axis("share", "share of the items", share=True)
    chart = Chart(name, title, "bars", name, x, y, Axis("what", "share", "nominal"), "low", "high", count="n")
    return Table(name, title, shown, columns), chart


def _buckets_chart(buckets: pl.DataFrame, setting: Mapping[str, Any], unit: str) -> tuple[Table, Chart]:
    name, title = "by-popularity", "Right answers by popularity, in buckets of equal size"
    equal = buckets.filter(scheme="equal")
    if equal["template"].n_unique() > 1:
        equal = equal.filter(template=setting["template"])
    kept = ["bucket", "series", "accuracy", "low", "high", "popularity", "n"]
    lines = equal.with_columns(series=_setting_names(False)).select(kept)
    control = equal.filter(**setting).select(
        "bucket",
        pl.lit("shuffled labels").alias("series"),
        pl.col("shuffled").alias("accuracy"),
        pl.lit(None, pl.Float64).alias("low"),
        pl.lit(None, pl.Float64).alias("high"),
        "popularity",
        "n",
    )
    columns = {
        "bucket": "number of the bucket, from 1 for the least popular",
        "series": "solved examples, or the control",
        **_meanings("buckets", "accuracy", "low", "high"),
        "popularity": f"mean popularity ({unit})",
        "n": "items",
    }
    x, y = Axis("bucket", f"bucket of popularity ({unit})", "ordinal"), Axis("accuracy", "right answers", share=True)
    color = Axis("series", "solved examples", "nominal")
    return (
        Table(name, title, pl.concat([lines, control]), columns),
        Chart(name, title, "lines", name, x, y, color, "low", "high", count="n"),
    )


def _uneven_chart(faithful: pl.DataFrame, unit: str) -> tuple[Table, Chart]:
    name, title = "bucket-sizes", "Items in each of the paper's buckets: groups of values, at most 50"
    shown = faithful.select("bucket", "n", "popularity", "accuracy")
    columns = _meanings("buckets", *shown.columns)
    x, y = Axis("bucket", f"bucket of values ({unit})", "ordinal"), Axis("n", "items")
    return Table(name, title, shown, columns), Chart(name, title, "bars", name, x, y, count="n")


def _invariance_chart(invariance: pl.DataFrame) -> tuple[Table, Chart]:
    name, title = "invariance", "Prediction invariance: how alike the answers to one item are"
    known = pl.when(pl.col("hits") > 0).then(pl.lit("some right")).otherwise(pl.lit("none right"))
    half = 1.96 * pl.col("spread")
    shown = (
        invariance.with_columns(known=known)
        .group_by("axis", "known", maintain_order=True)
        .agg(pl.col("pi").mean(), pl.len().cast(pl.Int64).alias("n"), pl.col("pi").std().alias("spread"))
        .with_columns(pl.col("spread").fill_null(0) / pl.col("n").sqrt())
        .with_columns(low=(pl.col("pi") - half).clip(0, 1), high=(pl.col("pi") + half).clip(0, 1))
        .select("axis", "known", "pi", "low", "high", "n")
        .sort("axis", "known")
    )
    columns = {
        "axis": "what the answers differ in",
        "known": "items with some right answer among them, or none",
        "pi": "mean prediction invariance, 1 - (distinct - 1)/(R - 1)",
        "low": "lower end of the 95 % interval (normal, over items)",
        "high": "upper end",
        "n": "items",
    }
    x, y = Axis("axis", "answers compared over", "nominal"), Axis("pi", "mean prediction invariance", bounds=(0, 1))
    chart = Chart(name, title, "bars", name, x, y, Axis("known", "items", "nominal"), "low", "high", count="n")
    return Table(name, title, shown, columns), chart


def _meanings(table: str, *names: str) -> dict[str, str]:
    return {name: COLUMNS[table][1][name] for name in names}
