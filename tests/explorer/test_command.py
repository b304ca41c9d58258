"""`mematlas explore` prints the address, opens it if wished, and ends with Ctrl+C."""

import http.client
import os
import re
import shutil
import signal
import subprocess
import sys
import webbrowser

import pytest

from mematlas.cli import run
from mematlas.errors import StudyError
from mematlas.explorer.routes import Explorer
from mematlas.explorer.server import ExplorerServer
from mematlas.study import open_study


@pytest.mark.parametrize("option", ["--browser", "--no-browser"])
def test_it_serves_until_it_is_stopped(full_folder, monkeypatch, capsys, option):
    opened, served = [], []

    def stop(server):
        served.append(server.address)
        raise KeyboardInterrupt

    monkeypatch.setattr(ExplorerServer, "serve_forever", stop)
    monkeypatch.setattr(webbrowser, "open", opened.append)
    assert run(["explore", str(full_folder), option]) == 0
    out, err = capsys.readouterr()
    address = re.search(r"are at (http://127\.0\.0\.1:\d+/\?token=\S+)$", out, re.MULTILINE)[1]
    assert served == [address]
    assert opened == ([address] if option == "--browser" else [])
    assert out.endswith("\nStopped.\n")
    assert err == ""


def test_the_process_shows_rows_and_ends_with_ctrl_c(full_folder):
    command = [sys.executable, "-m", "mematlas", "explore", str(full_folder), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            host, _, path = process.stdout.readline().split("//")[1].strip().partition("/")
            connection = http.client.HTTPConnection(host, timeout=30)
            connection.request("GET", f"/{path}")
            cookie = connection.getresponse().headers["Set-Cookie"].partition(";")[0]
            connection.close()
            connection.request("GET", "/api/rows?limit=1", headers={"Cookie": cookie})
            assert connection.getresponse().status == 200
        finally:
            os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert out.endswith("Stopped.\n")


def test_what_cannot_be_shown_is_named_in_one_line(tmp_path, capsys):
    assert run(["explore", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        f"mematlas: {tmp_path} is not a study: it has no runs/ folder. `mematlas score ... --study {tmp_path}` creates "
        "one.\n"
    )


def test_a_run_that_is_not_there_is_named(full_folder, capsys):
    assert run(["explore", str(full_folder), "--run", "zzz", "--no-browser"]) == 1
    assert "has no run zzz" in capsys.readouterr().err


def test_a_damaged_study_is_one_line_with_a_remedy(full_folder, tmp_path, capsys):
    study = shutil.copytree(full_folder, tmp_path / "study")
    (path,) = (study / "rows" / "r").glob("*.parquet")
    content = path.read_bytes()
    path.write_bytes(b"\0" * len(content))
    assert run(["explore", str(study), "--no-browser"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"mematlas: A file in {study}/rows is damaged or missing (")
    assert error.endswith(f"`mematlas verify {study}` says which, and how to restore it.\n")
    path.write_bytes(content)
    (path,) = (study / "scores" / "k" / "s3").glob("*.parquet")
    path.write_bytes(b"\0" * path.stat().st_size)
    explorer = Explorer(open_study(study))
    with pytest.raises(StudyError, match="damaged or missing"):
        explorer.answer("/api/rows", "model=s3")
    assert explorer.answer("/api/rows", "model=s1").status == 200
