"""The contract of the analyses can be broken: planted breaches, wrong numbers and broken recipes are seen."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import polars as pl
import pytest

from mematlas.analyses import ANALYSES
from mematlas.findings.finding import Finding
from tests.analyses import finding_checks as contract
from tests.analyses.awkward_studies import family
from tests.analyses.recipes import check_recipe
from tests.analyses.study_folders import stored


def broken(finding: Finding, **columns: list) -> Finding:
    """The finding with values of its first table replaced."""
    table = finding.tables[0]
    frame = table.frame.with_columns(pl.Series(name, values, strict=False) for name, values in columns.items())
    return replace(finding, tables=(replace(table, frame=frame), *finding.tables[1:]))


BREAKS: Mapping[str, tuple[Callable[..., Finding], Callable[[Finding], None]]] = {
    "a claim with nan": (
        lambda f, n: replace(f, claim="The share is nan."),
        contract.check_the_claim_is_a_sentence_and_no_text_holds_a_programmers_nothing,
    ),
    "tables beside missing": (
        lambda f, n: replace(f, missing="Score more."),
        contract.check_there_are_numbers_or_a_word_on_what_is_missing,
    ),
    "a trend left out": (lambda f, n: replace(f, trends=()), contract.check_trends_are_those_declared_each_once),
    "nan in a table": (
        lambda f, n: broken(f, memorized_share=[float("nan")] * n),
        contract.check_what_was_not_measured_is_null,
    ),
    "an interval beside its estimate": (
        lambda f, n: broken(f, memorized_share_lower=[1.0] * n),
        contract.check_intervals_hold_their_estimate,
    ),
    "half an interval": (
        lambda f, n: broken(f, memorized_share_lower=[None] * n),
        contract.check_intervals_hold_their_estimate,
    ),
    "a chart of no column": (
        lambda f, n: replace(f, charts=(replace(f.charts[0], facet="nothing"),)),
        contract.check_charts_draw_columns_that_are_there_and_something,
    ),
    "zero on a log axis": (
        lambda f, n: broken(f, parameters=[0] * n),
        contract.check_charts_draw_columns_that_are_there_and_something,
    ),
    "a table twice": (
        lambda f, n: replace(f, tables=f.tables * 2),
        contract.check_no_table_has_a_name_twice_or_a_file_name_that_hurts,
    ),
    "an empty chart": (
        lambda f, n: replace(f, charts=(replace(f.charts[0], where={"role": "nobody"}),)),
        contract.check_charts_draw_columns_that_are_there_and_something,
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_planted_breach_is_seen(answered, name):
    breach, check = BREAKS[name]
    good = answered("size", "whole")
    bad = breach(good, good.tables[0].frame.height)
    with pytest.raises(AssertionError):
        check(bad)


def test_a_planted_wrong_number_is_seen_by_its_recipe(answered, folder_of):
    good = answered("size", "whole")
    study = folder_of("whole")
    check_recipe(good.tables[0], study)
    wrong = broken(good, memorized=[hits + 1 for hits in good.tables[0].frame["memorized"]])
    with pytest.raises(AssertionError, match="0 of 48 lines agree"):
        check_recipe(wrong.tables[0], study)
    apart = broken(good, memorized_share_upper=(good.tables[0].frame["memorized_share_upper"] + 1e-8).to_list())
    with pytest.raises(AssertionError, match="0 of 48 lines agree"):
        check_recipe(apart.tables[0], study)


ROT: Mapping[str, tuple[str | None, str]] = {
    "none": (None, "no recipe"),
    "a fourth line": ("\n\n\nanswer = 1", "4 lines"),
    "a long line": (f"answer = {'1 + ' * 40}1", "characters"),
    "a call of the analysis": ("answer = mematlas.analyze(study)[0].table('shares')", "no recomputation"),
    "a column left out": ("answer = recount.lines(study).select('rows')", "rows"),
}


@pytest.mark.parametrize("name", ROT)
def test_a_planted_broken_recipe_is_seen(answered, folder_of, name):
    recipe, why = ROT[name]
    good = answered("size", "whole").tables[0]
    with pytest.raises((AssertionError, pl.exceptions.ColumnNotFoundError), match=why):
        check_recipe(replace(good, recipe=recipe), folder_of("whole"))


@pytest.fixture(scope="module")
def another(tmp_path_factory):
    """A study of other rows, recited less."""
    other = family(count=160, most=0.3, repetitions=[1 + row % 3 for row in range(160)])
    return stored(other, tmp_path_factory.mktemp("another"))


@pytest.mark.parametrize("name", list(ANALYSES))
def test_every_recipe_notices_wrong_data(answered, another, name):
    """Recipes read the study: of another one they compute other numbers."""
    for table in answered(name, "whole").tables:
        if table.name != "published":
            with pytest.raises(AssertionError, match="lines agree"):
                check_recipe(table, another)
