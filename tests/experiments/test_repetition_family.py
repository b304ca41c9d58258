"""Training: bitwise equal for a seed, interrupted or not; results of other configurations are never reused."""

import json
import shutil
import subprocess
import sys
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from mematlas.errors import StudyError
from mematlas.experiments import Size, TrainedFamily
from tests.experiments.conftest import TINY, documents, train, weights


class StoppedError(Exception):
    """Raised by the tests' callbacks to stop a training."""


class Recorder:
    """A progress callback that records its calls, and stops the training at one of them."""

    def __init__(self, stop: tuple[str, int] | None = None) -> None:
        self.calls: list[tuple[str, int]] = []
        self.losses: list[float] = []
        self.stop = stop

    def __call__(self, step: int, steps: int, loss: float | None, label: str) -> None:
        self.calls.append((label, step))
        if loss is not None:
            self.losses.append(loss)
        if (label, step) == self.stop:
            raise StoppedError

    def trained(self) -> list[tuple[str, int]]:
        return [call for call in self.calls if call[0] != "corpus"]


def all_weights(family: TrainedFamily) -> list[bytes]:
    return [weights(member.folder) for member in family.members]


def labels() -> list[str]:
    return [size.label(TINY.planting.vocabulary) for size in TINY.sizes]


def test_the_same_seed_gives_the_same_weights(family: TrainedFamily, tmp_path: Path) -> None:
    again = train(tmp_path, TINY)
    assert all_weights(again) == all_weights(family)
    assert again.fingerprint == family.fingerprint
    assert (tmp_path / "corpus" / "order.npy").read_bytes() == family.order.read_bytes()


def test_one_size_after_the_other_or_side_by_side_is_the_same(family: TrainedFamily, tmp_path: Path) -> None:
    recorder = Recorder()
    assert all_weights(train(tmp_path, TINY, recorder, at_once=1)) == all_weights(family)
    assert recorder.trained() == [(label, step) for label in labels()[::-1] for step in range(1, TINY.steps + 1)]


def test_another_seed_gives_other_weights(family: TrainedFamily, tmp_path: Path) -> None:
    other = train(tmp_path, replace(TINY, seed=4, sizes=TINY.sizes[:1]))
    assert weights(other.members[-1].folder) != weights(family.members[len(TINY.checkpoint_steps) - 1].folder)


@pytest.mark.parametrize("size_index", [0, 1])
@pytest.mark.parametrize("at_once", [1, 2])
def test_interrupted_and_resumed_is_the_same_as_never_interrupted(
    family: TrainedFamily, tmp_path: Path, size_index: int, at_once: int
) -> None:
    label = labels()[size_index]
    resume_at = TINY.checkpoint_steps[1]
    with pytest.raises(StoppedError):
        train(tmp_path, TINY, Recorder((label, resume_at + 1)), at_once)
    assert not (tmp_path / "family.json").exists()
    recorder = Recorder()
    resumed = train(tmp_path, TINY, recorder, at_once)
    assert (label, resume_at) not in recorder.calls
    assert at_once > 1 or recorder.trained()[0] == (label, resume_at + 1)
    assert all_weights(resumed) == all_weights(family)
    assert not list((tmp_path / "models").rglob("training-state*")), (
        "the training state is deleted when a size is finished"
    )
    assert not list(tmp_path.rglob("*.partial"))


def test_a_finished_family_is_not_trained_again(family: TrainedFamily) -> None:
    recorder = Recorder()
    before = {path: path.stat().st_mtime_ns for path in family.folder.rglob("model.safetensors")}
    again = train(family.folder, TINY, recorder)
    assert recorder.trained() == []
    assert again == family
    assert before == {path: path.stat().st_mtime_ns for path in family.folder.rglob("model.safetensors")}


def test_a_missing_checkpoint_is_written_again(family: TrainedFamily, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(family.folder, copy)
    shutil.rmtree(copy / "models" / labels()[0] / family.members[0].folder.name)
    assert all_weights(train(copy, TINY)) == all_weights(family)


@pytest.mark.parametrize("change", [{"clip": 0.5}, {"batch": 5}, {"seed": 9}, {"checkpoints": (0.4,)}])
def test_a_changed_configuration_reuses_nothing(family: TrainedFamily, tmp_path: Path, change: dict) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(family.folder, copy)
    recorder = Recorder()
    config = replace(TINY, **change)
    changed = train(copy, config, recorder)
    assert sorted(recorder.trained()) == [(label, step) for label in labels() for step in range(1, config.steps + 1)]
    checkpoints = sorted(path.parent for path in copy.rglob("model.safetensors"))
    assert checkpoints == sorted(member.folder for member in changed.members), "no checkpoint of the old run remains"


def test_a_state_of_another_configuration_is_not_resumed(family: TrainedFamily, tmp_path: Path) -> None:
    recorder = Recorder(stop=(labels()[0], TINY.checkpoint_steps[1]))
    with pytest.raises(StoppedError):
        train(tmp_path, replace(TINY, clip=0.5), recorder)
    assert all_weights(train(tmp_path, TINY)) == all_weights(family)


def test_a_new_size_leaves_the_finished_ones_alone(family: TrainedFamily, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(family.folder, copy)
    recorder = Recorder()
    sizes = (*TINY.sizes, Size(hidden=32, layers=1, heads=2, peak_rate=1e-2))
    grown = train(copy, replace(TINY, sizes=sizes), recorder)
    assert {label for label, _ in recorder.trained()} == {grown.members[-1].label}
    assert all_weights(grown)[: len(family.members)] == all_weights(family)


def test_every_size_sees_the_same_rows_in_the_same_order(family: TrainedFamily) -> None:
    digests: dict[int, set[str]] = {}
    for member in family.members:
        facts = json.loads((member.folder / "mematlas.json").read_text())
        digests.setdefault(member.training_step, set()).add(facts["data"])
    assert list(digests) == list(TINY.checkpoint_steps)
    assert all(len(by_size) == 1 for by_size in digests.values())
    assert len(set().union(*digests.values())) == len(digests)


def test_checkpoints_are_ordinary_hugging_face_folders(family: TrainedFamily) -> None:
    text = documents()[0].text
    tokenizer = AutoTokenizer.from_pretrained(family.tokenizer)
    for member, size in zip(family.final, TINY.sizes, strict=True):
        model = AutoModelForCausalLM.from_pretrained(member.folder)
        assert model.num_parameters() == size.parameters(300) == member.parameters
        assert model.config.model_type == "gpt_neox"
        saved_tokenizer = AutoTokenizer.from_pretrained(member.folder)
        assert saved_tokenizer(text)["input_ids"] == tokenizer(text)["input_ids"]
        assert saved_tokenizer.eos_token_id == 0
        facts = json.loads((member.folder / "mematlas.json").read_text())
        assert facts["training_step"] == TINY.steps
        assert facts["presentations"] == TINY.planting.presentations == member.presentations
        assert facts["parameters"] == member.parameters
        assert facts["seed"] == TINY.seed


def test_parameter_counts_of_the_tiny_sizes(family: TrainedFamily) -> None:
    assert [member.parameters for member in family.final] == [5_688, 16_192]


def test_training_lowers_the_loss_and_often_shown_rows_are_memorized_better(tmp_path: Path) -> None:
    planting = replace(TINY.planting, repetitions=(1, 32), rows_per_level=8)
    config = replace(TINY, planting=planting, sizes=(Size(32, 1, 2, 2e-2),), checkpoints=())
    recorder = Recorder()
    family = train(tmp_path, config, recorder, at_once=1)
    assert np.mean(recorder.losses[-5:]) < 0.5 * np.mean(recorder.losses[:5])
    table, control = pq.read_table(family.train), pq.read_table(family.control)
    model = AutoModelForCausalLM.from_pretrained(family.final[0].folder).eval()

    def accuracy(rows: list[list[int]]) -> np.ndarray:
        ids = torch.tensor(rows)
        with torch.no_grad():
            return (model(ids).logits[:, :-1].argmax(-1) == ids[:, 1:]).float().mean(1).numpy()

    trained = accuracy(table["tokens"].to_pylist())
    often = trained[table["repetitions"].to_numpy() == 32].mean()
    assert often > trained[table["repetitions"].to_numpy() == 1].mean() + 0.3
    assert often > accuracy(control["tokens"].to_pylist()).mean() + 0.3


def test_torch_keeps_its_random_state_and_threads(tmp_path: Path) -> None:
    torch.manual_seed(11)
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    train(tmp_path, replace(TINY, sizes=TINY.sizes[:1], checkpoints=()))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_a_folder_with_other_files_is_refused_and_unchanged(tmp_path: Path) -> None:
    other = tmp_path / "models" / labels()[0] / "precious.txt"
    other.parent.mkdir(parents=True)
    other.write_text("mine")
    with pytest.raises(StudyError, match="something else than a training run; name another folder"):
        train(tmp_path, TINY)
    assert other.read_text() == "mine"


def test_a_file_instead_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(StudyError, match=r"cannot be written \(.*\); choose another"):
        train(tmp_path / "out", TINY)


def test_a_full_disk_is_reported_before_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 10**6, 10**6))
    with pytest.raises(StudyError, match=r"has 1 MB free and the models need \d+ MB; free some space"):
        train(tmp_path, TINY)


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    path = tmp_path / "models" / labels()[0] / "run.json"
    path.parent.mkdir(parents=True)
    path.write_text("{half")
    with pytest.raises(StudyError, match=r"run\.json cannot be read as JSON"):
        train(tmp_path, TINY)


def test_importing_the_package_imports_no_heavy_library() -> None:
    code = (
        "import sys, mematlas.experiments as e; e.TrainingConfig; "
        "sys.exit(bool({'torch', 'transformers', 'tokenizers', 'pyarrow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_name_is_an_attribute_error() -> None:
    from mematlas import experiments

    assert all(getattr(experiments, name) for name in experiments.__all__)
    with pytest.raises(AttributeError, match="no attribute 'train_famly'"):
        experiments.train_famly  # noqa: B018
