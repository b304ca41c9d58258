"""The contract of findings: checks of one finding; each raises AssertionError."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from polars.testing import assert_frame_equal

from mematlas.analyses import ANALYSES
from mematlas.findings.finding import Chart, Finding, read_finding, write_finding
from mematlas.literature.published import TRENDS

FORBIDDEN_IN_CLAIMS = re.compile(r"\bnan\b|\binf\b|\bnull\b|\bNone\b(?! of)|\bLiteral\b|\{|\}", re.IGNORECASE)
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9])")
FORBIDDEN_IN_TEXTS = re.compile(r"\bnan\b|\binf\b|\bnone\b(?! of)", re.IGNORECASE)


def texts(finding: Finding) -> Iterator[str]:
    yield from (finding.title, finding.claim, finding.source, finding.missing or "", finding.control or "")
    yield from (*finding.caveats, *finding.deviations, *finding.rows.values())
    yield from (trend.test for trend in finding.trends)


def charted_records(finding: Finding, chart: Chart) -> pl.DataFrame:
    """The records of its table that a chart shows."""
    return finding.table(chart.table).filter(*(pl.col(name) == value for name, value in chart.where.items()))


# ------------------------------------------------------------------------------------------------------- the texts


def check_the_claim_is_a_sentence_and_no_text_contains_a_null_value(finding: Finding) -> None:
    assert isinstance(finding, Finding)
    assert finding.claim.endswith(".")
    assert finding.claim[0].isupper() or finding.claim[0].isdigit()
    assert not FORBIDDEN_IN_CLAIMS.search(finding.claim), finding.claim
    for text in texts(finding):
        assert not FORBIDDEN_IN_TEXTS.search(text), text
    for text in (*finding.caveats, *finding.deviations, *filter(None, [finding.missing, finding.control])):
        assert text.endswith("."), text


def check_the_headline_and_the_sentence_are_short(finding: Finding) -> None:
    headline, sentence = finding.headline, finding.sentence
    assert 0 < len(headline.split()) <= 12, headline
    assert headline[-1] not in ".!?:;,", headline
    assert sentence.endswith("."), sentence
    assert not SENTENCE_END.search(headline), headline
    assert_short(sentence)
    for text in (headline, sentence):
        assert text == text.strip()
        assert not FORBIDDEN_IN_CLAIMS.search(text), text
        assert not re.search(r"\b1 (rows|texts|models|tokens|documents)\b|  |\b\d\d+ (row|text|model)\b", text), text


def check_what_stands_unfolded_is_short(finding: Finding) -> None:
    """Titles, the control and the tests of trends stand on the page beside the headline and the sentence."""
    titles = [finding.title, *(table.title for table in finding.tables), *(chart.title for chart in finding.charts)]
    for text in (*titles, finding.control or "", *(trend.test for trend in finding.trends)):
        assert_short(text)


def assert_short(text: str) -> None:
    """Check that no sentence has more than 25 words, counted as what spaces separate."""
    for sentence in SENTENCE_END.split(text):
        assert len(sentence.split()) <= 25, f"{len(sentence.split())} words: {sentence}"


def check_there_are_numbers_or_a_reason_why_they_are_missing(finding: Finding) -> None:
    if finding.missing is not None:
        assert re.search(r"`(mematlas |--)", finding.missing), f"names nothing to run: {finding.missing}"
        assert (finding.tables, finding.charts, finding.strength) == ((), (), None)
        assert all(trend.verdict == "cannot tell" for trend in finding.trends)
    else:
        assert finding.tables
        assert any(table.frame.height for table in finding.tables)


def check_trends_are_those_declared_each_once(finding: Finding) -> None:
    assert sorted(trend.trend for trend in finding.trends) == sorted(ANALYSES.load(finding.name).trends)
    for trend in finding.trends:
        assert TRENDS[trend.trend].analysis == finding.name
        assert trend.verdict in ("shows", "contradicts", "cannot tell")
        assert trend.test


# --------------------------------------------------------------------------------------------------------- the numbers


def check_what_was_not_measured_is_null(finding: Finding) -> None:
    assert finding.strength is None or np.isfinite(finding.strength)
    for table in finding.tables:
        for column in table.frame.get_columns():
            if column.dtype.is_float():
                assert column.drop_nulls().is_finite().all(), f"{table.name}.{column.name}"


def check_bounds(frame: pl.DataFrame, names: tuple[str | None, ...], where: str) -> None:
    """Check lower <= estimate <= upper where all are known; an interval has both bounds or none."""
    lower, estimate, upper = (frame[name].cast(pl.Float64) for name in names)
    assert ((lower <= estimate + 1e-9) & (estimate <= upper + 1e-9)).drop_nulls().all(), where
    assert (lower.is_null() == upper.is_null()).all(), where
    assert (estimate.is_not_null() | lower.is_null()).all(), f"{where}: an interval of nothing"


def check_intervals_contain_their_estimate(finding: Finding) -> None:
    for table in finding.tables:
        for column in table.frame.columns:
            lower, upper = f"{column}_lower", f"{column}_upper"
            if {lower, upper} <= set(table.frame.columns):
                check_bounds(table.frame, (lower, column, upper), f"{table.name}.{column}")


def check_names_of_tables_and_charts_are_unique_and_safe_as_file_names(finding: Finding) -> None:
    for names in ([table.name for table in finding.tables], [chart.name for chart in finding.charts]):
        assert len(set(names)) == len(names)
        assert all(re.fullmatch(r"[a-z0-9_-]+", word) for word in names)
    for table in finding.tables:
        assert all(meaning.strip() for meaning in table.columns.values())


# ---------------------------------------------------------------------------------------------------------- the charts


def check_charts_draw_existing_columns_and_at_least_one_value(finding: Finding) -> None:
    tables = {table.name: table for table in finding.tables}
    for chart in finding.charts:
        columns = tables[chart.table].frame.columns
        axes = [axis.column for axis in (chart.x, chart.y, chart.color) if axis is not None]
        others = [name for name in (chart.lower, chart.upper, chart.facet, chart.dash, chart.target) if name]
        assert {*axes, *others, *chart.where} <= set(columns), chart.name
        records = charted_records(finding, chart)
        assert records[chart.x.column].is_not_null().any(), f"{chart.name} draws nothing"
        assert records[chart.y.column].is_not_null().any(), f"{chart.name} draws nothing"
        assert (chart.lower is None) == (chart.upper is None)
        if chart.lower is not None:
            estimate = chart.color.column if chart.shape == "matrix" and chart.color else chart.y.column
            check_bounds(records, (chart.lower, estimate, chart.upper), chart.name)
        for axis in filter(None, (chart.x, chart.y, chart.color)):
            assert axis.title
            if axis.scale == "log":
                assert (records[axis.column].drop_nulls() > 0).all(), f"{chart.name}: {axis.column} on a log axis"
            if axis.share:
                assert records[axis.column].drop_nulls().is_between(0, 1).all(), f"{chart.name}: {axis.column}"


# ----------------------------------------------------------------------------------------------------------- the record


def check_equal(finding: Finding, other: Finding) -> None:
    """Check that two findings have the same texts and equal tables."""
    assert replace(finding, tables=()) == replace(other, tables=())
    for table, other_table in zip(finding.tables, other.tables, strict=True):
        assert table.name == other_table.name
        assert_frame_equal(table.frame, other_table.frame)


def check_a_finding_is_read_back_as_written(finding: Finding, folder: Path) -> None:
    write_finding(folder, finding)
    copy = read_finding(folder)
    check_equal(finding, copy)
    for table, copied in zip(finding.tables, copy.tables, strict=True):
        assert (table.title, dict(table.columns), table.recipe) == (copied.title, dict(copied.columns), copied.recipe)


#: The checks of every finding, whatever the study contains.
CHECKS: tuple[Callable[[Finding], None], ...] = (
    check_the_claim_is_a_sentence_and_no_text_contains_a_null_value,
    check_the_headline_and_the_sentence_are_short,
    check_what_stands_unfolded_is_short,
    check_there_are_numbers_or_a_reason_why_they_are_missing,
    check_trends_are_those_declared_each_once,
    check_what_was_not_measured_is_null,
    check_intervals_contain_their_estimate,
    check_names_of_tables_and_charts_are_unique_and_safe_as_file_names,
    check_charts_draw_existing_columns_and_at_least_one_value,
)
