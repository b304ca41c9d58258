"""`mematlas fit` if no predictor, or not every predictor, can be fitted."""

import shutil

import pytest

from mematlas.errors import ModelError, OptionError, StudyError
from mematlas.pipeline.steps.fit import fit_predictors
from mematlas.predictors.examples import read_examples
from mematlas.predictors.predictor import load_predictors
from mematlas.predictors.splitting import split
from mematlas.study import open_study
from mematlas.study.build_stamps import predictions_name
from mematlas.study.schemas.predictions import ENTROPY
from tests.predictors.synthetic_examples import RecordingProgress, examples, quick_config, study

QUICK = quick_config(epochs=2, seeds=2, sees=["context"]).model_dump()


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shelf")
    study(folder)
    return folder


@pytest.fixture
def scored(shelf, tmp_path):
    """A copy of the study that a test may change."""
    return open_study(shutil.copytree(shelf / "study", tmp_path / "study"))


def test_a_study_without_hidden_states_is_refused(shelf, tmp_path):
    plain = study(shelf, ("a",), study=tmp_path / "plain", signals=["free"])
    with pytest.raises(
        StudyError, match=r"plain contains no hidden states to fit predictors to; score with --signals hid"
    ):
        fit_predictors(plain)
    assert not (tmp_path / "plain" / "predictors").exists()


def test_an_unknown_model_and_a_wrong_option_are_refused(shelf):
    with pytest.raises(StudyError, match=r"^The study has no model 'wid'\. Did you mean 'wide'\?$"):
        fit_predictors(shelf / "study", models=["a", "wid"])
    with pytest.raises(OptionError, match=r"^--heads 3 does not divide --width 64; use 1"):
        fit_predictors(shelf / "study", heads=3, width=64)
    with pytest.raises(StudyError, match=r"is not a study"):
        fit_predictors(shelf / "nowhere")
    assert not (shelf / "study" / "predictors").exists()


def test_inputs_that_were_not_recorded_are_refused_with_the_remedy(shelf, tmp_path):
    bare = study(shelf, ("a",), study=tmp_path / "bare", signals=["hidden"])
    expected = (
        r"^No predictor could be fitted\. a: .*bare contains no entropies; score with --signals hidden --signals free"
    )
    with pytest.raises(StudyError, match=expected):
        fit_predictors(bare, **QUICK)
    fit_predictors(bare, **QUICK | {"inputs": [], "seeds": 1})
    assert ENTROPY not in set(bare.scan_predictions().collect()["method"])


def one_class(monkeypatch, models, seeds=(0, 1)):
    """Make the validation rows of these models and seeds look as if nothing were recited."""

    def read(found, model, *given):
        made = read_examples(found, model, *given)
        if model in models:
            for seed in seeds:
                made.hits[split(examples_of(made), seed).validation] = 0
        return made

    monkeypatch.setattr("mematlas.predictors.examples.read_examples", read)


def examples_of(made):
    """The same rows with both classes everywhere; only the split is needed."""
    return examples(len(made.rows), train=made.train, groups=made.groups)


def test_a_model_that_recites_nothing_is_told_and_left(scored, monkeypatch):
    one_class(monkeypatch, {"a"})
    watcher = RecordingProgress()
    fit_predictors(scored, models=["a", "b"], progress=watcher, **QUICK | {"seeds": 1})
    assert {*scored.scan_predictions().collect()["model"]} == {"b"}
    (said,) = watcher.messages
    assert said.startswith("No predictor of a, seed 0: Among the ")
    assert (
        "rows to stop by no token is recited: there is nothing to distinguish. Score more rows, or a model that" in said
    )
    with pytest.raises(
        StudyError, match=r"^No predictor could be fitted\. a, seed 0: Among the \d+ rows to stop by no t"
    ):
        fit_predictors(scored, models=["a"], **QUICK | {"seeds": 1})
    assert not list(scored.folder.rglob("predictors/*/a-*"))


def test_a_split_that_cannot_be_fitted_to_stops_no_other(scored, monkeypatch):
    one_class(monkeypatch, {"a"}, seeds=[0])
    watcher = RecordingProgress()
    fit_predictors(scored, models=["a"], progress=watcher, **QUICK | {"sees": ["context", "generated"]})
    lines = scored.scan_predictions().select("sees", "seed").unique().collect()
    assert {*lines.iter_rows()} == {("context", 1), ("generated", 1)}
    assert [said.partition(":")[0] for said in watcher.messages] == ["No predictor of a, seed 0"]
    assert predictions_name(scored.run()) in (scored.folder / "made.json").read_text()


def test_a_full_disk_is_said_once_and_stops(scored, monkeypatch):
    def full(*given):
        raise StudyError("No room on the disk that holds it.")

    monkeypatch.setattr("mematlas.predictors.predictor.save_predictor", full)
    watcher = RecordingProgress()
    with pytest.raises(StudyError, match=r"^No room on the disk that holds it\.$"):
        fit_predictors(scored, models=["a", "b"], progress=watcher, **QUICK | {"epochs": 1})
    assert watcher.messages == []


def test_a_predictor_of_another_width_is_refused(scored):
    folder = fit_predictors(scored, models=["a"], **QUICK | {"seeds": 1})
    (only,) = load_predictors(folder / scored.run().models["a"] / "context")
    wide = read_examples(scored, "wide", ["entropy"])
    with pytest.raises(ModelError, match=r"^This predictor reads states of 32 numbers, as a has them; these have 48\."):
        only.probabilities(wide.states, wide.inputs)
