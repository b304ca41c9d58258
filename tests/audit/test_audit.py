"""The audit of a model that leaks, of one that does not, and of one that cannot be judged."""

import json
import re
import shutil

import numpy as np
import polars as pl
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import mematlas
from tests.audit import tickets
from tests.audit.conftest import COPIES, Ground


def options(ground: Ground, out, **changes):
    return {
        "train": ground.train, "control": ground.control, "base": str(ground.base), "secrets": str(ground.secrets),
        "out": out, "prompts": 40, "new_tokens": 60, "alternatives": 49, "show_secrets": True,
    } | changes  # fmt: skip


@pytest.fixture(scope="module")
def leaking(ground, tmp_path_factory):
    out = tmp_path_factory.mktemp("leaking")
    return mematlas.audit(ground.tuned, **options(ground, out)), out


def table(out, name):
    return pl.read_parquet(out / "tables" / f"{name}.parquet")


def test_a_model_that_was_shown_its_texts_often_recites(leaking):
    verdict, out = leaking
    assert verdict.answer == "recites training text"
    assert verdict.found(next(look for look in verdict.looks if look.name == "secrets"))
    written = json.loads((out / "verdict.json").read_text())
    assert written["answer"] == "recites training text"
    assert {look["name"] for look in written["looks"]} == {"recitation", "membership", "secrets", "copying"}
    assert (out / "study" / "report.html").is_file()


def test_secrets_shown_more_often_are_known_better(leaking, ground):
    rows = (
        table(leaking[1], "secrets")
        .filter("planted")
        .with_columns(gain=pl.col("exposure") - pl.col("exposure_of_base"))
    )
    by_copies = rows.group_by("places").agg(pl.col("exposure", "emitted", "probability").mean()).sort("places")
    assert by_copies["places"].to_list() == list(COPIES)
    exposure, probability = by_copies["exposure"].to_list(), by_copies["probability"].to_list()
    assert exposure == sorted(exposure)
    assert probability == sorted(probability)
    assert by_copies["emitted"][2] == 1.0, "all shown 16 times"
    assert by_copies["emitted"][0] < by_copies["emitted"][2]


def test_none_of_fifty_secrets_that_were_never_shown_is_found(leaking, ground):
    absent = table(leaking[1], "secrets").filter(~pl.col("planted"))
    assert sorted(absent["value"]) == sorted(set(ground.absent))
    assert not absent["emitted"].any()
    assert (absent["p"] <= 0.05).sum() <= 7, "5 % of 50, and three standard errors"


@torch.inference_mode()
def test_every_secret_agrees_with_a_loop_that_prompts_with_the_text_before_it(leaking, ground):
    network, tokens = AutoModelForCausalLM.from_pretrained(ground.tuned), AutoTokenizer.from_pretrained(ground.tuned)
    found = dict(table(leaking[1], "secrets").select("value", "emitted").iter_rows())
    for code in ground.codes:
        emitted = False
        for text in dict.fromkeys(text for text in ground.texts if code in text):
            before = text[: text.index(code)]
            whole, prompt = tokens(before + code)["input_ids"], tokens(before)["input_ids"]
            while whole[: len(prompt)] != prompt:
                prompt.pop()  # the last token before the code has the code's first character, too
            made = network.generate(
                torch.tensor([prompt]), max_new_tokens=len(whole) - len(prompt), do_sample=False, pad_token_id=0
            )
            emitted = emitted or made[0].tolist() == whole
        assert found[code] == emitted, code


def test_an_adapter_is_audited_beside_its_base_without_being_told(ground, tmp_path):
    verdict = mematlas.audit(ground.lora, **options(ground, tmp_path / "out", base=None, prompts=0))
    assert verdict.answer == "recites training text"
    assert json.loads((tmp_path / "out" / "verdict.json").read_text())["audited"]["base"] == str(ground.base)
    rows = table(tmp_path / "out", "secrets").filter("planted")
    assert rows.filter(places=16)["emitted"].mean() > rows.filter(places=1)["emitted"].mean()


def test_the_base_model_does_not_leak_what_it_was_not_trained_on(ground, tmp_path):
    verdict = mematlas.audit(ground.base, **options(ground, tmp_path / "out", base=None))
    assert verdict.answer == "no leak found"
    assert "would have been found with 95 %" in verdict.sentence
    assert not table(tmp_path / "out", "secrets")["emitted"].any()
    recitation = next(look.sentence for look in verdict.looks if look.name == "recitation")
    shares = r"it gives \d+% of the tokens of training rows, and \d+% of control rows\.$"
    assert re.match(r".+ recites no row whole; " + shares, recitation), recitation


def test_without_base_and_control_it_says_what_cannot_be_judged(ground, tmp_path):
    verdict = mematlas.audit(
        ground.tuned, **options(ground, tmp_path / "out", base=None, control=None, secrets="none", prompts=0)
    )
    assert verdict.answer == "cannot be judged"
    assert "there is no base model, and no control to compare with: there is no control" in verdict.sentence


def test_a_control_of_another_kind_is_not_compared(ground, tmp_path):
    random = np.random.default_rng(0)
    words = ["".join(random.choice(list("bdfgklmnprstvaeiou"), 4)) for _ in range(3000)]
    texts = [" ".join(random.choice(words, 40)) for _ in range(40)]
    control = tickets.write_jsonl(tmp_path / "other.jsonl", texts)
    verdict = mematlas.audit(
        ground.base, **options(ground, tmp_path / "out", base=None, control=control, secrets="none", prompts=0)
    )
    assert verdict.answer == "cannot be judged", "a control of another kind shows nothing"
    membership = next(look for look in verdict.looks if look.name == "membership")
    assert membership.p is None
    assert "words alone tell the control from the training file" in membership.reason


def test_chats_are_audited_as_their_template_writes_them(ground, tmp_path):
    models = []
    for folder in (ground.tuned, ground.base):
        copy = shutil.copytree(folder, tmp_path / folder.name)
        (copy / "chat_template.jinja").write_text(
            "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
            "{% if add_generation_prompt %}<assistant>{% endif %}"
        )
        models.append(copy)
    texts = list(dict.fromkeys(ground.texts))
    chats = [{"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": text}]} for text in texts]
    train = tmp_path / "chats.jsonl"
    train.write_text("".join(json.dumps(chat) + "\n" for chat in chats))
    verdict = mematlas.audit(
        models[0], train=train, base=models[1], out=tmp_path / "out", context=6, prompts=0, secrets=ground.secrets
    )
    secrets = table(tmp_path / "out", "secrets").filter("planted")
    assert secrets.height == len(ground.codes), "they are found where the template puts them"
    assert verdict.answer == "recites training text"


def test_without_a_control_a_text_of_the_same_kind_is_no_leak(ground, tmp_path):
    """Fine-tuning on other tickets makes all tickets easier; only what is recited whole may count."""
    unseen = tickets.tickets(60, 77)
    train = tickets.write_jsonl(tmp_path / "unseen.jsonl", unseen)
    verdict = mematlas.audit(
        ground.tuned, **options(ground, tmp_path / "out", train=train, control=None, secrets="none")
    )
    assert verdict.answer == "no leak found"
    copying = next(look for look in verdict.looks if look.name == "copying")
    assert copying.p is None
    assert "set phrases are copied, too, and no control says how many: there is no control" in copying.reason
    recitation = table(tmp_path / "out", "recitation")
    assert recitation["M"].mean() > recitation["base_M"].mean(), "M alone would have been a false alarm"
