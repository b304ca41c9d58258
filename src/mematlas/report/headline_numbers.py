"""The numbers a report begins with, each with its interval and a small picture beside its control.

They are read from the findings `distribution` (what the largest model recites, and how far beyond the control) and
`transitions` (what stays memorized), whichever of them the study has.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

import polars as pl
from markupsafe import Markup

from mematlas.findings.finding import Finding
from mematlas.report.cell import Cell, reference_cell

_SHOWN: Final = 3
_WIDTH, _HEIGHT, _MARGIN = 240.0, 52.0, 5.0  # pixels of a small picture


@dataclass(frozen=True, slots=True)
class Point:
    """A value with its interval, at a place from 0 to 1 along the picture."""

    x: float
    value: float
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True)
class HeadlineNumber:
    """A number of the first screen.

    value, interval: as text, in `unit`; meaning: what it is of; finding: where it comes from; picture: small, and said
    by the number itself; caption: what the picture shows.
    """

    value: str
    unit: str
    interval: str
    meaning: str
    finding: str
    picture: Markup
    caption: str


def headline_numbers(findings: Sequence[Finding], family: Sequence[str]) -> list[HeadlineNumber]:
    """Up to three numbers of the last model of a family. family: the labels of its models, in order."""
    cell = reference_cell(findings)
    if cell is None:
        return []
    tables = {(finding.name, table.name): table.frame for finding in findings for table in finding.tables}
    texts = tables.get(("distribution", "texts"))
    if texts is not None and (texts["texts"] < texts["rows"]).any():
        tables["distribution", "classes"] = texts.with_columns(
            pl.col("texts").alias("of"),
            kind=pl.lit("part"),
            **{"class": pl.lit("M = 1")},
            unit=pl.lit("distinct texts"),
        )
    numbers = [
        number
        for name, columns, make in (
            ("classes", {"model", "role", "kind", "class", "share", "share_lower", "share_upper"}, _recited),
            ("means", {"model", "role", "mean", "excess", "excess_lower", "excess_upper", "control_mean"}, _mean),
            ("survival", {"model", "role", "tokens", "share", "share_lower", "share_upper"}, _verbatim),
        )
        if (frame := tables.get(("distribution", name))) is not None and columns <= set(frame.columns)
        for number in make(_in_cell(frame, cell), family, cell)
    ]
    kept = tables.get(("transitions", "kept"))
    if kept is not None and {"series", "smaller", "larger", "kept_share", "memorized"} <= set(kept.columns):
        numbers += _kept(kept)
    return numbers[:_SHOWN]


def _in_cell(frame: pl.DataFrame, cell: Cell) -> pl.DataFrame:
    """The records of the cell; those of its context where, as in curves, only one continuation was kept of it."""
    of_context = frame.filter(context=cell.context)
    of_cell = of_context.filter(continuation=cell.continuation)
    return of_cell if of_cell.height else of_context


def _recited(classes: pl.DataFrame, family: Sequence[str], cell: Cell) -> Iterator[HeadlineNumber]:
    """The share of rows that the largest model recites whole, after those of the smaller models."""
    whole = classes.filter(pl.col("class") == "M = 1", kind="part").drop_nulls("share")
    points, model = _by_model(whole.filter(role="train"), family, "share")
    if model is not None:
        control = _values(whole.filter(role="control"), family, "share")
        yield HeadlineNumber(
            in_percent(points[-1].value),
            "%",
            interval(points[-1]),
            f"of {_rows(whole, model)} recited whole",
            "distribution",
            _picture(points, control),
            _models_caption(points, control),
        )


def _mean(means: pl.DataFrame, family: Sequence[str], cell: Cell) -> Iterator[HeadlineNumber]:
    """The mean M of the largest model beyond that of its control; mean M itself without a control."""
    train = means.filter(role="train")
    has_control = bool(train["excess"].is_not_null().any())
    column = "excess" if has_control else "mean"
    points, model = _by_model(train.drop_nulls(column), family, column)
    if model is not None:
        control = [Point(x, 0.0) for x in (0.0, 1.0)] if has_control else []
        meaning = "of tokens right beyond control rows (mean M)" if has_control else "of tokens right (mean M)"
        sign = "+" if has_control and points[-1].value >= 0 else ""
        yield HeadlineNumber(
            f"{sign}{in_percent(points[-1].value)}",
            "points" if has_control else "%",
            interval(points[-1]),
            meaning,
            "distribution",
            _picture(points, control),
            _models_caption(points, control),
        )


def _verbatim(survival: pl.DataFrame, family: Sequence[str], cell: Cell) -> Iterator[HeadlineNumber]:
    """The share of rows of which the largest model recites at least half of the continuation before its first miss."""
    train = survival.filter(role="train").drop_nulls("share")
    present = [name for name in family if name in set(train["model"])]
    if not present:
        return
    model, half = present[-1], ceil(cell.continuation / 2)
    length = int(train["continuation"].max())  # type: ignore[arg-type]
    curve = _curve(train.filter(model=model), length)
    at_half = train.filter(model=model, tokens=half)
    if at_half.height:
        record = at_half.row(0, named=True)
        control = _curve(survival.filter(model=model, role="control").drop_nulls("share"), length)
        point = Point(half / length, record["share"], record["share_lower"], record["share_upper"])
        yield HeadlineNumber(
            in_percent(point.value),
            "%",
            interval(point),
            f"of rows recited for {half} tokens without a miss",
            "distribution",
            _picture(curve, control, marked=point),
            "Rows by tokens recited" + _beside(control),
        )


def _kept(kept: pl.DataFrame) -> Iterator[HeadlineNumber]:
    """The share of the smallest model's memorized rows that the largest memorizes, too."""
    ends = kept.filter(pl.col("series") == kept["series"].first())  # the last pair is of its first and its last model
    record = ends.row(-1, named=True) if ends.height else {}
    if record.get("kept_share") is not None:
        point = Point(0.5, record["kept_share"], record["kept_share_lower"], record["kept_share_upper"])
        yield HeadlineNumber(
            in_percent(point.value),
            "%",
            interval(point),
            f"of {record['memorized']:,} rows that {record['smaller']} memorizes stay memorized in {record['larger']}",
            "transitions",
            _picture([point], []),
            "The share and its interval, from 0 to 100 %",
        )


# ----------------------------------------------------------------------------------------------- words


def in_percent(value: float) -> str:
    """A share, or a difference of shares, as a number of percent: with one place, or two where it is small."""
    number = 100 * value
    text = f"{number:.2f}" if 0 < abs(number) < 0.95 else f"{number:.1f}"
    return text.replace("-", "−")


def interval(point: Point) -> str:
    """The interval of a value in words."""
    if point.lower is None or point.upper is None:
        return "no interval"
    return f"{in_percent(point.lower)} to {in_percent(point.upper)}"


def _rows(whole: pl.DataFrame, model: str) -> str:
    """How many rows of a model the share is of; distinct texts where some rows are copies."""
    record = whole.filter(model=model, role="train").row(0, named=True)
    unit = record.get("unit", "rows")
    return f"{record['of']:,} {unit}" if "of" in record else unit


def _models_caption(points: list[Point], control: list[Point]) -> str:
    shown = f"{len(points)} models in order" if len(points) > 1 else "The model"
    return shown + _beside(control)


def _beside(control: list[Point]) -> str:
    return "; dashed: control" if control else ""


# ----------------------------------------------------------------------------------------------- values


def _by_model(frame: pl.DataFrame, family: Sequence[str], column: str) -> tuple[list[Point], str | None]:
    """A point for each model of the family, in order, and the last of them; None if there is none."""
    records = {record["model"]: record for record in frame.iter_rows(named=True)}
    models = [model for model in family if model in records]
    xs = [number / (len(models) - 1) if len(models) > 1 else 0.5 for number in range(len(models))]
    ends = (f"{column}_lower", f"{column}_upper")
    points = [
        Point(x, records[model][column], *(records[model].get(end) for end in ends))
        for x, model in zip(xs, models, strict=True)
    ]
    return points, models[-1] if models else None


def _values(frame: pl.DataFrame, family: Sequence[str], column: str) -> list[Point]:
    """The control's values without intervals; two points where there is one model, so that they make a line."""
    points, _ = _by_model(frame, family, column)
    if len(points) == 1:
        return [Point(0.0, points[0].value), Point(1.0, points[0].value)]
    return [Point(point.x, point.value) for point in points]


def _curve(frame: pl.DataFrame, length: int) -> list[Point]:
    rows = frame.sort("tokens").select("tokens", "share", "share_lower", "share_upper")
    return [Point(tokens / length, *numbers) for tokens, *numbers in rows.iter_rows()]


# ----------------------------------------------------------------------------------------------- pictures


def _picture(points: list[Point], control: list[Point], marked: Point | None = None) -> Markup:
    """A line of the values with whiskers, and the control dashed in grey.

    marked: the headline number, if it is a point of a curve, which then has a band.
    """
    ends = [end for p in (*points, *control) for end in (p.lower, p.value, p.upper) if end is not None]
    low, high = min(0.0, *ends), max(0.01, *ends)

    def xy(x: float, value: float) -> str:
        across = _MARGIN + x * (_WIDTH - 2 * _MARGIN)
        return f"{across:.1f},{_HEIGHT - _MARGIN - (value - low) / (high - low) * (_HEIGHT - 2 * _MARGIN):.1f}"

    def path(name: str, places: list[str]) -> str:
        return f'<path class="{name}" d="M{"L".join(places)}"/>' if len(places) > 1 else ""

    def whisker(point: Point) -> str:
        if point.lower is None or point.upper is None:
            return ""
        return path("whisker", [xy(point.x, point.lower), xy(point.x, point.upper)])

    measured = [(p.x, p.lower, p.upper) for p in points if p.lower is not None and p.upper is not None]
    band = [xy(x, upper) for x, _, upper in measured] + [xy(x, lower) for x, lower, _ in reversed(measured)]
    dots = points if marked is None else [marked]
    parts = [
        path("base", [xy(0, low), xy(1, low)]),
        path("band", band) if marked is not None else "",
        path("control-line", [xy(p.x, p.value) for p in control]),
        path("line", [xy(p.x, p.value) for p in points]),
        *map(whisker, dots),
    ]
    for point in dots:
        across, down = xy(point.x, point.value).split(",")
        name, radius = ("dot last", 4.5) if point is dots[-1] else ("dot", 3)
        parts.append(f'<circle class="{name}" cx="{across}" cy="{down}" r="{radius}"/>')
    size = f'viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" width="{_WIDTH:.0f}" height="{_HEIGHT:.0f}"'
    return Markup(f'<svg class="spark" {size} aria-hidden="true">{"".join(parts)}</svg>')
