"""`mematlas --install-completion`: what it writes, and that bash completes with it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cyclopts import App
from cyclopts.completion.detect import ShellDetectionError

from mematlas.cli import COMMANDS
from mematlas.errors.libraries import EXTRAS
from tests.cli.test_missing_libraries import _BLOCKED

COMPLETE = """
source "$1"; shift
COMP_WORDS=(mematlas "$@"); COMP_CWORD=$#
_mematlas
printf '%s\\n' "${COMPREPLY[@]}"
"""
INSTALL = """
from mematlas.cli import run
raise SystemExit(run(["--install-completion", "--shell", "bash"]))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home folder into which it was installed where no extra is."""
    home = tmp_path_factory.mktemp("home")
    code = _BLOCKED.format(blocked=sorted(EXTRAS)) + INSTALL
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"HOME": str(home)}, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert b"Open a new shell" in done.stdout
    return home


def completed(home: Path, *words: str) -> set[str]:
    (script,) = (home / ".local/share/bash-completion/completions").iterdir()
    bash = shutil.which("bash")
    assert bash
    done = subprocess.run([bash, "-c", COMPLETE, "bash", script, *words], capture_output=True, text=True, check=True)
    return {word.strip() for word in done.stdout.splitlines()}


def test_bash_completes_commands_options_and_values(home):
    assert {name.split()[0] for name in COMMANDS} <= completed(home, "")
    kinds = {name.removeprefix("probe ") for name in COMMANDS if name.startswith("probe ")}
    assert kinds <= completed(home, "probe", "")
    assert completed(home, "sh") == {"show"}
    assert {"--recited", "--text", "--json"} <= completed(home, "rows", "study", "--")
    assert "--recited" not in completed(home, "show", "study", "--")
    assert {"formats", "analyses"} <= completed(home, "list", "")


def test_the_shell_reads_it_when_it_begins(home):
    assert "mematlas" in (home / ".bashrc").read_text()


def test_an_unknown_shell_is_one_line(cli, monkeypatch):
    def fail(self, **_):
        raise ShellDetectionError

    monkeypatch.setattr(App, "install_completion", fail)
    code, _, err = cli("--install-completion")
    assert code == 2
    assert err == "mematlas: Which shell is running is not known; name it with --shell bash, zsh or fish.\n"
    assert cli("--install-completion", "--shell", "csh")[0] == 2
