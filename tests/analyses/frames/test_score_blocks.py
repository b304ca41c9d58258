"""Findings from short columns of scores are those from score lines, to the last digit, for studies of every kind."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mematlas.analyses import ANALYSES
from mematlas.analyses.frames import score_blocks
from mematlas.analyses.frames.repetition_samples import bucket_counts, bucket_shares, sample_shares
from mematlas.analyses.frames.score_blocks import Positions, in_large_parts
from mematlas.analyses.frames.study_tables import Tables
from tests.analyses import awkward_studies as studies

KEYS = ["model", "role", "context", "continuation", "cluster"]
SUMS = (
    pl.col("rows").sum(),
    (pl.col("rows") * pl.col("recited")).sum().alias("memorized"),
    (pl.col("verbatim") >= 3).sum().alias("three"),
    pl.col("matches").sum().alias("total"),
)


def in_documents(study: Tables, size: int = 7, *, shuffled: bool = False) -> Tables:
    """The study with so many neighbours a document, or rows of no order."""
    number = pl.col("row") % size if shuffled else pl.col("row") // size
    document = [number.cast(pl.Int64).alias("document"), pl.lit("corpus").alias("source")]
    return replace(study, rows=study.rows.with_columns(*document))


def far_apart(study: Tables) -> Tables:
    """The study with row ids that are too far apart for a table of positions, some negative, in no order."""
    moved = ((pl.col("row") * 7919) % 211 * 1_000_003 - 5_000_000).alias("row")
    return replace(study, rows=study.rows.with_columns(moved), scores=study.scores.with_columns(moved))


STUDIES = {
    "documents": studies.rows_of_documents,
    "across": lambda: in_documents(studies.full_study(), shuffled=True),
    "far apart": lambda: far_apart(in_documents(studies.full_study())),
    "holes": lambda: in_documents(studies.with_holes()),
    "different rows": lambda: in_documents(studies.models_with_different_rows()),
    "no common rows": lambda: in_documents(studies.models_without_common_rows()),
    "control models": lambda: replace(in_documents(studies.full_study()), control_models=("s2", "s4-b")),
    "verbatim": lambda: in_documents(studies.verbatim_depth()),
    "recited only": lambda: in_documents(studies.recited_only()),
    "long": lambda: in_documents(studies.family(cells=((8, 32), (8, 200)), count=60)),
}
BY_SCORES = ("distribution", "size", "continuation", "context", "transitions", "scaling", "forecast", "overlap")


@pytest.fixture
def of_small_studies(monkeypatch):
    monkeypatch.setattr(score_blocks, "_FEWEST_ROWS", 0)
    monkeypatch.setattr(score_blocks, "_SPARSEST", 0)
    monkeypatch.setattr(score_blocks, "_RECORDS_AT_ONCE", 500)


@pytest.mark.parametrize("name", ["documents", "holes", "control models"])
def test_findings_are_those_from_score_lines(of_small_studies, monkeypatch, name):
    study = STUDIES[name]()
    assert study.blocks is not None
    lines = replace(study)
    monkeypatch.setattr(score_blocks, "_FEWEST_ROWS", 10**9)
    assert lines.blocks is None
    for analysis in BY_SCORES:
        fast, slow = (ANALYSES.load(analysis).compute(tables) for tables in (study, lines))
        for table, expected in zip(fast.tables, slow.tables, strict=True):
            assert_frame_equal(table.frame, expected.frame, check_exact=True)
        without = [replace(finding, tables=()) for finding in (fast, slow)]
        assert without[0] == without[1], analysis


@pytest.mark.parametrize("name", STUDIES)
def test_sums_of_clusters_are_those_of_score_lines(of_small_studies, monkeypatch, name):
    study, lines = STUDIES[name](), STUDIES[name]()
    monkeypatch.setitem(lines._cache, "blocks", None)
    where = (pl.col("role") == "train") & pl.col("model").is_in(["s1", "s2", "s4"]) & (pl.col("continuation") > 16)
    for options in ({}, {"where": where}, {"by": ("repetitions",)}, {"where": pl.lit(value=False)}):
        keys = [*KEYS, *options.get("by", ())]
        fast, slow = (tables.sums(*SUMS, **options).sort(keys) for tables in (study, lines))
        assert_frame_equal(fast, slow, check_exact=True)
    types = {column["matches"].dtype for column in study.blocks.scores.values()}
    assert types == ({pl.Int8, pl.Int16} if name == "long" else {pl.Int8})


def test_shares_of_buckets_from_parts_are_those_of_all_records(of_small_studies):
    study = in_documents(studies.full_study())
    whole = bucket_counts(study)
    parts = bucket_shares(study)
    assert_frame_equal(parts.samples, sample_shares(whole), check_exact=True)
    assert parts.buckets["rows"].sum() == whole.drop_nulls("bucket")["rows"].sum()


def test_lines_are_kept_where_columns_would_gain_nothing(monkeypatch):
    assert studies.rows_of_documents().blocks is None  # few rows
    monkeypatch.setattr(score_blocks, "_FEWEST_ROWS", 0)
    study = studies.rows_of_documents()
    assert study.blocks is not None
    assert in_documents(studies.nothing_scored()).blocks is None
    few = replace(study, scores=study.scores.filter(pl.col("row") % 10 == 0))
    assert few.blocks is None  # few of their scores
    twice = replace(study, scores=pl.concat([study.scores, study.scores.filter(row=0, model="s1")]))
    assert twice.blocks is None  # several scores of one row


@pytest.mark.parametrize("rows", [[5, 3, 4], [5, -3, 10**12], []])
def test_positions_of_rows(rows):
    positions = Positions(np.array(rows, np.int64))
    asked = np.array([*rows, 17, -9, 10**13], np.int64)
    assert positions.of(asked).tolist() == [*range(len(rows)), -1, -1, -1]


def test_small_parts_are_joined(monkeypatch):
    monkeypatch.setattr(score_blocks, "_RECORDS_AT_ONCE", 3)
    parts = [pl.DataFrame({"a": [0] * size}) for size in (1, 0, 2, 5, 1)]
    assert [part.height for part in in_large_parts(parts)] == [3, 5, 1]
    assert [part.height for part in in_large_parts(parts[:1])] == [1]
    assert [part.height for part in in_large_parts(parts[1:2])] == [0]
