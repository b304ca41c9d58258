"""What all probes of rows share: intervals that stay where their numbers can be, and models loaded only if needed."""

import numpy as np
import polars as pl
import pytest

import mematlas
from mematlas.probes.rows.estimates import class_changes, class_means, class_scores
from mematlas.probes.rows.opening import RowProbe
from mematlas.stats.estimates.mean_scores import mean_score_of_rows
from tests.tiny_networks import V, neox, save_network

PROBES = {
    "layers": (mematlas.probe_layers, {"strengths": [0.5]}),
    "prompts": (mematlas.probe_prompts, {"strengths": [0.5]}),
    "prior": (mematlas.probe_prior, {"prefixes": 4}),
    "compress": (mematlas.probe_compress, {"search": "random", "total_steps": 2, "each": 1}),
}


def estimate(of, values, clusters=None):
    """The estimate of one class and layer."""
    clusters = range(len(values)) if clusters is None else clusters
    frame = pl.DataFrame({"cluster": clusters, "share": values}).with_columns(**{"class": pl.lit("recited")}, layer=1)
    return of(frame, "share", ["layer"]).row(0, named=True)


def test_intervals_of_shares_of_tokens_stay_between_0_and_1():
    nearly_all = [1.0] * 18 + [0.5, 0.0]
    plain, bounded = estimate(class_means, nearly_all), estimate(class_scores, nearly_all)
    assert plain["share_upper"] > 1, "Student's interval passes the end of the scale"
    assert bounded["share"] == plain["share"] == pytest.approx(0.925)
    assert 0 < bounded["share_lower"] < 0.925 < bounded["share_upper"] <= 1
    expected = mean_score_of_rows(nearly_all)
    assert (bounded["share_lower"], bounded["share_upper"]) == (expected.lower, expected.upper)
    all_right = estimate(class_scores, [1.0] * 20)
    assert all_right["share_upper"] == 1 > all_right["share_lower"] > 0.8, "no variation is no certainty"


def test_rows_that_share_text_count_as_one_and_few_have_no_interval():
    values = [1.0, 1.0, 1.0, 0.25] * 8
    alone = estimate(class_scores, values)
    joined = estimate(class_scores, values, [n // 2 for n in range(32)])
    assert joined["share_lower"] < alone["share_lower"]
    assert joined["share_upper"] >= alone["share_upper"]
    few = estimate(class_scores, values, [n // 4 for n in range(32)])
    assert few["share"] == alone["share"]
    assert few["share_lower"] is few["share_upper"] is None


def test_intervals_of_changes_stay_between_minus_1_and_1():
    plain, cut = estimate(class_means, [1.0, 1.0, 0.0]), estimate(class_changes, [1.0, 1.0, 0.0])
    assert plain["share_upper"] > 1 == cut["share_upper"]
    assert cut["share_lower"] == plain["share_lower"] > -1


@pytest.mark.parametrize("name", PROBES)
def test_a_finished_probe_loads_no_model(tmp_path, monkeypatch, name):
    rows = np.random.default_rng(0).integers(0, V, (6, 12))
    np.save(tmp_path / "rows.npy", rows)
    save_network(neox(num_hidden_layers=2), tmp_path / "model")
    probe, options = PROBES[name]
    options = options | {"corpus": tmp_path / "rows.npy", "context": 8, "continuation": 4, "out": tmp_path / "out"}
    loads, load = [], RowProbe.load
    monkeypatch.setattr(RowProbe, "load", lambda own: loads.append(own) or load(own))
    first = probe(tmp_path / "model", **options)
    assert len(loads) == 1
    again = probe(tmp_path / "model", **options)
    assert again.folder == first.folder
    assert len(loads) == 1, "everything asked for is on disk"
    marker = next(first.folder.glob("rows/*.done"))
    marker.unlink()
    probe(tmp_path / "model", **options)
    assert len(loads) == 2
    assert marker.exists()
