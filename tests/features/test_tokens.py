"""The rows' own tokens as a table."""

import numpy as np
import pyarrow as pa
import pytest

from mematlas.features.tokens import tokens_table
from mematlas.types import TokenRows


def test_rows_keep_their_lengths_and_lose_their_padding():
    rows = TokenRows(np.array([[5, 6, 7], [8, 0, 0], [0, 0, 0]]), np.array([3, 1, 0]))
    table = tokens_table(rows, np.array([4, 9, 2]))
    assert table.to_pydict() == {"row": [4, 9, 2], "tokens": [[5, 6, 7], [8], []]}
    assert table.schema.field("tokens").type.value_type == pa.int32()


def test_another_number_of_ids_than_rows_is_refused():
    with pytest.raises(ValueError, match="not 1 ids for 2 rows"):
        tokens_table(TokenRows(np.zeros((2, 3), int), np.array([3, 3])), np.array([4]))
