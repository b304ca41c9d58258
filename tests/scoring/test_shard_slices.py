"""One run scored by several processes: shard slices of any n, workers that die, a main process that dies."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import mematlas
from mematlas.cli.commands.study.slurm import option_words
from mematlas.errors import CorpusError, MematlasError, ModelError, OptionError
from mematlas.scoring.config import resolve_config
from mematlas.scoring.job import resolve_job
from mematlas.scoring.job_spec import from_spec, to_spec
from mematlas.scoring.worker import ShardTask, ShardWorker
from mematlas.study.slices import ShardSlice, parse_slice
from tests import tiny_networks as networks

SHARDS = 12
KEYS = ["model", "row", "context", "continuation"]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder with a tiny model and rows of which it recites some."""
    folder = tmp_path_factory.mktemp("inputs")
    network = networks.neox()
    np.save(folder / "rows.npy", networks.partly_recited_rows(network, networks.grid([8, 12], [12]), 60))
    networks.save_network(network, folder / "tiny")
    return folder


def options(inputs, study, **changed):
    grid = {"context": [8, 12], "continuation": [4, 12], "shards": SHARDS, "batch": 1}
    return {"corpus": str(inputs / "rows.npy"), "study": str(study)} | grid | changed


@pytest.fixture(scope="module")
def expected_study(inputs):
    return mematlas.score(str(inputs / "tiny"), **options(inputs, inputs / "expected_study", signals=["free"]))


def check_same(study, expected):
    """The same tables: keys, matches, verbatim and reason identical, no row twice or lost, margins within 2e-4."""
    scores, expected_scores = study.scores().sort(KEYS), expected.scores().sort(KEYS)
    exact = [*KEYS, "matches", "verbatim", "reason"]
    assert scores.select(exact).equals(expected_scores.select(exact))
    assert scores.select(KEYS).n_unique() == len(scores) == 60 * 4
    assert np.abs(scores["margin"].to_numpy() - expected_scores["margin"].to_numpy()).max() < 2e-4
    assert study.rows().equals(expected.rows())
    assert study.run().key == expected.run().key


def score_slice(model, shard, arguments):
    torch.set_num_threads(1)
    mematlas.score(model, shard=shard, **arguments)


def done(study):
    return sorted(Path(study).glob("scores/*/*/*.done"))


def test_processes_with_changing_n_make_the_tables_of_one_process(inputs, tmp_path, expected_study):
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(
        ["tests.scoring.test_shard_slices", "mematlas.models.causal", "mematlas.scoring.shards"]
    )
    arguments = options(inputs, tmp_path / "s", signals=["free"])
    slices = ["1/3", "2/3", "1/2"]  # shards 0, 4, 6 and 10 are taken by two of them at once
    model = str(inputs / "tiny")
    running = [processes.Process(target=score_slice, args=(model, part, arguments)) for part in slices]
    for process in running:
        process.start()
    reference, read = expected_study.scores().sort(KEYS), 0
    while any(process.is_alive() for process in running):
        if done(tmp_path / "s"):
            partial = mematlas.open_study(tmp_path / "s").scores(partial=True).sort(KEYS)
            assert partial.select(KEYS).n_unique() == len(partial)
            assert len(partial.join(reference.drop("margin"), on=partial.drop("margin").columns, nulls_equal=True)) == (
                len(partial)
            )
            read += 1
        time.sleep(0.02)
    assert read
    assert [process.exitcode for process in running] == [0, 0, 0]
    taken = {int(path.stem[6:11]) for path in done(tmp_path / "s")}
    assert taken == {index for index in range(SHARDS) if index % 3 in (0, 1) or index % 2 == 0}
    assert not (tmp_path / "s" / "manifest.json").exists()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("s/scores/*/*/*")}
    study = mematlas.score(str(inputs / "tiny"), shard="5/6", **arguments)
    assert not (tmp_path / "s" / "manifest.json").exists()
    study = mematlas.score(str(inputs / "tiny"), shard="6/6", **arguments)
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    check_same(study, expected_study)
    lists = ["model", "row", "context", "token"]
    assert study.signals("free").select(lists).equals(expected_study.signals("free").select(lists))
    assert study.manifest()["current"] == study.run().key


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def workers_of(process: int) -> list[int]:
    """The child processes that are workers, without the resource tracker."""
    return [child for child in children(process) if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def start_command(inputs, study):
    """Start the command with two workers, and wait until some shards are done."""
    arguments = resolve_config(**options(inputs, study, signals=["free"], workers=2))
    words = ["-m", "mematlas", "score", str(inputs / "tiny"), *option_words(arguments)]
    running = subprocess.Popen([sys.executable, *words], stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while len(done(study)) < 3 and time.monotonic() < end:
        time.sleep(0.005)
    return running


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the children of a process in /proc")
def test_workers_and_the_main_process_may_be_killed_and_nothing_is_lost(inputs, tmp_path, expected_study):
    running = start_command(inputs, tmp_path / "s")
    os.kill(workers_of(running.pid)[0], signal.SIGKILL)
    _, message = running.communicate(timeout=60)
    assert running.returncode == 0, message
    assert "A worker died (signal 9, often for lack of memory); another takes over shard-000" in message
    check_same(mematlas.open_study(tmp_path / "s"), expected_study)
    timing = mematlas.open_study(tmp_path / "s").manifest()["runs"][expected_study.run().key]["timings"]["tiny"]
    assert timing["rows"] == 60


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the children of a process in /proc")
def test_the_same_command_finishes_what_a_killed_main_process_left(inputs, tmp_path, expected_study):
    running = start_command(inputs, tmp_path / "s")
    workers = workers_of(running.pid)
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    end = time.monotonic() + 10
    while any(Path(f"/proc/{worker}").is_dir() for worker in workers) and time.monotonic() < end:
        time.sleep(0.02)
    kept = {path: path.stat().st_mtime_ns for path in done(tmp_path / "s")}
    assert 3 <= len(kept) < SHARDS
    study = mematlas.score(str(inputs / "tiny"), **options(inputs, tmp_path / "s", signals=["free"]))
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    check_same(study, expected_study)


def test_no_executor_option_changes_the_key_of_the_run(inputs, tmp_path):
    spec, keys = f"uniform:{networks.V}", set()
    for number, how in enumerate(({}, {"workers": 3}, {"executor": "ray", "address": "auto", "gpus_per_worker": 0.5})):
        keys.add(resolve_job([spec], resolve_config(**options(inputs, tmp_path / str(number), **how))).run.key)
    assert len(keys) == 1


def test_a_job_restored_from_its_pickled_spec_is_the_same(inputs, tmp_path, expected_study, monkeypatch):
    job = resolve_job([str(inputs / "tiny")], resolve_config(**options(inputs, tmp_path / "s", signals=["free"])))
    pickled = pickle.dumps(to_spec(job))
    assert len(pickled) < 20_000
    monkeypatch.chdir(tmp_path)  # restored at the end: from_spec enters the folder of the main process
    restored = from_spec(pickle.loads(pickled))
    assert restored.run == job.run
    assert [restored.plan.size(index) for index in range(SHARDS)] == [5] * SHARDS
    scored = ShardWorker(restored, lambda text: None, lambda rows: None)(ShardTask("tiny", 4, SHARDS))
    assert scored.rows == 5
    path = next(tmp_path.glob("s/scores/*/*/*.parquet"))
    scores, expected = pl.read_parquet(path), expected_study.scores()
    assert scores["row"].unique().to_list() == list(range(20, 25))
    assert scores["matches"].to_list() == expected.filter(pl.col("row").is_in(range(20, 25)))["matches"].to_list()


def test_a_worker_that_finds_another_corpus_or_model_scores_nothing(inputs, tmp_path):
    rows = np.load(inputs / "rows.npy")
    np.save(tmp_path / "rows.npy", rows)
    networks.save_network(networks.neox(), tmp_path / "tiny")
    arguments = options(inputs, tmp_path / "s", corpus=str(tmp_path / "rows.npy"))
    spec = to_spec(resolve_job([str(tmp_path / "tiny")], resolve_config(**arguments)))
    networks.save_network(networks.neox(seed=1), tmp_path / "tiny")
    with pytest.raises(ModelError, match=r"is not the same model for a worker .* let all machines see the same folder"):
        ShardWorker(from_spec(spec), print, print)(ShardTask("tiny", 0, SHARDS))
    np.save(tmp_path / "rows.npy", rows[::-1])
    with pytest.raises(CorpusError, match=r"A worker found other rows in .*rows.npy .* machines see the same files"):
        from_spec(spec)


def test_a_shard_that_another_process_wrote_meanwhile_is_left_as_it_is(inputs, tmp_path):
    job = resolve_job([f"uniform:{networks.V}"], resolve_config(**options(inputs, tmp_path / "s")))
    label = next(iter(job.sources))
    worker = ShardWorker(job, print, lambda rows: None)
    assert worker(ShardTask(label, 2, SHARDS)).rows == 5
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("shard-*")}
    again = worker(ShardTask(label, 2, SHARDS))
    assert again.skipped
    assert again.rows == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("shard-*")} == files


@pytest.mark.parametrize("of", [1, 2, 5, 13])
def test_slices_of_any_n_cover_every_shard_once(of):
    taken = [index for number in range(1, of + 1) for index in range(SHARDS) if ShardSlice(number, of).includes(index)]
    assert sorted(taken) == list(range(SHARDS))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0/3", r"--shard 0/3: i counts from 1 to n; give 1/3 to 3/3\."),
        ("4/3", r"--shard 4/3: i counts from 1 to n; give 1/3 to 3/3\."),
        ("1/0", r"--shard 1/0: i counts from 1 to n; give 1/1 to 1/1\."),
        ("2", r"--shard '2' is not i/n; the second of eight processes takes --shard 2/8\."),
        ("-1/3", "is not i/n"),
        ("1/3/5", "is not i/n"),
    ],
)
def test_an_invalid_slice_is_refused(text, message):
    with pytest.raises(OptionError, match=message):
        parse_slice(text)


def test_more_slices_than_shards_leave_some_with_nothing_to_do(inputs, tmp_path):
    study = mematlas.score(f"uniform:{networks.V}", shard="13/13", **options(inputs, tmp_path / "s"))
    assert done(tmp_path / "s") == []
    assert study.manifest() == {}


def test_a_shard_that_kills_its_workers_is_named_and_the_rest_is_kept(inputs, tmp_path, monkeypatch):
    from mematlas.executors.base import FailedTask
    from mematlas.executors.local import LocalExecutor

    def losing(self, make_worker, tasks, *_):
        return [FailedTask(tasks[3], 4, "signal 9"), FailedTask(tasks[5], 4, "")]

    monkeypatch.setattr(LocalExecutor, "run", losing)
    with pytest.raises(MematlasError) as error:
        mematlas.score(f"uniform:{networks.V}", **options(inputs, tmp_path / "s", workers=2))
    assert str(error.value) == (
        f"shard-00003-of-00012 of uniform-{networks.V} was given up after 4 workers died while running it (the last "
        "one: signal 9) and 1 more shards were given up; all other shards are kept. Use fewer --workers or a smaller "
        "--batch, and run the same command again."
    )
    assert mematlas.open_study(tmp_path / "s").manifest() == {}
