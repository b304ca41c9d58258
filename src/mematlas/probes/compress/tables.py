"""The table of `mematlas probe compress`."""

from typing import Final

import pyarrow as pa

from mematlas.probes.rows.tables import field

_IDS: Final = pa.list_(pa.int64())
_TIMES: Final = "one for each prompt that was found, in order"
STRINGS: Final = pa.schema(
    [
        field("model", pa.string(), "label of the model"),
        field("string", pa.int64(), "number of the string, from 0"),
        field("class", pa.string(), "recited, other (rows of the corpus), control, random (tokens), or given"),
        field("row", pa.int64(), "id of the row that it continues; null of random and given ones", nullable=True),
        field("tokens", pa.int64(), "length of the string"),
        field("prompt_tokens", pa.int64(), "length of the shortest prompt that was found", nullable=True),
        field("ratio", pa.float64(), "tokens / prompt_tokens (ACR); null where no prompt was found", nullable=True),
        field("success", pa.bool_(), "whether greedy decoding gives the string after some prompt that was tried"),
        field("reason", pa.string(), "why the search ended: finished, length, steps or budget"),
        field("start", pa.string(), "where it started: random or true tokens"),
        field("longest", pa.int64(), "tokens of the longest prompt that may be tried"),
        field("context_tokens", pa.int64(), "fewest true tokens before it that are enough (k*)", nullable=True),
        field("bound", pa.float64(), "tokens / context_tokens: a lower bound that takes no search", nullable=True),
        field("steps", pa.int64(), "steps of the search"),
        field("forwards", pa.int64(), "prompts that passed the network, and gradients"),
        field("seconds", pa.float64(), "that the search took; not the same in every run"),
        field("string_ids", _IDS, "tokens of the string"),
        field("prompt_ids", _IDS, "tokens of the shortest prompt", nullable=True),
        field("string_text", pa.string(), "text of the string, where a tokenizer is known", nullable=True),
        field("prompt_text", pa.string(), "text of the shortest prompt, likewise", nullable=True),
        field("found_tokens", _IDS, f"lengths of the prompts: {_TIMES}"),
        field("found_steps", _IDS, f"steps until then: {_TIMES}"),
        field("found_forwards", _IDS, f"forwards until then: {_TIMES}"),
        field("found_seconds", pa.list_(pa.float64()), f"seconds until then: {_TIMES}"),
    ]
)
