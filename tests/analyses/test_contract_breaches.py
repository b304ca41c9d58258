"""The contract's checks can fail: they detect planted breaches, wrong numbers and broken recipes."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import polars as pl
import pytest

from mematlas.analyses import ANALYSES
from mematlas.findings.finding import Finding
from tests.analyses import finding_checks
from tests.analyses.awkward_studies import family
from tests.analyses.recipes import check_recipe
from tests.analyses.study_folders import write_study


def with_values(finding: Finding, **columns: list) -> Finding:
    """The finding with columns of its first table replaced."""
    table = finding.tables[0]
    frame = table.frame.with_columns(pl.Series(name, values, strict=False) for name, values in columns.items())
    return replace(finding, tables=(replace(table, frame=frame), *finding.tables[1:]))


BREACHES: Mapping[str, tuple[Callable[..., Finding], Callable[[Finding], None]]] = {
    "a claim with nan": (
        lambda f, n: replace(f, claim="The share is nan."),
        finding_checks.check_the_claim_is_a_sentence_and_no_text_contains_a_null_value,
    ),
    "no headline": (
        lambda f, n: replace(f, headline=""),
        finding_checks.check_the_headline_and_the_sentence_are_short,
    ),
    "a headline of 13 words": (
        lambda f, n: replace(f, headline="Bigger models recite more rows of this corpus than smaller ones do here"),
        finding_checks.check_the_headline_and_the_sentence_are_short,
    ),
    "a headline that ends as a sentence": (
        lambda f, n: replace(f, headline="Bigger models recite more rows."),
        finding_checks.check_the_headline_and_the_sentence_are_short,
    ),
    "a long sentence": (
        lambda f, n: replace(f, sentence=f"{'word ' * 26}end."),
        finding_checks.check_the_headline_and_the_sentence_are_short,
    ),
    "a sentence with none": (
        lambda f, n: replace(f, sentence="s1 recites None of 3 rows, s4 nan."),
        finding_checks.check_the_headline_and_the_sentence_are_short,
    ),
    "one rows": (
        lambda f, n: replace(f, sentence="s1 recites 1 rows."),
        finding_checks.check_the_headline_and_the_sentence_are_short,
    ),
    "a long title": (
        lambda f, n: replace(f, title="word " * 26),
        finding_checks.check_what_stands_unfolded_is_short,
    ),
    "tables beside missing": (
        lambda f, n: replace(f, missing="Score more."),
        finding_checks.check_there_are_numbers_or_a_reason_why_they_are_missing,
    ),
    "a trend left out": (lambda f, n: replace(f, trends=()), finding_checks.check_trends_are_those_declared_each_once),
    "nan in a table": (
        lambda f, n: with_values(f, memorized_share=[float("nan")] * n),
        finding_checks.check_what_was_not_measured_is_null,
    ),
    "an interval beside its estimate": (
        lambda f, n: with_values(f, memorized_share_lower=[1.0] * n),
        finding_checks.check_intervals_contain_their_estimate,
    ),
    "half an interval": (
        lambda f, n: with_values(f, memorized_share_lower=[None] * n),
        finding_checks.check_intervals_contain_their_estimate,
    ),
    "a chart of no column": (
        lambda f, n: replace(f, charts=(replace(f.charts[0], facet="nothing"),)),
        finding_checks.check_charts_draw_existing_columns_and_at_least_one_value,
    ),
    "zero on a log axis": (
        lambda f, n: with_values(f, parameters=[0] * n),
        finding_checks.check_charts_draw_existing_columns_and_at_least_one_value,
    ),
    "a table twice": (
        lambda f, n: replace(f, tables=f.tables * 2),
        finding_checks.check_names_of_tables_and_charts_are_unique_and_safe_as_file_names,
    ),
    "an empty chart": (
        lambda f, n: replace(f, charts=(replace(f.charts[0], where={"role": "nobody"}),)),
        finding_checks.check_charts_draw_existing_columns_and_at_least_one_value,
    ),
}


@pytest.mark.parametrize("name", BREACHES)
def test_a_planted_breach_is_seen(finding_of, name):
    breach, check = BREACHES[name]
    good = finding_of("size", "whole")
    bad = breach(good, good.tables[0].frame.height)
    with pytest.raises(AssertionError):
        check(bad)


def test_a_planted_wrong_number_is_seen_by_its_recipe(finding_of, study_of):
    good = finding_of("size", "whole")
    study = study_of("whole")
    check_recipe(good.tables[0], study)
    wrong = with_values(good, memorized=[hits + 1 for hits in good.tables[0].frame["memorized"]])
    with pytest.raises(AssertionError, match="0 of 48 lines agree"):
        check_recipe(wrong.tables[0], study)
    wrong_bound = with_values(
        good, memorized_share_upper=(good.tables[0].frame["memorized_share_upper"] + 1e-8).to_list()
    )
    with pytest.raises(AssertionError, match="0 of 48 lines agree"):
        check_recipe(wrong_bound.tables[0], study)


BROKEN_RECIPES: Mapping[str, tuple[str | None, str]] = {
    "none": (None, "no recipe"),
    "a fourth line": ("\n\n\nanswer = 1", "4 lines"),
    "a long line": (f"answer = {'1 + ' * 40}1", "characters"),
    "a call of the analysis": ("answer = mematlas.analyze(study)[0].table('shares')", "no recomputation"),
    "a column left out": ("answer = recount.lines(study).select('rows')", "rows"),
}


@pytest.mark.parametrize("name", BROKEN_RECIPES)
def test_a_planted_broken_recipe_is_seen(finding_of, study_of, name):
    recipe, message = BROKEN_RECIPES[name]
    good = finding_of("size", "whole").tables[0]
    with pytest.raises((AssertionError, pl.exceptions.ColumnNotFoundError), match=message):
        check_recipe(replace(good, recipe=recipe), study_of("whole"))


@pytest.fixture(scope="module")
def other_study(tmp_path_factory):
    """A study of other rows, of which fewer are recited."""
    tables = family(count=160, max_share=0.3, repetitions=[1 + row % 3 for row in range(160)])
    return write_study(tables, tmp_path_factory.mktemp("another"))


@pytest.mark.parametrize("name", list(ANALYSES))
def test_every_recipe_notices_wrong_data(finding_of, other_study, name):
    """Recipes read the study: of another one they compute other numbers."""
    for table in finding_of(name, "whole").tables:
        if table.name != "published":
            with pytest.raises(AssertionError, match="lines agree"):
                check_recipe(table, other_study)
