"""The tables of traced rows, and their card.

One record of `DEPENDENCY` is one token of a row and one state before it, in one direction:

    patched   source    whose pass is changed, and whose states are put in place
    model     corpus    the model's own states of n random windows of the corpus
    model     twin      the twin's state of the same row: does the model still recite?
    twin      model     the model's state of the same row: does the twin recite now?
"""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mematlas.probes.rows.stages import column_list

if TYPE_CHECKING:
    from mematlas.interventions.tracing import Direction

DEPENDENCY: Final = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False, metadata={"is": "id of the row in the corpus"}),
        pa.field("patched", pa.string(), nullable=False, metadata={"is": "whose pass is changed: model or twin"}),
        pa.field(
            "source",
            pa.string(),
            nullable=False,
            metadata={"is": "whose states are put in place: corpus, twin or model"},
        ),
        pa.field("token", pa.int32(), nullable=False, metadata={"is": "position in the row of the token to recite"}),
        pa.field(
            "recited",
            pa.bool_(),
            nullable=False,
            metadata={"is": "whether it is predicted without a patch, by `patched`"},
        ),
        pa.field("layer", pa.int32(), nullable=False, metadata={"is": "block whose output is replaced, from 1"}),
        pa.field(
            "position",
            pa.int32(),
            nullable=False,
            metadata={"is": "position of the token whose state it is, from 0; less than `token`"},
        ),
        pa.field(
            "dep",
            pa.float64(),
            nullable=False,
            metadata={"is": "share of the n patches that change whether the token is predicted"},
        ),
        pa.field("n", pa.int32(), nullable=False, metadata={"is": "number of patches"}),
    ]
)
TOKENS: Final = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False, metadata={"is": "id of the row in the corpus"}),
        pa.field("position", pa.int32(), nullable=False, metadata={"is": "position in the row, from 0"}),
        pa.field("id", pa.int64(), nullable=False, metadata={"is": "token id"}),
        pa.field("text", pa.string(), metadata={"is": "its text; null without a tokenizer"}),
        pa.field(
            "recited",
            pa.bool_(),
            metadata={"is": "whether the model predicts it from the true tokens; null in the prompt"},
        ),
        pa.field("twin_recited", pa.bool_(), metadata={"is": "the same of the twin; null without one"}),
    ]
)


def dependency_table(row: int, context: int, direction: "Direction", chosen: NDArray[np.bool_]) -> pa.Table:
    """The records of one row in one direction; chosen: which tokens after its `context` first ones get some, [K]."""
    layers, patched, _ = direction.changed.shape
    tokens = np.flatnonzero(chosen)
    layer, position, token = (indices.reshape(-1) for indices in np.indices((layers, patched, len(tokens))))
    token = tokens[token]
    earlier = position < context + token  # a state changes later predictions alone
    layer, position, token = layer[earlier], position[earlier], token[earlier]
    counts = direction.changed[layer, position, token]
    columns = {
        "row": np.full(counts.size, row),
        "patched": pa.repeat(direction.patched, counts.size),
        "source": pa.repeat(direction.source, counts.size),
        "token": (context + token).astype(np.int32),
        "recited": direction.recited[token],
        "layer": (layer + 1).astype(np.int32),
        "position": position.astype(np.int32),
        "dep": counts / direction.patches,
        "n": np.full(counts.size, direction.patches, np.int32),
    }
    return pa.table(columns, schema=DEPENDENCY)


def tokens_table(
    row: int,
    ids: NDArray[np.int64],
    texts: list[str] | None,
    recited: NDArray[np.bool_],
    twin_recited: NDArray[np.bool_] | None,
) -> pa.Table:
    """The records of one row's tokens, [C + K]; recited: of its last K."""
    prompt = [None] * (len(ids) - len(recited))
    columns = [
        np.full(len(ids), row),
        np.arange(len(ids), dtype=np.int32),
        ids,
        pa.nulls(len(ids), pa.string()) if texts is None else pa.array(texts, pa.string()),
        pa.array([*prompt, *recited.tolist()], pa.bool_()),
        pa.array([None] * len(ids) if twin_recited is None else [*prompt, *twin_recited.tolist()], pa.bool_()),
    ]
    return pa.table(dict(zip(TOKENS.names, columns, strict=True)), schema=TOKENS)


def card(facts: dict[str, Any], command: str) -> str:
    """README.md beside the tables: what was asked, how, and what each column is."""
    twin = "" if facts["twin"] is None else f" and of its twin {facts['twin']}"
    parts = [
        f"# Hidden states that {facts['model']} recites from",
        f"{facts['rows']} rows of {facts['corpus']} (`--rows {facts['selection']}`): {facts['context']} tokens of "
        f"prompt, {facts['continuation']} to recite. One hidden state of {facts['model']}{twin} is replaced, "
        "and the tokens after the prompt are predicted again, each from the true tokens before it.",
        f"- **dep** is the share of {facts['sources']} random windows of the corpus (seed {facts['seed']}, other rows) "
        "whose block output at the same layer and position, put in place, changes whether the token is predicted. With "
        "`source` twin or model it is one state: that of the same row in the other model.",
        "- A state changes predictions of later tokens alone, so that each token has records of the states before it.",
        "- Tokens that are not recited without a patch have no records; beside a twin, those that either of the two "
        "recites have some in both directions.",
        "- **Not** where a text is stored: a state that matters carries something that the answer needs.",
        "Made by:",
        f"    {command}",
        column_list("dependency/*.parquet", DEPENDENCY),
        column_list("tokens/*.parquet", TOKENS),
    ]
    return "\n\n".join(parts) + "\n"
