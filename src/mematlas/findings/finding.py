"""What an analysis says: a claim with its numbers, intervals, control, charts as data, and caveats. All frozen.

A finding is kept as one JSON file and one Parquet file a table, so that it can be read without mematlas.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mematlas.errors import StudyError
from mematlas.io.local_copies import fetch_all, read_bytes
from mematlas.io.paths import make_folder, write_atomically, write_json

if TYPE_CHECKING:
    import polars as pl

Granularity = Literal["perfect", "verbatim", "approximate", "entity", "content"]
Retrievability = Literal["extractable", "discoverable", "k-discoverable"]
Shape = Literal["lines", "bars", "stacked", "matrix", "flow", "points", "steps"]
Scale = Literal["linear", "log", "nominal", "ordinal"]


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """Where a finding stands in the survey's taxonomy (P2, P6).

    k: prompt lengths in tokens for which it holds (retrievability "k-discoverable"); content: what kind of content the
    rows hold, as far as known; decoding: how the model was asked; prompts: where the prompts come from.
    """

    granularity: Granularity = "verbatim"
    retrievability: Retrievability = "k-discoverable"
    k: tuple[int, ...] = ()
    content: str = "any training text"
    decoding: str = "greedy"
    prompts: str = "prefixes of the training rows"


@dataclass(frozen=True, slots=True)
class Table:
    """Numbers. columns: name -> meaning and unit, for every column of `frame`, in its order.

    recipe: Python that recomputes the table's numbers from the study, in three lines of polars at most; it may use
    `pl`, `recount` and `study` (an open study) and leaves a frame called `answer` with every column that holds
    numbers. It may have more columns and lines; lines that count nothing may lack. None where there is no number.
    """

    name: str
    title: str
    frame: "pl.DataFrame"
    columns: Mapping[str, str]
    recipe: str | None = None

    def __post_init__(self) -> None:
        if list(self.columns) != self.frame.columns:
            raise ValueError(f"table {self.name}: columns {list(self.columns)} explain {self.frame.columns}")


@dataclass(frozen=True, slots=True)
class Axis:
    """A column of the chart's table and how it is drawn; share: the numbers are shares, shown in percent; zero: whether
    an upright linear axis reaches down to 0 though no number does."""

    column: str
    title: str
    scale: Scale = "linear"
    share: bool = False
    zero: bool = True


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture as data: which columns of the finding's table `table` stand where.

    lines, steps, points: `y` against `x`, one line a value of `color`, a band from `lower` to `upper`;
    bars: one bar a value of `x`, whiskers from `lower` to `upper`; stacked: bars of parts named by `color` that sum up;
    matrix: a cell a pair (x, y) shaded by `color` and labelled with it; flow: `x` is the step (models in order), `y`
    the number of rows, `color` the level at this step, `target` the level at the next (an alluvial view).
    facet: a column whose values get a panel each; dash: a column told apart by line or mark (training rows, control);
    where: only the table's lines with these values; reference: a horizontal line that means "nothing", with its name.
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


@dataclass(frozen=True, slots=True)
class Trend:
    """How a published trend fares in this study; `trend` is a name of `mematlas.literature.published.TRENDS`.

    test: what was compared, with the numbers; a trend that was not put to a test "cannot tell", and `test` says why.
    """

    trend: str
    verdict: Literal["shows", "contradicts", "cannot tell"]
    test: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One analysis' answer.

    claim: one sentence made from the numbers; missing: None, or what the study lacks and how to add it, in which case
    the claim says what cannot be said; strength: effect / its standard error, by which the summary picks (None: not
    picked); control: what the numbers stand beside, None if the study has none; source: paper and section;
    deviations: what we do otherwise than the paper; rows: row ids worth looking at, with a word why.
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

    def table(self, name: str) -> "pl.DataFrame":
        """The numbers of the table called `name`."""
        return next(table.frame for table in self.tables if table.name == name)


def write_finding(folder: Path, finding: Finding) -> None:
    """Keep a finding in `folder`: its tables, then finding.json.

    Raises:
        StudyError: no room, or the folder cannot be written.
    """
    make_folder(folder)
    for table in finding.tables:
        write_atomically(folder / f"{table.name}.parquet", table.frame.write_parquet)
    kept = {**_plain(finding), "tables": [_described(table) for table in finding.tables]}
    write_json(folder / "finding.json", kept)


def _plain(finding: Finding) -> dict[str, Any]:
    names = [name for name in Finding.__slots__ if name != "tables"]
    return {name: _value(getattr(finding, name)) for name in names}


def _value(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_value(item) for item in value]
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value


def _described(table: Table) -> dict[str, Any]:
    return {"name": table.name, "title": table.title, "columns": dict(table.columns), "recipe": table.recipe}


def read_finding(folder: Path) -> Finding:
    """The finding kept in `folder`.

    Raises:
        StudyError: it is damaged.
    """
    import polars as pl

    path = folder / "finding.json"
    try:
        kept = json.loads(read_bytes(path))
        described = kept.pop("tables")
        files = fetch_all([folder / f"{table['name']}.parquet" for table in described])
        tables = tuple(
            Table(frame=pl.read_parquet(file), **table) for file, table in zip(files, described, strict=True)
        )
        return Finding(
            **kept
            | {
                "tables": tables,
                "taxonomy": Taxonomy(**kept["taxonomy"] | {"k": tuple(kept["taxonomy"]["k"])}),
                "charts": tuple(_chart(chart) for chart in kept["charts"]),
                "trends": tuple(Trend(**trend) for trend in kept["trends"]),
                "rows": {int(row): why for row, why in kept["rows"].items()},
                **{name: tuple(kept[name]) for name in ("caveats", "deviations")},
            }
        )
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
        raise StudyError(f"{path} is damaged ({error}); `mematlas analyze` writes it again.") from None


def _chart(kept: dict[str, Any]) -> Chart:
    axes = {name: Axis(**kept[name]) if kept[name] else None for name in ("x", "y", "color")}
    reference = tuple(kept["reference"]) if kept["reference"] else None
    return Chart(**kept | axes | {"reference": reference})


def findings_folder(study: Path, run_key: str) -> Path:
    """Where the findings of a run are kept, a folder each, beside the index.json that gives their order."""
    return study / "findings" / run_key


def read_findings(study: Path, run_key: str) -> list[Finding]:
    """The findings of a run in the order of index.json (a list of names), by name where there is none; [] if none.

    Raises:
        StudyError: one of them, or the index, is damaged.
    """
    folder = findings_folder(study, run_key)
    index = folder / "index.json"
    if not index.is_file():
        return [read_finding(path.parent) for path in sorted(folder.glob("*/finding.json"))]
    try:
        names = json.loads(read_bytes(index))
        return [read_finding(folder / str(name)) for name in names]
    except (OSError, ValueError, TypeError) as error:
        raise StudyError(f"{index} is damaged ({error}); `mematlas analyze` writes it again.") from None
