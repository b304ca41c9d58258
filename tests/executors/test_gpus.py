"""Which GPU a worker sees, on simulated machines."""

import os

import pytest

from mematlas.executors import gpus, local
from mematlas.executors.base import WorkerPool
from mematlas.executors.gpus import gpu_of, listed_gpus, visible_gpus
from mematlas.executors.local import LocalExecutor
from tests.executors import environment_probe
from tests.executors.sample_workers import killed_once

TWO = "GPU 0: NVIDIA A100 (UUID: GPU-aaa-1)\nGPU 1: NVIDIA A100 (UUID: GPU-bbb-2)\n"
PARTITIONED = (
    "GPU 0: NVIDIA H100 (UUID: GPU-aaa)\n  MIG 1g.10gb Device 0: (UUID: MIG-1)\n  MIG 1g.10gb Device 1: (UUID: MIG-2)\n"
    "GPU 1: NVIDIA H100 (UUID: GPU-bbb)\n"
)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ("0,1,2", ["0", "1", "2"]),
        (" 3 , 1", ["3", "1"]),
        ("GPU-aaa-1,GPU-bbb-2", ["GPU-aaa-1", "GPU-bbb-2"]),
        ("MIG-GPU-aaa/1/0,2", ["MIG-GPU-aaa/1/0", "2"]),
        ("2,-1,3", ["2"]),
        ("-1", []),
        ("", []),
    ],
)
def test_the_gpus_that_a_user_chose_are_all_that_there_are(monkeypatch, chosen, expected):
    monkeypatch.setattr(gpus, "_driver_gpus", lambda: ["GPU-aaa-1"] * 9)
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": chosen}) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [(TWO, ["GPU-aaa-1", "GPU-bbb-2"]), (PARTITIONED, ["MIG-1", "MIG-2", "GPU-bbb"]), ("No devices", [])],
)
def test_where_none_were_chosen_the_driver_lists_them(text, expected):
    assert listed_gpus(text) == expected


def test_without_a_driver_there_are_none(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_gpus({}) == []
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho '{TWO.splitlines()[0]}'\n")
    program.chmod(0o755)
    assert visible_gpus({}) == ["GPU-aaa-1"]
    program.write_text("#!/bin/sh\necho 'driver error (UUID: GPU-x)'\nexit 9\n")
    assert visible_gpus({}) == []


def test_workers_take_turns_and_one_gpu_is_no_choice():
    assert [gpu_of(position, ["4", "7"]) for position in range(5)] == ["4", "7", "4", "7", "4"]
    assert gpu_of(0, ["4"]) is None
    assert gpu_of(3, []) is None


def probe_environments(pool, tasks, make_worker=environment_probe.make_probe):
    """What the workers report of their environment, one entry per task."""
    reports = []
    failed = LocalExecutor(pool).run(make_worker, tasks, reports.append, lambda text: None)
    assert failed == []
    return reports


def test_a_worker_sees_its_gpu_alone_before_anything_is_imported_and_its_replacement_the_same(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-bbb-2")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    killed = killed_once(tmp_path / "killed", lambda: environment_probe.make_probe)
    reports = probe_environments(WorkerPool(2), list(range(8)), killed)
    assert (tmp_path / "killed").is_file()
    by_process = {(process, gpu) for process, gpu, _, _ in reports}
    assert {gpu for _, gpu in by_process} == {"5", "GPU-bbb-2"}
    assert len({process for process, _ in by_process}) == len(by_process) == 2
    assert {at_import == gpu for _, gpu, at_import, _ in reports} == {True}
    assert {threads for *_, threads in reports} == {str(max(1, local.cores() // 2))}
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "5,GPU-bbb-2"


def test_a_worker_without_a_gpu_of_its_own_sees_what_the_command_sees(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    ((_, gpu, _, threads),) = probe_environments(WorkerPool(2, gpus=0), [0])
    assert (gpu, threads) == ("0,1", "3")


@pytest.mark.parametrize(
    ("options", "gpus"),
    [
        ({}, None),
        ({"device": "cuda"}, None),
        ({"device": "cuda:1"}, 0),
        ({"device": "cpu"}, 0),
        ({"device_map": "auto"}, 0),
        ({"executor": "ray"}, None),
        ({"executor": "ray", "gpus_per_worker": 2, "device_map": "auto"}, 2),
    ],
)
def test_scoring_takes_turns_unless_a_device_or_a_map_of_several_is_named(options, gpus):
    from mematlas.pipeline.steps.score import gpus_per_worker
    from mematlas.scoring.config import resolve_config

    assert gpus_per_worker(resolve_config(corpus="c.npy", study="s", **options)) == gpus
