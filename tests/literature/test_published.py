"""Published trends and numbers: none without a source and an evidence label."""

from dataclasses import fields
from typing import get_args

import pytest

from mematlas.analyses import ANALYSES
from mematlas.literature.published import (
    EVIDENCE,
    NUMBERS,
    PROBE_TRENDS,
    SLOPES,
    TABLES,
    TRENDS,
    Evidence,
    cited_papers,
)
from mematlas.probes.layers.trends import HEAD_TRENDS, NOISE_TRENDS

LABELS = set(get_args(Evidence))


def test_every_label_is_explained():
    assert set(EVIDENCE) == LABELS
    assert "unverified" in EVIDENCE["M"]


@pytest.mark.parametrize(
    "entry", [*TRENDS.values(), *PROBE_TRENDS.values(), *TABLES.values(), *NUMBERS.values(), *SLOPES]
)
def test_everything_has_a_source_and_a_label(entry):
    assert entry.evidence in LABELS
    assert entry.source
    texts = [getattr(entry, field.name) for field in fields(entry) if isinstance(getattr(entry, field.name), str)]
    assert all(text == text.strip() and text for text in texts)


@pytest.mark.parametrize("name", TRENDS)
def test_a_trend_is_a_sentence_of_a_known_analysis(name):
    trend = TRENDS[name]
    assert trend.statement.endswith(".")
    assert trend.analysis in ANALYSES
    assert name in ANALYSES.load(trend.analysis).trends


def test_a_trend_of_a_probe_is_a_sentence_that_the_probe_tests():
    assert not PROBE_TRENDS.keys() & TRENDS.keys()
    assert set(PROBE_TRENDS) == {*NOISE_TRENDS, *HEAD_TRENDS}
    for trend in PROBE_TRENDS.values():
        assert trend.statement.endswith(".")
        assert trend.analysis == "probe layers"
        assert cited_papers([trend.source])


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_one_value_per_column(name):
    table = TABLES[name]
    assert table.lines
    for line in table.lines:
        assert len(line) == len(table.columns)
        assert all(type(value) is type(first) for value, first in zip(line, table.lines[0], strict=True)), line
    assert len(set(table.lines)) == len(table.lines)
    assert all(meaning for _, meaning in table.columns)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_has_a_unit_and_a_share_is_between_0_and_1(name):
    number = NUMBERS[name]
    assert number.quantity
    assert number.unit
    assert not number.unit.startswith(("share", "R2")) or 0 <= number.value <= 1


def select(name, **values):
    """The rows of a published table that contain these values."""
    table = TABLES[name]
    columns = [column for column, _ in table.columns]
    rows = [dict(zip(columns, line, strict=True)) for line in table.lines]
    return [row for row in rows if values.items() <= row.items()]


def test_values_are_as_in_the_papers():
    (half,) = select("token-frequency", model="1B", rows="half")
    assert (half["context"], half["continuation"], half["boundary_difference"]) == (1.711, 1.832, 0.270)
    (odd,) = select("predictor-accuracy", continuation=16, model="6.9B")
    assert (odd["token_accuracy"], odd["full_accuracy"]) == (77.4, 8.3)
    (forecast,) = select("forecast-of-12b", model="2.8B")
    assert (forecast["precision"], forecast["recall"]) == (0.909, 0.658)
    (largest,) = select("memorized-rows", training="duped", model="12B", training_step=143_000)
    assert largest["rows"] == 2_382_326
    assert (NUMBERS["context-50"].value, NUMBERS["context-450"].value) == (0.33, 0.65)
    assert NUMBERS["rows-with-score-1/32"].value == pytest.approx(34_340_259 / 146_432_000, abs=5e-5)


def test_values_from_memory_are_labelled():
    assert TABLES["forecast-of-12b"].evidence == "M"
    assert {table.evidence for name, table in TABLES.items() if name != "forecast-of-12b"} == {"S", "S2"}


def test_a_column_is_looked_up_by_name():
    assert TABLES["forecast-of-12b"].column("recall")[0] == 0.197
    with pytest.raises(KeyError):
        TABLES["forecast-of-12b"].column("f1")


def test_every_trend_cites_a_listed_paper():
    for name, trend in TRENDS.items():
        assert cited_papers([trend.source]), name


def test_cited_papers_are_whole_words_in_the_order_of_papers():
    assert list(cited_papers(["K1, abstract", "P1, Fig. 2; P12 is none", "XP9"])) == ["P1", "K1"]
