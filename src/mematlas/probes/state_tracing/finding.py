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
_POSITION: Final = "token of the prompt and its position"
_LAYER: Final = "layer"
_COLUMNS: Final = {
    "layer": "block whose output is replaced, from 1",
    "token": "recited token and its position in the row",
    "position": "token of the prompt and its position in the row",
    "dep": "share of patches that change whether tokens are predicted",
    "tokens": "number of tokens that this is the mean of",
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
    """Per traced row: tokens to recite, recited, and those that depend on a single state of the prompt."""
    import polars as pl

    strongest = _of(dependency, "corpus").group_by("row", "token").agg(pl.col("dep").max())
    depending = strongest.group_by("row").agg((pl.col("dep") >= HALF).sum().alias("depending"))
    counts = tokens.group_by("row", maintain_order=True).agg(
        pl.col("recited").count().alias("tokens"), pl.col("recited").sum()
    )
    joined = counts.join(depending, on="row", how="left", maintain_order="left")
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
        parts = [_by_state(corpus, labels, "states", "What reciting depends on, by layer and token of the prompt")]
        parts += [_by_token(corpus, labels)]
        tables, charts = [table for table, _ in parts], [chart for _, chart in parts]
    for table, chart in _interchanges(dependency, labels, names):
        tables.append(table)
        charts.append(chart)
    claim, headline, sentence = _claim(corpus, tokens, labels)
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

    layers = (
        pl.Enum([str(layer) for layer in sorted(frame["layer"].unique(), reverse=True)]) if "layer" in columns else None
    )
    return frame.sort(columns).with_columns(
        pl.col(name).cast(pl.String).cast(layers)
        if name == "layer"
        else pl.col(name).replace_strict(dict(enumerate(labels)), return_dtype=pl.Enum(labels))
        for name in columns
    )


def _by_state(frame: "pl.DataFrame", labels: Sequence[str], name: str, title: str) -> tuple[Table, Chart]:
    """The mean over tokens at each layer and position."""
    import polars as pl

    means = frame.group_by("layer", "position").agg(pl.col("dep").mean(), pl.len().alias("tokens"))
    shown = _named(means, labels, "layer", "position").select("layer", "position", "dep", "tokens")
    table = Table(name, title, shown, {column: _COLUMNS[column] for column in shown.columns})
    color = Axis("dep", "mean share of patches that change a token", share=True)
    chart = Chart(
        name, title, "matrix", name, Axis("position", _POSITION, "ordinal"), Axis("layer", _LAYER, "ordinal"), color
    )
    return table, chart


def _by_token(frame: "pl.DataFrame", labels: Sequence[str]) -> tuple[Table, Chart]:
    """The strongest layer at each recited token and position."""
    import polars as pl

    name, title = "tokens", "Which tokens of the prompt each recited token depends on, at the strongest layer"
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
        parts.append(_by_state(known, labels, "lost", f"What {model} loses with one state of {twin}"))
    if new.height:
        parts.append(_by_state(new, labels, "gained", f"What {twin} gains with one state of {model}"))
    return parts


# --------------------------------------------------------------------------------------------------------------- words


def _claim(corpus: "pl.DataFrame", tokens: "pl.DataFrame", labels: Sequence[str]) -> tuple[str, str, str]:
    """Claim, headline and sentence."""
    import polars as pl

    total, recited = tokens["recited"].count(), tokens["recited"].sum()
    if corpus.is_empty():
        text = f"None of the {total} tokens is recited; the twin recites some."
        return text, text, text
    strongest = corpus.group_by("token").agg(pl.col("dep").max())
    depending = strongest.filter(pl.col("dep") >= HALF).height
    means = corpus.group_by("layer", "position").agg(pl.col("dep").mean()).sort("dep", "layer", "position")
    layer, position, dep = means.row(-1)
    where = f"layer {layer} at {labels[position]}"
    headline = f"{recited} of {total} tokens are recited; {depending} depend on a single state"
    sentence = (
        f"Most tokens depend on {where}: replacing this state changes {dep:.0%} of the recited tokens on average."
    )
    claim = (
        f"{recited} of {total} tokens are recited. {depending} of them change in at least half of the patches of some "
        f"single state of the prompt, {recited - depending} with none. {sentence}"
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
