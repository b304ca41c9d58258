"""Scaling takes copies for repetitions where none are recorded, says so, and only then."""

import pytest

from mematlas.analyses.family.scaling.finding import answer
from mematlas.analyses.frames.copies_as_repetitions import by_copies
from tests.analyses.synthetic_tables import tables, with_features

CELL = (32, 32)
COPIES = [1] * 100 + [10] * 100 + [100] * 100
RECITED = [32] * 10 + [0] * 90 + [32] * 30 + [0] * 70 + [32] * 50 + [0] * 50
TOLD = (
    "How often rows were shown is not recorded: their exact copies in the corpus stand in for it (of 32 + 32 tokens, "
    "within rows)."
)


def study(**options):
    return tables({model: {CELL: RECITED} for model in ("m0", "m1")}, **options)


def test_without_recorded_repetitions_copies_stand_in():
    finding = answer(with_features(study(), window_rows=COPIES))
    assert finding.caveats[0] == TOLD
    law = finding.table("laws").filter(law="repetitions", model="m1")
    assert law["slope"].item() == pytest.approx(0.2)
    assert finding.table("repetitions").filter(model="m1")["repetitions"].to_list() == pytest.approx([1, 10, 100])


def test_recorded_repetitions_are_not_replaced():
    repeated = study(repetitions=[1] * 150 + [2] * 150)
    finding = answer(with_features(repeated, window_rows=COPIES))
    assert TOLD not in finding.caveats
    assert finding.table("repetitions").filter(model="m1")["repetitions"].to_list() == pytest.approx([1, 2])
    assert by_copies(repeated) is None


def test_without_copies_nothing_changes():
    plain, unknown = study(), with_features(study(), window_rows=None, window_documents=None, window_stream=None)
    assert by_copies(plain) is None
    assert by_copies(unknown) is None
    assert answer(unknown).caveats == answer(plain).caveats


def test_control_rows_get_no_repetitions():
    roles = ["train"] * 200 + ["control"] * 100
    found = by_copies(with_features(study(roles=roles), window_rows=COPIES))
    seen = found.rows.collect()
    assert seen.filter(role="control")["repetitions"].null_count() == 100
    assert seen.filter(role="train")["repetitions"].to_list() == COPIES[:200]
    assert seen["row"].to_list() == list(range(300))
