"""A model is asked for canaries: a stub that knows some, and one trained by a plain loop on the file that was made."""

import json
from typing import cast

import numpy as np
import pytest
import torch

from mematlas.auditing.base import Material
from mematlas.auditing.canaries.config import CheckConfig, MakeConfig
from mematlas.auditing.canaries.exposure import canary_exposures
from mematlas.auditing.canaries.key import read_key
from mematlas.auditing.canaries.look import look
from mematlas.auditing.canaries.make import make_canaries
from mematlas.auditing.canaries.scores import alternatives_of, score_secrets
from mematlas.auditing.config import AuditConfig
from mematlas.auditing.redaction import redacted
from mematlas.cli import run
from mematlas.errors import MematlasError, StudyError
from mematlas.models.base import ModelCard
from mematlas.models.resolve import find_model
from mematlas.models.standins.ngram import NGram
from mematlas.models.standins.standin import StandInSource
from mematlas.progress import Silent
from mematlas.study import Study
from mematlas.types import Encoder
from tests.audit import tickets

#: Each character is a token.
CHARACTERS = Encoder("characters", "characters", 128, lambda texts: [[ord(c) for c in text] for text in texts])
TEMPLATE = "The code of the vault is {digits:6}."


def made(folder, texts, **options):
    path = tickets.write_jsonl(folder / "train.jsonl", texts)
    config = MakeConfig(template=TEMPLATE, into=path, **options)
    return make_canaries(config, folder / "made", Silent())


def test_a_stub_that_was_shown_canaries_ranks_exactly_these_first(tmp_path):
    """It counts n-grams of the file: a canary that is in it has a chance that the file says, all others nearly none."""
    result = made(tmp_path, ["some other text"] * 30, repetitions=[0, 1, 5], per_level=4)
    texts = [json.loads(line)["text"] for line in result.file.read_text().splitlines()]
    rows = np.array([[ord(c) for c in text.ljust(40, "\0")] for text in texts])
    loads = []

    def load(source):
        loads.append(source)
        return source.load(None)

    source = StandInSource(ModelCard("stub", "stub", "stub", 128), NGram.fit(rows, 40, 128))
    key = read_key(result.key_file)
    others = alternatives_of(key, 300)
    assert not set(others) & set(key.secrets)
    scores = score_secrets(source, load, CHARACTERS, key, others, tmp_path / "scores", Silent())
    probabilities = np.exp(scores.log_probability[:12])
    assert probabilities == pytest.approx([0] * 4 + [1 / 24] * 4 + [5 / 24] * 4, abs=1e-6)
    exposures = canary_exposures(key, scores, None).canaries["exposure"].to_numpy()
    assert exposures[4:] == pytest.approx([np.log2(301)] * 8)
    assert exposures[:4].mean() < 5
    assert scores.is_greedy[4:8].sum() == 0
    assert scores.is_greedy.sum() <= 1, "one of the canaries that were shown most is the most probable text"
    part = next((tmp_path / "scores").rglob("256.parquet"))
    part.unlink()
    again = score_secrets(source, load, CHARACTERS, key, others, tmp_path / "scores", Silent())
    assert (again.log_probability == scores.log_probability).all()
    score_secrets(source, load, CHARACTERS, key, others, tmp_path / "scores", Silent())
    assert len(loads) == 2, "what is finished is not scored again"


def test_few_alternatives_are_all_there_are(tmp_path):
    path = tickets.write_jsonl(tmp_path / "train.jsonl", ["a text"] * 30)
    config = MakeConfig(template="Code {digits:2}.", into=path, repetitions=[0, 1], per_level=4)
    key = make_canaries(config, tmp_path / "made", Silent()).key
    assert sorted([*key.secrets, *alternatives_of(key, 999)]) == [f"{number:02d}" for number in range(100)]


def test_what_is_no_key_is_refused_in_one_line(tmp_path):
    with pytest.raises(StudyError, match=r"There is no file .*; --key names the key.parquet that"):
        read_key(tmp_path / "none.parquet")
    (tmp_path / "damaged.parquet").write_text("nothing")
    with pytest.raises(StudyError, match="cannot be read"):
        read_key(tmp_path / "damaged.parquet")
    made(tmp_path, ["a text"] * 30, repetitions=[0, 1], per_level=2).key.table.drop("seed").write_parquet(
        tmp_path / "other.parquet"
    )
    with pytest.raises(MematlasError, match="is no key of canaries"):
        read_key(tmp_path / "other.parquet")


# --------------------------------------------------------------------------------------------------- a trained model


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model trained on a file with canaries, the one before the training, and what was made."""
    folder = tmp_path_factory.mktemp("canaries")
    tokens, threads = tickets.tokenizer(), torch.get_num_threads()
    torch.set_num_threads(1)
    result = made(folder, [text.split(". ")[1] for text in tickets.tickets(40, 4)], per_level=6)
    network = tickets.network(len(tokens))
    tickets.save(network, tokens, folder / "base")
    texts = [json.loads(line)["text"] for line in result.file.read_text().splitlines()]
    tickets.train(network, tokens(texts)["input_ids"], 5, 4e-3)
    tickets.save(network, tokens, folder / "tuned")
    torch.set_num_threads(threads)
    return folder, result


def call(capsys, *words):
    code = run([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_exposure_rises_with_repetitions_and_never_shown_canaries_have_that_of_chance(trained, capsys):
    folder, result = trained
    words = ["canaries", "check", folder / "tuned", "--key", result.key_file, "--device", "cpu"]
    code, out, err = call(capsys, *words, "--json", "--quiet")
    assert (code, err) == (0, "")
    answer = json.loads(out)
    never, once, few, often = answer["levels"]
    assert [level["repetitions"] for level in answer["levels"]] == [0, 1, 4, 16]
    assert never["exposure_low"] <= 1 / np.log(2) <= never["exposure_high"]
    assert never["exposure"] < few["exposure"] < often["exposure"]
    assert once["exposure"] < few["exposure"]
    assert often["fitted"] > 10 > few["fitted"]
    assert often["q"] < 0.01
    assert "secret" not in answer["canaries"][0]
    picture = folder / "made" / "check-tuned" / "exposure.svg"
    assert picture.read_text().startswith("<svg")
    finished = {path: path.stat().st_mtime_ns for path in (folder / "made").rglob("scores/**/*.parquet")}
    code, out, err = call(capsys, *words)
    assert code == 0
    assert "all 1,023 secrets are done already" in err
    assert finished == {path: path.stat().st_mtime_ns for path in finished}
    assert out.splitlines()[0].split("  ")[0] == "repetitions"
    assert "tuned ranks canaries higher than chance explains from" in out
    assert str(picture) in out


def test_the_model_before_training_ranks_none_and_is_no_reason_as_a_base(trained, capsys):
    folder, result = trained
    words = ["canaries", "check", folder / "base", "--key", result.key_file, "--out", folder / "of-base", "--json"]
    code, out, _ = call(capsys, *words)
    assert code == 0
    assert all(level["q"] is None or level["q"] > 0.01 for level in json.loads(out)["levels"])
    words = ["canaries", "check", folder / "tuned", "--key", folder / "made", "--base", folder / "base"]
    code, out, _ = call(capsys, *words, "--out", folder / "beside", "--json", "--quiet")
    assert code == 0
    levels = json.loads(out)["levels"]
    assert levels[3]["exposure"] > levels[3]["exposure_of_base_high"]
    assert levels[3]["q"] < 0.01


def test_in_an_audit_the_canaries_are_a_look(trained, tmp_path):
    folder, result = trained
    config = AuditConfig(train=result.file, canaries=result.key_file, out=tmp_path, device="cpu")
    sources = find_model(str(folder / "tuned")), find_model(str(folder / "base"))
    material = Material(config, cast(Study, None), *sources, sources[0].encoder(), [], [])
    found = look(material)
    assert found.p is not None
    assert found.p < 0.01
    assert [measure.of for measure in found.measures] == [f"in the file {n} times" for n in (0, 1, 4, 16)]
    assert not any("The key is not that of" in caveat for caveat in found.caveats)
    assert found.table is not None
    assert set(redacted(found, []).table["value"]).isdisjoint(result.key.secrets), "secrets are masked"


# ------------------------------------------------------------------------------------------------------- the command


def test_make_prints_what_it_made_and_the_next_command(tmp_path, capsys):
    path = tickets.write_jsonl(tmp_path / "train.jsonl", tickets.tickets(200, 5))
    words = ["canaries", "make", "--template", TEMPLATE, "--into", path, "--out", tmp_path / "out"]
    code, out, err = call(capsys, *words, "--repetitions", "0,1", "--per-level", "3")
    assert (code, err) == (0, "")
    assert "6 canaries such as 'The code of the vault is " in out
    assert "in 3 of its 203 records" in out
    assert f"mematlas canaries check MODEL --key {tmp_path / 'out' / 'key.parquet'}" in out
    code, out, _ = call(capsys, *words[:-1], tmp_path / "more", "--json")
    assert code == 0
    made_of = json.loads(out)
    assert (made_of["canaries"], made_of["showings"], made_of["records"], made_of["format_size"]) == (40, 210, 410, 1e6)
    code, _, err = call(capsys, *words[:-1], tmp_path / "more")
    assert "Canaries are 51 % of the records" in err
    code, _, err = call(capsys, *words[:-1], tmp_path / "more", "--quiet")
    assert err == ""


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["make", "--into", "x.jsonl"], "--template is missing; `canaries make` needs it."),
        (["make", "--template", "A {digits:4}"], "--into is missing; `canaries make` needs it."),
        (["make", "--template", "A", "--into", "x"], "has no slot for a secret"),
        (["make", "--repetitions", "1,4"], "--repetitions: needs 0, whose canaries are never shown"),
        (["make", "--repetitions", "0"], "and a number above it"),
        (["make", "--repetitions=-1,0,1"], "cannot be shown a negative number of times"),
        (["make", "some-model", "--template", "A {digits:4}", "--into", "x"], "takes no model (given: some-model)"),
        (["make", "--template", "A {digits:4}", "--into", "x", "--key", "k"], "--key is not used by `canaries make`"),
        (["check", "some-model"], "--key is missing; `canaries check` needs it."),
        (["check", "--key", "k"], "`canaries check` needs a model"),
        (["check", "some-model", "--key", "k", "--per-level", "3"], "--per-level is not used by `canaries check`"),
        (["look"], "look"),
    ],
)
def test_wrong_options_are_one_line(capsys, words, part):
    code, _, err = call(capsys, "canaries", *words)
    assert code == 2
    assert part in err.splitlines()[-1]


def test_the_defaults_of_the_options_are_valid():
    assert MakeConfig.model_validate(MakeConfig().model_dump()) == MakeConfig()
    assert CheckConfig.model_validate(CheckConfig().model_dump()) == CheckConfig()
