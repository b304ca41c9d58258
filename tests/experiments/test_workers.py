"""Arms trained by worker processes have the bits of those that threads train, also if a worker is killed midway."""

import os
import sys
from pathlib import Path

import pytest
import torch

import mematlas
from mematlas.errors import OptionError, StudyError
from mematlas.executors.options import SINGLE_PROCESS, WorkerOptions
from mematlas.experiments import running
from mematlas.experiments.counterfactual import CounterfactualConfig
from mematlas.experiments.data import documents as data_documents
from mematlas.experiments.workers import gpus_per_worker
from mematlas.pipeline import experiment
from mematlas.pipeline.experiment import run_experiment
from mematlas.pipeline.steps.score import run_job, worker_options
from mematlas.pipeline.study_file import StudyFile
from mematlas.progress import Progress, Silent
from mematlas.scoring.job import resolve_job
from mematlas.study import Study
from tests.experiments import killed_arms
from tests.experiments.conftest import documents, weights
from tests.experiments.test_counterfactual import KEYS

KILLED, AT_STEP = "subset-002", 5
EXACT = ["model", "row", "context", "continuation", "matches", "verbatim", "reason"]


@pytest.fixture(autouse=True)
def _synthetic_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_documents, "standard_library_documents", documents)
    monkeypatch.setattr(experiment, "run_file", scored)
    monkeypatch.setattr(running, "STATE_EVERY", 2)


class Listener(Silent):
    """Keeps what is said, and the labels, totals and counts of stages."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.stages: list[list[object]] = []

    def start(self, label: str, total: int, done: int, unit: str = "rows") -> None:
        self.stages.append([label, total, done, unit])

    def advance(self, rows: int) -> None:
        self.stages[-1][2] += rows

    def say(self, text: str) -> None:
        self.messages.append(text)


def scored(file: StudyFile, progress: Progress) -> Study:
    """In place of `run_file`: score only, in this process, which is what the tests compare."""
    plain = file.model_copy(update=SINGLE_PROCESS.model_dump())
    return run_job(resolve_job(plain.models, plain.config, extend=False), progress)


def run(folder: Path, progress: Progress, workers: WorkerOptions = SINGLE_PROCESS, **keys: object) -> Study:
    """Run the experiment in the folder, up to its scores; with one thread per model."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        config = CounterfactualConfig(**{**KEYS, "out": folder / "out", **keys})
        return run_experiment("counterfactual", config, None, progress, workers)
    finally:
        torch.set_num_threads(before)


@pytest.fixture(scope="module")
def by_threads(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, dict[str, bytes]]:
    """The scored models of the uninterrupted experiment in one process, and their weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data_documents, "standard_library_documents", documents)
        patch.setattr(experiment, "run_file", scored)
        study = run(tmp_path_factory.mktemp("threads"), Silent())
    return study, model_weights(study.folder.parent)


def model_weights(out: Path) -> dict[str, bytes]:
    return {path.parent.name: weights(path) for path in sorted((out / "arms").glob("*/step-000009"))}


def check_same(study: Study, by_threads: tuple[Study, dict[str, bytes]]) -> None:
    """The weights bit for bit, the scores, and A, the table of who recites what."""
    reference, its_weights = by_threads
    assert len(its_weights) == 5
    assert model_weights(study.folder.parent) == its_weights
    ours, theirs = (one.scores().select(EXACT).sort(EXACT[:4]) for one in (study, reference))
    assert ours.height == 5 * 30
    assert ours.equals(theirs)
    ours, theirs = (one.scan_exposures().collect().sort("model", "row") for one in (study, reference))
    assert ours.equals(theirs)
    assert (study.run().key, study.rows().height) == (reference.run().key, reference.rows().height)


def check_one_death(messages: list[str], notes: Path) -> None:
    """One worker died, and another went on from the state that was saved after step 4."""
    (message,) = [text for text in messages if "died" in text]
    assert message.endswith(f"another takes over {KILLED}.")
    assert killed_arms.steps_of(notes, KILLED) == [[1, 2, 3, 4, 5], [5, 6, 7, 8, 9]]


def test_a_killed_worker_and_a_users_error_change_neither_weights_nor_scores(tmp_path, monkeypatch, by_threads):
    """One worker is killed midway and the last model fails; the same command goes on, here with threads."""
    factory = killed_arms.killed_midway(tmp_path, KILLED, AT_STEP, failing="subset-004")
    monkeypatch.setattr(running, "arm_workers", lambda: factory)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    listener = Listener()
    with pytest.raises(StudyError, match=r"^subset-004 has no room; free some\.$"):
        run(tmp_path, listener, WorkerOptions(workers=2))
    check_one_death(listener.messages, tmp_path)
    assert listener.stages == [["training, 2 workers", 5, 4, "models"]]
    kept = finished(tmp_path)
    assert sorted(kept) == [f"subset-{number:03d}" for number in range(4)]
    study = run(tmp_path, Silent())
    assert {label: modified for label, modified in finished(tmp_path).items() if label in kept} == kept
    check_same(study, by_threads)


def finished(folder: Path) -> dict[str, int]:
    """When each finished model was finished."""
    return {path.parent.name: path.stat().st_mtime_ns for path in (folder / "out" / "arms").glob("*/finished.json")}


def test_the_study_that_follows_has_the_same_workers(tmp_path, monkeypatch, by_threads):
    run(tmp_path, Silent())
    asked = []
    monkeypatch.setattr(experiment, "run_file", lambda file, progress: asked.append(worker_options(file)))
    monkeypatch.setattr(running, "map_tasks", None)  # nothing is left to train
    for options in (WorkerOptions(workers=3), WorkerOptions(executor="ray", address="auto"), SINGLE_PROCESS):
        run(tmp_path, Silent(), options)
        assert asked.pop() == options


def test_finished_models_are_kept_when_another_fails_in_a_thread(tmp_path, monkeypatch, by_threads):
    real = running.train_arm

    def train(arm, folder, progress, **options):
        if arm.label == KILLED:
            raise StudyError(f"{KILLED} has no room; free some.")
        return real(arm, folder, progress, **options)

    monkeypatch.setattr(running, "train_arm", train)
    with pytest.raises(StudyError, match="has no room"):
        run(tmp_path, Silent())
    assert sorted(finished(tmp_path)) == ["subset-000", "subset-001"]
    monkeypatch.setattr(running, "train_arm", real)
    check_same(run(tmp_path, Silent()), by_threads)


@pytest.mark.parametrize(
    ("device", "executor", "gpus"),
    [("cpu", "local", 0), ("cpu", "ray", 0), ("cuda", "local", None), ("cuda:1", "local", 0), ("cuda", "ray", None)],
)
def test_workers_take_the_gpus_in_turn_unless_one_is_named(device, executor, gpus):
    assert gpus_per_worker(device, executor) == gpus


def test_an_address_without_a_cluster_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(OptionError, match="--address auto is an option of Ray clusters only"):
        mematlas.experiment("counterfactual", keys={"out": tmp_path / "out"}, address="auto")
    assert not (tmp_path / "out").exists()


@pytest.mark.ray
@pytest.mark.slow
def test_an_actor_killed_midway_changes_neither_weights_nor_scores(tmp_path, monkeypatch, by_threads):
    pytest.importorskip("ray", reason='needs Ray: pip install "mematlas[ray]"')
    factory = killed_arms.killed_midway(tmp_path, KILLED, AT_STEP)
    monkeypatch.setattr(running, "arm_workers", lambda: factory)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # actors find the tests' own modules
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    listener = Listener()
    study = run(tmp_path, listener, WorkerOptions(workers=2, executor="ray"))
    check_one_death(listener.messages, tmp_path)
    check_same(study, by_threads)
