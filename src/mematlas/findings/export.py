"""A finding's tables as CSV and as LaTeX (booktabs), for papers and other programs."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mematlas.errors import OptionError
from mematlas.findings.finding import Finding, Table
from mematlas.registry import nearest
from mematlas.study import write_atomically

_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_SPECIAL |= {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}  # other signs in its oldest encoding
_SPECIAL |= {sign: "\\" + sign for sign in "&%$#_{}"}


def export_finding(folder: Path, finding: Finding, kinds: Sequence[str]) -> list[Path]:
    """Write every table of `finding` to `folder`, once a kind ("csv", "latex"); returns the files."""
    written = []
    for table in finding.tables:
        for kind in kinds:
            suffix, text = EXPORTS[kind]
            path = folder / f"{table.name}.{suffix}"
            write_atomically(path, partial(_write, text=text(table)))
            written.append(path)
    return written


def check_kinds(text: str) -> list[str]:
    """The kinds in "csv,latex".

    Raises:
        OptionError: there is no such kind.
    """
    kinds = [kind.strip() for kind in text.split(",") if kind.strip()]
    for kind in kinds:
        if kind not in EXPORTS:
            raise OptionError(f"--export {kind}: it is one of {', '.join(EXPORTS)}.{nearest(kind, list(EXPORTS))}")
    return kinds


def csv(table: Table) -> str:
    """Comma-separated, with a header; what was not measured is empty.

    Texts are as the study has them: a spreadsheet must be told to take them for text, as one that begins with "=" would
    be a formula to it, and programs that read the file must not find other names than in the study.
    """
    import polars as pl

    lists = [name for name, dtype in table.frame.schema.items() if isinstance(dtype, pl.List)]
    joined = (pl.col(name).cast(pl.List(pl.String)).list.join(" ") for name in lists)
    return table.frame.with_columns(joined).write_csv()


def latex(table: Table) -> str:
    r"""A tabular for \input, four digits a number, a dash for what was not measured; comments explain the columns."""
    numeric = [dtype.is_numeric() for dtype in table.frame.dtypes]
    lines = [" & ".join(_cell(value) for value in line) + r" \\" for line in table.frame.iter_rows()]
    return "\n".join(
        [
            f"% {_line(table.title)}",
            *(f"% {_line(f'{name}: {meaning}')}" for name, meaning in table.columns.items()),
            r"% needs \usepackage{booktabs}",
            rf"\begin{{tabular}}{{{''.join('r' if is_number else 'l' for is_number in numeric)}}}",
            r"\toprule",
            " & ".join(escaped(name.replace("_", " ")) for name in table.frame.columns) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def escaped(text: str) -> str:
    """`text` with LaTeX's special signs made harmless, on one line; a bracket before it would be an argument of what
    ends the line above."""
    harmless = "".join(_SPECIAL.get(sign, sign) for sign in _line(text))
    return f"{{{harmless[0]}}}{harmless[1:]}" if harmless.startswith(("[", "*")) else harmless


def _line(text: str) -> str:
    """`text` on one line, without signs that have no shape."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in " ".join(text.split()))


def _cell(value: Any) -> str:
    if value is None:
        return "--"
    if isinstance(value, float):
        mantissa, _, exponent = f"{value:.4g}".partition("e")
        return rf"${mantissa} \times 10^{{{int(exponent)}}}$" if exponent else mantissa
    return escaped(" ".join(map(str, value)) if isinstance(value, list) else str(value))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


EXPORTS = {"csv": ("csv", csv), "latex": ("tex", latex)}
