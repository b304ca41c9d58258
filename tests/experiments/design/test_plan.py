"""A plan gives every batch; plans of paired arms differ in the slots of their events and nowhere else."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from mematlas.errors import OptionError
from mematlas.experiments.design.plan import Plan, Showing, first_difference, read_plan, write_plan

TOKENS = np.arange(6 * 4, dtype=np.uint16).reshape(6, 4)  # row i is 4i .. 4i + 3
ORDER = np.array([0, 1, 2, 3, 0, 1, 2])


def plan() -> Plan:
    return Plan.from_order(TOKENS, ORDER, batch=3)


def test_batches_follow_the_order_and_the_last_may_be_smaller():
    assert plan().steps == 3
    assert [plan().batch(step)[:, 0].tolist() for step in (1, 2, 3)] == [[0, 4, 8], [12, 0, 4], [8]]
    assert [plan().presentations(step) for step in range(4)] == [0, 3, 6, 7]


def test_an_event_replaces_its_slot_and_no_other():
    treated = plan().with_showings([Showing(sequence=5, place=4)])
    assert treated.batch(2).tolist() == [[12, 13, 14, 15], [20, 21, 22, 23], [4, 5, 6, 7]]
    assert treated.batch(2, with_events=False).tolist() == plan().batch(2).tolist()
    for step in (1, 3):
        assert (treated.batch(step) == plan().batch(step)).all()
    assert first_difference(treated, plan()) == 2
    assert first_difference(plan(), plan().with_showings([])) is None
    assert first_difference(plan(), Plan.from_order(TOKENS, ORDER[:6], batch=3)) == 3, "one stops earlier"


@pytest.mark.parametrize(
    ("mode", "offset", "row"),
    [
        ("replace", 0, [20, 21, 2, 3]),
        ("replace", 1, [0, 20, 21, 3]),
        ("prepend", 0, [20, 21, 0, 1]),
        ("splice", 1, [0, 20, 21, 1]),
        ("splice", 2, [0, 1, 20, 21]),
    ],
)
def test_a_sequence_overwrites_tokens_or_pushes_them_back(mode, offset, row):
    treated = plan().with_showings([Showing(sequence=5, place=0, length=2, offset=offset, mode=mode)])
    assert treated.batch(1)[0].tolist() == row
    assert (treated.batch(1)[1:] == plan().batch(1)[1:]).all()
    times = treated.exposures()["times"].to_pylist()
    assert (times[0], times[5]) == (1, 1), "of the planned row one showing is left whole, the other one is not"


def test_events_never_share_a_slot_and_both_are_counted():
    treated = plan().with_showings([Showing(4, place=2), Showing(5, place=2), Showing(4, place=3)])
    assert [(e.sequence, e.copy, e.step, e.slot, e.moved) for e in treated.events] == [
        (4, 0, 1, 2, 0),
        (5, 0, 2, 0, 1),
        (4, 1, 2, 1, 1),
    ]
    times = treated.exposures().to_pydict()
    assert times["times"] == [1, 2, 1, 0, 2, 1]
    assert times["first_step"] == [1, 1, 3, None, 1, 2]
    assert times["last_step"] == [1, 2, 3, None, 2, 2]


def test_a_plan_without_a_free_slot_is_refused_with_numbers():
    with pytest.raises(OptionError, match="Sequence 5 has no free slot from 6 on: the plan has 7 slots"):
        plan().with_showings([Showing(4, 6), Showing(5, 6)])


def test_digests_chain_over_the_bytes_of_all_batches():
    expected, digest = [], ""
    for rows in ([0, 1, 2], [3, 0, 1], [2]):
        digest = hashlib.sha256(digest.encode() + TOKENS[rows].astype("int64").tobytes()).hexdigest()
        expected.append(digest)
    assert list(plan().digests()) == expected


def test_a_written_plan_is_read_as_it_was(tmp_path: Path):
    labelled = Plan.from_order(
        TOKENS, ORDER, 3, kinds=["row"] * 4 + ["special"] * 2, groups=range(6), sources=list("abcdef")
    )
    before = labelled.with_showings([Showing(4, 2), Showing(5, 2)])
    write_plan(tmp_path, before)
    after = read_plan(tmp_path)
    assert list(after.digests()) == list(before.digests())
    assert after.events == before.events
    assert (tuple(after.kinds), tuple(after.sources)) == (tuple(before.kinds), tuple(before.sources))
    write_plan(tmp_path / "plain", plan())
    assert read_plan(tmp_path / "plain").kinds == ()


def test_a_row_that_does_not_exist_is_refused():
    with pytest.raises(OptionError, match="from 0 to 5, not up to 6"):
        Plan.from_order(TOKENS, np.array([6]), 1)
