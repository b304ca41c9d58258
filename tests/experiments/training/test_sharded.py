"""Two processes that share every weight and every batch give the losses and the model of one; killed, they go on."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
import torch.distributed as dist
import yaml
from safetensors.torch import load_file

import mematlas
from mematlas import open_study
from mematlas.errors import OptionError, StudyError
from mematlas.experiments.training.placement import launched_processes
from mematlas.experiments.training.sharded import Sharded, joined_processes
from mematlas.experiments.training.trainer import read_probes, train_arm
from tests.experiments.training.forget_together import run_forget
from tests.experiments.training.test_trainer import HAS_PEFT, StoppedError, arm, killed_at, weights
from tests.experiments.training.together import (
    ALL,
    BRANCH,
    KILLED_AT,
    STEPS,
    last_model,
    together,
    train,
    train_loop_per_worker,
)
from tests.pipeline.test_experiment import FORGET

ROOT = Path(__file__).parents[3]


@pytest.fixture
def alone():
    """The placement of a process group of one process."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield Sharded(torch.device("cpu"))
    dist.destroy_process_group()


@pytest.mark.parametrize("kind", ["neox", "lora"] if HAS_PEFT else ["neox"])
def test_a_group_of_one_process_is_resumed_to_the_bit_and_agrees_with_a_process_without(kind, alone, tmp_path):
    one = arm(kind)
    plain = train_arm(one, tmp_path / "plain")
    whole = train_arm(one, tmp_path / "whole", placement=alone)
    for step in (1, 3, 6):
        with pytest.raises(StoppedError):
            train_arm(one, tmp_path / "killed", killed_at(step), state_every=2, placement=alone)
    assert weights(train_arm(one, tmp_path / "killed", state_every=2, placement=alone)) == weights(whole)
    assert largest_difference(whole / "model.safetensors", plain / "model.safetensors") < 2e-4


def test_a_damaged_state_is_named_in_one_line(alone, tmp_path):
    one = arm("neox")
    with pytest.raises(StoppedError):
        train_arm(one, tmp_path, killed_at(3), state_every=2, placement=alone)
    (file,) = tmp_path.glob("training-state-000002/*")
    intact = file.read_bytes()
    line = (
        r"training-state-000002 cannot be read \(.*\); delete .*training-state\.json, and the training starts again\.$"
    )
    for damage in (lambda: file.write_bytes(intact[:100]), lambda: shutil.rmtree(file.parent)):
        damage()
        with pytest.raises(StudyError, match=line) as raised:
            train_arm(one, tmp_path, placement=alone)
        assert "\n" not in str(raised.value)
    (tmp_path / "training-state.json").unlink()
    train_arm(one, tmp_path, placement=alone)


def test_a_users_error_of_the_first_process_is_raised_by_all(alone):
    def refuse() -> None:
        raise StudyError("no room; free some.")

    with pytest.raises(StudyError, match="no room; free some"):
        alone.from_first(refuse)
    assert alone.from_first(lambda: {"step": "3"}) == {"step": "3"}


needs_processes = pytest.mark.slow


def launch(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Start two processes with torchrun."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    options = ["--nproc-per-node", "2", "--master-addr", "127.0.0.1", "--master-port", port]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", *options, "-m", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False, timeout=300)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The arms of two processes. The last arm is killed midway, while it saves its state, and then resumed."""
    folder = tmp_path_factory.mktemp("two")
    killed = launch("tests.experiments.training.together", str(folder), "killed")
    assert killed.returncode != 0
    assert "SIGKILL" in killed.stderr, killed.stderr
    again = folder / "again"
    assert json.loads((again / "training-state.json").read_text())["step"] == str(KILLED_AT)
    (state,) = again.glob("training-state-*/")
    half = again / f"training-state-{KILLED_AT + 2:06d}"
    shutil.copytree(state, half)
    next(half.iterdir()).write_bytes(b"half a file")
    resumed = launch("tests.experiments.training.together", str(folder), "resumed")
    assert resumed.returncode == 0, resumed.stderr
    return folder


@pytest.fixture(scope="module")
def one(two: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same arms of one process; the branch starts where that of the two processes does."""
    folder = tmp_path_factory.mktemp("one")
    for kind in [*ALL, BRANCH]:
        train(together(kind, two), folder / kind)
    return folder


def losses(folder: Path, name: str) -> np.ndarray:
    return np.array(json.loads((folder / f"{name}.json").read_text()))


def largest_difference(one: Path, other: Path) -> float:
    """Between the tensors of two safetensors files."""
    ours, theirs = load_file(one), load_file(other)
    assert ours.keys() == theirs.keys()
    return max(float((ours[name] - theirs[name]).abs().max()) for name in ours)


@needs_processes
@pytest.mark.parametrize("kind", [*ALL, BRANCH])
def test_two_processes_give_what_one_gives(kind: str, one: Path, two: Path):
    """Measured: losses within 4e-7, weights within 3e-5 (a bias whose gradient is only rounding), moments 2e-8."""
    assert losses(two, kind) == pytest.approx(losses(one, kind), abs=1e-5)
    assert len(losses(two, kind)) == STEPS
    model, moments = (Path(kind) / last_model() / f"{name}.safetensors" for name in ("model", "optimizer"))
    assert largest_difference(two / model, one / model) < 2e-4
    assert largest_difference(two / moments, one / moments) < 1e-6
    described = together(kind, two)
    for ours, theirs in zip(*(read_probes(described, side / kind).to_pylist() for side in (two, one)), strict=True):
        assert ours == theirs | {"value": pytest.approx(theirs["value"], abs=1e-5)}
    assert {path.name for path in (two / kind).iterdir()} == {path.name for path in (one / kind).iterdir()}


@needs_processes
def test_without_the_scale_of_unequal_slices_the_losses_differ(one: Path, two: Path):
    """Negative control: measured 4e-2."""
    difference = np.abs(losses(two, "unscaled") - losses(one, "neox"))
    assert difference[0] < 1e-5, "the first loss is that of the weights before any step"
    assert difference.max() > 1e-3


@needs_processes
def test_killed_and_resumed_two_processes_end_in_the_same_bits(two: Path):
    for name in ("model.safetensors", "optimizer.safetensors"):
        assert (two / "again" / last_model() / name).read_bytes() == (two / "neox" / last_model() / name).read_bytes()
    assert losses(two, "again").tolist() == losses(two, "neox")[KILLED_AT:].tolist()
    assert not list((two / "again").glob("training-state*"))


@needs_processes
def test_an_experiment_is_trained_together_and_studied_by_the_first_process(tmp_path: Path):
    """Both processes end well, one prints; its probes are those of a single process, and nothing is trained twice."""
    for name in ("two", "one"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f.yaml").write_text(yaml.safe_dump(FORGET))
    completed = launch("tests.experiments.training.forget_together", str(tmp_path / "two" / "f.yaml"))
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout.count("The report: open ") == 1
    assert completed.stderr.count(": step 4 of 4, loss ") == 1
    study = open_study(tmp_path / "two" / "out" / "study")
    assert (study.folder / "report.html").is_file()
    run_forget(tmp_path / "one" / "f.yaml")
    ours, theirs = (open_study(tmp_path / name / "out" / "study").scan_probes().collect() for name in ("two", "one"))
    key = ["arm", "step", "set", "metric"]
    both = ours.join(theirs, on=key, validate="1:1").filter(pl.col("metric") == "loss")
    assert both.height == ours.filter(pl.col("metric") == "loss").height > 20
    assert (both["value"] - both["value_right"]).abs().max() < 1e-4
    manifests = [
        json.loads((tmp_path / name / "out" / "experiment.json").read_text())["arms"] for name in ("two", "one")
    ]
    for arms in zip(*manifests, strict=True):
        assert arms[0]["label"] == arms[1]["label"]
        assert arms[0]["fingerprint"] != arms[1]["fingerprint"]


def test_workers_are_refused_where_processes_train_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(OptionError, match=r"The 2 processes that torchrun launched train every model together, and"):
        mematlas.experiment("forget", keys={"out": tmp_path / "out"}, workers=2)
    assert not (tmp_path / "out").exists()


@pytest.mark.ray
@pytest.mark.slow
def test_a_training_loop_of_ray_train_is_the_same(tmp_path: Path, one: Path):
    ray = pytest.importorskip("ray", reason='needs Ray: pip install "mematlas[ray]"')
    torch_trainer = pytest.importorskip("ray.train.torch")
    from ray.train import RunConfig, ScalingConfig

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    paths = os.pathsep.join([str(ROOT), *sys.path])
    ray.init("local", num_cpus=2, include_dashboard=False, runtime_env={"env_vars": {"PYTHONPATH": paths}})
    try:
        torch_trainer.TorchTrainer(
            train_loop_per_worker,
            train_loop_config={"folder": str(tmp_path)},
            scaling_config=ScalingConfig(num_workers=2),
            run_config=RunConfig(storage_path=str(tmp_path / "ray")),
        ).fit()
    finally:
        ray.shutdown()
    assert losses(tmp_path, "llama") == pytest.approx(losses(one, "llama"), abs=1e-5)


def test_the_number_of_processes_is_in_the_fingerprint_and_one_changes_nothing():
    described = arm("neox")
    assert described.fingerprint(1) == described.fingerprint()
    assert len({described.fingerprint(processes) for processes in (1, 2, 3)}) == 3


@pytest.mark.parametrize(("rows", "size"), [(3, 2), (1, 2), (7, 3), (2, 5), (8, 4)])
def test_slices_are_those_of_array_split_and_their_weights_add_up_to_the_mean(rows: int, size: int):
    parts = []
    for rank, own in enumerate(np.array_split(np.arange(rows), size)):
        process = object.__new__(Sharded)
        process.size, process._rank = size, rank
        part = process.part(rows)
        assert np.arange(rows)[part.rows].tolist() == (own.tolist() or [0])
        assert part.weight == pytest.approx(len(own) / rows * size)
        parts.append(part)
    assert sum(part.share for part in parts) == pytest.approx(1)
    assert sum(part.weight for part in parts) / size == pytest.approx(1)


@pytest.mark.parametrize(
    ("device", "missing", "message"),
    [
        ("cuda:1", "", "Processes that train together use a GPU each, or the CPU, not 'cuda:1'; write device: cuda or"),
        ("cpu", "RANK", "WORLD_SIZE is 2, but RANK is not set; start with torchrun, or unset WORLD_SIZE"),
    ],
)
def test_a_wrong_launch_is_said_in_one_line(device, missing, message, monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    if missing:
        monkeypatch.delenv(missing)
    assert launched_processes() == 2
    with pytest.raises(OptionError, match=message), joined_processes(device):
        pass
