"""What the papers report, as data: no number without source and label."""

from dataclasses import fields
from typing import get_args

import pytest

from mematlas.analyses import ANALYSES
from mematlas.literature.published import EVIDENCE, NUMBERS, SLOPES, TABLES, TRENDS, Evidence, papers_named

LABELS = set(get_args(Evidence))


def test_every_label_is_explained():
    assert set(EVIDENCE) == LABELS
    assert "unverified" in EVIDENCE["M"]


@pytest.mark.parametrize("found", [*TRENDS.values(), *TABLES.values(), *NUMBERS.values(), *SLOPES])
def test_nothing_stands_without_source_and_label(found):
    assert found.evidence in LABELS
    assert found.source
    texts = [getattr(found, field.name) for field in fields(found) if isinstance(getattr(found, field.name), str)]
    assert all(text == text.strip() and text for text in texts)


@pytest.mark.parametrize("name", TRENDS)
def test_a_trend_is_a_sentence_of_a_known_analysis(name):
    trend = TRENDS[name]
    assert trend.statement.endswith(".")
    assert trend.analysis in ANALYSES
    assert name in ANALYSES.load(trend.analysis).trends


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_one_value_a_column(name):
    table = TABLES[name]
    assert table.lines
    for line in table.lines:
        assert len(line) == len(table.columns)
        assert all(type(value) is type(first) for value, first in zip(line, table.lines[0], strict=True)), line
    assert len(set(table.lines)) == len(table.lines)
    assert all(meaning for _, meaning in table.columns)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_is_a_share_or_says_its_unit(name):
    number = NUMBERS[name]
    assert number.quantity
    assert number.unit
    assert not number.unit.startswith(("share", "R2")) or 0 <= number.value <= 1


def line(table, **values):
    """The lines of a published table that hold these values."""
    found = TABLES[table]
    names = [name for name, _ in found.columns]
    lines = [dict(zip(names, entry, strict=True)) for entry in found.lines]
    return [entry for entry in lines if values.items() <= entry.items()]


def test_values_as_the_papers_give_them():
    (half,) = line("token-frequency", model="1B", rows="half")
    assert (half["context"], half["continuation"], half["boundary_difference"]) == (1.711, 1.832, 0.270)
    (odd,) = line("predictor-accuracy", continuation=16, model="6.9B")
    assert (odd["token_accuracy"], odd["full_accuracy"]) == (77.4, 8.3)
    (forecast,) = line("forecast-of-12b", model="2.8B")
    assert (forecast["precision"], forecast["recall"]) == (0.909, 0.658)
    (largest,) = line("memorized-rows", training="duped", model="12B", training_step=143_000)
    assert largest["rows"] == 2_382_326
    assert (NUMBERS["context-50"].value, NUMBERS["context-450"].value) == (0.33, 0.65)
    assert NUMBERS["rows-with-score-1/32"].value == pytest.approx(34_340_259 / 146_432_000, abs=5e-5)


def test_what_is_from_memory_says_so():
    assert TABLES["forecast-of-12b"].evidence == "M"
    assert {table.evidence for name, table in TABLES.items() if name != "forecast-of-12b"} == {"S", "S2"}


def test_a_column_is_looked_up_by_name():
    assert TABLES["forecast-of-12b"].column("recall")[0] == 0.197
    with pytest.raises(KeyError):
        TABLES["forecast-of-12b"].column("f1")


def test_every_trend_names_a_paper_that_is_listed():
    for name, trend in TRENDS.items():
        assert papers_named([trend.source]), name


def test_papers_are_found_by_whole_words_in_their_order():
    assert list(papers_named(["K1, abstract", "P1, Fig. 2; P12 is none", "XP9"])) == ["P1", "K1"]
