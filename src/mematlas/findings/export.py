"""Export of a finding's tables as CSV and as LaTeX (booktabs), for papers and other programs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mematlas.errors import OptionError
from mematlas.findings.finding import Finding, Table
from mematlas.io.paths import study_path
from mematlas.registry import did_you_mean
from mematlas.study import write_text
from mematlas.types import as_list

_ESCAPES = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
# LaTeX's oldest encoding prints other characters for these
_ESCAPES |= {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
_ESCAPES |= {character: "\\" + character for character in "&%$#_{}"}


def export_finding(folder: str | Path, finding: Finding, kinds: Sequence[str]) -> list[Path]:
    """Write every table of `finding` to `folder` in each format ("csv", "latex"); returns the paths of the files."""
    paths = []
    for table in finding.tables:
        for kind in kinds:
            suffix, to_text = EXPORTS[kind]
            path = study_path(folder) / f"{table.name}.{suffix}"
            write_text(path, to_text(table))
            paths.append(path)
    return paths


def parse_formats(values: str | Sequence[str]) -> list[str]:
    """Parse formats such as "csv,latex" or ["csv", "latex"].

    Raises:
        OptionError: there is no such format.
    """
    formats = [str(name) for name in dict.fromkeys(as_list(values)) if name]
    for name in formats:
        if name not in EXPORTS:
            choices = ", ".join(EXPORTS)
            raise OptionError(f"--export {name}: must be one of {choices}.{did_you_mean(name, list(EXPORTS))}")
    return formats


def csv(table: Table) -> str:
    """The table as comma-separated values with a header; null values are empty.

    Texts are not escaped, so that programs that read the file find the same names as in the study. A spreadsheet must
    import them as text, since it would evaluate one that begins with "=" as a formula.
    """
    import polars as pl

    list_columns = [name for name, dtype in table.frame.schema.items() if isinstance(dtype, pl.List)]
    joined = (pl.col(name).cast(pl.List(pl.String)).list.join(" ") for name in list_columns)
    return table.frame.with_columns(joined).write_csv()


def latex(table: Table) -> str:
    r"""A tabular for \input with four digits per number and a dash for null; comments explain the columns."""
    numeric = [dtype.is_numeric() for dtype in table.frame.dtypes]
    records = [" & ".join(_cell(value) for value in record) + r" \\" for record in table.frame.iter_rows()]
    return "\n".join(
        [
            f"% {_one_line(table.title)}",
            *(f"% {_one_line(f'{name}: {meaning}')}" for name, meaning in table.columns.items()),
            r"% needs \usepackage{booktabs}",
            rf"\begin{{tabular}}{{{''.join('r' if is_number else 'l' for is_number in numeric)}}}",
            r"\toprule",
            " & ".join(escape_latex(name.replace("_", " ")) for name in table.frame.columns) + r" \\",
            r"\midrule",
            *records,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def escape_latex(text: str) -> str:
    r"""`text` on one line with LaTeX's special characters escaped.

    A leading "[" or "*" is put in braces, since LaTeX would read it as an argument of the \\ that ends the line above.
    """
    result = "".join(_ESCAPES.get(character, character) for character in _one_line(text))
    return f"{{{result[0]}}}{result[1:]}" if result.startswith(("[", "*")) else result


def _one_line(text: str) -> str:
    """`text` on one line, with unprintable characters replaced."""
    return "".join(character if character.isprintable() else "\ufffd" for character in " ".join(text.split()))


def _cell(value: Any) -> str:
    if value is None:
        return "--"
    if isinstance(value, float):
        mantissa, _, exponent = f"{value:.4g}".partition("e")
        return rf"${mantissa} \times 10^{{{int(exponent)}}}$" if exponent else mantissa
    return escape_latex(" ".join(map(str, value)) if isinstance(value, list) else str(value))


EXPORTS = {"csv": ("csv", csv), "latex": ("tex", latex)}
