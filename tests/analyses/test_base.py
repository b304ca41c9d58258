"""The plug-in interface of an analysis: `compute`, with its former name `answer`."""

from dataclasses import replace

import pytest

from mematlas.analyses.base import Analysis
from mematlas.analyses.frames.study_tables import Tables
from mematlas.findings.finding import Finding
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
