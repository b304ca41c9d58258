"""The tables of row features: STUDY/features/<run>/<kind>/shard-...parquet, beside facts.json.

    counts   one row per scored row: lists over the row's first tokens, as many as the grid needs
    copies   one row per (row, context, continuation)
    texts    one row per (row, context, continuation)
    tokens   one row per scored row: its first tokens, as many as the grid needs
    tags     one row per tagged row, and per model and tagged row; only of studies that were tagged
    near     one row per scored row; only of studies that were asked for near-copies
    places   one row per (row, context, continuation, place) of recited rows: where else in the corpus they occur

Rows that are not in the corpus (the control) have features, too: their n-grams are counted in the corpus.
facts.json: {"scope": of `counts`, "tokens", "rows" and "documents" of the counted corpus, "corpus": its fingerprint,
"eod": token id or null, "joined": whether n-grams continue into the next row, "ordered": whether rows count as often as
they were shown in training, "version"}.
"""

from typing import Final

import pyarrow as pa

#: Kinds of token, by the text of the single token (our choice); entry `kinds` of COUNTS is an index into it.
TOKEN_KINDS: Final = ("letters", "digits", "space", "punctuation", "mixed")

#: Parts of speech (P8; universal tags), and tokens without one; entry `tags` of TAGS is an index into it.
POS_CLASSES: Final = ("NUM", "PROPN", "NOUN", "VERB", "ADJ", "other", "mixed", "no word")

COUNTS: Final = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("unigrams", pa.list_(pa.int64()), metadata={"is": "how often the token at j stands in the corpus"}),
        pa.field(
            "bigrams", pa.list_(pa.int64()), metadata={"is": "the same of the 2-gram that ends at j; null at j < 1"}
        ),
        pa.field(
            "trigrams", pa.list_(pa.int64()), metadata={"is": "the same of the 3-gram that ends at j; null at j < 2"}
        ),
        pa.field("kinds", pa.list_(pa.int8()), metadata={"is": "index into TOKEN_KINDS; null without a tokenizer"}),
    ]
)

_CELL: Final = [
    pa.field("row", pa.int64(), nullable=False),
    pa.field("context", pa.int32(), nullable=False),
    pa.field("continuation", pa.int32(), nullable=False),
]

#: Exact copies in the corpus, including the row's own: of the continuation's tokens, and of context + continuation.
COPIES: Final = pa.schema(
    [
        *_CELL,
        *(
            pa.field(f"{part}_{scope}", pa.int64())
            for part in ("continuation", "window")
            for scope in ("rows", "documents", "stream")
        ),
    ]
)

TEXTS: Final = pa.schema(
    [
        *_CELL,
        pa.field("repeating", pa.bool_(), metadata={"is": "the window repeats a template (K2)"}),
        pa.field("incrementing", pa.bool_(), metadata={"is": "the window counts up or down (K2); null without text"}),
        *(
            pa.field(
                f"distinct_{n}", pa.float64(), metadata={"is": f"distinct {n}-grams / {n}-grams of the window (K8)"}
            )
            for n in (1, 2, 3)
        ),
        pa.field("bytes", pa.int32(), metadata={"is": "UTF-8 bytes of the window's text; null without text"}),
        pa.field("compressed_bytes", pa.int32(), metadata={"is": "of these, compressed with zlib at level 9"}),
    ]
)

TOKENS: Final = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("tokens", pa.list_(pa.int32()), metadata={"is": "token ids at positions 0, 1 ... of the row"}),
    ]
)

TAGS: Final = pa.schema(
    [
        pa.field("model", pa.string(), metadata={"is": "that names the tokens; null: the true tokens of the row"}),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("tags", pa.list_(pa.int8()), metadata={"is": "index into POS_CLASSES; null where none is named"}),
    ]
)

#: Near-copies among the scored rows, by their sets of 5 tokens in a row; only of studies that were asked for them.
NEAR: Final = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field(
            "near_copies",
            pa.int64(),
            metadata={"is": "other scored training rows of Jaccard similarity .8 or more; null of rows below 5 tokens"},
        ),
        pa.field("cluster", pa.int64(), nullable=False, metadata={"is": "number of the rows that near-copies connect"}),
        pa.field(
            "largest_jaccard",
            pa.float64(),
            metadata={"is": "to another scored training row; null where none was alike enough to be compared"},
        ),
        pa.field("exact", pa.int64(), metadata={"is": "of near_copies, those with the same tokens"}),
    ]
)

#: The first occurrences of a recited continuation in the corpus besides the row's own, within the scope of `counts`;
#: one row without a place if there is none.
OCCURRENCES: Final = pa.schema(
    [
        *_CELL,
        pa.field("elsewhere", pa.int64(), metadata={"is": "places in all; null where not even the row's own counts"}),
        pa.field("place", pa.int32(), metadata={"is": "which of them, from 1, in the corpus' order"}),
        pa.field("corpus_row", pa.int64(), metadata={"is": "id of the row in which the continuation starts there"}),
        pa.field("offset", pa.int32(), metadata={"unit": "tokens", "is": "from that row's start"}),
        pa.field("same_row", pa.bool_(), metadata={"is": "it starts in the row itself, at another offset"}),
        pa.field("source", pa.string(), metadata={"is": "file or collection of that row, where known"}),
        pa.field("document", pa.int64(), metadata={"is": "number of its document in its source, where known"}),
        pa.field("stream_document", pa.int64(), metadata={"is": "number of the document along the corpus, from 0"}),
        pa.field("training_step", pa.int64(), metadata={"is": "that showed that row, from 0; null where not known"}),
    ]
)

#: The features that every row has.
SCHEMAS: Final = {"counts": COUNTS, "copies": COPIES, "texts": TEXTS, "tokens": TOKENS}

#: Tables with long lists, of which single rows are looked at: rows that are compressed together.
GROUP_ROWS: Final = {"counts": 4096, "tokens": 4096}
