"""A recipe recomputes its table: a few readable lines that reach the same numbers without the analysis."""

import re
from collections.abc import Mapping

import polars as pl

from mematlas.analyses import recount
from mematlas.findings.finding import Finding, Table
from mematlas.study import Study

#: what tells a table's lines apart, though it is a number
PLACES = ("bucket", "context", "continuation", "longer_context", "parameters", "shortest", "step", "tokens")
#: (analysis, table) -> columns of numbers that no recipe recomputes where only recited rows were published, and why
UNRECOMPUTED: Mapping[tuple[str, str], tuple[tuple[str, ...], str]] = {
    ("transitions", "transitions"): (
        ("level_rows", "share", "share_lower", "share_upper"),
        "unknown of rows with M < 1; of rows with M = 1 they are those of the table kept, which are recomputed",
    ),
}


def numbers(table: Table) -> list[str]:
    """Columns that hold a number."""
    return [column.name for column in table.frame if column.dtype.is_numeric() and column.is_not_null().any()]


def recomputed(table: Table, study: Study) -> pl.DataFrame:
    """What the table's recipe leaves, made as the report says: with pl, recount and the open study."""
    names: dict[str, object] = {"pl": pl, "recount": recount, "study": study}
    exec(str(table.recipe), names)
    answer = names["answer"]
    assert isinstance(answer, pl.DataFrame)
    return answer


def check_written(table: Table) -> None:
    """A recipe has three readable lines at most, and does not call the analysis that it is to check."""
    assert table.recipe, f"{table.name} has no recipe"
    written = table.recipe.splitlines()
    assert len(written) <= 3, f"{table.name}: {len(written)} lines"
    assert max(map(len, written)) <= 120, f"{table.name}: {max(map(len, written))} characters"
    assert not re.search(r"analy|findings|;", table.recipe), f"{table.name}: no recomputation"


def check_recipe(table: Table, study: Study, unrecomputed: tuple[str, ...] = ()) -> None:
    """Every number of the table is in the answer: the line with the same places, counts and texts, floats to 1e-9.

    The answer may have more columns and lines. Lines may lack in it whose numbers are all 0 or null.
    """
    check_written(table)
    answer, wanted = recomputed(table, study), [name for name in numbers(table) if name not in unrecomputed]
    assert set(wanted) <= set(answer.columns), f"{table.name}: no {set(wanted) - set(answer.columns)}"
    said = table.frame.select(name for name in table.columns if name in answer.columns and name not in unrecomputed)
    counted = [pl.col(name).fill_null(0) != 0 for name in wanted if name not in PLACES]
    said, answer = said.filter(pl.any_horizontal(counted)), answer.select(said.columns).cast(dict(said.schema))
    keys = [name for name, dtype in said.schema.items() if not dtype.is_float()]
    floats = [name for name in said.columns if name not in keys]
    if not floats:
        again = pl.int_range(pl.len()).over(keys).alias("again")
        said, answer, keys = said.with_columns(again), answer.with_columns(again), [*keys, "again"]
    found = said.with_row_index("line").join(answer, on=keys, how="inner", nulls_equal=True)
    agreeing = found.filter(pl.lit(True), *(close(name) for name in floats))["line"].n_unique()
    assert agreeing == said.height, f"{table.name}: {agreeing} of {said.height} lines agree"


def close(name: str) -> pl.Expr:
    one, other = pl.col(name), pl.col(f"{name}_right")
    return ((one - other).abs() < 1e-9).fill_null(one.is_null() & other.is_null())


def check_recipes(finding: Finding, study: Study, complete: bool) -> None:
    """Those of all tables with a number; a finding without tables says what is missing."""
    for table in filter(numbers, finding.tables):
        left_out = () if complete else UNRECOMPUTED.get((finding.name, table.name), ((), ""))[0]
        check_recipe(table, study, left_out)
    assert finding.tables or finding.missing
