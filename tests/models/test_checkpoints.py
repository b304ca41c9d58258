"""Output folders of transformers' Trainer: their latest checkpoint, all of them, and what is wrong with others."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import mematlas
from mematlas.cli import run as command
from mematlas.errors import ModelError
from mematlas.models.resolve import find_model, find_models
from mematlas.pipeline.study_file import read_study_file
from mematlas.progress import Silent
from mematlas.scoring.job import resolve_job
from tests import tiny_networks as networks


def checkpoint(folder, step, seed=None):
    """A checkpoint as Trainer writes it."""
    path = networks.save_network(networks.neox(seed=step if seed is None else seed), folder / f"checkpoint-{step}")
    (path / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    for name in ("optimizer.pt", "rng_state.pth"):
        (path / name).write_bytes(b"not read")
    return path


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A training run with the checkpoints 1000, 200 and 30, beside other files."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run"
    for step in (1000, 200, 30):
        checkpoint(folder, step)
    (folder / "runs").mkdir()
    (folder / "trainer_state.json").write_text("{}")
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).integers(0, networks.V, (20, 16)))
    return folder


def lose_weights(path):
    (path / "model.safetensors").unlink()


def cut_weights(path):
    weights = path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def lose_configuration(path):
    (path / "config.json").unlink()


def score(*models, **options):
    said = Messages()
    options = {"corpus": "rows.npy", "context": [8], "continuation": [8], "study": "s", **options}
    return mematlas.score(*models, progress=said, **options), said.lines


class Messages(Silent):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


def test_a_training_run_is_its_latest_checkpoint_by_step_not_by_name(run):
    card = find_model("run").card
    assert (card.label, card.spec, card.training_step) == ("run-checkpoint-1000", "run/checkpoint-1000", 1000)
    assert card.fingerprint == find_model("run/checkpoint-1000").card.fingerprint
    assert card.remarks == (
        "run is a training run: its latest checkpoint, checkpoint-1000, is scored (3 of 3 are complete). "
        "For all of them as a family: 'run/checkpoint-*'",
    )


def test_which_checkpoint_is_scored_is_said_once_and_recorded(run):
    study, said = score("run")
    assert sum("its latest checkpoint, checkpoint-1000, is scored" in line for line in said) == 1
    assert study.models()["spec"].to_list() == ["run/checkpoint-1000"]
    assert study.models()["training_step"].to_list() == [1000]
    assert sum("latest checkpoint" in line for line in score("run/checkpoint-1000")[1]) == 0


def test_a_later_checkpoint_is_another_model_of_the_same_run(run):
    score("run")
    checkpoint(run, 1500)
    study, _ = score("run")
    assert study.models()["model"].to_list() == ["run-checkpoint-1000", "run-checkpoint-1500"]


@pytest.mark.parametrize("damage", [lose_weights, cut_weights, lose_configuration])
def test_an_incomplete_checkpoint_is_passed_over_and_named(run, damage):
    damage(run / "checkpoint-1000")
    card = find_model("run").card
    assert card.spec == "run/checkpoint-200"
    assert "(2 of 3 are complete; incomplete: checkpoint-1000)" in card.remarks[0]
    sources = find_models("run/checkpoint-*")
    assert [source.card.training_step for source in sources] == [30, 200]
    assert sources[0].card.remarks[0].startswith("run/checkpoint-*: left out checkpoint-1000, which cannot be scored (")


def test_a_run_without_a_complete_checkpoint_is_refused_with_the_reason_of_the_latest(run):
    for path in run.glob("checkpoint-*"):
        lose_weights(path)
    reason = r"run/checkpoint-1000 contains no \*.safetensors weights; give a folder made by save_pretrained"
    with pytest.raises(ModelError, match=f"^run is a training run of which no checkpoint can be scored: {reason}"):
        find_model("run")
    with pytest.raises(ModelError, match=rf"^None of the folders that 'run/checkpoint-\*' matches can be .*: {reason}"):
        find_models("run/checkpoint-*")


def test_a_run_with_a_model_of_its_own_is_that_model(run):
    networks.save_network(networks.neox(seed=7), run)
    card = find_model("run").card
    assert (card.label, card.spec, card.remarks) == ("run", "run", ())


def test_configurations_that_a_trainer_writes_beforehand_are_no_model(run):
    for name in ("config.json", "generation_config.json"):
        shutil.copy(run / "checkpoint-30" / name, run)
    (run / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    assert find_model("run").card.spec == "run/checkpoint-1000"
    (run / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-1.safetensors"}}')
    (run / "adapter_config.json").unlink()
    with pytest.raises(ModelError, match=r"^run lacks model-1.safetensors, which its index names"):
        find_model("run")


def test_all_checkpoints_are_a_family_in_the_order_of_their_steps(run):
    study, said = score("run/checkpoint-*", order="step")
    assert study.models()["training_step"].to_list() == [30, 200, 1000]
    assert study.models()["model"].to_list() == ["run-checkpoint-30", "run-checkpoint-200", "run-checkpoint-1000"]
    assert not any("checkpoint" in line and "left out" in line for line in said)
    assert [source.card.label for source in find_models("hf:run/checkpoint-*")] == study.models()["model"].to_list()


def test_a_study_file_names_a_family_by_a_pattern_relative_to_itself(run, tmp_path, monkeypatch):
    (tmp_path / "study.yaml").write_text(
        "models: run/checkpoint-*\ncorpus: rows.npy\ncontext: [8]\ncontinuation: [8]\nstudy: s\n"
    )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    file = read_study_file(Path("../study.yaml"))
    sources = resolve_job(file.models, file.config).sources.values()
    assert [source.card.training_step for source in sources] == [30, 200, 1000]


def test_other_names_of_checkpoints_are_understood_as_well(tmp_path):
    for name, seed in (("step000030", 1), ("step000191", 2)):
        networks.save_network(networks.neox(seed=seed), tmp_path / "family" / name)
    card = find_model(str(tmp_path / "family")).card
    assert (card.training_step, card.label) == (191, "family-step000191")
    assert "'{}'".format(tmp_path / "family" / "step*") in card.remarks[0]


def test_one_checkpoint_is_a_run_too(run):
    for step in (1000, 200):
        shutil.rmtree(run / f"checkpoint-{step}")
    assert find_model("run").card.spec == "run/checkpoint-30"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nothing", "nothing has no config.json; give a folder made by save_pretrained, or a hub id."),
        ("outputs", "outputs has no config.json; .* It has 2 folders with models, such as outputs/a."),
        ("run/nothing-*", "The pattern 'run/nothing-\\*' matches no folder and no .gguf file; check the path."),
    ],
)
def test_folders_without_a_model_are_refused_in_one_line(run, tmp_path, spec, message):
    (tmp_path / "nothing").mkdir()
    networks.save_network(networks.neox(), tmp_path / "outputs" / "a")
    checkpoint(tmp_path / "outputs" / "b", 3)
    (tmp_path / "outputs" / "logs").mkdir()
    with pytest.raises(ModelError, match=f"^{message}$"):
        find_models(spec)


def test_a_pattern_where_one_model_is_needed_is_refused(run):
    with pytest.raises(ModelError, match=r"^'run/checkpoint-\*' may match several models, but one is needed here"):
        find_model("run/checkpoint-*")


def test_a_plan_of_a_pattern_has_all_its_models(run, capsys):
    assert command(["plan", "run/checkpoint-*", "--rows", "100"]) == 0
    out = capsys.readouterr().out
    assert all(f"run-checkpoint-{step}" in out for step in (30, 200, 1000))
