"""The plug-in interface of an analysis: `compute`, with its former name `answer`."""

from dataclasses import replace

import polars as pl
import pytest

from mematlas.analyses import ANALYSES
from mematlas.analyses.base import Analysis
from mematlas.analyses.frames.study_tables import Tables
from mematlas.findings.finding import Finding
from tests.analyses.awkward_studies import full_study, rows_of_documents
from tests.analyses.synthetic_tables import tables


def compute(tables: Tables) -> Finding:
    return ANALYSIS.insufficient_data(tables, "whether it works", "data", "Add data.")


def other_function(tables: Tables) -> Finding:
    raise NotImplementedError


ANALYSIS = Analysis("name", "Title", "P1", "scores", compute, ("a-trend",), "approximate", "discoverable")


def test_fields_can_be_given_by_position_or_by_name():
    named = Analysis(
        name="name",
        title="Title",
        source="P1",
        needs="scores",
        compute=compute,
        trends=("a-trend",),
        granularity="approximate",
        retrievability="discoverable",
    )
    assert named == ANALYSIS
    assert named.compute is compute
    plain = Analysis("name", "Title", "P1", "scores", compute)
    assert (plain.trends, plain.granularity, plain.retrievability) == ((), "verbatim", "k-discoverable")


def test_answer_is_still_accepted_for_compute():
    analysis = Analysis("name", "Title", "P1", "scores", answer=compute)
    assert (analysis.compute, analysis.answer) == (compute, compute)
    assert replace(analysis, answer=other_function).compute is other_function
    assert replace(analysis, compute=other_function).answer is other_function


def test_an_analysis_needs_a_function():
    with pytest.raises(TypeError, match="analysis 'name': `compute` is missing"):
        Analysis("name", "Title", "P1", "scores")


def test_a_study_without_the_data_is_told_what_is_missing_and_how_to_add_it():
    study = tables({"m": {(32, 32): [0, 32]}})
    finding = ANALYSIS.find(study)
    assert finding.claim == "Whether it works cannot be said: the study lacks data."
    assert (finding.missing, finding.taxonomy.granularity) == ("Add data.", "approximate")
    assert [(trend.trend, trend.verdict) for trend in finding.trends] == [("a-trend", "cannot tell")]
    assert ANALYSIS.lacking(study, "whether it works", "data", "Add data.") == finding


def test_a_finding_says_whether_its_intervals_allow_for_rows_of_one_document():
    clustered, independent = rows_of_documents(), full_study()
    origin = "the 200 rows come from 80 documents (joined where they share 13 tokens)"
    aware = ANALYSES.load("size").find(clustered)
    assert aware.caveats[-1] == (f"Intervals and tests allow for rows of one document: {origin}.")
    size = ANALYSES.load("size")
    unaware = Analysis("a plug-in", size.title, size.source, size.needs, size.compute).find(clustered)
    assert unaware.caveats[-1] == (
        f"Intervals and tests take rows as independent, but {origin}: the intervals are too narrow."
    )
    assert not any("documents (joined" in caveat for caveat in ANALYSES.load("size").find(independent).caveats)


def test_rows_of_one_document_widen_the_intervals_of_shares():
    where = {"model": "s4", "role": "train", "context": 32, "continuation": 32}
    with_documents = rows_of_documents()
    without = replace(with_documents, rows=with_documents.rows.with_columns(document=pl.lit(None, pl.Int64)))
    wide, narrow = (
        ANALYSES.load("context").find(study).table("shares").filter(**where).row(0, named=True)
        for study in (with_documents, without)
    )
    assert wide["memorized_share"] == narrow["memorized_share"]
    assert (wide["clusters"], narrow["clusters"]) == (40, 150)
    assert wide["memorized_design_effect"] > 1.5
    assert narrow["memorized_design_effect"] == 1
    widths = [record["memorized_share_upper"] - record["memorized_share_lower"] for record in (wide, narrow)]
    assert widths[0] > 1.2 * widths[1]
