"""What the server answers: address -> function. Requests only read, and name typed fields, never an expression."""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

from mematlas.errors import OptionError
from mematlas.explorer import overview, row, table
from mematlas.explorer.export import FILES, export_rows, read_format
from mematlas.explorer.fields import fields_of
from mematlas.explorer.filters import DEFAULT_LIMIT, MAX_LIMIT, Parameters, Query, number, read_query, read_view
from mematlas.explorer.lines import Lines
from mematlas.explorer.search import Found, Searches
from mematlas.explorer.selection import Selections
from mematlas.explorer.texts import Texts
from mematlas.study import Study

PAGE: Final = Path(__file__).parent / "page"
#: Ending of a file of the page -> its type; no other file is served.
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_JSON: Final = "application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a request. body: its content, or the file on this machine that has it, which is then deleted."""

    status: int
    type: str
    body: bytes | Path
    headers: Mapping[str, str] = field(default_factory=dict)


def as_json(status: int, content: object) -> Answer:
    return Answer(
        status, _JSON, json.dumps(_finite(content), ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    )


def refuse(status: int, error: str) -> Answer:
    return as_json(status, {"error": error})


def _finite(value: Any) -> Any:
    """`value` with null in place of numbers that JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    return [_finite(part) for part in value] if isinstance(value, list | tuple) else value


class Explorer:
    """Answers the requests about one study; threads may share it.

    Raises:
        StudyError: the study has no such run, or none of its shards is finished.
    """

    def __init__(self, study: Study, run: str | None = None) -> None:
        self.lines = Lines(study, run)
        self.texts = Texts(self.lines)
        self.fields = fields_of(self.lines)
        self.searches = Searches(self.texts, Selections(self.lines))
        self._routes: dict[str, Callable[[Parameters], Answer]] = {
            "/api/study": self._study,
            "/api/rows": self._rows,
            "/api/strip": self._strip,
            "/api/row": self._row,
            "/api/export": self._export,
        }

    def answer(self, path: str, query: str) -> Answer:
        """The answer to GET path?query."""
        if path == "/":
            return page_file("index.html")
        if path.startswith("/static/"):
            return page_file(path.removeprefix("/static/"))
        if path not in self._routes:
            return refuse(404, f"There is nothing at {path}; the page is at /.")
        try:
            parameters = parse_qs(
                query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=500, errors="strict"
            )
            return self._routes[path](parameters)
        except OptionError as error:
            return refuse(400, str(error))
        except ValueError as error:
            return refuse(400, f"The address cannot be read ({error}); write NAME=VALUE&NAME=VALUE in UTF-8.")

    def _study(self, parameters: Parameters) -> Answer:
        _only(parameters)
        return as_json(200, overview.describe_study(self.lines, self.texts, self.fields))

    def _rows(self, parameters: Parameters) -> Answer:
        started = time.perf_counter()
        query = read_query(parameters, self.lines, self.fields)
        offset, limit = number(parameters, "offset", 0) or 0, number(parameters, "limit", 1, MAX_LIMIT) or DEFAULT_LIMIT
        found = self.searches.find(query, offset + limit)
        rows = table.page(self.lines, self.texts, query.view, found.positions[offset : offset + limit])
        seconds = round(time.perf_counter() - started, 4)
        answer = {"total": len(found.positions), "rows": rows, "searched": _searched(query, found), "seconds": seconds}
        return as_json(200, answer)

    def _strip(self, parameters: Parameters) -> Answer:
        query = read_query(parameters, self.lines, self.fields)
        found = self.searches.find(query, DEFAULT_LIMIT)
        bins = table.strip(self.lines, query.view, found.positions)
        by = "matches" if self.lines.is_graded else "level"
        answer = {"bins": bins, "by": by, "continuation": query.view.continuation, "searched": _searched(query, found)}
        return as_json(200, answer)

    def _export(self, parameters: Parameters) -> Answer:
        format = read_format(parameters)
        query = read_query(parameters, self.lines, self.fields)
        found = self.searches.find(query, None, None)
        name, kind = FILES[format]
        path = export_rows(self.lines, query.view, found.positions, format)
        return Answer(200, kind, path, {"Content-Disposition": f'attachment; filename="{name}"'})

    def _row(self, parameters: Parameters) -> Answer:
        _only(parameters, "row", "model", "context", "continuation", "compare")
        wanted = number(parameters, "row")
        if wanted is None:
            raise OptionError("row is missing; give the id of a row, as in row=12.")
        described = row.describe_row(self.lines, self.texts, wanted, read_view(parameters, self.lines))
        if described is None:
            return refuse(404, f"The study has no row {wanted}; /api/rows lists those it has.")
        return as_json(200, described)


def _searched(query: Query, found: Found) -> dict[str, object] | None:
    """How far the search for a text came; None if there was none."""
    return {"complete": found.complete, "rows": found.searched} if query.search else None


def _only(parameters: Parameters, *names: str) -> None:
    for name in parameters:
        if name not in names:
            raise OptionError(f"There is no parameter {name[:100]!r} here; leave it out.")


def page_file(name: str) -> Answer:
    """A file of the page; only those that are there, by their names, so that no address leads out of the folder."""
    files = {path.name: path for path in PAGE.iterdir() if path.suffix in _TYPES}
    if name not in files:
        return refuse(404, "The page has no such file.")
    return Answer(200, _TYPES[files[name].suffix], files[name].read_bytes())
