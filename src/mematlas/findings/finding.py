"""The result of an analysis: a claim with its numbers, intervals, control, charts as data, and caveats. All frozen.

A finding is stored as one JSON file and one Parquet file per table, so that it can be read without mematlas.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from mematlas.display import html_table, html_text
from mematlas.errors import StudyError
from mematlas.errors.remedies import command_line
from mematlas.io.local_copies import fetch_all, read_bytes
from mematlas.io.paths import make_folder, write_atomically, write_json
from mematlas.registry import import_target

if TYPE_CHECKING:
    import polars as pl

#: Named and not imported: charts are drawn in a room above this one.
_FIGURES: Final = "mematlas.report.figures:build_figures"
_SHOWN: Final = 20  # records of a table in a notebook

Granularity = Literal["perfect", "verbatim", "approximate", "entity", "content"]
Retrievability = Literal["extractable", "discoverable", "k-discoverable"]
Shape = Literal["lines", "bars", "stacked", "matrix", "flow", "points", "steps"]
Scale = Literal["linear", "log", "nominal", "ordinal"]


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """The classification of a finding in the survey's taxonomy (P2, P6).

    k: prompt lengths in tokens for which it is valid (retrievability "k-discoverable"); content: the kind of content of
    the rows, as far as known; decoding: how text was generated; prompts: where the prompts come from.
    """

    granularity: Granularity = "verbatim"
    retrievability: Retrievability = "k-discoverable"
    k: tuple[int, ...] = ()
    content: str = "any training text"
    decoding: str = "greedy"
    prompts: str = "prefixes of the training rows"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of numbers. columns: name -> meaning and unit, for every column of `frame`, in the same order.

    recipe: Python that recomputes the table's numbers from the study, in at most three lines of polars; it may use
    `pl`, `recount` and `study` (an open study) and assigns a frame with every numeric column to the name `answer`. This
    frame may have more columns and records, and may lack records that count nothing. None for a table without numbers.
    """

    name: str
    title: str
    frame: "pl.DataFrame"
    columns: Mapping[str, str]
    recipe: str | None = None

    def __post_init__(self) -> None:
        if list(self.columns) != self.frame.columns:
            raise ValueError(f"table {self.name}: columns {list(self.columns)} explain {self.frame.columns}")

    def _repr_html_(self) -> str:
        table = html_table(self.frame.columns, self.frame.head(_SHOWN).iter_rows(), list(self.columns.values()))
        left = self.frame.height - _SHOWN
        more = f"<small>and {left:,} more records: .frame</small>" if left > 0 else ""
        return f"<div><b>{html_text(self.title)}</b>{table}{more}</div>"


@dataclass(frozen=True, slots=True)
class Axis:
    """A column of the chart's table and how it is drawn.

    share: the numbers are shares, shown in percent; zero: whether a vertical linear axis always includes 0; bounds: the
    least and the greatest possible value (None: no bound), at which drawn intervals end.
    """

    column: str
    title: str
    scale: Scale = "linear"
    share: bool = False
    zero: bool = True
    bounds: tuple[float | None, float | None] = (None, None)


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart as data: the columns of the finding's table `table` and their roles in the chart.

    lines, steps, points: `y` against `x`, one line per value of `color`, a band from `lower` to `upper`;
    bars: one bar per value of `x`, whiskers from `lower` to `upper`; stacked: bars whose parts are named by `color`;
    matrix: one cell per pair (x, y), shaded and labelled by `color`; flow: `x` is the step (models in order), `y`
    the number of rows, `color` the level at this step, `target` the level at the next (an alluvial diagram).
    facet: a column with one panel per value; dash: a column distinguished by line style or mark (training rows,
    control); where: only the table's records with these values; reference: a horizontal line for "no effect", with its
    name; diagonal: the name of the line on which y equals x, for axes of the same quantity; count: the column with the
    number of rows behind each value ("of" or "rows" by default, if the table has them); events: values of x at which
    something happened, such as showings, marked by vertical lines (lines, steps).
    """

    name: str
    title: str
    shape: Shape
    table: str
    x: Axis
    y: Axis
    color: Axis | None = None
    lower: str | None = None
    upper: str | None = None
    facet: str | None = None
    dash: str | None = None
    target: str | None = None
    reference: tuple[float, str] | None = None
    where: Mapping[str, str | int] = field(default_factory=dict)
    diagonal: str | None = None
    count: str | None = None
    events: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Trend:
    """The verdict on a published trend in this study; `trend` is a name in `mematlas.literature.published.TRENDS`.

    test: what was compared, with the numbers; for a trend that was not tested the verdict is "cannot tell", and `test`
    gives the reason.
    """

    trend: str
    verdict: Literal["shows", "contradicts", "cannot tell"]
    test: str


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one analysis.

    claim: one sentence with the main numbers; headline: what was found, in at most 12 words; sentence: the numbers in
    at most 25 words (both "" in studies of older versions); missing: None, or what the study lacks and how to add it,
    and then the claim states what cannot be answered; strength: effect / its standard error, by which the summary
    selects (None: never selected); control: what the numbers are compared with, None if the study has no control;
    source: paper and section; deviations: differences from the paper; rows: ids of example rows, each with the reason.
    """

    name: str
    title: str
    claim: str
    source: str
    taxonomy: Taxonomy
    missing: str | None = None
    strength: float | None = None
    control: str | None = None
    tables: tuple[Table, ...] = ()
    charts: tuple[Chart, ...] = ()
    trends: tuple[Trend, ...] = ()
    caveats: tuple[str, ...] = ()
    deviations: tuple[str, ...] = ()
    rows: Mapping[int, str] = field(default_factory=dict)
    headline: str = ""
    sentence: str = ""

    def table(self, name: str) -> "pl.DataFrame":
        """The numbers of the table called `name`."""
        return next(table.frame for table in self.tables if table.name == name)

    @property
    def in_short(self) -> str:
        """Headline and sentence; of a finding of an older version, which has none, the claim."""
        return f"{self.headline}. {self.sentence}" if self.headline else self.claim

    def _repr_html_(self) -> str:
        """The claim, the first figure (where the libraries of the report are installed), and the rest folded."""
        parts = [f"<b>{html_text(self.title)}</b><p>{html_text(self.headline or self.claim)}</p>"]
        parts += [f"<p>{html_text(text)}</p>" for text in (self.sentence, self.missing) if text]
        parts += [_first_figure(self)]
        parts += [_folded(table.title, table._repr_html_()) for table in self.tables]
        remarks = [text for text in (self.claim, self.control, *self.caveats, *self.deviations) if text]
        listed = "".join(f"<li>{html_text(text)}</li>" for text in remarks)
        return f"<div>{''.join(parts)}{_folded('In full, with control and caveats', f'<ul>{listed}</ul>')}</div>"


def _folded(title: str, html: str) -> str:
    return f"<details><summary>{html_text(title)}</summary>{html}</details>"


def _first_figure(finding: Finding) -> str:
    """An image of the finding's first chart; empty where there is none, or nothing that draws it."""
    try:
        build_figures = import_target(_FIGURES)
    except ImportError:  # altair or vl-convert
        return ""
    figure = next(iter(build_figures([finding])), None)
    if figure is None or not figure.image:
        return ""
    white = "background:white;max-width:100%"  # its text is dark, whatever the notebook's theme
    return f'<img style="{white}" alt="{html_text(figure.alt_text)}" src="{figure.image}">'


def write_finding(folder: Path, finding: Finding) -> None:
    """Write a finding to `folder`: its tables, then finding.json.

    Raises:
        StudyError: the disk is full, or the folder cannot be written.
    """
    make_folder(folder)
    for table in finding.tables:
        write_atomically(folder / f"{table.name}.parquet", table.frame.write_parquet)
    document = {**_fields_to_json(finding), "tables": [_table_to_json(table) for table in finding.tables]}
    write_json(folder / "finding.json", document)


def _fields_to_json(finding: Finding) -> dict[str, Any]:
    """All fields except the tables."""
    names = [name for name in Finding.__slots__ if name != "tables"]
    return {name: _to_json(getattr(finding, name)) for name in names}


def _to_json(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_to_json(item) for item in value]
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value


def _table_to_json(table: Table) -> dict[str, Any]:
    """A table without its frame."""
    return {"name": table.name, "title": table.title, "columns": dict(table.columns), "recipe": table.recipe}


def read_finding(folder: Path) -> Finding:
    """Read the finding stored in `folder`.

    Raises:
        StudyError: the finding is damaged.
    """
    import polars as pl

    path = folder / "finding.json"
    try:
        document = json.loads(read_bytes(path))
        descriptions = document.pop("tables")
        files = fetch_all([folder / f"{table['name']}.parquet" for table in descriptions])
        tables = tuple(
            Table(frame=pl.read_parquet(file), **table) for file, table in zip(files, descriptions, strict=True)
        )
        return Finding(
            **document
            | {
                "tables": tables,
                "taxonomy": Taxonomy(**document["taxonomy"] | {"k": tuple(document["taxonomy"]["k"])}),
                "charts": tuple(_chart_from_json(chart) for chart in document["charts"]),
                "trends": tuple(Trend(**trend) for trend in document["trends"]),
                "rows": {int(row): reason for row, reason in document["rows"].items()},
                **{name: tuple(document[name]) for name in ("caveats", "deviations")},
            }
        )
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
        raise StudyError(f"{path} is damaged ({error}); {_writing_again(folder.parent)}.") from None


def _chart_from_json(values: dict[str, Any]) -> Chart:
    axes = {name: _axis_from_json(values[name]) if values[name] else None for name in ("x", "y", "color")}
    reference = tuple(values["reference"]) if values["reference"] else None
    return Chart(**values | axes | {"reference": reference, "events": tuple(values.get("events", ()))})


def _axis_from_json(values: dict[str, Any]) -> Axis:
    lower, upper = values.get("bounds", (None, None))
    return Axis(**values | {"bounds": (lower, upper)})


def findings_folder(study: Path, run_key: str) -> Path:
    """The folder of a run's findings: one folder per finding, and index.json with their order."""
    return study / "findings" / run_key


def read_findings(study: Path, run_key: str) -> list[Finding]:
    """Read the findings of a run in the order of index.json (a list of names), or sorted by name without that file.

    Raises:
        StudyError: a finding or the index is damaged.
    """
    folder = findings_folder(study, run_key)
    index = folder / "index.json"
    if not index.is_file():
        return [read_finding(path.parent) for path in sorted(folder.glob("*/finding.json"))]
    try:
        names = json.loads(read_bytes(index))
        return [read_finding(folder / str(name)) for name in names]
    except (OSError, ValueError, TypeError) as error:
        raise StudyError(f"{index} is damaged ({error}); {_writing_again(folder)}.") from None


def _writing_again(folder: Path) -> str:
    """The remedy for a damaged finding in STUDY/findings/<run>."""
    return f"`{command_line('analyze', folder.parents[1])}` writes it again"
