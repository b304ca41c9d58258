"""The other cells and models that a figure can be shown for."""

import pytest

pytest.importorskip("altair")

from mematlas.report.figures import build_figures, chart_data, view_choices
from mematlas.report.views import other_views, view_of
from tests.report import sample_findings as sample


def test_every_cell_and_model_of_the_table_is_a_view():
    finding = sample.in_cells()
    chart = finding.charts[0]
    assert view_of(chart).key == f"16 + 16|{sample.MODELS[0]}"
    views = list(other_views(chart, finding.table("numbers")))
    cells = ("16 + 16", "16 + 32", "32 + 16")
    assert {view.key for view in views} == {f"{cell}|{model}" for cell in cells for model in sample.MODELS} - {
        view_of(chart).key
    }
    last = next(view for view in views if view.key == f"32 + 16|{sample.MODELS[3]}")
    assert last.chart.title == f"Rows of {sample.MODELS[3]} at 32 + 16 tokens"
    assert last.chart.where == {"model": sample.MODELS[3], "context": 32, "continuation": 16}


def test_a_chart_of_no_single_cell_or_model_has_no_other_view():
    finding = sample.lines()
    assert view_of(finding.charts[0]).key == "|"
    assert list(other_views(finding.charts[0], finding.table("numbers"))) == []


def test_the_page_offers_what_its_figures_can_show():
    figures = list(build_figures([sample.points(), sample.in_cells()]))
    assert view_choices(figures) == {"cell": ["16 + 16", "16 + 32", "32 + 16"], "model": list(sample.MODELS)}
    assert view_choices(figures[:1]) == {}
    charts = chart_data(figures)["charts"]
    assert charts["scaling-slopes"]["views"] == {}
    views = charts["cells-grid"]["views"]
    assert len(views) == 11
    assert charts["cells-grid"]["specification"] != views[f"16 + 32|{sample.MODELS[0]}"]["specification"]
