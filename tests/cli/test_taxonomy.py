"""What can be memorized (P6): six kinds, and commands that exist."""

import json

from mematlas.cli import COMMANDS, run
from mematlas.literature.contents import CONTENTS


def test_each_of_the_six_kinds_is_supported_or_says_why_not():
    assert list(CONTENTS) == [
        "verbatim text", "facts", "ideas and algorithms", "writing styles", "distributional properties",
        "alignment goals",
    ]  # fmt: skip
    for content in CONTENTS.values():
        assert bool(content.commands) == bool(content.how)
        assert content.commands or content.missing


def test_the_commands_are_there():
    named = {command for content in CONTENTS.values() for command in content.commands}
    assert named <= set(COMMANDS)
    probes = {command for command in COMMANDS if command.startswith("probe ")}
    assert probes - named == {"probe layers", "probe prior"}, "these say how, and not what"


def test_the_list_says_it(capsys):
    assert run(["list", "taxonomy"]) == 0
    out = capsys.readouterr().out
    assert "facts: mematlas probe recall, mematlas experiment" in out
    assert "alignment goals: not supported" in out
    assert "Not measured: code clones" in out
    assert run(["list", "taxonomy", "--json"]) == 0
    records = json.loads(capsys.readouterr().out)["taxonomy"]
    assert [record["content"] for record in records] == list(CONTENTS)
