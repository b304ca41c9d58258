"""The callback in transformers' own Trainer: when it measures, where the numbers go, and that it changes nothing."""

import logging

import polars as pl
import pytest
import torch
from transformers import EarlyStoppingCallback, TrainerCallback

import mematlas
from mematlas.cli import run as command
from mematlas.errors import CorpusError, ModelError, OptionError
from mematlas.integrations.transformers import MemorizationCallback, measure
from tests import tiny_networks as networks
from tests.integrations.training import (
    GRID,
    HELD_OUT,
    TRAIN,
    dataset,
    equal_weights,
    measurements,
    other_logs,
    trainer,
    weights,
)

NAMES = ("recited", "verbatim_length", "match", "control_recited", "control_length", "excess")


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """A training until the texts are known by heart, and the study of it."""
    folder = tmp_path_factory.mktemp("learnt")
    training = trainer(folder / "run", num_train_epochs=48, eval_strategy="steps", eval_steps=32, logging_steps=32)
    training.add_callback(MemorizationCallback(training, control="eval", study=folder / "study", **GRID))
    training.train()
    return training, mematlas.open_study(folder / "study")


def test_recited_share_rises_on_the_training_texts_alone(learnt):
    records = measurements(learnt[0].state.log_history)
    assert [record["step"] for record in records] == [0, 32, 64, 96, 128, 160, 192]
    assert set(records[0]) == {*(f"memorization/{name}" for name in NAMES), "step", "epoch"}
    recited = [record["memorization/recited"] for record in records]
    assert recited[0] == 0
    assert recited[-1] > 0.8
    assert [record["memorization/control_recited"] for record in records] == [0] * 7
    assert all(record["memorization/excess"] == record["memorization/recited"] for record in records)
    assert records[-1]["memorization/verbatim_length"] > 14 > 1 > records[-1]["memorization/control_length"]


def test_the_last_numbers_are_those_of_the_trained_network(learnt):
    training, _ = learnt
    last = measurements(training.state.log_history)[-1]
    measured = measure(training.model, TRAIN, control=HELD_OUT, **GRID)
    assert {name: last[f"memorization/{name}"] for name in NAMES} == measured


def test_the_scores_are_those_of_the_saved_model(learnt, tmp_path):
    """The last step of the study, and the same rows scored by `mematlas score` with the model that was saved."""
    training, study = learnt
    training.save_model(tmp_path / "saved")
    rows = {name: study.folder / "corpus" / f"{name}.parquet" for name in ("train", "control")}
    options = {"context": 16, "continuation": 16, "batch": 64}
    saved = mematlas.score(
        tmp_path / "saved", corpus=rows["train"], control=rows["control"], study=tmp_path / "study", **options
    )
    assert (
        study.scores()
        .filter(pl.col("model").str.ends_with("192"))
        .drop("model")
        .equals(saved.scores().drop("model"), null_equal=True)
    )
    assert study.rows().equals(saved.rows())
    assert study.run().settings == saved.run().settings
    assert study.run().key == saved.run().key


def test_16_bit_weights_are_recorded_as_such(tmp_path):
    training = trainer(tmp_path / "run", networks.neox().to(torch.bfloat16).train(), max_steps=1)
    training.add_callback(MemorizationCallback(training, study=tmp_path / "study", **GRID))
    training.train()
    assert mematlas.open_study(tmp_path / "study").run().settings["dtype"] == "bfloat16"


@pytest.mark.slow
def test_the_study_has_every_step_and_is_read_by_every_command(learnt, capsys):
    training, study = learnt
    models = study.models()
    assert models["training_step"].to_list() == [0, 32, 64, 96, 128, 160, 192]
    assert models["model"][1] == "gpt_neox-step-000032"
    assert models["fingerprint"].n_unique() == 7
    roles = study.rows().group_by("role").len().sort("role")
    assert roles.rows() == [("control", 32), ("train", 32)]
    shares = study.scores().join(study.rows().select("row", "role"), on="row").filter(role="train")
    shares = shares.group_by("model", maintain_order=True).agg((pl.col("verbatim") == 16).mean())
    logged = [record["memorization/recited"] for record in measurements(training.state.log_history)]
    assert shares.sort("model")["verbatim"].to_list() == logged
    for words in (["show"], ["features"], ["analyze"], ["report"], ["verify"]):
        assert command([*words, str(study.folder)]) == 0, capsys.readouterr().err
    shown = capsys.readouterr().out
    assert "gpt_neox in memory, step 192" in shown  # verify says that it cannot load it again
    assert (study.folder / "report.html").stat().st_size > 10_000


def test_the_analyses_order_the_steps(learnt):
    findings = mematlas.analyze(learnt[1], only=["distribution", "transitions"])
    text = " ".join(str(finding) for finding in findings)
    assert "training step" in text


@pytest.mark.parametrize("options", [{}, {"bf16": True}, {"torch_compile": False, "gradient_accumulation_steps": 2}])
def test_weights_and_logs_are_the_same_without_it(tmp_path, options):
    """With dropout, so that one random number more or less would show."""
    runs = []
    for name in ("with", "without"):
        training = trainer(tmp_path / name, **options)
        if name == "with":
            study = tmp_path / "study"
            training.add_callback(MemorizationCallback(training, control="eval", every=2, study=study, **GRID))
        before = weights(training.model)
        training.train()
        runs.append((weights(training.model), other_logs(training.state.log_history)))
        assert not equal_weights(before, runs[-1][0])
    assert len(measurements(training.state.log_history)) == 0
    assert equal_weights(runs[0][0], runs[1][0])
    without_metrics = [
        {name: value for name, value in record.items() if "memorization" not in name} for record in runs[0][1]
    ]
    assert [record for record in without_metrics if "train_loss" not in record] == [
        record for record in runs[1][1] if "train_loss" not in record
    ]


def test_a_callback_that_draws_random_numbers_would_be_seen(tmp_path):
    """The negative control of the test above."""

    class Drawing(MemorizationCallback):
        def _measure_and_log(self, *args, **options):
            torch.rand(1)
            return super()._measure_and_log(*args, **options)

    ends = []
    for kind in (MemorizationCallback, Drawing):
        training = trainer(tmp_path / kind.__name__)
        training.add_callback(kind(training, every=2, **GRID))
        training.train()
        ends.append(weights(training.model))
    assert not equal_weights(*ends)


def test_every_n_steps_and_at_evaluations(tmp_path):
    training = trainer(tmp_path, num_train_epochs=2)
    training.add_callback(MemorizationCallback(training, every=3, prefix="leak", **GRID))
    training.train()
    records = measurements(training.state.log_history, "leak")
    assert [record["step"] for record in records] == [0, 3, 4, 6, 8]  # 4 and 8: ends of epochs
    assert set(records[0]) == {"leak/recited", "leak/verbatim_length", "leak/match", "step", "epoch"}


def test_metrics_of_the_evaluation_choose_the_best_model(tmp_path):
    """Early stopping, added before the callback, reads the metric, which stays 0: it stops after two evaluations."""
    training = trainer(
        tmp_path,
        num_train_epochs=9,
        save_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="memorization_recited",
        greater_is_better=False,
    )
    training.add_callback(EarlyStoppingCallback(early_stopping_patience=1))
    training.add_callback(MemorizationCallback(training, **GRID))
    training.train()
    assert training.state.global_step == 8
    assert training.state.best_metric == 0
    assert training.state.best_global_step == 4
    metrics = training.evaluate()
    assert metrics["eval_memorization_recited"] == 0
    assert "eval_loss" in metrics


def test_without_a_trainer_the_history_and_the_study_have_the_numbers(tmp_path, caplog):
    training = trainer(tmp_path / "run")
    training.add_callback(MemorizationCallback(rows="train", control=HELD_OUT, study=tmp_path / "study", **GRID))
    with caplog.at_level(logging.WARNING):
        training.train()
    assert [record["step"] for record in measurements(training.state.log_history)] == [0, 4, 8]
    assert mematlas.open_study(tmp_path / "study").models()["training_step"].to_list() == [0, 4, 8]
    assert [record.message for record in caplog.records if record.name == "mematlas"] == [
        "memorization/... stands in the trainer's log_history only: no trainer was given."
    ]


def test_an_evaluation_without_training_measures(tmp_path):
    training = trainer(tmp_path)
    training.add_callback(MemorizationCallback(training, control="eval", **GRID))
    assert training.evaluate()["eval_memorization_excess"] == 0


def test_messages(tmp_path, caplog):
    training = trainer(tmp_path, eval_strategy="no", max_steps=1)
    training.train_dataset = dataset(TRAIN[:, :40])[:30] + dataset(TRAIN[:2, :20])
    training.add_callback(MemorizationCallback(training, **GRID))
    with caplog.at_level(logging.WARNING):
        training.train()
    assert [record.message for record in caplog.records if record.name == "mematlas"] == [
        "rows: 2 of 32 rows have fewer than 32 tokens and are not measured.",
        "memorization/... stands in the trainer's log_history only: report_to is 'none', as by default.",
        "The trainer never evaluates (eval_strategy='no'), so memorization is measured before and after training only; "
        "give every=N for every N steps.",
    ]


def test_a_resumed_training_continues_its_study(tmp_path):
    """Killed after 4 of 8 steps, and resumed from the checkpoint: the study has all steps, in order."""

    def training(**options):
        made = trainer(tmp_path / "run", save_strategy="epoch", network=networks.llama().train(), **options)
        made.add_callback(MemorizationCallback(made, every=2, study=tmp_path / "study", **GRID))
        return made

    class Killed(Exception):
        pass

    class Kill(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 5:
                raise Killed

    first = training()
    first.add_callback(Kill())
    with pytest.raises(Killed):
        first.train()
    study = mematlas.open_study(tmp_path / "study")
    assert study.models()["training_step"].to_list() == [0, 2, 4]
    training().train(resume_from_checkpoint=True)
    assert study.models()["training_step"].to_list() == [0, 2, 4, 6, 8]
    training().train()
    assert study.models()["training_step"].to_list() == [0, 2, 4, 6, 8]  # anew: no step of the old one is left
    assert len(study.runs()) == 1


# ---------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("options", [{"every": 0}, {"every": "epoch"}, {"every": True}])
def test_every_is_checked_at_once(options):
    with pytest.raises(OptionError, match="must be 'evaluate' or a positive number of steps"):
        MemorizationCallback(**options)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"rows": "test"}, OptionError, "rows='test' must be 'train', 'eval', or rows of token ids"),
        ({"context": 32, "continuation": 32}, CorpusError, "rows has 32 rows of at most 40 tokens"),
        ({"control": [[1, 2]]}, CorpusError, "control has 1 rows of at most 2 tokens"),
        ({"control": "train", "study": "study"}, OptionError, "is the corpus itself"),
        ({"study": "s3://bucket/study"}, OptionError, "is a URL; give a folder on this machine"),
    ],
)
def test_errors_come_before_the_first_step(tmp_path, monkeypatch, options, error, text):
    monkeypatch.chdir(tmp_path)
    training = trainer(tmp_path / "run")
    training.add_callback(MemorizationCallback(training, **(GRID | options)))
    with pytest.raises(error, match=text) as raised:
        training.train()
    assert "\n" not in str(raised.value)
    assert training.state.global_step == 0


def test_missing_datasets_are_named(tmp_path):
    training = trainer(tmp_path)
    training.eval_dataset = None
    training.args.eval_strategy = "no"
    training.add_callback(MemorizationCallback(training, control="eval", **GRID))
    with pytest.raises(OptionError, match="control='eval': the trainer has no such dataset; give rows of token ids"):
        training.train()
    training = trainer(tmp_path)
    training.add_callback(MemorizationCallback(control="eval", **GRID))
    with pytest.raises(OptionError, match="control='eval': give the trainer, or give rows of token ids"):
        training.train()
    training = trainer(tmp_path)
    training.eval_dataset = {"a": dataset(HELD_OUT), "b": dataset(HELD_OUT)}
    training.add_callback(MemorizationCallback(training, control="eval", **GRID))
    with pytest.raises(OptionError, match=r"several datasets \(a, b\); give one of them as control="):
        training.train()


def test_the_study_of_another_training_is_not_overwritten(tmp_path):
    for rows, is_other in ((TRAIN, False), (HELD_OUT, True)):
        training = trainer(tmp_path / "run", max_steps=1, eval_strategy="no")
        training.add_callback(MemorizationCallback(training, rows=rows, study=tmp_path / "study", **GRID))
        if is_other:
            with pytest.raises(OptionError, match="has other rows than this training"):
                training.train()
        else:
            training.train()


def test_a_model_that_looks_ahead_is_refused(tmp_path):
    from transformers import AutoModelForMaskedLM, BertConfig

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    encoder = AutoModelForMaskedLM.from_config(BertConfig(vocab_size=networks.V, **sizes))
    training = trainer(tmp_path, encoder)
    training.add_callback(MemorizationCallback(training, **GRID))
    with pytest.raises(ModelError, match="predicts each token from later ones too"):
        training.train()
