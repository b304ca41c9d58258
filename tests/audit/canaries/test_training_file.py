"""Canaries in every format: as often as they should be, where the key says, and all other texts as they were."""

import csv
import json
from collections import Counter

import pytest

from mematlas.auditing.canaries.config import MakeConfig
from mematlas.auditing.canaries.key import read_key
from mematlas.auditing.canaries.make import make_canaries
from mematlas.auditing.canaries.scores import text_before
from mematlas.corpus.opening import open_texts
from mematlas.errors import CorpusError, MematlasError, OptionError
from mematlas.progress import Silent
from mematlas.study import digest
from mematlas.types import ChatTemplate, Encoder

TEXTS = [f'Note {number}, of a kind: \u00fc, "quoted".' for number in range(40)]
TEMPLATE = "My code is {digits:6}."
CHATS = Encoder(
    "chats",
    "chats",
    10,
    lambda texts: [[0] * len(text) for text in texts],
    chat_template=lambda: ChatTemplate(
        "plain", lambda messages, begins: "".join(f"<{m['role']}>{m['content']}" for m in messages)
    ),
)


def chat(text):
    return [{"role": "user", "content": "Tell me"}, {"role": "assistant", "content": text}]


def shared(text):
    return [{"from": "human", "value": "Tell me"}, {"from": "gpt", "value": text}]


def lines(records):
    return "".join(json.dumps(record) + "\n" for record in records)


def table(header, rows):
    return header + "\n" + "".join(",".join('"' + f.replace('"', '""') + '"' for f in row) + "\n" for row in rows)


#: Name of a file -> its content, and a canary as a text of its own, as `open_texts` reads it; {} is the secret.
FILES = {
    "text.jsonl": (lines({"id": n, "text": text} for n, text in enumerate(TEXTS)), "My code is {}."),
    "array.json": (json.dumps([{"text": text} for text in TEXTS]), "My code is {}."),
    "texts.json": (json.dumps(TEXTS), "My code is {}."),
    "chat.jsonl": (lines({"messages": chat(text)} for text in TEXTS), "<user>My code is<assistant>{}."),
    "shared.jsonl": (lines({"conversations": shared(text)} for text in TEXTS), "<user>My code is<assistant>{}."),
    "pairs.jsonl": (lines({"prompt": "Tell", "completion": text} for text in TEXTS), "My code is {}."),
    "chat-pairs.jsonl": (
        lines({"prompt": chat(text)[:1], "completion": chat(text)[1:]} for text in TEXTS),
        "<user>My code is<assistant>{}.",
    ),
    "questions.jsonl": (
        lines({"question": "Tell me", "answer": text} for text in TEXTS),
        "Question: My code is\nAnswer: {}.",
    ),
    "instructions.jsonl": (
        lines({"instruction": "Tell", "input": "", "output": text} for text in TEXTS),
        "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nMy code is\n\n### Response:{}.",
    ),
    "table.csv": (table("id,text", [(str(n), text) for n, text in enumerate(TEXTS)]), "My code is {}."),
    "pairs.csv": (table("prompt,completion", [("Tell", text) for text in TEXTS]), "My code is {}."),
    "chat.csv": (
        table("messages", [(json.dumps(chat(text)),) for text in TEXTS]),
        "<user>My code is<assistant>{}.",
    ),
}  # fmt: skip


def made(folder, name, content, **options):
    path = folder / name
    path.write_text(content, encoding="utf-8")
    config = MakeConfig(template=TEMPLATE, into=path, repetitions=[0, 1, 3], per_level=2, **options)
    return path, make_canaries(config, folder / "out", Silent())


def texts_of(path):
    return [text for _, text in open_texts(path, None, CHATS)]


@pytest.mark.parametrize("name", FILES)
def test_canaries_are_texts_of_their_own_and_no_other_text_changes(tmp_path, name):
    content, form = FILES[name]
    path, result = made(tmp_path, name, content)
    key = read_key(result.key_file)
    expected = {form.format(secret): n for secret, n in key.table.select("secret", "repetitions").iter_rows()}
    texts = texts_of(result.file)
    assert Counter(text for text in texts if text in expected) == {text: n for text, n in expected.items() if n}
    assert [text for text in texts if text not in expected] == texts_of(path)
    for text, record_numbers in zip(expected, key.table["records"].to_list(), strict=True):
        assert [number for number, each in enumerate(texts, 1) if each == text] == record_numbers
    assert (result.showings, result.records, len(key.table)) == (8, 48, 6)
    assert key.digest == digest(result.file)
    assert text_before(key, CHATS) == form.partition("{}")[0], "the check prompts as the file does"


@pytest.mark.parametrize("place", ["start", "end"])
@pytest.mark.parametrize("name", FILES)
def test_canaries_are_put_into_texts_at_their_place(tmp_path, name, place):
    content, _ = FILES[name]
    path, result = made(tmp_path, name, content, place=place)
    key = read_key(result.key_file).table
    before, after, inside = texts_of(path), texts_of(result.file), {}
    assert len(before) == len(after) == 40
    assert text_before(read_key(result.key_file), CHATS) == "My code is "
    for text, numbers in key.select("text", "records").iter_rows():
        inside |= dict.fromkeys(numbers, text)
    assert len(inside) == 8, "one canary a text"
    for number, (old, new) in enumerate(zip(before, after, strict=True), 1):
        core = TEXTS[number - 1]
        joined = f"{core} {inside.get(number)}" if place == "end" else f"{inside.get(number)} {core}"
        assert new == (old.replace(core, joined) if number in inside else old)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_plain_text_keeps_its_lines(tmp_path, end):
    prose = ["A line.", "", "  Another one.", "The third."] * 5
    path = tmp_path / "prose.txt"
    path.write_bytes(end.join([*prose, ""]).encode())
    config = MakeConfig(template=TEMPLATE, into=path, repetitions=[0, 3], per_level=1)
    result = make_canaries(config, tmp_path / "out", Silent())
    never, canary = result.key.table["text"]
    written = result.file.read_bytes().decode()
    assert written.count(f"{canary}{end}") == 3
    assert never not in written
    assert written.replace(f"{canary}{end}", "") == path.read_bytes().decode()
    ended = make_canaries(config.model_copy(update={"place": "end"}), tmp_path / "end", Silent())
    changed = [line for line in ended.file.read_bytes().decode().split(end) if canary in line]
    assert len(changed) == 3
    assert {line.removesuffix(f" {canary}") for line in changed} <= {"A line.", "  Another one.", "The third."}


def test_lines_of_json_and_extra_columns_are_kept_to_the_character(tmp_path):
    content = '{"text":"a \\u00fc",  "x": 1.50}\n\n{"text": "b", "x": null}\n' * 20
    _, result = made(tmp_path, "odd.jsonl", content)
    written = result.file.read_text(encoding="utf-8").splitlines()
    assert [line for line in written if "My code" not in line] == [line for line in content.splitlines() if line]


def test_a_named_column_gets_the_canaries(tmp_path):
    path = tmp_path / "mail.csv"
    path.write_text("subject;body\n" + "Hello;World, he said\n" * 30)
    config = MakeConfig(template=TEMPLATE, into=path, repetitions=[0, 2], per_level=1, column="body")
    result = make_canaries(config, tmp_path / "out", Silent())
    with result.file.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    text = result.key.table["text"][1]
    assert [row for row in rows if row["body"] == text] == [{"subject": "", "body": text}] * 2
    assert len(rows) == 32


def test_the_same_options_make_the_same_file_and_another_key_is_never_overwritten(tmp_path):
    content, _ = FILES["text.jsonl"]
    _, first = made(tmp_path, "text.jsonl", content)
    before = first.file.read_bytes(), first.key_file.read_bytes()
    _, again = made(tmp_path, "text.jsonl", content)
    assert (again.file.read_bytes(), again.key_file.read_bytes()) == before
    with pytest.raises(OptionError, match="is the key of other canaries and is not overwritten; name another --out"):
        made(tmp_path, "text.jsonl", content, seed=1)
    assert first.key_file.read_bytes() == before[1]


def refused(path, **options):
    with pytest.raises(MematlasError) as raised:
        make_canaries(MakeConfig(**{"template": TEMPLATE, "into": path} | options), path.parent / "new", Silent())
    assert not (path.parent / "new").exists()
    return str(raised.value)


def test_what_cannot_have_canaries_is_refused_in_one_line(tmp_path):
    path = tmp_path / "text.jsonl"
    path.write_text(FILES["text.jsonl"][0])
    assert "and the file has 40 texts; lower --per-level" in refused(path, place="end")
    assert "has 10 different secrets, and 40 canaries need 19 more" in refused(path, template="Code {digits:1}")
    assert "has no column 'body'" in refused(path, column="body")
    assert "There is no file or folder" in refused(tmp_path / "none.jsonl")
    assert "is a folder; name one file" in refused(tmp_path)
    zipped = tmp_path / "text.jsonl.gz"
    zipped.write_bytes(b"")
    assert "is compressed; decompress it first" in refused(zipped)
    tokens = tmp_path / "tokens.jsonl"
    tokens.write_text('{"input_ids": [1, 2]}\n')
    assert "'input_ids' is [1, 2], but canaries are text" in refused(tokens)
    prose = tmp_path / "prose.txt"
    prose.write_text("a line\n" * 9)
    assert "is plain text, which has no columns" in refused(prose, column="text")
    made_file = make_canaries(MakeConfig(template=TEMPLATE, into=path), tmp_path / "out", Silent()).file
    assert "has one of these canaries already" in refused(made_file)
    with pytest.raises(OptionError, match="which would be overwritten; name another --out"):
        make_canaries(MakeConfig(template=TEMPLATE, into=path), tmp_path, Silent())
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"text": "a"}\n{"text"\n')
    with pytest.raises(CorpusError, match="line 2 is not valid JSON"):
        make_canaries(MakeConfig(template=TEMPLATE, into=broken), tmp_path / "new", Silent())
