"""What the site shows and nobody writes by hand, so that it cannot go stale: a hook of mkdocs.

A page says where: `<!-- generated: commands -->` is replaced, when the site is built, by what GENERATED names.
"""

import ast
import inspect
import io
import re
import textwrap
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from rendered import notebook  # beside this file

import mematlas
from mematlas.cli import app

ROOT = Path(__file__).parents[1]
SECTIONS = ("Args", "Returns", "Raises", "Yields")
MARKER = re.compile(r"<!-- generated: (\w+) -->")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for every page: what is generated is filled in, and links into the repository lead to pages."""
    filled = MARKER.sub(lambda marker: GENERATED[marker.group(1)](), markdown)
    return filled.replace("../benchmarks/RESULTS.md", "measurements.md")


def commands() -> str:
    """The --help of every command."""
    names = sorted(name for name in app if not name.startswith("-"))
    return "\n\n".join(f"## mematlas {name}\n\n```text\n{help_of(name)}\n```" for name in names)


def help_of(command: str) -> str:
    """What `mematlas COMMAND --help` prints, 100 columns wide."""
    from rich.console import Console

    page = io.StringIO()
    app.help_print([command], console=Console(file=page, width=100, color_system=None, legacy_windows=False))
    return "\n".join(line.rstrip() for line in page.getvalue().strip().splitlines())


def names() -> str:
    """Every public name with its signature and docstring."""
    public = [name for name in mematlas.__all__ if not name.startswith("_")]
    return "\n\n".join(part for name in sorted(public) for part in described(name, getattr(mematlas, name)))


#: Module -> its names that are meant for users, beside those of `import mematlas` and `mematlas.analyses.recount`.
ELSEWHERE: dict[str, tuple[str, ...]] = {
    "mematlas.experiments": ("train_family", "TrainedFamily", "TrainingConfig", "PlantingConfig", "Size", "Document"),
    "mematlas.findings.export": ("export_finding",),
    "mematlas.report.charts.specification": ("draw",),
    "mematlas.report.charts.export": ("svg",),
}


def elsewhere() -> str:
    """The names of ELSEWHERE, as those of `import mematlas`."""
    named = ((module, name) for module, listed in ELSEWHERE.items() for name in listed)
    return "\n\n".join(
        part for module, name in named for part in described(f"{module}.{name}", getattr(import_module(module), name))
    )


def described(name: str, thing: Any) -> Iterator[str]:
    """The Markdown of one public name; of a class, its fields or methods too."""
    yield f"## {name}"
    if not inspect.isclass(thing):
        yield f"```python\n{signature(thing)}\n```"
    yield readable(inspect.getdoc(thing) or "")
    fields = getattr(thing, "model_fields", None)
    if fields:
        yield "\n".join(["| field | default | meaning |", "|---|---|---|", *map(_field, fields, fields.values())])
    elif inspect.isclass(thing):
        for method, function in vars(thing).items():
            if inspect.isfunction(function) and not method.startswith("_"):
                yield f"### {name}.{method}\n\n```python\n{signature(function)}\n```"
                yield readable(inspect.getdoc(function) or "")


def _field(name: str, field: Any) -> str:
    default = "required" if field.is_required() else f"`{field.default!r}`"
    return f"| `{name}` | {default} | {escaped(field.description or '').replace('|', chr(92) + '|')} |"


def signature(function: Callable[..., Any]) -> str:
    """The function's head as its source has it, without `self`; an argument a line if it is long."""
    node = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(node, ast.FunctionDef)
    node.args.args = [argument for argument in node.args.args if argument.arg != "self"]
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    head = f"{node.name}({ast.unparse(node.args)}){returns}"
    return head if len(head) <= 100 else f"{node.name}(\n{_one_a_line(node.args)}\n){returns}"


def _one_a_line(arguments: ast.arguments) -> str:
    """Split at the commas between arguments alone: those inside brackets stay."""
    lines, depth = [""], 0
    for sign in ast.unparse(arguments):
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and depth == 0:
            lines.append("")
        else:
            lines[-1] += sign
    return "\n".join(f"    {line.strip()}," for line in lines)


def readable(docstring: str) -> str:
    """A docstring as Markdown: its sections become lists."""
    lines: list[str] = []
    section = None
    for line in docstring.splitlines():
        if line.rstrip(":") in SECTIONS:
            section = line.rstrip(":")
            lines += ["", f"**{section}**", ""]
        elif section and re.match(r" {4}\S", line):
            lines.append(f"- {escaped(_named(line.strip()))}")
        elif section and line.startswith("     "):
            lines.append(f"  {escaped(line.strip())}")
        else:
            section = section if not line.strip() else None
            lines.append(escaped(line))
    return "\n".join(lines)


def _named(entry: str) -> str:
    """`corpus: a path` -> the name as code."""
    return re.sub(r"^(\*{0,2}\w+(?:, \*{0,2}\w+)*):", r"`\1`:", entry)


def escaped(text: str) -> str:
    """No HTML outside of code spans."""
    parts = text.split("`")
    return "`".join(part if at % 2 else part.replace("<", "&lt;") for at, part in enumerate(parts))


def measurements() -> str:
    """benchmarks/RESULTS.md without its title."""
    return (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8").partition("\n")[2]


GENERATED: dict[str, Callable[[], str]] = {
    "commands": commands,
    "names": names,
    "elsewhere": elsewhere,
    "measurements": measurements,
    "leak": partial(notebook, ROOT / "notebooks" / "leak.py"),
    "atlas": partial(notebook, ROOT / "notebooks" / "atlas.py"),
}
