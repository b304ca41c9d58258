"""Studies of masked models: what M alone says is computed, with what M means; all else says that it cannot be."""

from fractions import Fraction

import numpy as np
import polars as pl
import pytest

import mematlas
from mematlas.analyses import ANALYSES
from mematlas.analyses.base import OF_MASKED_MODELS
from mematlas.analyses.frames.study_tables import read_tables
from mematlas.cli import run as command
from tests import tiny_masked as tiny


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two masked models of 24 rows, of which the larger one knows 8; 6 control rows."""
    folder = tmp_path_factory.mktemp("masked")
    known = tiny.rows(24, 24)
    np.save(folder / "rows.npy", known.astype(np.uint16))
    np.save(folder / "control.npy", tiny.rows(6, 24, seed=5).astype(np.uint16))
    small = tiny.save(tiny.bert(num_labels=2, type_vocab_size=1), folder / "small")
    large = tiny.save(tiny.train(tiny.bert(), known[:8]), folder / "large")
    options = {"corpus": folder / "rows.npy", "control": folder / "control.npy", "study": folder / "study"}
    return mematlas.score(small, large, objective="masked", context=12, continuation=12, order="size", **options)


@pytest.mark.parametrize("name", list(ANALYSES))
def test_an_analysis_is_of_m_or_says_that_it_needs_causal_models(study, name):
    finding = ANALYSES.load(name).find(read_tables(study))
    assert all(trend.verdict == "cannot tell" for trend in finding.trends)
    if name == "dynamics":  # this study was not measured in training; one that was: tests/pipeline/test_experiment.py
        assert finding.missing == "Train models of several sizes: `mematlas experiment dynamics dynamics.yaml`."
    elif name in OF_MASKED_MODELS:
        assert finding.tables
        assert "M is the share of 16 hidden tokens of a row (of 15% of its positions at a time" in finding.caveats[0]
    else:
        assert not finding.tables
        assert "its objective is masked" in finding.claim
        assert finding.missing


def test_the_mean_of_m_is_that_of_the_scores(study):
    finding = ANALYSES.load("distribution").find(read_tables(study))
    means = next(table.frame for table in finding.tables if table.name == "means").filter(model="large", role="train")
    matches = study.scores().filter(pl.col("row") < 24, model="large")["matches"].to_list()
    assert means["mean"].item() == pytest.approx(float(Fraction(sum(matches), 16 * 24)))
    assert not any(table.name == "survival" for table in finding.tables)  # hidden tokens have no first miss


def test_a_study_file_skips_what_masked_models_cannot_give(study, tmp_path, capsys):
    folder = study.folder.parent
    text = f"models: [{folder / 'large'}]\ncorpus: {folder / 'rows.npy'}\nstudy: {tmp_path / 'study'}\n"
    (tmp_path / "study.yaml").write_text(text + "objective: masked\ncontext: 12\ncontinuation: 12\n")
    assert command(["run", "--dry-run", str(tmp_path / "study.yaml")]) == 0
    assert "masked: rows of 24 tokens, 16 hidden ones asked for" in capsys.readouterr().out
    assert command(["run", str(tmp_path / "study.yaml")]) == 0
    assert not (tmp_path / "study" / "features").exists()
    report = (tmp_path / "study" / "report.html").read_text()
    assert "masked: rows of 24 tokens, 16 hidden ones asked for" in report
