from itertools import pairwise

import pytest

from mematlas.report.charts.alluvial_layout import Flow, compute_layout

FLOWS = [Flow(0, 0, 0, 6), Flow(0, 0, 1, 4), Flow(0, 1, 0, 1), Flow(0, 1, 1, 9), Flow(1, 0, 1, 7), Flow(1, 1, 1, 13)]


def test_blocks_are_as_high_as_their_rows_and_stacked_with_a_gap():
    blocks = {(block.step, block.level): block for block in compute_layout(FLOWS, 2).blocks}
    assert {key: block.rows for key, block in blocks.items()} == {
        (0, 0): 10,
        (0, 1): 10,
        (1, 0): 7,
        (1, 1): 13,
        (2, 1): 20,
    }
    assert (blocks[0, 0].low, blocks[0, 0].high) == (0, 10)
    assert blocks[0, 1].low == pytest.approx(10.5)
    assert blocks[1, 1].high == pytest.approx(20.5)


def test_ribbons_fill_their_blocks_without_overlap():
    layout = compute_layout(FLOWS, 2)
    blocks = {(block.step, block.level): block for block in layout.blocks}
    for step, level in [(0, 0), (0, 1), (1, 0), (1, 1)]:
        leaving = sorted((r.source_low, r.flow.rows) for r in layout.ribbons if r.flow[:2] == (step, level))
        assert leaving[0][0] == pytest.approx(blocks[step, level].low)
        assert all(b[0] == pytest.approx(a[0] + a[1]) for a, b in pairwise(leaving))
        assert sum(leaving[-1]) == pytest.approx(blocks[step, level].high)
    entering = sorted((r.target_low, r.flow.rows) for r in layout.ribbons if (r.flow.step, r.flow.target) == (0, 1))
    assert entering[0][0] == pytest.approx(blocks[1, 1].low)
    assert sum(entering[-1]) == pytest.approx(blocks[1, 1].high)


def test_an_outline_starts_and_ends_where_its_ribbon_does_and_keeps_its_width():
    ribbon = next(r for r in compute_layout(FLOWS, 2).ribbons if r.flow == Flow(0, 0, 1, 4))
    points = ribbon.outline()
    assert points[0][1:] == (6, 10)
    assert points[-1][1] == pytest.approx(ribbon.target_low)
    assert all(high - low == pytest.approx(4) for _, low, high in points)
    assert [x for x, _, _ in points] == sorted(x for x, _, _ in points)


def test_flows_without_rows_are_no_ribbons_and_impossible_ones_are_refused():
    assert compute_layout([Flow(0, 0, 1, 0)], 2).ribbons == []
    assert compute_layout([], 2).blocks == []
    with pytest.raises(ValueError, match="not a flow between 2 levels"):
        compute_layout([Flow(0, 0, 2, 5)], 2)
