"""The generated parts of the site, so that they cannot become outdated: a hook of mkdocs.

A page contains markers. When the site is built, `<!-- generated: commands -->` is replaced by the output of the
function with that name in GENERATED.
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

from rendered import notebook  # in the same folder

import mematlas
from mematlas.cli import app

ROOT = Path(__file__).parents[1]
SECTIONS = ("Args", "Returns", "Raises", "Yields")
MARKER = re.compile(r"<!-- generated: (\w+) -->")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for every page: fills in generated parts and turns links into the repository into page links."""
    filled = MARKER.sub(lambda marker: GENERATED[marker.group(1)](), markdown)
    return filled.replace("../benchmarks/RESULTS.md", "measurements.md")


def commands() -> str:
    """The --help text of every command."""
    names = sorted(name for name in app if not name.startswith("-"))
    return "\n\n".join(f"## mematlas {name}\n\n```text\n{help_text(name)}\n```" for name in names)


def help_text(command: str) -> str:
    """The output of `mematlas COMMAND --help`, 100 columns wide."""
    from rich.console import Console

    output = io.StringIO()
    app.help_print([command], console=Console(file=output, width=100, color_system=None, legacy_windows=False))
    return "\n".join(line.rstrip() for line in output.getvalue().strip().splitlines())


def public_names() -> str:
    """Every public name with its signature and docstring."""
    names = [name for name in mematlas.__all__ if not name.startswith("_")]
    return "\n\n".join(part for name in sorted(names) for part in describe(name, getattr(mematlas, name)))


#: Module -> its names that are meant for users, in addition to `import mematlas` and `mematlas.analyses.recount`.
OTHER_MODULES: dict[str, tuple[str, ...]] = {
    "mematlas.experiments": ("train_family", "TrainedFamily", "TrainingConfig", "PlantingConfig", "Size", "Document"),
    "mematlas.findings.export": ("export_finding",),
    "mematlas.integrations.transformers": ("MemorizationCallback",),
    "mematlas.report.charts.specification": ("draw",),
    "mematlas.report.charts.export": ("svg",),
}


def other_modules() -> str:
    """The names of OTHER_MODULES, in the same form as those of `import mematlas`."""
    pairs = ((module, name) for module, names in OTHER_MODULES.items() for name in names)
    return "\n\n".join(
        part for module, name in pairs for part in describe(f"{module}.{name}", getattr(import_module(module), name))
    )


def describe(name: str, value: Any) -> Iterator[str]:
    """The Markdown of one public name; for a class, including its fields or methods."""
    yield f"## {name}"
    if not inspect.isclass(value):
        yield f"```python\n{signature(value)}\n```"
    yield docstring_to_markdown(inspect.getdoc(value) or "")
    fields = getattr(value, "model_fields", None)
    if fields:
        yield "\n".join(["| field | default | meaning |", "|---|---|---|", *map(_field_row, fields, fields.values())])
    elif inspect.isclass(value):
        for method, function in vars(value).items():
            if inspect.isfunction(function) and not method.startswith("_"):
                yield f"### {name}.{method}\n\n```python\n{signature(function)}\n```"
                yield docstring_to_markdown(inspect.getdoc(function) or "")


def _field_row(name: str, field: Any) -> str:
    default = "required" if field.is_required() else f"`{field.default!r}`"
    return f"| `{name}` | {default} | {escape_html(field.description or '').replace('|', chr(92) + '|')} |"


def signature(function: Callable[..., Any]) -> str:
    """The function's signature as in its source, without `self`; one argument per line if it is long."""
    node = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(node, ast.FunctionDef)
    node.args.args = [argument for argument in node.args.args if argument.arg != "self"]
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    text = f"{node.name}({ast.unparse(node.args)}){returns}"
    return text if len(text) <= 100 else f"{node.name}(\n{_one_argument_per_line(node.args)}\n){returns}"


def _one_argument_per_line(arguments: ast.arguments) -> str:
    """Split only at the commas between arguments, not at those inside brackets."""
    lines, depth = [""], 0
    for character in ast.unparse(arguments):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            lines.append("")
        else:
            lines[-1] += character
    return "\n".join(f"    {line.strip()}," for line in lines)


def docstring_to_markdown(docstring: str) -> str:
    """A docstring as Markdown: its sections become lists."""
    lines: list[str] = []
    section = None
    for line in docstring.splitlines():
        if line.rstrip(":") in SECTIONS:
            section = line.rstrip(":")
            lines += ["", f"**{section}**", ""]
        elif section and re.match(r" {4}\S", line):
            lines.append(f"- {escape_html(_name_as_code(line.strip()))}")
        elif section and line.startswith("     "):
            lines.append(f"  {escape_html(line.strip())}")
        else:
            section = section if not line.strip() else None
            lines.append(escape_html(line))
    return "\n".join(lines)


def _name_as_code(entry: str) -> str:
    """`corpus: a path` with the name formatted as code."""
    return re.sub(r"^(\*{0,2}\w+(?:, \*{0,2}\w+)*):", r"`\1`:", entry)


def escape_html(text: str) -> str:
    """`text` with HTML escaped outside of code spans."""
    parts = text.split("`")
    return "`".join(part if i % 2 else part.replace("<", "&lt;") for i, part in enumerate(parts))


def measurements() -> str:
    """benchmarks/RESULTS.md without its title."""
    return (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8").partition("\n")[2]


GENERATED: dict[str, Callable[[], str]] = {
    "commands": commands,
    "names": public_names,
    "other_modules": other_modules,
    "measurements": measurements,
    "leak": partial(notebook, ROOT / "notebooks" / "leak.py"),
    "atlas": partial(notebook, ROOT / "notebooks" / "atlas.py"),
}
