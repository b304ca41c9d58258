"""Documents are never divided, and a part that lacks a class is refused."""

import numpy as np
import pytest

from mematlas.errors import StudyError
from mematlas.predictors.splitting import split
from tests.predictors.synthetic_examples import LENGTH, examples


@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_in_two_parts_and_no_control_row_in_any(seed):
    groups = np.random.default_rng(seed).integers(0, 80, 400)  # the control's rows share groups with the others
    data = examples(400, control=100, groups=groups)
    parts = split(data, seed)
    masks = (parts.fit, parts.validation, parts.test)
    assert (np.sum(masks, 0) == data.train).all()  # each training row in one part
    sides = [set(groups[mask]) for mask in masks]
    assert not sides[0] & sides[1]
    assert not sides[0] & sides[2]
    assert not sides[1] & sides[2]
    assert [mask.sum() / 300 for mask in masks] == pytest.approx([0.6, 0.2, 0.2], abs=0.03)


def test_large_documents_stay_in_one_part():
    groups = np.repeat(np.arange(12), [120, 60, *([12] * 10)])
    parts = split(examples(300, groups=groups), 1)
    assert sorted(mask.any() for mask in (parts.fit, parts.validation, parts.test)) == [True] * 3
    assert all(len({*mask[groups == group]}) == 1 for mask in (parts.fit, parts.test) for group in range(12))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("sizes", [(20, 20, 20), (2, 2, 90), (90, 2, 2)])
def test_three_documents_make_three_parts(seed, sizes):
    data = examples(sum(sizes), groups=np.repeat([4, 9, 2], sizes))
    data.hits[:, 0], data.hits[:, 1] = 0, 1
    parts = split(data, seed)
    assert sorted([parts.fit.sum(), parts.validation.sum(), parts.test.sum()]) == sorted(sizes)


def test_a_seed_determines_the_split():
    data = examples(100)
    assert np.array_equal(split(data, 4).test, split(data, 4).test)
    assert not np.array_equal(split(data, 4).test, split(data, 5).test)


def test_two_documents_are_too_few():
    data = examples(60, control=30, groups=np.repeat([0, 1, 2, 3], [20, 10, 15, 15]))  # the control's do not count
    expected = (
        r"^The rows with hidden states come from 2 groups of documents; at least 3 are needed to hold some out\. Score "
        r"rows of more documents, or more of them with --hidden-rows\.$"
    )
    with pytest.raises(StudyError, match=expected):
        split(data, 0)


@pytest.mark.parametrize(("value", "absent"), [(0, "recited"), (1, "missed")])
def test_one_class_alone_is_refused(value, absent):
    hits = np.full((50, LENGTH), value, np.int8)
    hits[:, -1] = -1  # a missing token is of neither class
    hits[45:, 0] = 1 - value  # the control's
    expected = (
        rf"^Among the 27 rows to fit to no token is {absent}: there is nothing to distinguish\. Score more rows, or a "
        r"model that recites some and misses some\.$"
    )
    with pytest.raises(StudyError, match=expected):
        split(examples(50, control=5, hits=hits), 0)


def test_the_rows_to_stop_by_need_both_classes_too():
    data = examples(50)
    stop = split(data, 0).validation
    with pytest.raises(StudyError, match=r"^Among the 10 rows to stop by no token is recited: there is nothing to di"):
        split(examples(50, hits=np.where(stop[:, None], 0, data.hits)), 0)
