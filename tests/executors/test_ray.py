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
from tests.executors import sample_workers as made

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
    found = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    found.add_node(**node)
    yield found
    found.shutdown()


@pytest.fixture(scope="module")
def executor():
    from mematlas.executors.ray import RayExecutor

    return RayExecutor


def actors() -> list[dict]:
    from ray._private import state

    return [actor for actor in state.actors().values() if actor["State"] == "ALIVE"]


class Destroying(Silent):
    """Kills a worker after some shards, and takes the other node away after some more."""

    def __init__(self, cluster):
        self.cluster, self.shards, self.said = cluster, 0, []

    def say(self, text):
        self.said.append(text)

    def advance(self, rows):
        self.shards += 1
        leaving = self.cluster.worker_nodes
        if self.shards == 3:
            away = {node.node_id for node in leaving}
            staying = [actor for actor in actors() if actor["Address"]["NodeID"] not in away]
            os.kill((staying or actors())[0]["Pid"], signal.SIGKILL)
        elif self.shards == 10:
            self.cluster.remove_node(next(iter(leaving)), allow_graceful=False)


def test_results_come_once_and_a_task_that_kills_its_workers_is_given_up(cluster, executor, tmp_path):
    results, said = [], []
    crew = executor(WorkerPool(2, cluster.address))
    lost = crew.run(made.mortal(tmp_path, deadly=2, deaths=99), list(range(6)), results.append, said.append)
    assert sorted(results) == [0, 1, 9, 16, 25]
    assert [(found.task, found.tries) for found in lost] == [(2, RETRIES + 1)]
    assert len(said) == RETRIES
    assert all(text.startswith("A worker died (") and text.endswith("another takes over 2.") for text in said)
    (tmp_path / "begun").mkdir()
    with pytest.raises(ModelError, match="the model is gone; bring it back"):
        crew.run(made.refusing(tmp_path / "begun"), list(range(9)), results.append, said.append)


def test_a_worker_and_then_a_node_are_lost_and_the_tables_are_those_of_one_process(cluster, tmp_path):
    network = networks.neox()
    np.save(tmp_path / "rows.npy", networks.half_recited(network, networks.grid([8, 12], [12]), 60))
    model = str(networks.saved(network, tmp_path / "tiny"))
    watcher, given = Destroying(cluster), GRID | {"corpus": str(tmp_path / "rows.npy")}
    spread = {"executor": "ray", "workers": 2, "address": cluster.address}
    study = mematlas.score(model, progress=watcher, study=tmp_path / "spread", **given, **spread)
    whole = mematlas.score(model, study=tmp_path / "whole", **given)
    assert len(watcher.said) >= 1
    assert all("another takes over shard-000" in text for text in watcher.said)
    assert watcher.shards == 30
    assert not cluster.worker_nodes
    one, other = study.scores().sort(KEYS), whole.scores().sort(KEYS)
    exact = [*KEYS, "matches", "verbatim", "reason"]
    assert one.select(exact).equals(other.select(exact))
    assert one.select(KEYS).n_unique() == len(one) == 60 * 4
    assert np.abs(one["margin"].to_numpy() - other["margin"].to_numpy()).max() < 2e-4
    assert study.rows().equals(whole.rows())
    assert study.run().key == whole.run().key


def test_counting_and_analysing_give_the_files_of_one_process(cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shelves.fill(tmp_path)
    monkeypatch.setattr("mematlas.pipeline.steps.features.PASS_TOKENS", 20 * 200)
    asked = {"corpus": "rows.npy", "context": [8], "continuation": [4, 12]}
    spread = {"executor": "ray", "workers": 2, "address": cluster.address}
    found = []
    for folder, workers in (("spread", spread), ("whole", {})):
        study = mematlas.score("parrot:rows.npy", "parrot:few.npy:22", study=folder, **asked)
        mematlas.make_features(study, scope="rows", **workers)
        mematlas.analyze(study, only=["size", "repetition", "boundary_input"], **workers)
        files = [path for room in ("features", "findings") for path in (study.folder / room).rglob("*.*")]
        found.append({path.relative_to(study.folder): path.read_bytes() for path in files if path.suffix != ".done"})
    assert found[0] == found[1]
    assert len(found[0]) > 12


def test_an_address_where_no_cluster_is_is_one_line(executor):
    with pytest.raises(StudyError, match=r"No Ray cluster answers at '127\.0\.0\.1:9' .* begin one with `ray start"):
        executor(WorkerPool(1, "127.0.0.1:9")).run(made.make_squarer, [1], print, print)


def test_asking_for_help_loads_no_ray():
    code = "import sys; from mematlas.cli import run; run(['score', '--help']); print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
    assert "--executor" in done.stdout
