"""One run scored by several processes: shares of any n on one folder, workers that die, a driver that dies."""

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
from mematlas.cli.commands.slurm import option_words
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
def shelf(tmp_path_factory):
    """A tiny model, rows of which it recites some, and what one process says of them."""
    folder = tmp_path_factory.mktemp("shelf")
    network = networks.neox()
    np.save(folder / "rows.npy", networks.half_recited(network, networks.grid([8, 12], [12]), 60))
    networks.saved(network, folder / "tiny")
    return folder


def options(shelf, study, **changed):
    grid = {"context": [8, 12], "continuation": [4, 12], "shards": SHARDS, "batch": 1}
    return {"corpus": str(shelf / "rows.npy"), "study": str(study)} | grid | changed


@pytest.fixture(scope="module")
def whole(shelf):
    return mematlas.score(str(shelf / "tiny"), **options(shelf, shelf / "whole", signals=["free"]))


def check_same(found, expected):
    """The same tables: keys, matches, verbatim and reason identical, no row twice or lost, margins within 2e-4."""
    one, other = found.scores().sort(KEYS), expected.scores().sort(KEYS)
    exact = [*KEYS, "matches", "verbatim", "reason"]
    assert one.select(exact).equals(other.select(exact))
    assert one.select(KEYS).n_unique() == len(one) == 60 * 4
    assert np.abs(one["margin"].to_numpy() - other["margin"].to_numpy()).max() < 2e-4
    assert found.rows().equals(expected.rows())
    assert found.run().key == expected.run().key


def score_share(model, shard, given):
    torch.set_num_threads(1)
    mematlas.score(model, shard=shard, **given)


def done(study):
    return sorted(Path(study).glob("scores/*/*/*.done"))


def test_processes_with_changing_n_make_the_tables_of_one_process(shelf, tmp_path, whole):
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(
        ["tests.scoring.test_shard_slices", "mematlas.models.causal", "mematlas.scoring.shards"]
    )
    given = options(shelf, tmp_path / "s", signals=["free"])
    shares = ["1/3", "2/3", "1/2"]  # shards 0, 4, 6 and 10 are taken by two of them at once
    running = [processes.Process(target=score_share, args=(str(shelf / "tiny"), share, given)) for share in shares]
    for process in running:
        process.start()
    reference, read = whole.scores().sort(KEYS), 0
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
    study = mematlas.score(str(shelf / "tiny"), shard="5/6", **given)
    assert not (tmp_path / "s" / "manifest.json").exists()
    study = mematlas.score(str(shelf / "tiny"), shard="6/6", **given)
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    check_same(study, whole)
    lists = ["model", "row", "context", "token"]
    assert study.signals("free").select(lists).equals(whole.signals("free").select(lists))
    assert study.manifest()["current"] == study.run().key


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def workers_of(process: int) -> list[int]:
    """Its processes that were spawned as workers, not the one that tracks resources."""
    return [child for child in children(process) if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def begun(shelf, study):
    """The command with two workers, some shards on."""
    given = resolve_config(**options(shelf, study, signals=["free"], workers=2))
    words = ["-m", "mematlas", "score", str(shelf / "tiny"), *option_words(given)]
    running = subprocess.Popen([sys.executable, *words], stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while len(done(study)) < 3 and time.monotonic() < end:
        time.sleep(0.005)
    return running


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the children of a process in /proc")
def test_workers_and_the_driver_may_be_killed_and_nothing_is_lost(shelf, tmp_path, whole):
    running = begun(shelf, tmp_path / "s")
    os.kill(workers_of(running.pid)[0], signal.SIGKILL)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 0, said
    assert "A worker died (signal 9, often for want of memory); another takes over shard-000" in said
    check_same(mematlas.open_study(tmp_path / "s"), whole)
    timing = mematlas.open_study(tmp_path / "s").manifest()["runs"][whole.run().key]["timings"]["tiny"]
    assert timing["rows"] == 60


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the children of a process in /proc")
def test_the_same_command_finishes_what_a_killed_driver_left(shelf, tmp_path, whole):
    running = begun(shelf, tmp_path / "s")
    workers = workers_of(running.pid)
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    end = time.monotonic() + 10
    while any(Path(f"/proc/{worker}").is_dir() for worker in workers) and time.monotonic() < end:
        time.sleep(0.02)
    kept = {path: path.stat().st_mtime_ns for path in done(tmp_path / "s")}
    assert 3 <= len(kept) < SHARDS
    study = mematlas.score(str(shelf / "tiny"), **options(shelf, tmp_path / "s", signals=["free"]))
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    check_same(study, whole)


def test_no_option_of_how_it_is_run_changes_the_question(shelf, tmp_path):
    spec, keys = f"uniform:{networks.V}", set()
    for number, how in enumerate(({}, {"workers": 3}, {"executor": "ray", "address": "auto", "gpus_per_worker": 0.5})):
        keys.add(resolve_job([spec], resolve_config(**options(shelf, tmp_path / str(number), **how))).run.key)
    assert len(keys) == 1


def test_a_question_travels_and_is_the_same_where_it_arrives(shelf, tmp_path, whole, monkeypatch):
    question = resolve_job([str(shelf / "tiny")], resolve_config(**options(shelf, tmp_path / "s", signals=["free"])))
    sent = pickle.dumps(to_spec(question))
    assert len(sent) < 20_000
    monkeypatch.chdir(tmp_path)  # put back at the end: a worker goes to the driver's folder
    arrived = from_spec(pickle.loads(sent))
    assert arrived.run == question.run
    assert [arrived.plan.size(index) for index in range(SHARDS)] == [5] * SHARDS
    scored = ShardWorker(arrived, lambda text: None, lambda rows: None)(ShardTask("tiny", 4, SHARDS))
    assert scored.rows == 5
    path = next(tmp_path.glob("s/scores/*/*/*.parquet"))
    found, expected = pl.read_parquet(path), whole.scores()
    assert found["row"].unique().to_list() == list(range(20, 25))
    assert found["matches"].to_list() == expected.filter(pl.col("row").is_in(range(20, 25)))["matches"].to_list()


def test_a_worker_that_finds_another_corpus_or_model_scores_nothing(shelf, tmp_path):
    rows = np.load(shelf / "rows.npy")
    np.save(tmp_path / "rows.npy", rows)
    networks.saved(networks.neox(), tmp_path / "tiny")
    given = options(shelf, tmp_path / "s", corpus=str(tmp_path / "rows.npy"))
    errand = to_spec(resolve_job([str(tmp_path / "tiny")], resolve_config(**given)))
    networks.saved(networks.neox(seed=1), tmp_path / "tiny")
    with pytest.raises(ModelError, match=r"is not the same model for a worker .* let all machines see the same folder"):
        ShardWorker(from_spec(errand), print, print)(ShardTask("tiny", 0, SHARDS))
    np.save(tmp_path / "rows.npy", rows[::-1])
    with pytest.raises(CorpusError, match=r"A worker found other rows in .*rows.npy .* machines see the same files"):
        from_spec(errand)


def test_a_shard_that_another_process_wrote_meanwhile_is_left_as_it_is(shelf, tmp_path):
    question = resolve_job([f"uniform:{networks.V}"], resolve_config(**options(shelf, tmp_path / "s")))
    label = next(iter(question.sources))
    scorer = ShardWorker(question, print, lambda rows: None)
    assert scorer(ShardTask(label, 2, SHARDS)).rows == 5
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("shard-*")}
    again = scorer(ShardTask(label, 2, SHARDS))
    assert again.skipped
    assert again.rows == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("shard-*")} == files


@pytest.mark.parametrize("of", [1, 2, 5, 13])
def test_shares_of_any_n_cover_every_shard_once(of):
    taken = [index for number in range(1, of + 1) for index in range(SHARDS) if ShardSlice(number, of).takes(index)]
    assert sorted(taken) == list(range(SHARDS))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0/3", r"--shard 0/3: i counts from 1 to n; give 1/3 to 3/3\."),
        ("4/3", r"--shard 4/3: i counts from 1 to n; give 1/3 to 3/3\."),
        ("1/0", r"--shard 1/0: i counts from 1 to n; give 1/1 to 1/1\."),
        ("2", r"--shard '2' is not i/n; the second of eight processes takes --shard 2/8\."),
        ("-1/3", "is not i/n"),
        ("1/3/5", "is not i/n"),
    ],
)
def test_a_share_that_is_none_is_refused(text, said):
    with pytest.raises(OptionError, match=said):
        parse_slice(text)


def test_more_shares_than_shards_leave_some_with_nothing_to_do(shelf, tmp_path):
    study = mematlas.score(f"uniform:{networks.V}", shard="13/13", **options(shelf, tmp_path / "s"))
    assert done(tmp_path / "s") == []
    assert study.manifest() == {}


def test_a_shard_that_kills_its_workers_is_named_and_the_rest_is_kept(shelf, tmp_path, monkeypatch):
    from mematlas.executors.base import FailedTask
    from mematlas.executors.local import LocalExecutor

    def losing(self, make_worker, tasks, *_):
        return [FailedTask(tasks[3], 4, "signal 9"), FailedTask(tasks[5], 4, "")]

    monkeypatch.setattr(LocalExecutor, "run", losing)
    with pytest.raises(MematlasError) as error:
        mematlas.score(f"uniform:{networks.V}", **options(shelf, tmp_path / "s", workers=2))
    assert str(error.value) == (
        f"shard-00003-of-00012 of uniform-{networks.V} was given up after 4 workers died of it (the last one: "
        "signal 9) and 1 more shards were given up; all other shards are kept. Take fewer --workers or a smaller "
        "--batch, and run the same command again."
    )
    assert mematlas.open_study(tmp_path / "s").manifest() == {}
