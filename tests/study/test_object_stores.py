"""Studies in an object store have the same tables as those in a folder, even after failures."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import mematlas
from mematlas.cli import run as command
from mematlas.errors import StudyError
from mematlas.io.paths import is_remote
from mematlas.study import open_study
from mematlas.verification.verify import verify
from tests import study_shelf as shelves

pytest_plugins = ("tests.object_store",)  # fixtures

SHARDS = 3
ALL = ("truth", "free", "hidden")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    return shelves.fill(tmp_path_factory.mktemp("shelf"))


def score_arguments(shelf, study, *options, signals=ALL):
    """The arguments of the command that scores the shelf."""
    corpus = ["--corpus", str(shelf / "rows.npy"), "--control", str(shelf / "control.npy")]
    grid = ["--context", "8", "--continuation", "4", "--continuation", "12", "--shards", str(SHARDS)]
    model = f"parrot:{shelf / 'half.npy'}"
    recorded = [word for kind in signals for word in ("--signals", kind)]
    return ["score", model, *corpus, *grid, *recorded, "--study", str(study), *options]


def start(arguments):
    return subprocess.Popen([sys.executable, "-m", "mematlas", *arguments], stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def local_study(shelf):
    """The study in a folder that every other study must equal."""
    assert command(score_arguments(shelf, shelf / "local")) == 0
    return open_study(shelf / "local")


def expect_same_tables(study, expected):
    assert is_remote(study.folder)
    assert study.run().key == expected.run().key
    for name in ("scores", "rows", "models"):
        assert getattr(study, name)().equals(getattr(expected, name)()), name
    for kind in ("truth", "free"):
        assert study.signals(kind).equals(expected.signals(kind)), kind
        for name in ("rows", "levels", "hits", "states"):
            states = [getattr(opened.states("parrot", kind), name) for opened in (study, expected)]
            np.testing.assert_array_equal(*states)


def test_a_study_in_a_store_has_the_tables_of_one_in_a_folder(shelf, bucket, local_study):
    assert command(score_arguments(shelf, f"{bucket}/study")) == 0
    study = mematlas.open_study(f"{bucket}/study")
    expect_same_tables(study, local_study)
    assert study.missing(study.run(), "parrot") == []


@pytest.mark.slow
def test_workers_make_the_same_tables(shelf, bucket, local_study):
    assert command(score_arguments(shelf, f"{bucket}/study", "--workers", "2")) == 0
    expect_same_tables(open_study(f"{bucket}/study"), local_study)


@pytest.mark.slow
def test_a_killed_process_and_two_simultaneous_slices_make_the_same_tables(shelf, bucket, store, local_study):
    study = f"{bucket}/study"
    killed = start(score_arguments(shelf, study))
    while killed.poll() is None and not store.glob(f"{study}/scores/*/*/*.parquet"):
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    processes = [start(score_arguments(shelf, study, "--shard", f"{number}/2")) for number in (1, 2)]
    assert [process.wait() for process in processes] == [0, 0]
    expect_same_tables(open_study(study), local_study)
    assert verify(study, rescore=False).is_sound
    assert open_study(study).manifest()["current"] == local_study.run().key


def test_a_study_in_memory_cannot_be_shared_by_workers(shelf, capsys):
    assert command(score_arguments(shelf, url := "memory://bucket/study", "--workers", "2")) == 2
    message = "is in the memory of one process, which no other worker sees; use --workers 1, or a study in a folder"
    assert f"mematlas: {url} {message}" in capsys.readouterr().err


def test_the_commands_work_on_a_store_and_show_no_secret(shelf, bucket, store, capsys, tmp_path):
    study = f"{bucket}/study"
    analysis_options = ["--export", "csv", "--only", "size", "continuation"]
    for arguments in (
        score_arguments(shelf, study, signals=["free"]),
        ["show", study],
        ["features", study],
        ["analyze", study, *analysis_options],
        ["report", study],
        ["report", study, "--out", str(tmp_path / "page.html")],
        ["verify", study, "--rows", "10"],
    ):
        assert command(arguments) == 0, capsys.readouterr().err
    printed = capsys.readouterr()
    assert f"Show them: mematlas show {study}" in printed.out
    assert f"The report is in {study}/report.html" in printed.out
    assert "No faults were found." in printed.out
    page = store.cat(f"{study}/report.html")
    assert page == (tmp_path / "page.html").read_bytes()
    assert store.glob(f"{study}/findings/*/continuation/*.csv")
    output = b"".join(store.cat(store.find(study)).values()) + (printed.out + printed.err).encode()
    for secret in (os.environ["AWS_SECRET_ACCESS_KEY"], os.environ["AWS_ENDPOINT_URL"]):
        assert secret.encode() not in output


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_verify_finds_a_damaged_object_and_its_remedy_works(damage, shelf, bucket, store, capsys):
    study = f"{bucket}/study"
    assert command(score_arguments(shelf, study, signals=["free"])) == 0
    before = open_study(study).signals("free")
    path = sorted(store.glob(f"{study}/signals/*/free/*/shard-*.parquet"))[1]
    content = bytearray(store.cat(path))
    content[len(content) // 2] ^= 1
    store.pipe_file(path, bytes(content) if damage == "flipped" else bytes(content[:-9]))
    assert command(["verify", study, "--no-rescore"]) == 1
    fault = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("fault: "))
    relative = path.removeprefix(f"{study}/".removeprefix("s3://"))
    assert fault.startswith(f"fault: {relative}: it")
    assert ("its content is not what was written" if damage == "flipped" else "it is truncated or changed") in fault
    if damage == "cut":
        with pytest.raises(StudyError, match=r"of a finished run is missing or damaged; `mematlas verify s3://"):
            open_study(study).signals("free")
    marker = path.replace(".parquet", ".done")
    scores_marker = next(key for key in store.find(f"{study}/scores") if key.endswith("00001-of-00003.done"))
    store.rm([path, marker, scores_marker])
    assert command(score_arguments(shelf, study, signals=["free"])) == 0
    assert verify(study, rescore=False).is_sound
    assert open_study(study).signals("free").equals(before)


def test_an_interrupted_upload_leaves_no_partial_shard_and_one_line(shelf, bucket, store, monkeypatch, capsys):
    put_file, uploads = type(store)._put_file, []

    async def breaking(self, source, target, **options):
        uploads.append(target)
        if "/scores/" in target and target.endswith("1-of-00003.parquet"):
            raise ConnectionResetError("the other side hung up")
        return await put_file(self, source, target, **options)

    monkeypatch.setattr(type(store), "_put_file", breaking)
    store.clear_instance_cache()
    study = f"{bucket}/study"
    assert command(score_arguments(shelf, study, signals=[])) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"mematlas: {study}/scores/")
    assert error.endswith(
        "cannot be reached (ConnectionResetError: the other side hung up); check the bucket, its credentials, its "
        "endpoint and the network, and run the same command again: finished shards are kept."
    )
    monkeypatch.undo()
    store.clear_instance_cache()
    run = open_study(study).run()
    assert open_study(study).missing(run, "parrot") == [1, 2]
    assert not store.exists(uploads[-1])
    first = store.info(next(path for path in uploads if "/scores/" in path and path.endswith(".parquet")))
    assert command(score_arguments(shelf, study, signals=[])) == 0
    assert store.info(first["name"]) == first  # what was finished is not scored again
    assert open_study(study).missing(run, "parrot") == []


def test_a_study_copied_from_a_folder_finds_the_corpus_where_the_folder_found_it(tmp_path, monkeypatch):
    """Relative paths are relative to the folder of the command; and `verify` reads a copy of the study."""
    import fsspec

    monkeypatch.chdir(shelves.fill(tmp_path))
    study = mematlas.score("parrot:half.npy", corpus="rows.npy", context=[8], continuation=[4], study="study")
    store = fsspec.filesystem("memory")
    store.put(str(study.folder), "/copied/study", recursive=True)
    result = verify("memory://copied/study")
    assert (result.faults, result.unchecked) == ((), ())
    assert [agreement.cells for agreement in result.agreements] == [30]
