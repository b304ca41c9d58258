"""Fixtures of the tests of commands."""

import pytest

from mematlas.cli import run


@pytest.fixture
def cli(capsys):
    """Run a command; returns exit code, standard output and standard error."""

    def run_command(*words):
        code = run([str(word) for word in words])
        return code, *capsys.readouterr()

    return run_command
