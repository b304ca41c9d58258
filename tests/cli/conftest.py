"""What the tests of commands share."""

import pytest

from mematlas.cli.commands import run


@pytest.fixture
def say(capsys):
    """Carry a command out: its exit code, what it printed, and what it said on stderr."""

    def told(*words):
        code = run([str(word) for word in words])
        return code, *capsys.readouterr()

    return told
