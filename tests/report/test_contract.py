"""The charts of every analysis can be drawn, from rich and from poor tables."""

import pytest

pytest.importorskip("altair")

from mematlas.analyses import ANALYSES
from mematlas.report.charts.palette import palette_of
from mematlas.report.charts.specification import draw
from tests.analyses.synthetic_tables import tables
from tests.report.charts.chart_checks import check_chart

CELLS = ((16, 16), (16, 32), (32, 16), (32, 32))
MODELS = ("m0", "m1", "m2")


def scores(share, **options):
    """Three models, each reciting more of 60 rows than the previous one; the other rows have M = 1/4 or 0."""
    matches = {
        model: {
            (context, length): [length if row < share * (i + 1) else length // 4 if row % 2 else 0 for row in range(60)]
            for context, length in CELLS
        }
        for i, model in enumerate(MODELS)
    }
    return tables(matches, **options)


STUDIES = {
    "graded": lambda: scores(
        10, roles=["train"] * 50 + ["control"] * 10, repetitions=[2 ** (row % 5) for row in range(60)]
    ),
    "nothing memorized": lambda: scores(0),
    "verbatim": lambda: scores(10, depth="verbatim"),
    "recited rows only": lambda: scores(20, complete=False),
    "sizes unknown": lambda: scores(10, parameters=dict.fromkeys(MODELS)),
    "checkpoints": lambda: scores(10, parameters=dict.fromkeys(MODELS, 10), steps={"m0": 1, "m1": 2, "m2": 3}),
}


@pytest.mark.parametrize("study", STUDIES)
@pytest.mark.parametrize("name", ANALYSES)
def test_every_chart_is_drawn_or_has_nothing_to_draw(name, study):
    finding = ANALYSES.load(name).compute(STUDIES[study]())
    assert finding.claim
    palette = palette_of(table.frame for table in finding.tables)
    for chart in finding.charts:
        drawing = draw(chart, finding.table(chart.table), finding.claim, palette)
        if drawing is not None:
            assert drawing.panels >= 1
            check_chart(chart, finding.table(chart.table), drawing)
