"""A real cluster of two node processes on this machine: a worker is killed, then a node leaves, and nothing is lost."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import mematlas
from mematlas.errors import ModelError, StudyError
from mematlas.executors.base import RETRIES, WorkerPool
from mematlas.progress import Silent
from tests import study_shelf as shelves
from tests import tiny_networks as networks
from tests.executors import sample_workers

ray = pytest.importorskip("ray", reason='needs Ray: pip install "mematlas[ray]"')
pytestmark = [pytest.mark.ray, pytest.mark.slow]

GRID = {"context": [8, 12], "continuation": [4, 12], "batch": 1, "shards": 30}
KEYS = ["model", "row", "context", "continuation"]


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)  # the nodes' processes find the tests' own modules
    node = {"num_cpus": 1, "num_gpus": 0, "object_store_memory": 80 << 20}
    running = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    running.add_node(**node)
    yield running
    running.shutdown()


@pytest.fixture(scope="module")
def executor():
    from mematlas.executors.ray import RayExecutor

    return RayExecutor


def actors() -> list[dict]:
    from ray._private import state

    return [actor for actor in state.actors().values() if actor["State"] == "ALIVE"]


class DestructiveProgress(Silent):
    """Kills a worker after some shards, and removes the other node after some more."""

    def __init__(self, cluster):
        self.cluster, self.shards, self.messages = cluster, 0, []

    def say(self, text):
        self.messages.append(text)

    def advance(self, rows):
        self.shards += 1
        worker_nodes = self.cluster.worker_nodes
        if self.shards == 3:
            worker_ids = {node.node_id for node in worker_nodes}
            on_head = [actor for actor in actors() if actor["Address"]["NodeID"] not in worker_ids]
            os.kill((on_head or actors())[0]["Pid"], signal.SIGKILL)
        elif self.shards == 10:
            self.cluster.remove_node(next(iter(worker_nodes)), allow_graceful=False)


def test_results_come_once_and_a_task_that_kills_its_workers_is_given_up(cluster, executor, tmp_path):
    results, messages = [], []
    ray_executor = executor(WorkerPool(2, cluster.address))
    failed = ray_executor.run(
        sample_workers.killed_worker(tmp_path, deadly_task=2, deaths=99),
        list(range(6)),
        results.append,
        messages.append,
    )
    assert sorted(results) == [0, 1, 9, 16, 25]
    assert [(failure.task, failure.attempts) for failure in failed] == [(2, RETRIES + 1)]
    assert len(messages) == RETRIES
    assert all(text.startswith("A worker died (") and text.endswith("another takes over 2.") for text in messages)
    (tmp_path / "started").mkdir()
    with pytest.raises(ModelError, match="the model is gone; bring it back"):
        ray_executor.run(
            sample_workers.failing_worker(tmp_path / "started"), list(range(9)), results.append, messages.append
        )


def test_a_worker_and_then_a_node_are_lost_and_the_tables_are_those_of_one_process(cluster, tmp_path):
    network = networks.neox()
    np.save(tmp_path / "rows.npy", networks.partly_recited_rows(network, networks.grid([8, 12], [12]), 60))
    model = str(networks.save_network(network, tmp_path / "tiny"))
    progress, options = DestructiveProgress(cluster), GRID | {"corpus": str(tmp_path / "rows.npy")}
    distributed = {"executor": "ray", "workers": 2, "address": cluster.address}
    study = mematlas.score(model, progress=progress, study=tmp_path / "distributed", **options, **distributed)
    single = mematlas.score(model, study=tmp_path / "single", **options)
    assert len(progress.messages) >= 1
    assert all("another takes over shard-000" in text for text in progress.messages)
    assert progress.shards == 30
    assert not cluster.worker_nodes
    scores, reference = study.scores().sort(KEYS), single.scores().sort(KEYS)
    exact = [*KEYS, "matches", "verbatim", "reason"]
    assert scores.select(exact).equals(reference.select(exact))
    assert scores.select(KEYS).n_unique() == len(scores) == 60 * 4
    assert np.abs(scores["margin"].to_numpy() - reference["margin"].to_numpy()).max() < 2e-4
    assert study.rows().equals(single.rows())
    assert study.run().key == single.run().key


def test_counting_and_analysing_give_the_files_of_one_process(cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shelves.fill(tmp_path)
    monkeypatch.setattr("mematlas.pipeline.steps.features.PASS_TOKENS", 20 * 200)
    options = {"corpus": "rows.npy", "context": [8], "continuation": [4, 12]}
    distributed = {"executor": "ray", "workers": 2, "address": cluster.address}
    contents = []
    for folder, workers in (("distributed", distributed), ("single", {})):
        study = mematlas.score("parrot:rows.npy", "parrot:few.npy:22", study=folder, **options)
        mematlas.make_features(study, scope="rows", **workers)
        mematlas.analyze(study, only=["size", "repetition", "boundary_input"], **workers)
        files = [path for part in ("features", "findings") for path in (study.folder / part).rglob("*.*")]
        contents.append({path.relative_to(study.folder): path.read_bytes() for path in files if path.suffix != ".done"})
    assert contents[0] == contents[1]
    assert len(contents[0]) > 12


def test_an_address_without_a_cluster_is_reported_in_one_line(executor):
    with pytest.raises(StudyError, match=r"No Ray cluster answers at '127\.0\.0\.1:9' .* start one with `ray start"):
        executor(WorkerPool(1, "127.0.0.1:9")).run(sample_workers.make_squarer, [1], print, print)


def test_showing_the_help_does_not_import_ray():
    code = "import sys; from mematlas.cli import run; run(['score', '--help']); print('ray' in sys.modules)"
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert completed.stdout.splitlines()[-1] == "False"
    assert "--executor" in completed.stdout
