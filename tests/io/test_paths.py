"""Studies in an object store: moto's S3 server on loopback, and fsspec's memory where one process is enough."""

import json
import multiprocessing
import subprocess
import sys
from pathlib import Path, PosixPath
from uuid import uuid4

import pytest

from mematlas.cli import run as command
from mematlas.corpus.selection import select
from mematlas.errors import CorpusError, MissingExtra, OptionError, StudyError
from mematlas.io import local_copies
from mematlas.io import paths as storage_paths
from mematlas.io.local_copies import digest, fetch, fetch_all, fetch_folder, version_and_size
from mematlas.io.paths import delete_folder, study_path, write_atomically, write_json
from mematlas.pipeline.study_file import parse_study_file
from mematlas.study import is_shard_done, marker_path, shard_name, write_marker
from mematlas.study.shards import finished_shards

pytest_plugins = ("tests.object_store",)  # fixtures


def memory_url():
    """A new URL in fsspec's memory, which no other test uses."""
    return f"memory://bucket/{uuid4().hex}"


# ------------------------------------------------------------------------------------------------------------- paths


@pytest.mark.parametrize("location", ["study", "/tmp/a/study", Path("study"), "file:///tmp/a", "s3:/bucket", "C:\\a"])
def test_what_is_not_the_url_of_a_store_is_a_local_path(location):
    assert type(study_path(location)) is PosixPath
    assert study_path(location) == Path(str(location).removeprefix("file://"))


def test_a_local_study_imports_no_library_for_object_stores():
    script = (
        "from mematlas.study import Study; Study('nowhere').runs(); "
        "import sys; assert not {'fsspec', 'upath'} & {*sys.modules}"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize(
    ("url", "error", "text"),
    [
        ("s3://me:my-secret@bucket/a", OptionError, "The URL s3://... of a study must not contain a user, password,"),
        ("s3://bucket/a?token=my-secret", OptionError, "give them in the environment or in fsspec's configuration"),
        ("nothing://bucket/a", OptionError, "fsspec knows no file system 'nothing'; write a URL such as s3://"),
        ("simplecache::s3://bucket/a", OptionError, "is not the URL of an object store; write it as s3://bucket/study"),
        ("memory://", OptionError, "memory:// names no bucket; write it as memory://bucket/study."),
        ("gs://bucket/a", MissingExtra, "gs://bucket/a needs a package that is not installed ("),
    ],
)
def test_a_url_that_cannot_be_a_study_is_refused_in_one_line(url, error, text, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(error) as raised:
        study_path(url)
    assert text in str(raised.value)
    assert "my-secret" not in str(raised.value)
    assert command(["show", url]) == (2 if error is OptionError else 1)
    assert capsys.readouterr().err == f"mematlas: {raised.value}\n"


def test_the_message_about_a_missing_s3fs_names_the_extra_that_installs_it(monkeypatch):
    import fsspec  # noqa: F401  it has an attribute of its own called registry

    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    with pytest.raises(MissingExtra, match=r'run: pip install "mematlas\[s3\]"$'):
        study_path("s3://bucket/a")


def test_a_study_file_and_a_configuration_keep_a_url(tmp_path):
    text = "models: [uniform:9]\ncorpus: rows.npy\nstudy: memory://bucket/study\n"
    file = parse_study_file(text, tmp_path / "study.yaml")
    assert str(file.config.study) == "memory://bucket/study"
    assert file.config.model_dump(mode="json")["study"] == "memory://bucket/study"
    assert parse_study_file(text.replace("memory://bucket/", ""), tmp_path / "a").study == tmp_path / "study"


@pytest.mark.parametrize(("subject", "option"), [("score", "--cache"), ("predict", "--out")])
def test_a_folder_that_must_be_on_this_machine_cannot_be_a_url(subject, option, capsys):
    study = ["--study", "study"] if subject == "score" else ["--predictor", "study"]
    assert command([subject, "uniform:9", "--corpus", "rows.npy", *study, option, "s3://bucket/a"]) > 0
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{option}" in line
    assert "this must be a folder on this machine; only the study (--study) can be in an object store" in line


# ------------------------------------------------------------------------------------------------- files and markers


def test_a_file_is_written_whole_or_not_at_all(monkeypatch):
    path = study_path(memory_url()) / "runs" / "a.json"
    write_json(path, {"a": 1})
    assert json.loads(path.read_text()) == {"a": 1}

    def broken(temporary):
        temporary.write_text('{"a": ')
        raise ValueError("half")

    with pytest.raises(ValueError, match="half"):
        write_atomically(path, broken)
    assert json.loads(path.read_text()) == {"a": 1}


def test_a_marker_describes_the_object_that_another_process_has_written(monkeypatch):
    path = study_path(memory_url()) / "shard-00000-of-00001.parquet"
    write_atomically(path, lambda temporary: temporary.write_text("mine"))
    digests = []

    def digest_and_overwrite(file):
        digests.append(digest(file))
        if len(digests) == 1:
            write_atomically(path, lambda temporary: temporary.write_text("another's"))
        return digests[-1]

    monkeypatch.setattr("mematlas.study.shards.digest", digest_and_overwrite)
    write_marker(path, 3)
    assert len(digests) == 2
    assert json.loads(marker_path(path).read_text()) == {"rows": 3, "bytes": 9, "blake2b": digest(path)}


@pytest.mark.parametrize("location", ["a folder", "memory"])
def test_finished_shards_are_those_whose_marker_agrees(location, tmp_path):
    folder = study_path(memory_url()) if location == "memory" else tmp_path
    for index in range(6):
        path = folder / f"{shard_name(index, 6)}.parquet"
        write_atomically(path, lambda temporary: temporary.write_text("four"))
        write_marker(path, 1)
    markers = [folder / f"{shard_name(index, 6)}.done" for index in range(6)]
    write_json(markers[1], {"bytes": 5})
    write_json(markers[2], None)
    markers[3].unlink()
    (folder / f"{shard_name(4, 6)}.parquet").unlink()
    finished = [name for index in range(6) if is_shard_done(folder, name := shard_name(index, 6))]
    assert finished_shards(folder) == finished == [shard_name(0, 6), shard_name(5, 6)]
    delete_folder(folder)
    assert finished_shards(folder) == []
    delete_folder(folder)  # a folder that does not exist is not an error


def test_a_copy_has_the_current_content_and_is_downloaded_once(bucket, monkeypatch):
    folder = study_path(f"{bucket}/study")
    paths = [folder / name / "a.txt" for name in ("one", "two")] + [folder / "one" / "b.txt"]
    for path in paths:
        write_atomically(path, lambda temporary, text=str(path): temporary.write_text(text))
    copies = fetch_all(paths)
    assert [copy.read_text() for copy in copies] == [str(path) for path in paths]
    assert fetch_all(paths) == copies
    write_atomically(paths[0], lambda temporary: temporary.write_text("now this"))
    assert fetch(paths[0]).read_text() == "now this"
    assert version_and_size(paths[0])[1] == 8
    assert digest(paths[0]) == digest(fetch(paths[0]))
    with pytest.raises(FileNotFoundError):
        fetch(folder / "none.txt")


def _fetch_one(connection):
    """The main function of a worker process, which does not run `atexit` functions."""
    path = study_path(memory_url()) / "a.txt"
    write_atomically(path, lambda temporary: temporary.write_text("a"))
    connection.send(str(fetch(path)))


def test_copies_are_deleted_when_the_worker_that_made_them_ends():
    spawn = multiprocessing.get_context("spawn")
    parent_end, child_end = spawn.Pipe()
    worker = spawn.Process(target=_fetch_one, args=(child_end,))
    worker.start()
    copy = Path(parent_end.recv())
    worker.join()
    assert worker.exitcode == 0
    assert copy.parent.name.startswith("mematlas-")
    assert not copy.parent.exists()


def test_a_list_of_rows_may_be_in_a_store_as_that_of_a_gallery():
    path = study_path(memory_url()) / "rows.txt"
    write_atomically(path, lambda temporary: temporary.write_text("7\n3\n"))
    assert select(10, f"ids:{path}").tolist() == [3, 7]
    with pytest.raises(CorpusError, match=r"there is no file memory:\S+none.txt; the form is ids:FILE, one row id"):
        select(10, f"ids:{path.parent / 'none.txt'}")


def test_a_forked_process_deletes_no_copy_of_its_parent():
    path = study_path(memory_url()) / "a.txt"
    write_atomically(path, lambda temporary: temporary.write_text("a"))
    copy = fetch(path)
    child = multiprocessing.get_context("fork").Process(target=int)
    child.start()
    child.join()
    assert copy.read_text() == "a"


def test_an_object_whose_name_leads_out_of_the_study_is_refused(tmp_path, monkeypatch):
    folder = study_path(memory_url())
    write_json(folder / "runs" / "a.json", 1)
    key = f"{storage_paths.object_key(folder)}/../../escaped.txt"
    monkeypatch.setattr(type(folder.fs), "find", lambda self, path: [key])
    with pytest.raises(StudyError, match=r"has an object '../../escaped.txt', whose name leads out of the folder;"):
        fetch_folder(folder)


# --------------------------------------------------------------------------------------------- unreachable stores


@pytest.mark.parametrize("command_line", ["show", "score"])
def test_a_missing_bucket_is_reported_in_one_line_and_not_created(command_line, store, capsys):
    url = "s3://misspelt-bucket/study"
    arguments = ["uniform:9", "--corpus", "rows.npy", "--study"] if command_line == "score" else []
    assert command([command_line, *arguments, url]) == 1
    assert capsys.readouterr().err == (
        f"mematlas: There is no bucket 'misspelt-bucket' for {url}, or these credentials do not see it; create the "
        "bucket, or name another --study.\n"
    )
    assert not store.exists("misspelt-bucket")


def test_a_store_without_a_study_is_reported_as_a_folder_without_one(bucket, capsys):
    assert command(["show", f"{bucket}/none"]) == 1
    assert f"{bucket}/none is not a study: it has no runs/ folder." in capsys.readouterr().err


@pytest.mark.parametrize("fault", ["no credentials", "no network"])
def test_an_unreachable_store_is_reported_in_one_line(fault, bucket, monkeypatch, capsys, tmp_path):
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    if fault == "no network":
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    else:
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
    assert command(["show", f"{bucket}/study"]) == 1
    s3fs.S3FileSystem.clear_instance_cache()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"mematlas: {bucket}/study cannot be reached (")
    assert "; check the bucket, its credentials, its endpoint and the network" in line


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device without room")
def test_a_full_disk_for_copies_is_not_reported_as_an_unreachable_store():
    path = study_path(memory_url()) / "a.txt"
    write_atomically(path, lambda temporary: temporary.write_text("a" * 100_000))
    with (
        pytest.raises(
            StudyError, match=r"^No space is left in \S+ for copies of memory:\S+ \(No space.*let TMPDIR name another"
        ),
        storage_paths.translate_os_errors(path),
    ):
        path.fs.get_file(storage_paths.object_key(path), "/dev/full")


@pytest.mark.parametrize("read", [local_copies.read_bytes, version_and_size, digest, fetch])
def test_a_failed_request_is_reported_in_one_line(read, monkeypatch):
    path = study_path(memory_url()) / "a.txt"
    write_atomically(path, lambda temporary: temporary.write_text("a"))
    # as if the client's own code had raised: in a module of fsspec
    code = "def refused(self, *args, **kwargs):\n    raise TimeoutError('no answer')"
    exec(code, client := {"__name__": "fsspec.client"})  # there is no other way to create a function of another module
    for name in ("cat_file", "info", "get_file"):
        monkeypatch.setattr(type(path.fs), name, client["refused"])
    with pytest.raises(StudyError, match=r"cannot be reached \(TimeoutError: no answer\); check the bucket"):
        read(path)


def test_an_error_of_our_own_code_is_not_reported_as_an_unreachable_store():
    assert storage_paths.unreachable_message(KeyError("ours")) is None
    with pytest.raises(KeyError, match="ours"), storage_paths.translate_os_errors(study_path(memory_url())):
        raise KeyError("ours")
    assert local_copies.list_objects(study_path(memory_url())) == {}
