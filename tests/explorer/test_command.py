"""`mematlas explore` prints the address, opens it if wished, and ends with Ctrl+C."""

import http.client
import os
import re
import signal
import subprocess
import sys
import webbrowser

import pytest

from mematlas.cli import run
from mematlas.explorer.server import ExplorerServer


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
