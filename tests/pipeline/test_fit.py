"""Predictors fitted to whole studies: what is written, refitted and refused."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import mematlas
from mematlas.pipeline.steps.fit import fit_predictors
from mematlas.predictors.examples import read_examples
from mematlas.predictors.fitting import fit_once
from mematlas.predictors.groups import document_groups
from mematlas.predictors.predictor import load_predictors
from mematlas.predictors.splitting import split
from mematlas.study import open_study
from mematlas.study.build_stamps import predictions_name, run_fingerprint
from mematlas.study.schemas.predictions import (
    BASELINES,
    BY_POSITION,
    ENTROPY,
    MAJORITY,
    PREDICTIONS,
    PREDICTOR,
    SHUFFLED,
)
from tests.predictors.synthetic_examples import RecordingProgress, quick_config, study

QUICK = quick_config(epochs=2, seeds=2, sees=["context"]).model_dump()
GUESSES = {MAJORITY, BY_POSITION, ENTROPY}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """A scored study with row features; "fitted" is a copy with predictors of a and b."""
    folder = tmp_path_factory.mktemp("shelf")
    mematlas.make_features(study(folder))
    shutil.copytree(folder / "study", folder / "fitted")
    fit_predictors(folder / "fitted", models=["a", "b"], **QUICK)
    return folder


@pytest.fixture
def fitted(shelf, tmp_path):
    """A copy of the fitted study that a test may change."""
    return open_study(shutil.copytree(shelf / "fitted", tmp_path / "study"))


def times(found):
    folders = ("predictors", "predictions")
    paths = [path for name in folders for path in (found.folder / name).rglob("*") if path.is_file()]
    return {str(path.relative_to(found.folder)): path.stat().st_mtime_ns for path in paths}


def changed(found, before):
    after = times(found)
    return {Path(path).name for path in before.keys() | after.keys() if before.get(path) != after.get(path)}


def of(found, model, name):
    """A file of a model's predictors or predictions."""
    (path,) = [path for path in found.folder.rglob(name) if path.is_file() and f"/{model}-" in str(path)]
    return path


# ------------------------------------------------------------------------------------------------------ what is written


def test_two_processes_fit_what_one_fits(shelf, fitted, tmp_path):
    """The last digits may depend on the number of threads, as everywhere in torch."""
    other = open_study(shutil.copytree(shelf / "study", tmp_path / "other"))
    listening = RecordingProgress()
    fit_predictors(other, models=["a"], progress=listening, workers=2, **QUICK)
    one, two = (found.scan_predictions().collect().filter(model="a") for found in (fitted, other))
    assert one.drop("probability").equals(two.drop("probability"))
    far = np.stack(one["probability"].to_list()) - np.stack(two["probability"].to_list())
    assert np.abs(far).max() < 1e-4
    assert len(one) > 100
    assert (listening.done, listening.messages) == (2, [])
    (card,) = other.folder.rglob("README.md")
    assert card.read_text().count("\n") == of(fitted, "a", "README.md").read_text().count("\n")


def test_every_held_out_row_has_a_line_of_every_method(shelf):
    found = open_study(shelf / "fitted")
    lines = found.scan_predictions().collect()
    assert lines.schema == pl.from_arrow(PREDICTIONS.empty_table()).schema
    own = lines.filter(pl.col("model") == pl.col("tested"))
    for model in ("a", "b"):
        made = read_examples(found, model, ["entropy"])
        for seed in (0, 1):
            held = made.take(split(made, seed).test | ~made.train)
            some = own.filter(model=model, seed=seed)
            assert set(some["method"]) == {PREDICTOR, SHUFFLED, *BASELINES}
            for (_,), part in some.group_by("method"):
                assert part["row"].to_list() == held.rows.tolist()
                assert part["weight"].to_list() == held.weights.tolist()
                true = [[hit == 1 for hit in line] for line in held.hits.tolist()]
                assert sorted(part["hit"].to_list()) == sorted(true)
                assert (part["hit"].to_list() == true) == (part["method"][0] != SHUFFLED)
    assert {*lines["sees"]} == {"context"}
    assert lines["probability"].explode().is_between(0, 1).all()


def test_predictors_on_disk_say_what_the_table_says(shelf):
    found = open_study(shelf / "fitted")
    made = read_examples(found, "b", ["entropy"])
    places = {row: place for place, row in enumerate(made.rows.tolist())}
    predictors = load_predictors(of(found, "b", "seed-1.safetensors").parent)
    for predictor in predictors:
        lines = found.scan_predictions().filter(model="b", tested="b", method=PREDICTOR, seed=predictor.card.seed)
        lines = lines.collect()
        pick = [places[row] for row in lines["row"]]
        assert np.array_equal(
            predictor.probabilities(made.states[pick], made.inputs[pick]),
            np.array(lines["probability"].to_list(), "f4"),
        )
        assert predictor.card.model == "b"
        assert predictor.card.fingerprint == found.models().filter(model="b")["fingerprint"].item()
        assert predictor.card.run == found.run().key


def test_a_predictor_is_tried_on_the_next_member_and_on_no_document_that_it_was_fitted_to(shelf):
    found = open_study(shelf / "fitted")
    lines = found.scan_predictions().select("model", "tested", "method", "seed", "role", "row").collect()
    assert {*lines.select("model", "tested").unique().iter_rows()} == {
        ("a", "a"),
        ("a", "b"),
        ("b", "b"),
        ("b", "wide"),
    }
    methods = {pair: {*some["method"]} for pair, some in lines.group_by("model", "tested")}
    assert methods["a", "b"] == {PREDICTOR, *BASELINES}
    assert methods["b", "wide"] == GUESSES  # methods that read states cannot read those of another width
    for model, tested in (("a", "b"), ("b", "wide")):
        made, other = (read_examples(found, name, ["entropy"]) for name in (model, tested))
        parts = split(made, 0)
        used = made.rows[parts.fit | parts.validation].tolist()
        groups = document_groups(found, [*used, *other.rows.tolist()])
        free = [
            row
            for row, group in zip(other.rows.tolist(), groups[len(used) :], strict=True)
            if group not in groups[: len(used)]
        ]
        some = lines.filter(model=model, tested=tested, method=ENTROPY, seed=0)
        assert some["row"].to_list() == free
        assert {*some["role"]} == {"train", "control"}
        contexts = {row % 40 for row in used}
        assert not [
            row for row, role in some.select("row", "role").iter_rows() if role == "train" and row % 40 in contexts
        ]


def test_transferred_hits_and_weights_are_the_tested_models(shelf):
    found = open_study(shelf / "fitted")
    other = read_examples(found, "b", ["entropy"])
    hits = {row: [hit == 1 for hit in line] for row, line in zip(other.rows.tolist(), other.hits.tolist(), strict=True)}
    weights = dict(zip(other.rows.tolist(), other.weights.tolist(), strict=True))
    lines = found.scan_predictions().filter(model="a", tested="b", method=PREDICTOR).collect()
    assert lines.height
    for line in lines.iter_rows(named=True):
        assert (line["hit"], line["weight"]) == (hits[line["row"]], weights[line["row"]])
    made = read_examples(found, "a", ["entropy"])
    fit = fit_once(made, quick_config(epochs=2, seeds=2, sees=["context"]), "context", 0, shuffled=False)
    some = lines.filter(seed=0)
    pick = np.array([other.rows.tolist().index(row) for row in some["row"]])
    assert np.allclose(
        fit.probabilities(PREDICTOR, other.take(pick)), np.array(some["probability"].to_list()), atol=1e-6
    )


# --------------------------------------------------------------------------------------------------- what is made again


def test_what_is_fitted_is_kept(fitted):
    before, made = times(fitted), (fitted.folder / "made.json").read_bytes()
    watcher = RecordingProgress()
    folder = fit_predictors(fitted, models=["a", "b"], progress=watcher, **QUICK)
    assert folder == fitted.folder / "predictors" / fitted.run().key
    assert times(fitted) == before
    assert (fitted.folder / "made.json").read_bytes() == made
    assert (watcher.started, watcher.done) == ([("fitting predictors", 4, 4, "fits")], 0)
    fit_predictors(fitted, models=["a"], **QUICK | {"seeds": 1})  # fewer seeds, and fewer models: nothing to do
    assert times(fitted) == before


@pytest.mark.parametrize("name", ["context-seed-1.parquet", "seed-1.safetensors"])
def test_a_lost_file_is_made_again_and_the_same(fitted, name):
    content = of(fitted, "a", name).read_bytes() if name.endswith("safetensors") else None
    kept = pl.read_parquet(of(fitted, "a", "context-seed-1.parquet"))
    of(fitted, "a", name).unlink()
    before = times(fitted)
    watcher = RecordingProgress()
    fit_predictors(fitted, models=["a", "b"], progress=watcher, **QUICK)
    assert changed(fitted, before) == {"context-seed-1.parquet", "seed-1.safetensors", "README.md"}
    assert (watcher.started[0][1:3], watcher.done) == ((4, 3), 1)
    assert pl.read_parquet(of(fitted, "a", "context-seed-1.parquet")).equals(kept)
    assert content is None or of(fitted, "a", name).read_bytes() == content


def test_a_damaged_table_is_made_again(fitted):
    path = of(fitted, "a", "context-seed-0.parquet")
    path.write_bytes(b"PAR1 and no more")
    fit_predictors(fitted, models=["a"], **QUICK)
    assert pl.read_parquet(path).height


def test_a_run_that_was_killed_goes_on(fitted, monkeypatch):
    """Killed after the predictor was saved, before the table of its predictions: that seed is fitted again."""
    of(fitted, "b", "context-seed-1.parquet").unlink()
    of(fitted, "b", "context-seed-0.parquet").unlink()
    before = times(fitted)
    written = []

    def killed(path, *given):
        written.append(path)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("mematlas.pipeline.steps.fit_one.write_table", killed)
        with pytest.raises(KeyboardInterrupt):
            fit_predictors(fitted, models=["a", "b"], **QUICK)
    assert len(written) == 1
    fit_predictors(fitted, models=["a", "b"], **QUICK)
    assert {path.name for path in fitted.predictions_folder().rglob("*.parquet")} == {
        "context-seed-0.parquet",
        "context-seed-1.parquet",
    }
    assert all("/b-" in path for path in before.keys() ^ times(fitted).keys())
    assert all(time == before[path] for path, time in times(fitted).items() if "/a-" in path)


def test_findings_are_older_than_what_was_fitted_since(fitted):
    """Also if a run was killed after the last table, before it was recorded."""
    before = run_fingerprint(fitted.folder, fitted.run())
    (fitted.folder / "made.json").unlink()
    fit_predictors(fitted, models=["a", "b"], **QUICK | {"epochs": 1, "seeds": 1})
    assert run_fingerprint(fitted.folder, fitted.run()) != before
    (fitted.folder / "made.json").unlink()
    fit_predictors(fitted, models=["a", "b"], **QUICK | {"epochs": 1, "seeds": 1})
    name = predictions_name(fitted.run())
    assert name in (fitted.folder / "made.json").read_text()


def test_other_options_leave_nothing_of_the_older_ones(fitted):
    fit_predictors(fitted, models=["a"], **QUICK | {"epochs": 1, "seeds": 1})
    assert of(fitted, "a", "context-seed-0.parquet")
    lines = fitted.scan_predictions().filter(model="a").collect()
    assert set(lines["seed"]) == {0}
    assert set(fitted.scan_predictions().filter(model="b").collect()["seed"]) == {0, 1}  # not requested: kept
    folder = fitted.folder / "predictors" / fitted.run().key / fitted.run().models["a"]
    (only,) = load_predictors(folder / "context")
    assert only.card.config["epochs"] == 1
    assert "seed 1" not in (folder / "context" / "README.md").read_text()
    fit_predictors(fitted, models=["a"], **QUICK | {"epochs": 1, "seeds": 1, "sees": ["generated"], "dropout": 0.5})
    assert [path.name for path in folder.iterdir()] == ["generated"]
    assert set(fitted.scan_predictions().filter(model="a").collect()["sees"]) == {"generated"}


def test_new_row_features_are_fitted_to_again(fitted):
    before = times(fitted)
    (fitted.features_folder() / "facts.json").unlink()
    mematlas.make_features(fitted)
    fit_predictors(fitted, models=["a"], **QUICK | {"seeds": 1})
    assert {path for path in before if before[path] != times(fitted).get(path)} == {
        path for path in before if "/a-" in path
    }


def test_a_new_member_after_the_last_is_tried_on(shelf, tmp_path):
    """The predictor of b is fitted again once there is a model after it, because it must be tested on that model."""
    found = study(shelf, ("a", "b"), study=tmp_path / "study")
    fit_predictors(found, models=["a", "b"], **QUICK | {"seeds": 1})
    before = times(found)
    assert set(found.scan_predictions().filter(model="b").collect()["tested"]) == {"b"}
    again = study(shelf, study=tmp_path / "study")
    assert again.run().key == found.run().key
    fit_predictors(again, models=["a", "b"], **QUICK | {"seeds": 1})
    assert set(again.scan_predictions().filter(model="b").collect()["tested"]) == {"b", "wide"}
    assert all(time == before[path] for path, time in times(again).items() if "/a-" in path)
