"""What this machine cannot read is not checked, with the reason: no fault, and nothing to delete (N5)."""

import errno
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import mematlas
from mematlas.cli import run as command
from mematlas.errors import StudyError
from mematlas.study import marker_path
from mematlas.verification import files
from mematlas.verification.obstacles import is_there, obstacle
from mematlas.verification.verify import verify

DENIED = PermissionError(errno.EACCES, "Permission denied")
REASON = "this could not be read (Permission denied); verify it as a user, and on a machine, that can."


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A study with hidden states, features, findings and predictions."""
    folder = tmp_path_factory.mktemp("obstacles")
    np.save(folder / "rows.npy", np.random.default_rng(0).integers(1, 57, (30, 24)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        signals = ["free", "truth", "hidden"]
        mematlas.score(
            "parrot:rows.npy",
            corpus="rows.npy",
            context=8,
            continuation=[4, 12],
            signals=signals,
            study="study",
            shards=2,
        )
        mematlas.make_features("study")
        mematlas.analyze("study", only="size")
    return folder


@pytest.fixture
def study(template, tmp_path, monkeypatch):
    """The folder of a copy, in the current folder."""
    shutil.copytree(template, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return Path("study")


@pytest.fixture
def deny(monkeypatch):
    """A function that makes every way to read paths with a given part fail, as for another user."""

    def refuse(part: str) -> None:
        def guarded(function):
            def read(path, *args, **options):
                if part in str(path):
                    raise DENIED
                return function(path, *args, **options)

            return read

        for name in ("stat", "open", "iterdir"):
            monkeypatch.setattr(Path, name, guarded(getattr(Path, name)))
        monkeypatch.setattr(files, "digest", guarded(files.digest))
        for name in ("read_metadata", "ParquetFile"):
            monkeypatch.setattr(pq, name, guarded(getattr(pq, name)))

    return refuse


@pytest.mark.parametrize(
    ("part", "first"),
    [
        ("shard-00001-of-00002.parquet", "rows/"),
        ("shard-00001-of-00002.done", "rows/"),
        (".safetensors", "states/"),
        ("manifest.json", "manifest.json"),
        ("runs/", "runs"),
        ("models/", "models/"),
        ("facts.json", "features/"),
        ("finding.json", "findings/"),
        ("index.json", "findings/"),
    ],
)
def test_what_may_not_be_read_is_not_checked_and_no_fault(study, deny, capsys, part, first):
    deny(part)
    verdict = verify(study, rescore=False)
    assert verdict.faults == ()
    reasons = [line for line in verdict.unchecked if line.endswith(REASON)]
    assert len(reasons) == 1
    assert reasons[0].startswith(first)
    assert command(["verify", str(study), "--no-rescore"]) == 0
    out = capsys.readouterr().out
    assert "delete" not in out
    assert out.rstrip().endswith("No faults were found. Not all was checked: see above.")


@pytest.mark.parametrize("folder", ["scores", "states", "runs", "features", "findings", "manifests"])
def test_a_folder_of_another_user_is_not_checked_and_no_fault(study, folder):
    (study / folder).chmod(0)
    if os.access(study / folder, os.R_OK):
        (study / folder).chmod(0o755)
        pytest.skip("nothing is forbidden to root")
    try:
        verdict = verify(study, rescore=False)
    finally:
        (study / folder).chmod(0o755)
    assert verdict.faults == ()
    assert any(REASON in line for line in verdict.unchecked)


def test_many_files_with_one_reason_are_one_line(study, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    verdict = verify(study, rescore=False)
    assert verdict.faults == ()
    assert len(verdict.unchecked) == 1
    assert " and 3 other files: reading this needs the library 'safetensors'" in verdict.unchecked[0]


def test_a_damaged_file_is_still_a_fault_where_a_library_is_missing(study, monkeypatch):
    """The checksum needs no library."""
    monkeypatch.setitem(sys.modules, "safetensors", None)
    path = next((study / "states").rglob("*.safetensors"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert [fault.problem for fault in verify(study, rescore=False).faults] == [
        "its content is not what was written (checksum)"
    ]


def test_models_that_cannot_be_loaded_for_want_of_a_library_are_not_checked(study, monkeypatch):
    monkeypatch.setattr("mematlas.scoring.reopen.reopen_rows", raises(ModuleNotFoundError("no", name="torch")))
    verdict = verify(study)
    assert verdict.faults == ()
    assert [line.partition(": ")[2] for line in verdict.unchecked] == [
        "it needs the library 'torch', which is not installed; run: pip install \"mematlas[hf]\""
    ]
    monkeypatch.setattr("mematlas.scoring.reopen.reopen_rows", raises(DENIED))
    assert verify(study).unchecked[0].endswith(REASON)
    monkeypatch.setattr("mematlas.scoring.reopen.reopen_rows", raises(ModuleNotFoundError("no", name="mematlas.x")))
    with pytest.raises(ModuleNotFoundError):  # a fault of ours
        verify(study)


def raises(error):
    def function(*args, **options):
        raise error

    return function


@pytest.mark.parametrize(
    ("error", "part"),
    [
        (ModuleNotFoundError("no", name="safetensors"), 'run: pip install "mematlas[hf]"'),
        (ImportError("cannot import name 'x' from 'pyarrow'", name="pyarrow"), "needs another version of the library"),
        (DENIED, "Permission denied"),
        (PermissionError("denied"), "Permission denied"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (MemoryError(), "too little memory"),
        (FileNotFoundError(errno.ENOENT, "No such file"), None),
        (OSError("Couldn't deserialize thrift"), None),
        (ValueError("damaged"), None),
        (ModuleNotFoundError("no", name="mematlas.gone"), None),
    ],
)
def test_an_obstacle_is_told_from_a_damaged_file(error, part):
    reason = obstacle(error)
    assert (reason is None) == (part is None)
    assert part is None or part in str(reason)
    translated = StudyError("translated by a reader")
    translated.__cause__ = error
    assert obstacle(translated) == reason


def test_what_may_not_be_looked_up_counts_as_there(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    assert is_there(tmp_path / "file")
    assert not is_there(tmp_path / "no")
    assert not is_there(tmp_path)
    assert not is_there(tmp_path / "file" / "below")
    monkeypatch.setattr(Path, "stat", raises(DENIED))
    assert is_there(marker_path(tmp_path / "no.parquet"))
