"""What every analysis owes its reader, whatever the study holds; a newcomer in ANALYSES is tested unasked."""

import re
from copy import deepcopy
from dataclasses import replace

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mematlas.analyses import ANALYSES
from mematlas.analyses.frames.study_tables import Tables
from mematlas.findings.finding import Finding
from tests.analyses import finding_checks as contract
from tests.analyses.awkward_studies import CASES, whole
from tests.analyses.recipes import check_recipes
from tests.analyses.synthetic_tables import with_features, with_signals

#: Analyses that read row features or signals; the others are asked about such studies once, for the same answer.
FED = {name for name in ANALYSES if re.search("features|signals", ANALYSES.load(name).needs)} | {"scaling"}
#: Analyses that read what predictors said.
TOLD = {name for name in ANALYSES if "predictions" in ANALYSES.load(name).needs}
#: Analyses that read hidden states.
LOOKING = {name for name in ANALYSES if "hidden states" in ANALYSES.load(name).needs}
#: By case: two test processes that share the list have few studies in common.
PAIRS = [
    (name, case)
    for case in CASES
    for name in ANALYSES
    if (name in FED or not case.startswith(("feat", "sign")))
    and (name in TOLD or not case.startswith("pred"))
    and (name in LOOKING or not case.startswith("states"))
]


@pytest.mark.parametrize(("name", "case"), PAIRS)
def test_every_finding_keeps_the_contract(shelf, folder_of, tmp_path, name, case):
    finding = answered_with_care(name, shelf(case))
    assert finding.name == name
    for check in contract.CHECKS:
        check(finding)
    contract.check_a_finding_is_read_back_as_written(finding, tmp_path)
    contract.check_same(ANALYSES.load(name).answer(shelf(case)), finding)
    check_recipes(finding, folder_of(case), shelf(case).complete)


def answered_with_care(name: str, tables: Tables) -> Finding:
    """The analysis' finding; it must leave the tables as they were."""
    before = (tables.scores.collect(), tables.rows.collect(), tables.models.clone(), deepcopy(tables.question))
    counts = tables.counts().clone()
    finding = ANALYSES.load(name).answer(tables)
    assert_frame_equal(tables.scores.collect(), before[0])
    assert_frame_equal(tables.rows.collect(), before[1])
    assert_frame_equal(tables.models, before[2])
    assert tables.question == before[3]
    assert_frame_equal(tables.counts(), counts)
    return finding


@pytest.mark.parametrize("name", sorted(set(ANALYSES) - FED))
def test_who_reads_neither_features_nor_signals_gives_the_same_answer_with_them(answered, name):
    fed = ANALYSES.load(name).answer(with_signals(with_features(whole())))
    contract.check_same(fed, answered(name, "whole"))


# ------------------------------------------------------------------------------------------------------- tokenizers


@pytest.mark.parametrize("name", list(ANALYSES))
def test_nothing_is_decided_across_models_whose_tokenizers_differ(answered, name):
    found = whole()
    apart = pl.when(pl.col("model") == "s2").then(pl.lit("other")).otherwise("tokenizer").alias("tokenizer")
    mixed = replace(found, models=found.models.with_columns(apart), _kept={})
    finding, plain_finding = ANALYSES.load(name).find(mixed), answered(name, "whole")
    assert finding.caveats[0] == (
        "The models have 2 different tokenizers: what is said across models holds only if they give these ids the same "
        "text."
    )
    assert finding.strength is None
    assert {trend.verdict for trend in finding.trends} <= {"cannot tell"}
    assert finding.claim == plain_finding.claim


@pytest.mark.parametrize("name", list(ANALYSES))
def test_with_one_tokenizer_the_answer_stands(answered, name):
    assert replace(ANALYSES.load(name).find(whole()), tables=()) == replace(answered(name, "whole"), tables=())
