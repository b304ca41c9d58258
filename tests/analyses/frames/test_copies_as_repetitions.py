"""Scaling uses copies as repetitions only where none are recorded, and then says so."""

import pytest

from mematlas.analyses.family.scaling.finding import compute
from mematlas.analyses.frames.copies_as_repetitions import with_copies_as_repetitions
from tests.analyses.synthetic_tables import tables, with_features

CELL = (32, 32)
COPIES = [1] * 100 + [10] * 100 + [100] * 100
RECITED = [32] * 10 + [0] * 90 + [32] * 30 + [0] * 70 + [32] * 50 + [0] * 50
CAVEAT = (
    "How often rows were shown is not recorded: their exact copies in the corpus stand in for it (of 32 + 32 tokens, "
    "within rows)."
)


def study(**options):
    return tables({model: {CELL: RECITED} for model in ("m0", "m1")}, **options)


def test_without_recorded_repetitions_copies_replace_them():
    finding = compute(with_features(study(), window_rows=COPIES))
    assert finding.caveats[0] == CAVEAT
    law = finding.table("laws").filter(law="repetitions", model="m1")
    assert law["slope"].item() == pytest.approx(0.2)
    assert finding.table("repetitions").filter(model="m1")["repetitions"].to_list() == pytest.approx([1, 10, 100])


def test_recorded_repetitions_are_not_replaced():
    repeated = study(repetitions=[1] * 150 + [2] * 150)
    finding = compute(with_features(repeated, window_rows=COPIES))
    assert CAVEAT not in finding.caveats
    assert finding.table("repetitions").filter(model="m1")["repetitions"].to_list() == pytest.approx([1, 2])
    assert with_copies_as_repetitions(repeated) is None


def test_without_copies_nothing_changes():
    plain, unknown = study(), with_features(study(), window_rows=None, window_documents=None, window_stream=None)
    assert with_copies_as_repetitions(plain) is None
    assert with_copies_as_repetitions(unknown) is None
    assert compute(unknown).caveats == compute(plain).caveats


def test_control_rows_get_no_repetitions():
    roles = ["train"] * 200 + ["control"] * 100
    with_copies = with_copies_as_repetitions(with_features(study(roles=roles), window_rows=COPIES))
    rows = with_copies.rows.collect()
    assert rows.filter(role="control")["repetitions"].null_count() == 100
    assert rows.filter(role="train")["repetitions"].to_list() == COPIES[:200]
    assert rows["row"].to_list() == list(range(300))
