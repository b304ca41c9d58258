"""The files of the explorer's page, read as texts: what its safety rests on holds in all of them, in every browser."""

import re

import pytest

from mematlas.explorer.routes import PAGE

FILES = sorted(path for path in PAGE.iterdir() if path.is_file())
SCRIPTS = [path for path in FILES if path.suffix == ".js"]
#: What reads a text as HTML or as a program.
SINKS = re.compile(
    r"\b(innerHTML|outerHTML|insertAdjacentHTML|setHTMLUnsafe|parseFromString|createContextualFragment|srcdoc)\b"
    r"|document\.write|\beval\(|\bnew Function\b|javascript:|set(Timeout|Interval)\(\s*[\"'`]"
)


def sinks(text):
    return [match.group() for match in SINKS.finditer(text)]


def test_ways_to_execute_a_text_are_recognised():
    assert sinks("cell.innerHTML = text") == ["innerHTML"]
    assert sinks('setTimeout("run()", 1); eval(text)') == ['setTimeout("', "eval("]
    assert sinks("cell.textContent = text; setTimeout(() => run(text), 1)") == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_file_executes_a_text_or_asks_another_machine(path):
    text = path.read_text("utf-8")
    assert sinks(text) == []
    assert re.findall(r"(?:https?:)?//(?!www\.w3\.org/2000/svg)[a-z0-9]+\.[a-z]", text) == []
    assert len(text.splitlines()) < 400


def test_the_page_has_neither_script_nor_style_of_its_own():
    html = (PAGE / "index.html").read_text("utf-8")
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=", html) == []
    assert re.findall(r"<script[^>]*>", html) == ['<script type="module" src="/static/main.js">']
    names = {path.name for path in FILES}
    assert set(re.findall(r'"/static/([^"]+)"', html)) <= names
    for script in SCRIPTS:
        assert set(re.findall(r'from "\./([^"]+)"', script.read_text("utf-8"))) <= names, script.name
