"""The tokens of the scored rows, for analyses of the rows themselves rather than of a model."""

import numpy as np
import pyarrow as pa

from mematlas.study.schemas.features import TOKENS
from mematlas.types import Ids, TokenRows


def tokens_table(rows: TokenRows, row_ids: Ids) -> pa.Table:
    """The TOKENS table of some rows (`mematlas.study.schemas.features`).

    Args:
        rows: the first tokens of n rows; padding is left out; not modified.
        row_ids: shape (n,).

    Raises:
        ValueError: the number of ids is not that of the rows.
    """
    if len(rows.lengths) != len(row_ids):
        raise ValueError(f"there must be one id per row, not {len(row_ids)} ids for {len(rows.lengths)} rows")
    is_token = np.arange(rows.ids.shape[1]) < rows.lengths[:, None]
    offsets = np.concatenate([[0], np.cumsum(rows.lengths)]).astype(np.int32)
    tokens = pa.ListArray.from_arrays(pa.array(offsets), pa.array(rows.ids[is_token], pa.int32()))
    return pa.table({"row": row_ids, "tokens": tokens}, schema=TOKENS)
