"""Checks that a recipe recomputes its table: a few readable lines give the same numbers without the analysis."""

import re
from collections.abc import Mapping

import polars as pl

from mematlas.analyses import recount
from mematlas.findings.finding import Finding, Table
from mematlas.study import Study

#: numeric columns that identify the records of a table
KEY_COLUMNS = ("bucket", "context", "continuation", "longer_context", "parameters", "shortest", "step", "tokens")
#: (analysis, table) -> numeric columns that no recipe recomputes where only recited rows were published, and the reason
NOT_RECOMPUTED: Mapping[tuple[str, str], tuple[tuple[str, ...], str]] = {
    ("transitions", "transitions"): (
        ("level_rows", "share", "share_lower", "share_upper", "clusters", "design_effect"),
        "unknown of rows with M < 1; of rows with M = 1 they are those of the table kept, which are recomputed",
    ),
}


def numeric_columns(table: Table) -> list[str]:
    """The numeric columns with at least one value."""
    return [column.name for column in table.frame if column.dtype.is_numeric() and column.is_not_null().any()]


def run_recipe(table: Table, study: Study) -> pl.DataFrame:
    """The frame that the table's recipe assigns to `answer`, given pl, recount and the open study."""
    names: dict[str, object] = {"pl": pl, "recount": recount, "study": study}
    exec(str(table.recipe), names)
    answer = names["answer"]
    assert isinstance(answer, pl.DataFrame)
    return answer


def check_style(table: Table) -> None:
    """A recipe has at most three readable lines and does not call the analysis that it is to check."""
    assert table.recipe, f"{table.name} has no recipe"
    lines = table.recipe.splitlines()
    assert len(lines) <= 3, f"{table.name}: {len(lines)} lines"
    assert max(map(len, lines)) <= 120, f"{table.name}: {max(map(len, lines))} characters"
    assert not re.search(r"analy|findings|;", table.recipe), f"{table.name}: no recomputation"


def check_recipe(table: Table, study: Study, not_recomputed: tuple[str, ...] = ()) -> None:
    """Check that the answer has every record of the table: equal keys, counts and texts, and floats equal to 1e-9.

    The answer may have more columns and records, and may lack records whose numbers are all 0 or null.
    """
    check_style(table)
    answer, required = run_recipe(table, study), [name for name in numeric_columns(table) if name not in not_recomputed]
    assert set(required) <= set(answer.columns), f"{table.name}: no {set(required) - set(answer.columns)}"
    expected = table.frame.select(
        name for name in table.columns if name in answer.columns and name not in not_recomputed
    )
    counted = [pl.col(name).fill_null(0) != 0 for name in required if name not in KEY_COLUMNS]
    expected, answer = (
        expected.filter(pl.any_horizontal(counted)),
        answer.select(expected.columns).cast(dict(expected.schema)),
    )
    keys = [name for name, dtype in expected.schema.items() if not dtype.is_float()]
    floats = [name for name in expected.columns if name not in keys]
    if not floats:
        occurrence = pl.int_range(pl.len()).over(keys).alias("again")
        expected, answer, keys = expected.with_columns(occurrence), answer.with_columns(occurrence), [*keys, "again"]
    joined = expected.with_row_index("line").join(answer, on=keys, how="inner", nulls_equal=True)
    agree = joined.filter(pl.lit(True), *(is_close(name) for name in floats))["line"].n_unique()
    assert agree == expected.height, f"{table.name}: {agree} of {expected.height} lines agree"


def is_close(name: str) -> pl.Expr:
    left, right = pl.col(name), pl.col(f"{name}_right")
    return ((left - right).abs() < 1e-9).fill_null(left.is_null() & right.is_null())


def check_recipes(finding: Finding, study: Study, complete: bool) -> None:
    """Check the recipes of all tables with numbers; a finding without tables must state what is missing."""
    for table in filter(numeric_columns, finding.tables):
        left_out = () if complete else NOT_RECOMPUTED.get((finding.name, table.name), ((), ""))[0]
        check_recipe(table, study, left_out)
    assert finding.tables or finding.missing
