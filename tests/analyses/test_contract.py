"""The contract of every analysis, whatever the study contains; a new analysis in ANALYSES is tested automatically."""

import re
from copy import deepcopy
from dataclasses import replace

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mematlas.analyses import ANALYSES
from mematlas.analyses.frames.study_tables import Tables
from mematlas.findings.finding import Finding
from tests.analyses import finding_checks
from tests.analyses.awkward_studies import CASES, full_study
from tests.analyses.recipes import check_recipes
from tests.analyses.synthetic_tables import with_features, with_signals

#: Analyses that read row features or signals; for the others one such study is enough, and the finding is the same.
USES_FEATURES = {name for name in ANALYSES if re.search("features|signals", ANALYSES.load(name).needs)} | {"scaling"}
#: Analyses that read predictions.
USES_PREDICTIONS = {name for name in ANALYSES if "predictions" in ANALYSES.load(name).needs}
#: Analyses that read hidden states.
USES_STATES = {name for name in ANALYSES if "hidden states" in ANALYSES.load(name).needs}
#: Analyses that read exposures.
USES_EXPOSURES = {name for name in ANALYSES if "exposures" in ANALYSES.load(name).needs}
#: Analyses that read measurements taken in training.
USES_PROBES = {name for name in ANALYSES if "probes" in ANALYSES.load(name).needs}
#: Ordered by case, so that two test processes that share the list have few studies in common.
PAIRS = [
    (name, case)
    for case in CASES
    for name in ANALYSES
    if (name in USES_FEATURES or not case.startswith(("feat", "sign")))
    and (name in USES_PREDICTIONS or not case.startswith("pred"))
    and (name in USES_EXPOSURES or not case.startswith("exposures"))
    and (name in USES_PROBES or not case.startswith("probes"))
    and (name in USES_STATES or not case.startswith("states"))
]


@pytest.mark.parametrize(("name", "case"), PAIRS)
def test_every_finding_keeps_the_contract(tables_of, study_of, tmp_path, name, case):
    finding = finding_without_side_effects(name, tables_of(case))
    assert finding.name == name
    for check in finding_checks.CHECKS:
        check(finding)
    finding_checks.check_a_finding_is_read_back_as_written(finding, tmp_path)
    finding_checks.check_equal(ANALYSES.load(name).compute(tables_of(case)), finding)
    check_recipes(finding, study_of(case), tables_of(case).complete)


def finding_without_side_effects(name: str, tables: Tables) -> Finding:
    """The analysis' finding; computing it must not change the tables."""
    scores, rows = tables.scores.collect(), tables.rows.collect()
    models, settings = tables.models.clone(), deepcopy(tables.settings)
    counts = tables.counts().clone()
    finding = ANALYSES.load(name).compute(tables)
    assert_frame_equal(tables.scores.collect(), scores)
    assert_frame_equal(tables.rows.collect(), rows)
    assert_frame_equal(tables.models, models)
    assert tables.settings == settings
    assert_frame_equal(tables.counts(), counts)
    return finding


@pytest.mark.parametrize("name", sorted(set(ANALYSES) - USES_FEATURES))
def test_who_reads_neither_features_nor_signals_gives_the_same_answer_with_them(finding_of, name):
    finding = ANALYSES.load(name).compute(with_signals(with_features(full_study())))
    finding_checks.check_equal(finding, finding_of(name, "whole"))


# ------------------------------------------------------------------------------------------------------- tokenizers


@pytest.mark.parametrize("name", list(ANALYSES))
def test_nothing_is_decided_across_models_whose_tokenizers_differ(finding_of, name):
    study = full_study()
    tokenizers = pl.when(pl.col("model") == "s2").then(pl.lit("other")).otherwise("tokenizer").alias("tokenizer")
    mixed = replace(study, models=study.models.with_columns(tokenizers))
    finding, plain_finding = ANALYSES.load(name).find(mixed), finding_of(name, "whole")
    assert finding.caveats[0] == (
        "The models have 2 different tokenizers: what is said across models holds only if they give these ids the same "
        "text."
    )
    assert finding.strength is None
    assert {trend.verdict for trend in finding.trends} <= {"cannot tell"}
    assert finding.claim == plain_finding.claim


@pytest.mark.parametrize("name", list(ANALYSES))
def test_with_one_tokenizer_the_answer_stands(finding_of, name):
    assert replace(ANALYSES.load(name).find(full_study()), tables=()) == replace(finding_of(name, "whole"), tables=())
