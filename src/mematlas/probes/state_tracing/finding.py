"""What the traces of one row show, as a finding: a claim, heat maps with the tokens as labels, and their tables."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from mematlas.display import on_one_line
from mematlas.findings.finding import Axis, Chart, Finding, Table, Taxonomy
from mematlas.stats.estimates.intervals import wilson

if TYPE_CHECKING:
    import polars as pl

#: A token depends on a state if at least this share of the patches changes it (our choice).
HALF: Final = 0.5
_LONGEST_LABEL: Final = 16
_POSITION: Final = "token whose state is replaced, and its position"
_COLUMNS: Final = {
    "layer": "block whose output is replaced, from 1",
    "token": "recited token and its position in the row",
    "position": "token whose state is replaced, and its position in the row",
    "dep": "share of patches that change whether tokens are predicted",
    "changed": "recited tokens that change when this state is replaced, in the mean of the patches",
}


def row_findings(dependency: "pl.DataFrame", tokens: "pl.DataFrame", names: tuple[str, str | None]) -> list[Finding]:
    """A finding for each row of which some token is recited, in order; names: of the model and of its twin."""
    rows = tokens["row"].unique(maintain_order=True).to_list()
    return [
        _row_finding(row, dependency.filter(row=row), tokens.filter(row=row), names)
        for row in rows
        if not dependency.filter(row=row).is_empty()
    ]


def summary(dependency: "pl.DataFrame", tokens: "pl.DataFrame") -> list[dict[str, Any]]:
    """Per row that is long enough: tokens to recite; recited; of these, those that depend on a state of the prompt; and
    reach, how many tokens back the farthest state is that a recited token depends on, in the middle of these tokens."""
    import polars as pl

    counts = tokens.group_by("row", maintain_order=True).agg(
        pl.col("recited").null_count().alias("context"),
        pl.col("recited").count().alias("tokens"),
        pl.col("recited").sum(),
    )
    farthest = (
        _of(dependency, "corpus").filter(pl.col("dep") >= HALF).group_by("row", "token").agg(pl.col("position").min())
    )
    by_row = (
        farthest.join(counts, on="row")
        .group_by("row")
        .agg(
            (pl.col("position") < pl.col("context")).sum().alias("depending"),
            (pl.col("token") - pl.col("position")).median().alias("reach"),
        )
    )
    joined = counts.drop("context").join(by_row, on="row", how="left", maintain_order="left")
    return joined.with_columns(pl.col("depending").fill_null(0)).to_dicts()


def _of(dependency: "pl.DataFrame", source: str) -> "pl.DataFrame":
    return dependency.filter(source=source)


def _row_finding(
    row: int, dependency: "pl.DataFrame", tokens: "pl.DataFrame", names: tuple[str, str | None]
) -> Finding:
    labels = _labels(tokens)
    corpus = _of(dependency, "corpus")
    tables, charts = [], []
    if not corpus.is_empty():
        parts = [_by_token(corpus, labels)]
        parts += [_by_state(corpus, labels, "states", "How many recited tokens one state changes, by layer and token")]
        tables, charts = [table for table, _ in parts], [chart for _, chart in parts]
    for table, chart in _interchanges(dependency, labels, names):
        tables.append(table)
        charts.append(chart)
    claim, headline, sentence = _claim(dependency, tokens)
    context = tokens["recited"].null_count()
    return Finding(
        f"row-{row}",
        f"Row {row}",
        claim,
        "P3, causal dependencies",
        Taxonomy(k=(context,), content="the traced row"),
        tables=tuple(tables),
        charts=tuple(charts),
        caveats=tuple(_caveats(corpus)),
        headline=headline,
        sentence=sentence,
    )


def _labels(tokens: "pl.DataFrame") -> list[str]:
    """A short label of each token: its text and its position, which makes it unique."""
    labels = []
    for position, token, text in tokens.select("position", "id", "text").iter_rows():
        shown = str(token) if text is None else on_one_line(text).replace(" ", "·") or "∅"
        shown = shown if len(shown) <= _LONGEST_LABEL else f"{shown[: _LONGEST_LABEL - 1]}…"
        labels.append(f"{shown} {position}")
    return labels


# -------------------------------------------------------------------------------------------------------------- charts


def _named(frame: "pl.DataFrame", labels: Sequence[str], *columns: str) -> "pl.DataFrame":
    """The frame with the labels of tokens in these columns, in the order of the text, and the last layer first."""
    import polars as pl

    orders = dict.fromkeys(columns, pl.Enum(labels))
    if "layer" in orders:
        orders["layer"] = pl.Enum([str(layer) for layer in sorted(frame["layer"].unique(), reverse=True)])
    texts = dict(enumerate(labels))
    named = frame.with_columns(
        pl.col(name).cast(pl.String).cast(order)
        if name == "layer"
        else pl.col(name).replace_strict(texts, return_dtype=order)
        for name, order in orders.items()
    )
    return named.sort(columns)


def _by_state(frame: "pl.DataFrame", labels: Sequence[str], name: str, title: str) -> tuple[Table, Chart]:
    """How many tokens change with the state at each layer and position."""
    import polars as pl

    sums = frame.group_by("layer", "position").agg(pl.col("dep").sum().alias("changed"))
    shown = _named(sums, labels, "layer", "position").select("layer", "position", "changed")
    columns = {column: _COLUMNS[column] for column in shown.columns}
    color = Axis("changed", "tokens that change, mean of the patches")
    x, y = Axis("position", _POSITION, "ordinal"), Axis("layer", "layer", "ordinal")
    return Table(name, title, shown, columns), Chart(name, title, "matrix", name, x, y, color)


def _by_token(frame: "pl.DataFrame", labels: Sequence[str]) -> tuple[Table, Chart]:
    """The strongest layer at each recited token and position."""
    import polars as pl

    name, title = "tokens", "Which tokens each recited token depends on, at the strongest layer"
    strongest = frame.group_by("token", "position").agg(pl.col("dep").max())
    shown = _named(strongest, labels, "token", "position").select("token", "position", "dep")
    columns = {column: _COLUMNS[column] for column in shown.columns} | {"dep": "largest share of all layers"}
    color = Axis("dep", "share of patches that change the token, largest of all layers", share=True)
    x, y = Axis("position", _POSITION, "ordinal"), Axis("token", "recited token", "ordinal")
    return Table(name, title, shown, columns), Chart(name, title, "matrix", name, x, y, color)


def _interchanges(
    dependency: "pl.DataFrame", labels: Sequence[str], names: tuple[str, str | None]
) -> list[tuple[Table, Chart]]:
    """Which states of the twin make the model forget, and which of the model make the twin recite what it cannot."""
    import polars as pl

    model, twin = names
    known = _of(dependency, "twin").filter("recited")
    new = _of(dependency, "model").filter(~pl.col("recited"))
    parts = []
    if known.height:
        parts.append(_by_state(known, labels, "lost", f"How many tokens {model} loses with one state of {twin}"))
    if new.height:
        parts.append(_by_state(new, labels, "gained", f"How many tokens {twin} gains with one state of {model}"))
    return parts


# --------------------------------------------------------------------------------------------------------------- words


def _claim(dependency: "pl.DataFrame", tokens: "pl.DataFrame") -> tuple[str, str, str]:
    """Claim, headline and sentence."""
    (counts,) = summary(dependency, tokens)
    total, recited, depending = counts["tokens"], counts["recited"], counts["depending"]
    if not recited:
        text = f"None of the {total} tokens is recited; the twin recites some."
        return text, text, text
    headline = f"{recited} of {total} tokens are recited; {depending} depend{'s' * (depending == 1)} on the prompt"
    reach = counts["reach"]
    sentence = "No recited token depends on a single state."
    if reach is not None:
        sentence = (
            f"The farthest state that a recited token depends on is {reach:g} token{'s' * (reach != 1)} back (median)."
        )
    claim = (
        f"{recited} of {total} tokens are recited; {depending} of them change in at least half of the patches of some "
        f"single state of the prompt. {sentence}"
    )
    return claim, headline, sentence


def _caveats(corpus: "pl.DataFrame") -> list[str]:
    if corpus.is_empty():
        return []
    patches = int(corpus["n"][0])
    half = wilson(round(patches / 2), patches)
    assert half.lower is not None
    assert half.upper is not None
    return [
        f"Each share is of {patches} random windows: one of {round(patches / 2) / patches:.0%} has a 95 % interval of "
        f"{half.lower:.0%} to {half.upper:.0%}.",
        "A state that matters carries something that the answer needs; the text need not be stored there.",
        "Tokens are predicted from the true tokens before them, so that a changed one does not change those after it.",
    ]
