"""The tables of `mematlas probe tasks` as they are stored, shard by shard."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa


def _field(name: str, kind: pa.DataType, meaning: str, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"is": meaning})


_EXAMPLE: Final = _field("example", pa.string(), "id of the example")
_N: Final = _field("n", pa.int32(), "words of an n-gram")
_SY: Final = _field("sy", pa.string(), "n-gram of the output, cleaned")

EXAMPLES: Final = pa.schema(
    [
        _EXAMPLE,
        _field("number", pa.int64(), "place in the task file, from 0"),
        _field("input", pa.string(), "the input"),
        _field("output", pa.string(), "the right output"),
        _field("prompt", pa.string(), "what the model is given before the output"),
        _field("overlap_8", pa.bool_(), "whether 8 words in a row are in the corpus; null if there are fewer", True),
        _field("overlap_14", pa.bool_(), "whether 14 words in a row are in the corpus; null if there are fewer", True),
    ]
)
PAIRS: Final = pa.schema(
    [
        _EXAMPLE,
        _N,
        _field("sx", pa.string(), "n-gram of the input, cleaned"),
        _SY,
        _field("similarity", pa.float64(), "similarity of both, by the declared measure"),
        _field("count_pair", pa.int64(), "documents of the corpus with both, anywhere in them"),
        _field("count_x", pa.int64(), "documents with sx"),
        _field("count_y", pa.int64(), "documents with sy"),
        _field("occurrences_x", pa.int64(), "occurrences of sx, which the authors' code divides by"),
        _field("log_p", pa.float64(), "log of count_pair / count_x, nats; null if no document has both", True),
        _field("log_p_authors", pa.float64(), "log of count_pair / occurrences_x, nats; null likewise", True),
    ]
)
SPANS: Final = pa.schema(
    [
        _EXAMPLE,
        _N,
        _SY,
        _field("position", pa.int64(), "character of the output at which it stands first"),
        _field("tokens", pa.int64(), "tokens of the index's tokenizer"),
        _field(
            "log_p_infinity", pa.float64(), "log-probability by the infinity-gram, nats; null if a token has 0", True
        ),
        _field(
            "log_p_infinity_authors", pa.float64(), "the same without tokens that have 0, as the authors' code", True
        ),
        _field("zero_tokens", pa.int64(), "tokens that never follow their longest suffix in the corpus"),
        _field("suffix", pa.float64(), "mean length of the longest suffix of the context that the corpus has, tokens"),
    ]
)
SCORES: Final = pa.schema(
    [
        _EXAMPLE,
        _N,
        _SY,
        _field("tokens", pa.int64(), "tokens of the model's tokenizer"),
        _field("log_p_llm", pa.float64(), "log-probability after prompt and output before it, nats, where first"),
    ]
)
ANSWERS: Final = pa.schema(
    [
        _EXAMPLE,
        _field("text", pa.string(), "the model's greedy answer"),
        _field("right", pa.bool_(), "whether its first line begins with the words of the output"),
        _field("bleu", pa.float64(), "BLEU of its first line with the output, 0 to 1 (sacrebleu, sentence)"),
    ]
)

#: Tables made from those above, of all models: the meaning of every column.
MEM_COLUMNS: Final = {
    "model": "model",
    "control": "whether it is a control that was not trained on the corpus",
    "parameters": "weights of the model; null if unknown",
    "measure": "what is correlated with the model's log-probability of the output's n-gram",
    "kept": "examples: all, or those without 8 or 14 words in a row in the corpus",
    "n": "words of an n-gram",
    "gamma": "similarity that pairs exceed",
    "rho": "Mem: Spearman's correlation over pairs, or over n-grams of outputs; null with a reason",
    "low": "lower end of its 95 % interval (bootstrap over examples)",
    "high": "upper end",
    "p": "two-sided p-value of a permutation of examples",
    "null_low": "lower end of the middle 95 % of permuted examples, the control",
    "null_high": "upper end",
    "rho_fixed": "rho with the documents of the output's n-gram held fixed; null where not asked",
    "tau_distance": "(1 - Kendall's tau) / 2: 0 same order, 1 reversed (distributional generalization)",
    "pairs": "pairs, or n-grams of outputs, that are correlated",
    "examples": "examples behind them",
    "zero_share": "share of pairs that no document has, left out but where the measure says so",
    "reason": "why there is no rho",
}
COVERAGE_COLUMNS: Final = {
    "model": "model",
    "control": "whether it is a control that was not trained on the corpus",
    "n": "words of an n-gram",
    "scheme": "authors (5 bins of 200 counts up to 1,000) or equal (bins of as many examples)",
    "bin": "number of the bin, from 1 for the lowest counts",
    "examples": "examples",
    "least": "smallest sum of pair counts of an example",
    "most": "largest sum",
    "right": "share of right answers",
    "low": "lower end of its 95 % interval (Wilson)",
    "high": "upper end",
    "bleu": "mean BLEU of the answers",
    "bleu_low": "lower end of its 95 % interval (Student's t); null for fewer than two examples",
    "bleu_high": "upper end",
    "overall": "share of right answers of all examples, which bins of shuffled examples have on average",
}


def by_column(records: Sequence[Mapping[str, Any]], schema: pa.Schema) -> dict[str, list[Any]]:
    """Records as columns of a schema, also if there are none."""
    return {name: [record[name] for record in records] for name in schema.names}
