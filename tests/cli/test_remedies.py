"""Every command that the program tells its users to run is one that it accepts.

The texts are collected from the source: commands in backticks or after a colon, and options that messages name. Each
command is parsed as the command line would; those that are cheap are executed.
"""

import ast
import contextlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import mematlas
from mematlas.cli import COMMANDS, app, command_app, run
from mematlas.cli.commands.look.list_members import TABLES
from mematlas.errors.remedies import command_line
from tests import study_shelf as shelves

SOURCE = Path(mematlas.__file__).parent
#: Placeholders in messages and what a test puts in their place.
PLACEHOLDERS = {
    "MODEL": "uniform:60",
    "STUDY": "study",
    "FOLDER": "study",
    "PATH": "rows.npy",
    "CORPUS": "rows.npy",
    "INDEX": "index",
    "STUDY_FILE": "study.yaml",
    "KIND": "layers",  # of probes
}
#: What "..." stands for in a command: the options that it cannot do without.
REST = {
    "score": {"": "uniform:60", "--corpus": "rows.npy", "--study": "study"},
    "fit": {"": "study"},
    "predict": {"": "uniform:60", "--corpus": "rows.npy", "--predictor": "predictor"},
}
#: Texts that name a command without telling anybody to run it.
MENTIONS = (
    r"the same `[^`]*`( or `[^`]*`)? command",
    r"which `[^`]*` does not",
    r"but `[^`]*` does not",
    r"as `[^`]*` (writes|finds)",
    r"address that `[^`]*` printed",
)
#: Options of other programs, and of none.
FOREIGN_OPTIONS = {
    "--force-reinstall",
    "--upgrade",
    "--requeue",
    "--job-name",
    "--array",
    "--mem",
    "--convert-to",
    "--head",
}


def texts(path: Path) -> Iterator[str]:
    """The texts of a module that a user can read: all but docstrings; what f-strings insert becomes a word."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = (ast.Module, ast.FunctionDef, ast.ClassDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "INSERTED" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings | inside:
            yield node.value


def commands(text: str) -> list[str]:
    """The commands in a text: in backticks, or after a colon up to the end of the sentence."""
    for mention in MENTIONS:
        text = re.sub(mention, "", text)
    quoted = re.findall(r"`(mematlas [^`]+)`", text)
    after_colon = re.findall(r": (mematlas [a-z][^`;.]*[^`;. ])", re.sub(r"`[^`]*`", "", text))
    return [command for command in quoted + after_colon if "." not in command.split()[0]]


def source_files() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


REMEDIES = sorted({
    (path.relative_to(SOURCE).as_posix(), command)
    for path in source_files()
    for text in texts(path)
    for command in commands(text)
    if "INSERTED" not in command.split()[1]
})  # fmt: skip


def complete(command: str) -> list[str]:
    """The words of a command after `mematlas`, with placeholders replaced and "..." written out."""
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(command)[1:]]
    inserted = "formats" if words[0] == "list" else "inserted"
    words = [word.replace("INSERTED", inserted) for word in words]
    models = iter(range(60, 70))
    words = [f"uniform:{next(models)}" if word == "uniform:60" else word for word in words]
    if "..." not in words:
        return words
    name, *others = [word for word in words if word != "..."]
    for option, value in REST[name].items():
        has_model = option == "" and any(other.startswith("uniform:") for other in others)
        if not has_model and option not in others:
            others = [value, *others] if option == "" else [*others, option, value]
    return [name, *others]


def parse(words: list[str]) -> None:
    """Parse a command as the command line does, without executing it; raises its error."""
    app.parse_args(words, exit_on_error=False, print_error=False)


def test_there_are_remedies():
    assert len(REMEDIES) > 40
    files = {path for path, _ in REMEDIES}
    assert {"analyses/scores/context.py", "study/reader.py", "registry.py", "predictors/predictor.py"} - files <= {
        "study/reader.py",  # written with command_line, which other tests execute
        "registry.py",
    }


@pytest.mark.parametrize(("path", "command"), REMEDIES)
def test_a_remedy_is_a_command_that_the_program_accepts(path, command):
    parse(complete(command))
    assert path


def test_no_message_puts_a_path_into_a_command_by_hand():
    """`command_line` quotes it; only names that need no quotes are inserted otherwise."""
    assert {remedy for remedy in REMEDIES if "INSERTED" in remedy[1]} == {
        ("registry.py", "mematlas list INSERTED"),
        ("report/published_trends.py", "mematlas analyze STUDY --only INSERTED"),
    }


@pytest.mark.parametrize("command", ["mematlas score ... --continuation 16;32", "mematlas analyze", "mematlas shwo x"])
def test_a_planted_wrong_remedy_is_seen(command):
    assert commands(f"Do it: `{command}`.") == [command]
    with pytest.raises(Exception, match=r"."):
        parse(complete(command))


def test_list_shows_every_table_of_names():
    """An unknown name is answered with "`mematlas list TABLES` shows them all"."""
    created = [node for path in source_files() for node in ast.walk(ast.parse(path.read_text())) if is_table(node)]
    kinds = {ast.literal_eval(node.args[0]) for node in created}
    assert kinds == {table.kind for table in TABLES.values()}
    for plural in TABLES:
        assert run(["list", plural]) == 0


def is_table(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Registry"


def test_every_option_in_a_message_is_an_option_of_a_command():
    known = set(re.findall(r"--[a-z][a-z-]+", " ".join(all_options())))
    unknown = {
        (path.relative_to(SOURCE).as_posix(), option)
        for path in source_files()
        for text in texts(path)
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z](?![\w-])", text)
        if option not in known | FOREIGN_OPTIONS
    }
    assert unknown == set()


#: Commands without options, to each of which an option that a message names alone, with its value, may belong.
BARE = (
    "score uniform:60 --corpus rows.npy --study study",
    "fit study",
    "analyze study",
    "report study",
    "features study",
    "index rows.npy --out index",
    "predict uniform:60 --corpus rows.npy --predictor predictor",
    "count index --ids 1",
    "init study.yaml",
)
OPTIONS = sorted({
    option
    for path in source_files()
    for text in texts(path)
    for option in re.findall(r"`(--[a-z][a-z-]* [^`]+)`", text)
    if "INSERTED" not in option and option == option.lower()
})  # fmt: skip


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_that_stands_alone_is_accepted_with_its_value(option):
    """`--continuation 16,32` in a message, to be added to the user's own command."""
    accepted = []
    for command in BARE:
        with contextlib.suppress(Exception):
            parse([*shlex.split(command), *shlex.split(option)])
            accepted.append(command)
    assert accepted


def all_options() -> list[str]:
    """The names of all options of all commands."""
    names = ["--help", "--version", "--install-completion", "--shell"]
    for command in COMMANDS:
        names += [name for argument in command_app(command).assemble_argument_collection() for name in argument.names]
    return names


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder whose names need quotes, with a study file and a finished study: "a b/ü"."""
    folder = tmp_path_factory.mktemp("remedies") / "a b"
    folder.mkdir()
    shelves.fill(folder)
    path = shelves.study_file(folder, "ü.yaml", study="ü", analyses="size", features="false", gallery="false")
    assert run(["run", str(path)]) == 0
    return folder


#: What prints commands, as words after `mematlas`; all of it is in a folder "a b", in a study "ü".
PRINTING = (
    ["show", "ü"],
    ["run", "ü.yaml"],
    ["run", "--dry-run", "ü.yaml"],
    ["analyze", "ü", "--only", "size"],
    ["features", "ü"],
    ["init", "neu ü.yaml"],
    ["score", "uniform:60", "--corpus", "rows.npy", "--context", "8", "--continuation", "4", "--study", "s 2"],
    ["slurm", "uniform:60", "--corpus", "rows.npy", "--study", "s 2", "--tasks", "2", "--script", "my score.sh"],
    ["index", "rows.npy", "--out", "the index"],
    ["show", "nö such"],
    ["run", "no such.yaml"],
    ["fit", "ü"],
    ["report", "s 2"],
    ["count", "nö index", "--ids", "1"],
)


@pytest.mark.parametrize("words", PRINTING, ids=" ".join)
def test_printed_commands_can_be_pasted(folder, monkeypatch, capsys, words):
    monkeypatch.chdir(folder)
    place = [str(folder / word) if word in ("ü", "ü.yaml", "s 2") else word for word in words]
    run(place)
    out, err = capsys.readouterr()
    printed = [command for line in (out + err).splitlines() for command in pasted(line)]
    for command in printed:
        parse(complete(command))
        for word in complete(command):
            assert not word.startswith("ü.") or (folder / word).exists(), command
    assert words[0] in ("index", "fit", "features") or printed or words[:2] == ["show", "ü"], out + err


def pasted(line: str) -> list[str]:
    """The commands in a printed line, up to where a shell would end them."""
    quoted = re.findall(r"`(mematlas [^`]+)`", line)
    found = re.findall(r"(?:: |\()(mematlas [a-z]+ .*?)(?:\)| && |$|\.$)", re.sub(r"`[^`]*`", "", line))
    return quoted + [command.rstrip(".") for command in found]


@pytest.mark.parametrize(
    "words",
    [
        ["list", "formats"],
        ["list", "analyses"],
        ["list", "layouts"],
        ["show", "STUDY"],
        ["analyze", "STUDY", "--only", "size"],
        ["analyze", "STUDY", "--export", "csv,latex"],
        ["features", "STUDY"],
        ["verify", "STUDY", "--no-rescore"],
        ["report", "STUDY"],
        ["run", "ü.yaml"],
    ],
    ids=" ".join,
)
def test_cheap_remedies_are_executed(folder, monkeypatch, capsys, words):
    monkeypatch.chdir(folder)
    line = command_line(*(folder / "ü" if word == "STUDY" else word for word in words))
    assert run(shlex.split(line)[1:]) == 0, capsys.readouterr().err


def test_a_missing_grid_is_mended_by_the_remedy_of_the_finding(tmp_path, monkeypatch, capsys):
    """`--continuation 16,32,64` in the finding of `continuation` was refused by the program (N10)."""
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).integers(0, 59, (30, 100)))
    monkeypatch.chdir(tmp_path)
    score = ["score", "parrot:rows.npy", "--corpus", "rows.npy", "--study", "study", "--context", "16"]
    assert run([*score, "--continuation", "16"]) == 0
    assert run(["analyze", "study", "--only", "continuation"]) == 0
    remedy = re.search(r"--continuation [\d,]+", capsys.readouterr().out)
    assert remedy
    assert run([*score, *remedy[0].split()]) == 0
    capsys.readouterr()
    assert run(["analyze", "study", "--only", "continuation"]) == 0
    assert "cannot" not in capsys.readouterr().out


def test_command_line_quotes_what_a_shell_would_split_or_expand():
    words = ["show", "a b/ü", "it's", "$HOME", "*", "plain"]
    assert shlex.split(command_line(*words)) == ["mematlas", *words]
    assert command_line("show", Path("a b/study")) == "mematlas show 'a b/study'"
    assert command_line("show", "study") == "mematlas show study"
