"""The rows of answers are the tokens that TRL's SFTTrainer takes the loss of, after those before them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from mematlas.corpus.base import CorpusOptions
from mematlas.corpus.opening import open_corpus
from mematlas.models.huggingface import tokenizer_encoder
from tests import tiny_networks as networks
from tests.byte_level_tokenizer import byte_level_encoder
from tests.corpus.test_answers import CHATS, TEMPLATE

trl = pytest.importorskip("trl")
datasets = pytest.importorskip("datasets")
C, L = 16, 8
RECORDS = {
    "prompts": [{"prompt": f"What is number {n}? Say:", "completion": f" It is {n}, of course."} for n in range(5)],
    "merges": [{"prompt": f"What is the cat {n}? Say:", "completion": f"the cat sat {n} times."} for n in range(5)],
    "chat prompts": [{"prompt": chat[:-1], "completion": chat[-1:]} for chat in (CHATS[0], CHATS[2])],
    "chats": [{"messages": chat} for chat in (CHATS[0], CHATS[2], CHATS[1])],
}


@pytest.mark.parametrize("name", RECORDS)
def test_answers_are_what_trl_trains(tmp_path: Path, name: str) -> None:
    records = RECORDS[name]
    byte_level_encoder(tmp_path / "model")
    (tmp_path / "model" / "chat_template.jinja").write_text(TEMPLATE)
    networks.save_network(networks.neox(300), tmp_path / "model")
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    options = CorpusOptions(
        encoder=tokenizer_encoder(str(tmp_path / "model"), None), context=C, text_row_length=C + L, cache=tmp_path / "c"
    )
    corpus = open_corpus(tmp_path / "a.jsonl", options=options)
    read = corpus.read(np.arange(len(corpus)), C + L)
    rows = [row[:length] for row, length in zip(read.ids.tolist(), read.lengths.tolist(), strict=True)]
    assert rows == _trained_rows(tmp_path, records)
    assert len(rows) >= len(records)


def _trained_rows(folder: Path, records: list[dict[str, Any]]) -> list[list[int]]:
    """For each stretch of tokens with a label: C tokens before its start, L from it on."""
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    tokenizer.pad_token = tokenizer.eos_token = tokenizer.decode([1])
    config = trl.SFTConfig(
        output_dir=str(folder / "out"),
        report_to=[],
        use_cpu=True,
        max_length=None,
        assistant_only_loss="messages" in records[0],
    )
    trainer = trl.SFTTrainer(
        AutoModelForCausalLM.from_pretrained(folder / "model"),
        args=config,
        train_dataset=datasets.Dataset.from_list(records),
        processing_class=tokenizer,
    )
    rows = []
    for row in trainer.train_dataset:
        ids = row["input_ids"]
        if "labels" in row:
            trained = [label != -100 for label in row["labels"]]
        else:  # older releases
            trained = [mask == 1 for mask in row.get("completion_mask") or row["assistant_masks"]]
        for start in (i for i, is_trained in enumerate(trained) if is_trained and not trained[i - 1]):
            end = next((i for i in range(start, len(ids)) if not trained[i]), len(ids))
            rows += [ids[start - C : min(end, start + L)]] if start >= C else []
    return rows
