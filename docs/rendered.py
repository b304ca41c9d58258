"""A notebook as a page: its text, its code and the output of each cell. The notebook is run when the site is built.

marimo's own HTML loads its scripts from another host, which no page of this site may do.
"""

import ast
import hashlib
import html
import importlib.util
import os
import textwrap
from base64 import b64encode
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mematlas
from mematlas.study import write_atomically

#: The folder for results. A cell of every notebook defines it; here it is passed in instead.
OUT = "out"
_TABLE: dict[str, Any] = {
    "tbl_formatting": "MARKDOWN",
    "tbl_hide_column_data_types": True,
    "tbl_hide_dataframe_shape": True,
    "tbl_rows": 20,
    "tbl_cols": 20,
    "tbl_width_chars": 1000,
    "float_precision": 3,
}


def notebook(path: Path) -> str:
    """The Markdown of the notebook at `path`; the notebook is rerun if it, this file or the package has changed.

    Raises:
        whatever the notebook raises: an error in a notebook fails the build.
    """
    cached = path.parents[1] / ".cache" / "notebooks" / f"{path.stem}-{_fingerprint(path)}.md"
    if not cached.is_file():
        imports, title, *others = _parts(path)
        text = "\n\n".join([title, imports, *others])  # a page begins with its title
        write_atomically(cached, lambda temporary: _write(temporary, text))
    return cached.read_text(encoding="utf-8")


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _fingerprint(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=10)
    for source in (path, Path(__file__), *sorted(Path(mematlas.__file__).parent.rglob("*.py"))):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _parts(path: Path) -> Iterator[str]:
    for (code, is_hidden), output in zip(cells(path), (None, *_outputs(path)), strict=True):
        if not is_hidden:
            yield f"```python\n{code}\n```"
        if output is not None:
            yield to_markdown(output)


def cells(path: Path) -> list[tuple[str, bool]]:
    """(code, whether only the output is shown) of every cell except the one that defines OUT, as marimo shows it."""
    text = path.read_text(encoding="utf-8")
    result = []
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.With):  # With: the imports that all cells share
            *body, last = node.body
            body += [last] if isinstance(node, ast.With) else []  # the others end by returning what they define
            if isinstance(node, ast.With) or ast.unparse(last) != f"return ({OUT},)":
                code = "\n".join(text.splitlines()[body[0].lineno - 1 : body[-1].end_lineno])
                is_hidden = isinstance(node, ast.FunctionDef) and "hide_code=True" in ast.unparse(
                    node.decorator_list[0]
                )
                result.append((textwrap.dedent(code), is_hidden))
    return result


def _outputs(path: Path) -> tuple[Any, ...]:
    """The outputs of the cells after the shared imports; printed text is discarded, as it is meant for the terminal."""
    spec = importlib.util.spec_from_file_location(f"notebook_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with TemporaryDirectory() as folder, Path(os.devnull).open("w") as devnull, redirect_stdout(devnull):
        outputs, _ = module.app.run(defs={OUT: Path(folder)})
    return tuple(outputs)


def to_markdown(output: Any) -> str:
    """The Markdown of a text, a data frame, a chart (as a static picture) or HTML.

    Raises:
        TypeError: it is something else.
    """
    import altair as alt
    import marimo as mo
    import polars as pl
    import vl_convert

    if isinstance(output, pl.DataFrame):
        with pl.Config(**_TABLE):
            return str(output)
    if isinstance(output, alt.TopLevelMixin):
        picture = b64encode(vl_convert.vegalite_to_svg(output.to_dict(), allowed_base_urls=[]).encode()).decode()
        description = html.escape(output.to_dict().get("description", ""))
        return _on_white(f'<img alt="{description}" src="data:image/svg+xml;base64,{picture}">')
    if isinstance(output, mo.Html):
        text = getattr(output, "_repr_markdown_", None)
        return _on_white(output.text) if text is None else textwrap.dedent(text()).strip()
    raise TypeError(
        f"a page cannot show {type(output).__name__}: end the cell with text, a data frame, a chart or mo.Html"
    )


def _on_white(content: str) -> str:
    """HTML designed for a white background, made readable in the dark theme."""
    return f'<div style="background: white; color: black; padding: 0.5em; overflow-x: auto">{content}</div>'
