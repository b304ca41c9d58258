"""The answers of a model, as they are stored: one record for each prompt and answer."""

from typing import Final

import pyarrow as pa


def _field(name: str, kind: pa.DataType, meaning: str, nullable: bool = True) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"is": meaning})


ANSWERS: Final = pa.schema(
    [
        _field("item", pa.string(), "id of the item; of made-up inputs: made-up-0, made-up-1 ...", False),
        _field("split", pa.string(), "items, or made-up (inputs that do not exist, the control)", False),
        _field("template", pa.string(), "name of the template", False),
        _field("language", pa.string(), "language of the template; null if it is not said"),
        _field("shots", pa.int32(), "solved examples before the question", False),
        _field("axis", pa.string(), "recall, or the axis of invariance that it was asked again for", False),
        _field("temperature", pa.float64(), "0: greedy decoding", False),
        _field("repeat", pa.int32(), "number of the answer to the same prompt, from 0", False),
        _field("text", pa.string(), "what the model wrote", False),
        _field("answer", pa.string(), "the answer in it; null if there is none"),
        _field("hit", pa.bool_(), "whether it is the right one; null for made-up inputs"),
        _field("is_greedy", pa.bool_(), "whether each token of the right answer is the most probable; null for APIs"),
        _field("logp", pa.float64(), "log-probability of the right answer after the prompt, nats; null for APIs"),
        _field("logp_made_up", pa.float64(), "the same of an answer of the same form that is none; null without one"),
        _field("rank", pa.float64(), "rank of the right answer among the candidates, 1 = most probable"),
        _field("candidates", pa.int32(), "number of candidates, the right one among them"),
        _field("tokens", pa.list_(pa.int64()), "token ids of prompt and right answer; null for APIs"),
        _field("context", pa.int32(), "tokens of the prompt"),
    ]
)
