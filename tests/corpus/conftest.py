"""Rows for the tests of the package corpus."""

import random

import pytest

from tests.corpus.writers import Rows


@pytest.fixture
def rows() -> Rows:
    """37 distinct rows of 9 tokens; each token is the number of a letter, so that text can hold them too."""
    draw = random.Random(5)
    return [[draw.randrange(97, 123) for _ in range(9)] for _ in range(37)]
