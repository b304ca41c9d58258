"""Rows that are answers: of chats, of prompts with completions, of instructions and of questions.

The oracles are transformers' own apply_chat_template, and masks of assistant tokens by its {% generation %} blocks.
"""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import AutoTokenizer

from mematlas.corpus.base import CorpusOptions
from mematlas.corpus.left_out import read_left_out
from mematlas.corpus.opening import open_corpus
from mematlas.errors import CorpusError
from tests.byte_level_tokenizer import byte_level_encoder
from tests.corpus.writers import ENCODER, text_of

TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\\n' }}"
    "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] + '<|end|>\\n' }}{% endgeneration %}"
    "{% else %}{{ m['content'] + '<|end|>\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)
CHATS = [
    [
        {"role": "system", "content": "Answer in one word, please, and be kind."},
        {"role": "user", "content": "Where does the cat sit?"},
        {"role": "assistant", "content": "the cat sat on the mat"},
        {"role": "user", "content": "And then?"},
        {"role": "assistant", "content": "It went away, to another mat."},
    ],
    [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Too short a prompt"}],
    [{"role": "user", "content": "What comes after that, in the end?"}, {"role": "assistant", "content": "A"}],
    [{"role": "user", "content": "Nobody answers this question, alas."}],
]
C, L = 48, 12


@pytest.fixture
def tokenizer(tmp_path: Path) -> Any:
    """A tokenizer of transformers with the template, in the folder `tokenizer`."""
    byte_level_encoder(tmp_path / "tokenizer")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "tokenizer")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    return tokenizer


def encoder_of(tokenizer: Any) -> Any:
    from mematlas.models.huggingface import tokenizer_encoder

    return tokenizer_encoder(tokenizer.name_or_path, None)


def opened(path: Path, encoder: Any = ENCODER, context: int = C, continuation: int = L, **options: Any) -> Any:
    given = CorpusOptions(
        encoder=encoder,
        cache=path.parent / "cache",
        context=context,
        text_row_length=context + continuation,
        **options,
    )
    return open_corpus(path, options=given)


def rows_of(corpus: Any, width: int = C + L) -> list[list[int]]:
    read = corpus.read(np.arange(len(corpus)), width)
    return [row[:length] for row, length in zip(read.ids.tolist(), read.lengths.tolist(), strict=True)]


def write_jsonl(path: Path, records: list[dict[str, Any]]) -> Path:
    path.with_suffix(".jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return path.with_suffix(".jsonl")


def write_json(path: Path, records: list[dict[str, Any]]) -> Path:
    path.with_suffix(".json").write_text(json.dumps(records, indent=1))
    return path.with_suffix(".json")


def write_parquet(path: Path, records: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(records), path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


def write_arrow(path: Path, records: list[dict[str, Any]]) -> Path:
    table = pa.Table.from_pylist(records)
    with pa.ipc.new_file(path.with_suffix(".arrow"), table.schema) as writer:
        writer.write_table(table)
    return path.with_suffix(".arrow")


def write_csv(path: Path, records: list[dict[str, Any]], notation: Any = json.dumps) -> Path:
    with path.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(list(records[0]))
        for record in records:
            writer.writerow([v if isinstance(v, str | int) else notation(v) for v in record.values()])
    return path.with_suffix(".csv")


def write_pandas_csv(path: Path, records: list[dict[str, Any]]) -> Path:
    """Lists in Python's notation, as pandas writes them."""
    return write_csv(path, records, repr)


WRITERS = [write_jsonl, write_json, write_parquet, write_arrow, write_csv, write_pandas_csv]


def rows_by_hand(tokenizer: Any, chats: list[Any]) -> list[list[int]]:
    """For each run of assistant tokens in the whole conversation: C tokens before its start, L from it on."""
    rows = []
    for chat in chats:
        got = tokenizer.apply_chat_template(chat, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
        ids, mask = got["input_ids"], got["assistant_masks"]
        starts = [i for i, on in enumerate(mask) if on and (i == 0 or not mask[i - 1])]
        for start in starts:
            end = next((i for i in range(start, len(mask)) if not mask[i]), len(mask))
            if start >= C:
                rows.append(ids[start - C : min(end, start + L)])
    return rows


@pytest.mark.parametrize("write", WRITERS)
def test_answers_of_chats_are_the_assistant_tokens_of_the_template(tmp_path: Path, tokenizer: Any, write: Any) -> None:
    corpus = opened(write(tmp_path / "a", [{"messages": chat} for chat in CHATS]), encoder_of(tokenizer))
    expected = rows_by_hand(tokenizer, CHATS)
    assert rows_of(corpus) == expected
    assert [len(row) for row in expected] == [C + L, C + L, C + len("A<|end|>\n")]
    assert corpus.provenance(np.arange(3)).document == [0, 0, 2]  # answers of one conversation are one document
    assert corpus.row_ids(np.arange(3)).tolist() == [0, 1, 2]
    left_out = [str(part) for part in read_left_out(corpus.details, len(corpus))]
    assert left_out == ["1 document, without an answer", "1 of 4 answers, with fewer than 48 tokens before them"]
    assert corpus.details["reading"] == (
        "a row is an answer, its first 12 tokens after the 48 tokens before it, in 'messages', written by the chat "
        "template of tokenizer"
    )
    assert (corpus.details["cut"], corpus.details["column"]) == ("answers", "messages")


@pytest.mark.parametrize("write", WRITERS)
def test_whole_conversations_are_the_text_of_the_template(tmp_path: Path, tokenizer: Any, write: Any) -> None:
    path = write(tmp_path / "a", [{"messages": chat} for chat in CHATS])
    corpus = opened(path, encoder_of(tokenizer), cut="window", row_length=400)
    assert rows_of(corpus, 400) == [tokenizer.apply_chat_template(chat)["input_ids"] for chat in CHATS]
    assert corpus.details["reading"] == "texts are 'messages', written by the chat template of tokenizer"


@pytest.mark.parametrize("name", ["conversations", "messages", "conversation"])
@pytest.mark.parametrize("write", WRITERS)
def test_the_form_of_sharegpt_is_the_same_chat(tmp_path: Path, tokenizer: Any, write: Any, name: str) -> None:
    names = {"system": "system", "user": "human", "assistant": "gpt"}
    chats = [[{"from": names[m["role"]], "value": m["content"]} for m in chat] for chat in CHATS]
    corpus = opened(write(tmp_path / "a", [{name: chat} for chat in chats]), encoder_of(tokenizer))
    assert rows_of(corpus) == rows_by_hand(tokenizer, CHATS)


def test_contents_in_parts_and_keys_without_values(tmp_path: Path, tokenizer: Any) -> None:
    chats = [
        [{"role": m["role"], "name": None, "content": [{"type": "text", "text": m["content"]}]} for m in chat]
        for chat in CHATS
    ]
    corpus = opened(write_jsonl(tmp_path / "a", [{"messages": chat} for chat in chats]), encoder_of(tokenizer))
    assert rows_of(corpus) == rows_by_hand(tokenizer, CHATS)


def test_prompts_and_completions_that_are_chats(tmp_path: Path, tokenizer: Any) -> None:
    """Answers within the prompt are no answers."""
    chat = CHATS[0]
    path = write_parquet(tmp_path / "a", [{"prompt": chat[:4], "completion": chat[4:]}])
    assert rows_of(opened(path, encoder_of(tokenizer))) == rows_by_hand(tokenizer, CHATS[:1])[1:]


@pytest.mark.parametrize(
    ("template", "start"),
    [
        # no generation prompt at all: the name of the role is no part of the answer
        ("{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</s>{% endfor %}", "the cat sat"),
        # a generation prompt that ends otherwise than the text of an answer begins
        (
            "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</s>{% endfor %}"
            "{% if add_generation_prompt %}<assistant>#think#{% endif %}",
            "the cat sat",
        ),
    ],
    ids=["no generation prompt", "thinking"],
)
def test_where_answers_begin_in_other_templates(tmp_path: Path, tokenizer: Any, template: str, start: str) -> None:
    tokenizer.chat_template = template
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    path = write_jsonl(tmp_path / "a", [{"messages": CHATS[0]}])
    corpus = opened(path, encoder_of(tokenizer), continuation=4)
    assert tokenizer.decode(rows_of(corpus, C + 4)[0][C:]).startswith(start[:4])
    before = tokenizer.decode(rows_of(corpus, C + 4)[0][:C])
    assert before.endswith("<assistant>")


# ------------------------------------------------------------------------------------- prompts, instructions, questions


def cells(corpus: Any, context: int, width: int) -> list[tuple[str, str]]:
    return [(text_of(row[:context]), text_of(row[context:])) for row in rows_of(corpus, width)]


PAIRS = [{"prompt": "What? ", "completion": "That."}, {"prompt": "Who", "completion": "me"}]


@pytest.mark.parametrize("write", WRITERS)
def test_completions_are_rows(tmp_path: Path, write: Any) -> None:
    path = write(tmp_path / "a", [{**pair, "row": 7 - i} for i, pair in enumerate(PAIRS)])
    corpus = opened(path, context=3, continuation=4)
    assert cells(corpus, 3, 7) == [("t? ", "That"), ("Who", "me")]
    assert corpus.row_ids(np.arange(2)).tolist() == [7, 6]
    assert corpus.details["reading"] == (
        "a row is an answer, its first 4 tokens after the 3 tokens before it, in 'prompt' + 'completion', joined as "
        "they are"
    )


@pytest.mark.parametrize("write", WRITERS)
def test_the_prompt_of_alpaca(tmp_path: Path, write: Any) -> None:
    records = [
        {"instruction": "Add.", "input": "1 2", "output": "3"},
        {"instruction": "Greet.", "input": "", "output": "Hello"},
    ]
    corpus = opened(write(tmp_path / "a", records), cut="window", row_length=400)
    first, second = (text_of(row) for row in rows_of(corpus, 400))
    assert first == (
        "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
        "response that appropriately completes the request.\n\n### Instruction:\nAdd.\n\n### Input:\n1 2\n\n"
        "### Response:3"
    )
    assert second == (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request."
        "\n\n### Instruction:\nGreet.\n\n### Response:Hello"
    )
    answers = opened(tmp_path / path_of(write))
    assert [c for _, c in cells(answers, C, C + L)] == ["3", "Hello"]
    assert all(context.endswith("### Response:") for context, _ in cells(answers, C, C + L))
    assert "joined by the prompt of Stanford Alpaca" in answers.details["reading"]


def path_of(write: Any) -> str:
    return "a." + write.__name__.split("_")[-1]


def test_an_input_that_only_some_records_have(tmp_path: Path) -> None:
    records = [{"instruction": "A", "output": "x"}, {"instruction": "B", "input": "C", "output": "y"}]
    corpus = opened(write_jsonl(tmp_path / "a", records), cut="window", row_length=400)
    assert ["### Input:\nC" in text_of(row) for row in rows_of(corpus, 400)] == [False, True]


@pytest.mark.parametrize("write", WRITERS)
def test_questions_and_answers(tmp_path: Path, write: Any) -> None:
    path = write(tmp_path / "a", [{"question": "Who?", "answer": "Nobody."}])
    assert cells(opened(path, context=8), 8, 16) == [("\nAnswer:", " Nobody.")]
    assert 'joined as "Question: ... (new line) Answer: ..."' in opened(path, context=8).details["reading"]
    joined = opened(path, context=4, column="question+answer")  # as they are, because they were named
    assert cells(joined, 4, 12) == [("Who?", "Nobody.")]
    assert "'question' + 'answer', joined as they are" in joined.details["reading"]


def test_a_token_across_the_border_belongs_to_the_answer(tmp_path: Path) -> None:
    def pairs(texts: list[str]) -> list[list[int]]:
        """Two characters are one token, from the start on."""
        return [[hash_of(text[i : i + 2]) for i in range(0, len(text), 2)] for text in texts]

    def hash_of(pair: str) -> int:
        return sum(ord(character) * 128**place for place, character in enumerate(pair))

    encoder = replace(ENCODER, vocabulary=1 << 14, encode=pairs)
    path = write_jsonl(tmp_path / "a", [{"prompt": "abcde", "completion": "fgh"}])
    assert rows_of(opened(path, encoder, context=2, continuation=2), 4) == pairs(["abcdefgh"])


def test_whole_texts_are_read_where_a_cut_or_a_row_length_asks_for_them(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a", PAIRS)
    whole = ["What? That.", "Whome"]
    assert [text_of(row) for row in rows_of(opened(path, cut="window", row_length=20), 20)] == whole
    assert next(text_of(row) for row in rows_of(opened(path, context=2, continuation=3, cut="rows"), 5)) == "What?"
    assert next(text_of(row) for row in rows_of(opened(path, row_length=5), 5)) == "What?"
    assert opened(path, row_length=5).details["cut"] == "rows"


def test_the_fingerprint_is_that_of_context_and_template(tmp_path: Path, tokenizer: Any) -> None:
    path = write_jsonl(tmp_path / "a", [{"messages": chat} for chat in CHATS])
    first = opened(path, encoder_of(tokenizer)).fingerprint
    assert opened(path, encoder_of(tokenizer)).fingerprint == first
    assert opened(path, encoder_of(tokenizer), context=C - 1, continuation=L + 1).fingerprint != first
    tokenizer.chat_template = TEMPLATE.replace("<|end|>", "<|stop|>")
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    assert opened(path, encoder_of(tokenizer)).fingerprint != first


# ------------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("chat", "message"),
    [
        ("no chat", r"line 2: 'messages' is \"no chat\", but a chat is a list of messages"),
        ([1], r"line 2: 'messages' has the message 1; a message has role and content, or from and value"),
        ([{"content": "a"}], r"line 2: 'messages' has the message {\"content\": \"a\"}; a message has role and"),
        (
            [{"from": "alien", "value": "a"}],
            r"line 2: 'messages' has a message from 'alien'; the known names are human",
        ),
        ([{"role": "user", "content": [{"type": "image"}]}], r"line 2: 'messages' has a message that is no text"),
        ([{"role": "user", "content": "\ud800"}], r"line 2: 'messages' has \\ud800, half of a surrogate pair"),
    ],
)
def test_messages_that_are_none(tmp_path: Path, tokenizer: Any, chat: Any, message: str) -> None:
    path = write_jsonl(tmp_path / "a", [{"messages": CHATS[0]}, {"messages": chat}])
    with pytest.raises(CorpusError, match=message) as error:
        opened(path, encoder_of(tokenizer), cut="window", row_length=9)
    assert "\n" not in str(error.value)


def test_messages_that_the_template_refuses(tmp_path: Path, tokenizer: Any) -> None:
    refusal = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('No system, please') }}{% endif %}"
    tokenizer.chat_template = refusal + TEMPLATE
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    path = write_jsonl(tmp_path / "a", [{"messages": CHATS[0]}])
    message = r"line 1: the tokenizer's chat template refuses these messages \(No system, please\); correct the row or"
    with pytest.raises(CorpusError, match=message):
        opened(path, encoder_of(tokenizer))


def test_a_tokenizer_without_a_chat_template(tmp_path: Path) -> None:
    byte_level_encoder(tmp_path / "plain")
    plain = byte_level_encoder(tmp_path / "plain")
    path = write_jsonl(tmp_path / "a", [{"messages": CHATS[0]}])
    with pytest.raises(CorpusError, match=r"the tokenizer of plain has no chat template; put the one of the training"):
        opened(path, plain)
    (tmp_path / "plain" / "chat_template.jinja").write_text(TEMPLATE)  # the remedy
    from mematlas.models.huggingface import tokenizer_encoder

    assert len(opened(path, tokenizer_encoder(str(tmp_path / "plain"), None))) == 2


@pytest.mark.parametrize("write", WRITERS)
def test_answers_of_a_file_that_has_none(tmp_path: Path, write: Any) -> None:
    path = write(tmp_path / "a", [{"text": "Where does the cat sit?"}])
    with pytest.raises(
        CorpusError, match=r"has no answers to score \(chats, .*\); choose --cut rows or window, or name"
    ):
        opened(path, cut="answers")
    tokens = write(tmp_path / "b", [{"tokens": [1, 2, 3]}])
    with pytest.raises(CorpusError, match=r"has no answers to score"):
        opened(tokens, cut="answers")


def test_a_row_length_does_not_go_with_answers(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a", PAIRS)
    with pytest.raises(CorpusError, match=r"^--row-length 9 does not go with --cut answers, .*; leave one of them out"):
        opened(path, cut="answers", row_length=9)


def test_prompts_that_are_all_too_short(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a", PAIRS)
    with pytest.raises(
        CorpusError, match=r"has no row: none of its 2 answers has 48 tokens before it; choose a shorter"
    ):
        opened(path)
