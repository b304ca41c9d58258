"""The callback in TRL's SFTTrainer, whole and with peft's LoRA: fine-tuning on 32 texts until they are recited."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("trl", reason="TRL is installed by the extra test")
pytest.importorskip("peft", reason="peft is installed by the extra test")

from datasets import Dataset
from peft import LoraConfig
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

import mematlas
from mematlas.cli import run as command
from mematlas.integrations.transformers import MemorizationCallback
from tests import tiny_networks as networks
from tests.integrations.training import GRID, equal_weights, measurements, other_logs, weights


def texts(count: int, seed: int) -> list[str]:
    """Texts of 40 words without a meaning."""
    words = np.random.default_rng(seed).integers(0, 400, (count, 40))
    return [" ".join(f"w{word}" for word in text) for text in words]


def word_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordLevel({f"w{number}": number for number in range(networks.V)}, unk_token="w498"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="w497", pad_token="w496", unk_token="w498", model_max_length=128
    )


def sft_trainer(folder: Path, peft_config: LoraConfig | None = None, rate: float = 5e-3, **options: Any) -> SFTTrainer:
    network = networks.neox(
        hidden_size=64, hidden_dropout=0.1, attention_dropout=0.1, eos_token_id=497, pad_token_id=496
    ).train()
    arguments = {
        "num_train_epochs": 2,
        "per_device_train_batch_size": 8,
        "learning_rate": rate,
        "lr_scheduler_type": "constant",
        "eval_strategy": "steps",
        "eval_steps": 4,
        "logging_steps": 2,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "bf16": False,
        "disable_tqdm": True,
    }
    return SFTTrainer(
        model=network,
        args=SFTConfig(str(folder), **(arguments | options)),
        train_dataset=Dataset.from_dict({"text": texts(32, 1)}),
        eval_dataset=Dataset.from_dict({"text": texts(32, 2)}),
        processing_class=word_tokenizer(),
        peft_config=peft_config,
    )


def lora(**options: Any) -> LoraConfig:
    return LoraConfig(r=16, lora_alpha=32, lora_dropout=0.1, target_modules="all-linear", **options)


def recited_by_epoch(training: SFTTrainer) -> dict[float, tuple[float, float]]:
    """Epoch -> the recited shares of training texts and of control texts."""
    return {
        record["epoch"]: (record["memorization/recited"], record["memorization/control_recited"])
        for record in measurements(training.state.log_history)
    }


@pytest.mark.slow
def test_fine_tuning_on_32_texts_until_they_are_recited(tmp_path, capsys):
    """The recited share rises from 0 to over .8 of the training texts and stays 0 for the others."""
    training = sft_trainer(tmp_path / "run", num_train_epochs=42, eval_steps=24)
    training.add_callback(MemorizationCallback(training, control="eval", study=tmp_path / "study", **GRID))
    training.train()
    shares = recited_by_epoch(training)
    assert list(shares) == [0, 6, 12, 18, 24, 30, 36, 42]
    assert shares[0] == shares[6] == (0, 0)
    assert shares[42][0] > 0.8
    assert all(control == 0 for _, control in shares.values())
    study = mematlas.open_study(tmp_path / "study")
    assert study.models()["training_step"].to_list() == [24 * number for number in range(8)]
    assert command(["analyze", str(study.folder), "--only", "distribution"]) == 0
    assert "of 32 rows" in capsys.readouterr().out


@pytest.mark.slow
def test_lora_with_a_new_head_recites_them_too(tmp_path):
    """An adapter of low rank alone learns them slowly (spec: 2.2 tokens in 30 epochs); with the embeddings it does."""
    adapter = lora(modules_to_save=["embed_in", "lm_head"])
    training = sft_trainer(tmp_path, adapter, num_train_epochs=60, eval_steps=60)
    training.add_callback(MemorizationCallback(training, control="eval", **GRID))
    training.train()
    shares = recited_by_epoch(training)
    assert shares[0] == (0, 0)
    assert shares[60][0] > 0.8
    assert shares[60][1] == 0


@pytest.mark.parametrize("adapter", [None, lora()])
def test_weights_and_logs_are_the_same_without_it(tmp_path, adapter):
    """TRL's own averages, such as the token accuracy, stay in TRL's own records."""
    runs = []
    for name in ("with", "without"):
        training = sft_trainer(tmp_path / name, adapter)
        if name == "with":
            training.add_callback(MemorizationCallback(training, control="eval", every=3, **GRID))
        training.train()
        runs.append((weights(training.model), other_logs(training.state.log_history)))
    assert equal_weights(runs[0][0], runs[1][0])
    kept = ("loss", "mean_token_accuracy", "entropy", "eval_loss", "eval_mean_token_accuracy", "step")
    first, second = ([{name: record.get(name) for name in kept} for record in logs] for _, logs in runs)
    assert first == second
    assert sum(record["mean_token_accuracy"] is not None for record in first) == 4


def test_packed_rows_are_measured_as_they_are_trained_on(tmp_path):
    """Packing joins texts into rows of 64 tokens; a row of the study is one of these."""
    training = sft_trainer(tmp_path / "run", packing=True, packing_strategy="wrapped", max_length=64, max_steps=1)
    training.add_callback(MemorizationCallback(training, study=tmp_path / "study", context=32, continuation=32))
    training.train()
    corpus = mematlas.open_corpus(tmp_path / "study" / "corpus" / "train.parquet")
    packed = [row for row in training.train_dataset["input_ids"] if len(row) == 64]
    assert corpus.read(np.arange(len(corpus)), 64).ids.tolist() == packed
    assert len(packed) == 32 * 41 // 64
