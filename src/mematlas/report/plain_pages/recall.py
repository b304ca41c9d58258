"""A probe of recall as one page: the claim, its figures, shares with their intervals, and wrong answers; no script."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from mematlas.findings.finding import Finding
from mematlas.report.charts.export import Format
from mematlas.report.figures import build_figures
from mematlas.report.plain_pages.pages import WIDTH, write_page

_ERRORS_SHOWN: Final = 12


def write_recall(
    path: Path, facts: Mapping[str, Any], finding: Finding, items: pl.DataFrame, formats: Sequence[Format] = ()
) -> None:
    """Write the page to `path`, and its figures in each of `formats` into `pictures_folder(path)`.

    Args:
        facts: what was asked, as in facts.json; items: the table of this name.
    """
    figures = list(build_figures([finding], WIDTH))
    setting = {"template": next(iter(facts["templates"])), "shots": max(facts["shots"])}
    wrong = items.filter(**setting).filter(~pl.col("hit")).sort("popularity", descending=True, nulls_last=True)
    write_page(
        path,
        "recall.html",
        figures,
        formats,
        share=_percent,
        facts=facts,
        finding=finding,
        shares=finding.table("accuracy").to_dicts(),
        wrong=wrong.head(_ERRORS_SHOWN).to_dicts(),
        wrong_in_all=wrong.height,
    )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"
