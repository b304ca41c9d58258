"""Chats and prompts with completions are scored at their answers, and the output says how they were read."""

import json

import numpy as np
import pytest
from transformers import AutoTokenizer

import mematlas
from mematlas.cli import run as command
from tests import tiny_networks as networks
from tests.byte_level_tokenizer import byte_level_encoder

TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
CUT = (
    "; half of the answers have {} tokens or more before them, so that a longer --context is closer to what the model "
    "was trained on"
)
READING = (
    "a row is an answer, its first 8 tokens after the 16 tokens before it, in 'messages', written by the chat template "
    "of model"
)


def chat(number, question="What is number", end="?"):
    return [
        {"role": "user", "content": f"{question} {number}{end}"},
        {"role": "assistant", "content": f"It is the number {number}, of course."},
    ]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A model with a chat template, and two files of chats."""
    monkeypatch.chdir(tmp_path)
    networks.save_network(networks.neox(300), tmp_path / "model")
    byte_level_encoder(tmp_path / "model")
    (tmp_path / "model" / "chat_template.jinja").write_text(TEMPLATE)
    for name, count, end in (("train", 12, "?"), ("heldout", 8, "!")):
        lines = (json.dumps({"messages": chat(number, end=end)}) + "\n" for number in range(count))
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    return tmp_path


def rows_by_hand(path, context, continuation):
    """The tokens around the place where the assistant's begin, by transformers alone."""
    tokenizer = AutoTokenizer.from_pretrained("model")
    rows = []
    for line in path.read_text().splitlines():
        messages = json.loads(line)["messages"]
        whole = tokenizer.apply_chat_template(messages)["input_ids"]
        start = len(tokenizer.apply_chat_template(messages[:1], add_generation_prompt=True)["input_ids"])
        assert tokenizer.decode(whole[start : start + 5]).startswith("It is")
        rows.append(whole[start - context : start + continuation])
    return np.array(rows)


def prompts_of(path):
    """The tokens before each answer."""
    tokenizer = AutoTokenizer.from_pretrained("model")
    chats = [json.loads(line)["messages"] for line in path.read_text().splitlines()]
    return [tokenizer.apply_chat_template(chat[:1], add_generation_prompt=True)["input_ids"] for chat in chats]


def score(**options):
    return mematlas.score("model", **{"context": [16], "continuation": [8], **options})


def test_scores_are_those_of_the_tokens_around_the_answers(files):
    np.save("rows.npy", rows_by_hand(files / "train.jsonl", 16, 8))
    chats, rows = score(corpus="train.jsonl", study="chats"), score(corpus="rows.npy", study="rows")
    assert chats.scores().equals(rows.scores())
    assert len(chats.scores()) == 12
    assert chats.rows()["document"].to_list() == list(range(12))


def test_several_contexts_end_where_the_answer_begins(files):
    np.save("rows.npy", rows_by_hand(files / "train.jsonl", 16, 8))
    options = {"context": [4, 16], "continuation": [2, 8], "align": "end"}
    chats = score(corpus="train.jsonl", study="chats", **options)
    assert chats.scores().equals(score(corpus="rows.npy", study="rows", **options).scores())


def test_a_context_as_long_as_the_prompts_is_not_told_to_be_longer(files):
    shortest = min(len(prompt) for prompt in prompts_of(files / "train.jsonl"))
    study = score(corpus="train.jsonl", context=[shortest], study="s")
    [run] = study.runs()
    assert run.settings["readings"]["train"].endswith("written by the chat template of model")


def test_several_contexts_need_that_alignment(files, capsys):
    options = ["--context", "4,16", "--continuation", "8", "--study", "s"]
    assert command(["score", "model", "--corpus", "train.jsonl", *options]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "mematlas: The rows of train.jsonl are answers, each after the last 16 tokens before it; with several contexts "
        "add --align end, so that all end where the answer begins, or cut whole texts: --cut rows."
    ]


def test_how_chats_were_read_is_said_once_and_recorded(files, capsys):
    options = ["--context", "16", "--continuation", "8", "--study", "s"]
    assert command(["score", "model", "--corpus", "train.jsonl", "--control", "heldout.jsonl", *options]) == 0
    said = capsys.readouterr()
    lines = (said.out + said.err).splitlines()
    told = READING + CUT.format(int(np.median([len(prompt) for prompt in prompts_of(files / "train.jsonl")])))
    assert lines.count(told) == 1
    assert sum(line.startswith(f"control: {READING}; half of") for line in lines) == 1
    [run] = mematlas.open_study("s").runs()
    assert run.settings["readings"]["train"] == told
    assert run.settings["corpus_details"]["reading"] == READING
    assert command(["show", "s"]) == 0
    assert READING in capsys.readouterr().out


@pytest.mark.parametrize(("only", "answered", "other"), [("corpus", 0, 1), ("control", 1, 0)])
def test_a_control_in_another_form_is_told(files, only, answered, other):
    (files / "texts.jsonl").write_text("".join(json.dumps({"text": f"{n} is a number. " * 9}) + "\n" for n in range(6)))
    paths = ["train.jsonl", "train.jsonl"]
    paths[other] = "texts.jsonl"
    score(corpus=paths[0], control=paths[1], study="s")
    [run] = mematlas.open_study("s").runs()
    told = f"the rows of the {only} alone are answers, so that the two are not alike; give both in the same form"
    assert run.settings["readings"]["control"].endswith(told)


def test_prompts_that_are_mostly_too_short_are_refused(files, capsys):
    options = ["--context", "200", "--continuation", "8", "--study", "s"]
    long = json.dumps({"messages": chat(1, "Really, " * 60)})
    (files / "train.jsonl").write_text((files / "train.jsonl").read_text() + long)
    assert command(["score", "model", "--corpus", "train.jsonl", *options]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "mematlas: train.jsonl: 12 of 13 answers, with fewer than 200 tokens before them, are left out: over half. "
        "Choose a shorter --context or --continuation, or accept that scores stand for the others only: --allow-short "
        "(in a study file: allow_short: true)."
    ]


def test_a_masked_objective_reads_whole_texts(files):
    from mematlas.corpus.base import CorpusOptions
    from mematlas.corpus.opening import open_corpus
    from mematlas.models.resolve import find_model

    options = CorpusOptions(encoder=find_model("model").encoder(), cache="cache", text_row_length=24, context=None)
    assert open_corpus("train.jsonl", options=options).details["cut"] == "rows"
