"""`mematlas experiment counterfactual` with a command of the user's own: every model once, on its lines alone."""

import json
import shutil
import sys
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
import yaml
from safetensors.numpy import load_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

import mematlas
from mematlas.cli import run
from mematlas.errors import CorpusError, MematlasError, ModelError, OptionError, StudyError
from mematlas.experiments.training.commands import train_models
from mematlas.findings.finding import read_findings
from mematlas.pipeline.experiment import experiment_commands, read_experiment
from mematlas.pipeline.own_trainer import _job, _lines_of_rows, _settings, _study_file
from mematlas.progress import Silent
from tests.experiments import own_trainer
from tests.experiments.own_trainer import WORDS, followers, texts_of

LINES, LENGTH, CONTEXT, MODELS = 20, 12, 4, 6
KEYS = {"models": MODELS, "share": 0.5, "row_length": LENGTH, "context": CONTEXT, "corpus": "train.jsonl"}


def write_template(folder: Path) -> None:
    """The model but for its head: the state after a word is that word, and nothing else."""
    config = GPTNeoXConfig(
        vocab_size=WORDS, hidden_size=WORDS, num_hidden_layers=1, num_attention_heads=1, intermediate_size=4,
        max_position_embeddings=64, tie_word_embeddings=False, eos_token_id=None, bos_token_id=None,
    )  # fmt: skip
    network = GPTNeoXForCausalLM(config).eval()
    norm = network.gpt_neox.final_layer_norm
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.get_input_embeddings().weight.copy_(torch.eye(WORDS))
        norm.weight.fill_(1)
        scale = (1 / WORDS * (1 - 1 / WORDS) + norm.eps) ** -0.5
        norm.bias.fill_(scale / WORDS)  # takes back that the mean of the state is taken off
    network.save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({f"w{number}": number for number in range(WORDS)}, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("own") / "template"
    write_template(folder)
    return folder


def prepare(folder: Path, template: Path, record: dict | None = None, **keys) -> Path:
    """A folder with the trainer, its template, a file of lines with one blank among them, and the experiment's file."""
    shutil.copytree(template, folder / "template")
    shutil.copy(own_trainer.__file__, folder / "train.py")
    random = np.random.default_rng(0)
    texts = [" ".join(f"w{word}" for word in random.integers(1, WORDS, LENGTH)) for _ in range(LINES)]
    lines = [json.dumps({"text": text, "id": number, **(record or {})}) for number, text in enumerate(texts)]
    (folder / "train.jsonl").write_text("\n".join([*lines[:3], "", *lines[3:]]))
    (folder / "lines.txt").write_text("\n".join([*texts[: LINES // 2], *texts[: LINES // 2]]) + "\n")
    trainer = f"{sys.executable} train.py {{subset}} {{out}} {{seed}}"
    path = folder / "cf.yaml"
    path.write_text(yaml.safe_dump({**KEYS, "trainer": trainer, "out": "out", **keys}))
    return path


def trained(folder: Path) -> list[str]:
    """The models in the order in which the trainer trained them."""
    return [line.split()[0] for line in (folder / "trained.txt").read_text().splitlines()]


def scores(study: mematlas.Study) -> np.ndarray:
    """A: right tokens by model and line."""
    ordered = study.scores().sort("model", "row")
    return ordered["matches"].to_numpy().reshape(MODELS, -1)


def recited(counts: np.ndarray, ids: list[int]) -> int:
    """Right tokens of what the counts continue the context with."""
    word, right = ids[CONTEXT - 1], 0
    for truth in ids[CONTEXT:LENGTH]:
        word = int(counts[word].argmax())
        right += word == truth
    return right


@pytest.fixture(scope="module")
def whole(tmp_path_factory, template):
    """An experiment that ran through; its folder has a blank and what a shell would take for another command."""
    folder = tmp_path_factory.mktemp("a b; touch c")
    return mematlas.experiment("counterfactual", prepare(folder, template)), folder


def test_every_model_is_trained_once_on_the_very_lines_of_its_subset(whole):
    _, folder = whole
    assert trained(folder) == [f"subset-{number:03d}" for number in range(MODELS)]
    assert [line.split()[1] for line in (folder / "trained.txt").read_text().splitlines()] == list("123456")
    members = np.load(folder / "out" / "subsets.npy")
    assert members.shape == (MODELS, LINES)
    assert (members.sum(1) == LINES // 2).all()
    lines = [line for line in (folder / "train.jsonl").read_text().splitlines(keepends=True) if line.strip()]
    for number, is_member in enumerate(members):
        subset = (folder / "out" / "subsets" / f"subset-{number:03d}.jsonl").read_text()
        assert subset == "".join(line for line, kept in zip(lines, is_member, strict=True) if kept)
    assert (folder / "out" / "logs" / "subset-000.log").read_text() == "training on subset-000.jsonl\n"
    assert not (folder.parent / "c").exists()


def test_scores_are_those_of_the_counts_and_memorization_follows_from_them(whole):
    study, folder = whole
    members, texts = np.load(folder / "out" / "subsets.npy"), texts_of_lines(folder)
    tables = [followers([text for text, kept in zip(texts, rows, strict=True) if kept]) for rows in members]
    by_hand = np.array([[recited(counts, text) for text in texts] for counts in tables])
    np.testing.assert_array_equal(scores(study), by_hand)
    exposures = study.scan_exposures().sort("model", "row").collect()
    assert exposures["times"].to_list() == members.reshape(-1).astype(int).tolist()
    (finding,) = [f for f in read_findings(study.folder, study.run().key) if f.name == "counterfactual"]
    table = finding.table("mem")
    for row, is_member in enumerate(members.T):
        known = 2 <= is_member.sum() <= MODELS - 2
        expected = by_hand[is_member, row].mean() - by_hand[~is_member, row].mean() if known else None
        measured = table.filter(row=row)["mem"].item()
        assert measured is None if expected is None else measured == pytest.approx(expected / (LENGTH - CONTEXT))
    assert table["mem"].null_count() in range(1, LINES), "some rows are in too few subsets"
    assert table["mem"].mean() > 0.1


def texts_of_lines(folder: Path) -> list[list[int]]:
    (folder / "whole.jsonl").write_text((folder / "train.jsonl").read_text().replace("\n\n", "\n"))
    return texts_of(folder / "whole.jsonl")


def test_a_model_that_fails_does_not_stop_the_others_and_the_same_command_goes_on(tmp_path, template, whole):
    path, out = prepare(tmp_path, template), tmp_path / "out"
    (tmp_path / "fails.txt").write_text("subset-003")
    with pytest.raises(ModelError) as raised:
        mematlas.experiment("counterfactual", path)
    message = str(raised.value)
    assert message.startswith("subset-003 was not trained: `")
    assert "ended with exit code 3 (out of memory, says the trainer); its output is in " in message
    assert message.endswith("Mend it and run the same command again: it trains the missing models and keeps the 5 "
                            "finished ones.")  # fmt: skip
    assert str(out / "logs" / "subset-003.log") in message
    assert trained(tmp_path) == [f"subset-{number:03d}" for number in (0, 1, 2, 4, 5)]
    (tmp_path / "fails.txt").unlink()

    class Stops(Silent):
        def say(self, text: str) -> None:
            if text.startswith("Scoring"):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mematlas.experiment("counterfactual", path, progress=Stops())
    assert trained(tmp_path)[5:] == ["subset-003"], "only what was missing"
    study = mematlas.experiment("counterfactual", path)
    assert len(trained(tmp_path)) == MODELS, "nothing is trained twice"
    np.testing.assert_array_equal(scores(study), scores(whole[0]))


def test_killed_after_model_17_of_20_the_same_models_come_out(tmp_path, template):
    """What is compared are the weights, so that A is the same, whatever is scored."""
    config = read_experiment("counterfactual", prepare(tmp_path, template, models=20))
    design = experiment_commands("counterfactual", config)
    assert design is not None

    def kill(text: str) -> None:
        if text.startswith("training subset-017"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_models(design.runs, 2, kill, lambda *_: None)
    assert 16 <= len(trained(tmp_path)) <= 17
    assert len(list((tmp_path / "out" / "subsets").iterdir())) <= 18
    train_models(design.runs, 1, lambda _: None, lambda *_: None)
    assert sorted({*trained(tmp_path)}) == [f"subset-{number:03d}" for number in range(20)]
    assert len(trained(tmp_path)) <= 21, "at most the one that was stopped is trained again"
    texts = np.array(texts_of_lines(tmp_path))
    for model, members in zip(design.runs, design.members, strict=True):
        head = load_file(model.model / "model.safetensors")["embed_out.weight"]
        np.testing.assert_array_equal(head, followers(texts[members].tolist()).T)


def test_the_first_model_shows_whether_the_command_works(tmp_path, template):
    path = prepare(tmp_path, template)
    (tmp_path / "fails.txt").write_text("subset-000")
    with pytest.raises(ModelError, match=r"subset-000 was not trained: .* it trains the missing models\.$"):
        mematlas.experiment("counterfactual", path)
    assert not (tmp_path / "trained.txt").exists()


@pytest.mark.parametrize(
    ("trainer", "message"),
    [
        (
            "nosuch {subset} {out}",
            "trainer: 'nosuch' cannot be started in .* check the command's first word",
        ),
        ("true {subset} {out}", r"`true .* ended well, but left no model in .*subset-000 \("),
    ],
)
def test_a_command_without_a_model_is_said_in_one_line(tmp_path, template, trainer, message):
    with pytest.raises(ModelError, match=message) as raised:
        mematlas.experiment("counterfactual", prepare(tmp_path, template, trainer=trainer))
    assert "\n" not in str(raised.value)


def test_no_room_is_said_after_the_first_and_another_command_trains_anew(tmp_path, template, monkeypatch):
    path = prepare(tmp_path, template)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 0, 51_000_000))
    with pytest.raises(StudyError, match=r"has 51 MB free and the models need 5\d MB"):
        mematlas.experiment("counterfactual", path)
    assert trained(tmp_path) == ["subset-000"]
    keys = {"trainer": yaml.safe_load(path.read_text())["trainer"].replace(" train.py", " ./train.py")}
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | keys))
    with pytest.raises(StudyError, match="MB free"):
        mematlas.experiment("counterfactual", path)
    assert trained(tmp_path) == ["subset-000"] * 2


def test_lines_that_are_too_short_are_said_after_the_first_model(tmp_path, template):
    path = prepare(tmp_path, template, row_length=40)
    with pytest.raises(CorpusError, match="have at most 12 tokens, but the smallest cell of the grid needs 40"):
        mematlas.experiment("counterfactual", path)
    assert trained(tmp_path) == ["subset-000"]


def test_equal_lines_of_a_text_are_drawn_together_and_short_ones_have_no_score(tmp_path, template):
    path = prepare(tmp_path, template, corpus="lines.txt", unit="text")
    lines = tmp_path / "lines.txt"
    lines.write_text(lines.read_text() + "w1 w2 w3\nw1 w2 w3\n")
    study = mematlas.experiment("counterfactual", path)
    members, half = np.load(tmp_path / "out" / "subsets.npy"), LINES // 2
    assert (members[:, :half] == members[:, half:LINES]).all()
    assert (members[:, LINES] == members[:, LINES + 1]).all()
    assert (members.sum(1) == 12).all(), "6 of 11 texts, each of which is 2 lines"
    assert study.scan_exposures().select(pl.len()).collect().item() == MODELS * (LINES + 2)
    assert (tmp_path / "out" / "subsets" / "subset-000.txt").read_text().count("\n") == 12
    short = study.scores().filter(pl.col("row") >= LINES)
    assert short["matches"].null_count() == short.height == 2 * MODELS
    assert short["reason"].null_count() == 0
    (finding,) = [f for f in read_findings(study.folder, study.run().key) if f.name == "counterfactual"]
    assert finding.table("mem").filter(pl.col("row") >= LINES).is_empty()
    assert finding.table("mem")["copies"].unique().to_list() == [2]


def test_the_first_model_shows_which_line_each_row_is_from(tmp_path, template):
    """Lines that all name document 7 are rows in their order; text that is read otherwise is refused."""

    class Stops(Silent):
        def say(self, text: str) -> None:
            if text.startswith("training subset-001"):
                raise KeyboardInterrupt

    path = prepare(tmp_path, template, {"document": 7})
    with pytest.raises(KeyboardInterrupt):
        mematlas.experiment("counterfactual", path, progress=Stops())
    config = read_experiment("counterfactual", path)
    design = experiment_commands("counterfactual", config)
    assert design is not None
    assert design.lines.names_documents
    settings = _settings(design, config, design.lines.scored_file(tmp_path), [design.runs[0].model])
    rows = _lines_of_rows(_job(_study_file(settings, config.out)), design)
    assert rows["line"].to_list() == list(range(LINES))
    fewer = replace(design, lines=replace(design.lines, lines=design.lines.lines[1:]))
    job = _job(_study_file(settings, config.out))
    with pytest.raises(CorpusError, match="has 19 lines, but is read as 20 rows; write one text or JSON object a line"):
        _lines_of_rows(job, fewer)


def test_a_dry_run_shows_the_command_and_writes_nothing(tmp_path, template, capsys):
    path = prepare(tmp_path, template)
    before = sorted(tmp_path.rglob("*"))
    assert run(["experiment", "counterfactual", str(path), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "subset-005     10  missing" in out
    assert f"6 of 6 models would be trained, in {tmp_path}, e.g.:" in out
    assert f"train.py {tmp_path}/out/subsets/subset-000.jsonl {tmp_path}/out/models/subset-000 1" in out
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"trainer": "train.py {subset}"}, r"'train.py \{subset\}' has no \{out\}; write it where the command takes"),
        ({"trainer": "train.py 'a {subset} {out}"}, "cannot be split into words .* check its quotes"),
        ({"corpus": None}, "trainer needs the key corpus: a file with one text or JSON object a line"),
        ({"corpus": "no.jsonl"}, r"There is no file .*no\.jsonl; trainer needs one"),
        ({"corpus": "template/model.safetensors"}, "is no text in UTF-8; trainer draws subsets of lines"),
        ({"corpus": "cf.yaml.json"}, "line 2 is no JSON object; subsets are drawn from lines"),
        ({"share": 0.01}, r"train\.jsonl: a share of 0\.01 of 20 rows or groups leaves nothing"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is(tmp_path, template, keys, message):
    (tmp_path / "cf.yaml.json").write_text('{"text": "a"}\n["b"]\n')
    with pytest.raises((OptionError, CorpusError), match=message) as raised:
        mematlas.experiment("counterfactual", prepare(tmp_path, template, **keys))
    assert isinstance(raised.value, MematlasError)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "trained.txt").exists()
