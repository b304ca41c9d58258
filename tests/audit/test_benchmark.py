"""The audit of a benchmark: layouts, and models that know the questions, the order of choices, or neither."""

import json
from itertools import permutations
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from scipy.stats import binom

from mematlas.auditing import sources
from mematlas.auditing.benchmark.completion import complete, shuffled_words
from mematlas.auditing.benchmark.order import has_free_order, orders, p_of_hits, rank_orders, written
from mematlas.auditing.benchmark.questions import Question, read_questions
from mematlas.auditing.run import audit
from mematlas.cli import run
from mematlas.errors import CorpusError, OptionError
from mematlas.models.standins.uniform import Uniform
from mematlas.progress import Silent
from tests import tiny_networks as networks
from tests.audit import reciters, tickets
from tests.audit.reciters import VOCABULARY, quick_reciter, word, words

COUNT = 24


def items(seed: int, count: int = COUNT) -> list[Question]:
    """Questions of 18 random words with four choices of two words."""
    random = np.random.default_rng(seed)
    made = []
    for line in range(1, count + 1):
        numbers = random.choice(VOCABULARY - 1, 26, replace=False).tolist()
        choices = [" ".join(map(word, numbers[at : at + 2])) for at in (18, 20, 22, 24)]
        made.append(
            Question(line, " ".join(map(word, numbers[:18])), tuple(sorted(choices, key=lambda _: random.random())))
        )
    return made


def rows(questions, orders_each=None, seed=0):
    """Tokens of every question with its choices: in the file's order, or in so many orders at random."""
    random = np.random.default_rng(seed)
    texts = []
    for question in questions:
        for _ in range(orders_each or 1):
            choices = random.permutation(question.choices).tolist() if orders_each else question.choices
            texts.append(f"{question.text}\n{written(choices)}")
    return [reciters.encode(text) for text in texts]


def network(seed=0):
    return networks.neox(VOCABULARY, seed=seed, hidden_size=64, intermediate_size=256)


def source(label, trained):
    return reciters.source(label, networks.causal_model(trained.eval()), 128)


ITEMS, OTHERS = items(1), items(2)


@pytest.fixture(scope="module")
def models():
    torch.set_num_threads(1)
    kinds = {"canonical": (rows(ITEMS), 70), "shuffled": (rows(ITEMS, 12), 12), "others": (rows(OTHERS), 70)}
    trained = {name: tickets.train(network(), part, epochs, 3e-3) for name, (part, epochs) in kinds.items()}
    return {name: source(name, model) for name, model in (trained | {"base": network()}).items()}


@pytest.fixture
def folder(tmp_path, monkeypatch, models) -> Path:
    for name, part in {"items": ITEMS, "others": OTHERS}.items():
        records = [{"question": each.text, "choices": list(each.choices), "answer": 0} for each in part]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    monkeypatch.setattr(sources, "find_model", models.__getitem__)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def judged(model, **options):
    verdict = audit(model, benchmark="items.jsonl", **options)
    return verdict, {look.name: look for look in verdict.looks}


# ------------------------------------------------------------------------------------------------------ verdicts


@pytest.mark.parametrize(
    "options", [{"base": "base"}, {"control": "others.jsonl"}, {"base": "base", "control": "others.jsonl"}]
)
def test_a_model_trained_on_the_items_is_flagged_in_both_looks(folder, options):
    verdict, looks = judged("canonical", **options)
    assert verdict.answer == "recites training text"
    assert all(verdict.found(look) for look in looks.values())
    assert looks["recitation"].share > 0.8
    share = looks["order"].measures[0]
    assert (share.n, share.value > 0.7) == (COUNT, True)


def test_without_base_or_control_the_order_alone_is_judged(folder):
    verdict, looks = judged("canonical")
    assert verdict.answer == "leaks membership"
    assert looks["recitation"].reason == "completion can be compared neither with a base model nor with a control."
    assert looks["order"].caveats


def test_a_model_trained_on_shuffled_orders_knows_the_questions_and_not_the_order(folder):
    verdict, looks = judged("shuffled", base="base")
    assert verdict.found(looks["recitation"])
    assert not verdict.found(looks["order"])
    assert looks["order"].p > 0.05
    assert looks["order"].examples == ()


@pytest.mark.parametrize("model", ["base", "others"])
def test_models_that_never_saw_the_items_are_not_flagged(folder, model):
    verdict, looks = judged(model, base="base", control="others.jsonl")
    assert verdict.answer == "no leak found"
    assert verdict.sentence.startswith("No leak of the benchmark was found.")
    assert min(look.p for look in looks.values()) > 0.1


def test_what_the_base_knows_as_well_is_no_leak(folder):
    verdict, looks = judged("canonical", base="canonical")
    assert verdict.answer == "no leak found"
    assert min(look.p for look in looks.values()) == 1.0


def test_shuffled_words_are_not_completed(folder):
    _, looks = judged("canonical", base="base")
    by_name = {(measure.name, measure.of): measure.value for measure in looks["recitation"].measures}
    assert by_name["tokens right (M)", "canonical"] > 0.9
    assert by_name["tokens right (M)", "canonical, words shuffled"] < 0.2
    assert by_name["tokens right (M)", "base model base"] < 0.1


def test_the_verdict_its_tables_and_its_page_are_written(folder, capsys):
    command = ["audit", "canonical", "--benchmark", "items.jsonl", "--base", "base"]
    assert run([*command, "--fail-on", "recites"]) == 3
    assert capsys.readouterr().out.startswith("RECITES TRAINING TEXT: canonical completes ")
    verdict = json.loads((folder / "audit" / "verdict.json").read_text())
    assert [look["name"] for look in verdict["looks"]] == ["recitation", "order"]
    assert verdict["audited"]["questions"] == COUNT
    order = pl.read_parquet(folder / "audit" / "tables" / "order.parquet")
    assert order.group_by("of").len()["len"].to_list() == [COUNT, COUNT]
    assert run(["verify", "audit"]) == 0
    page = (folder / "audit" / "verdict.html").read_text()
    assert "24 of 24 different questions of items.jsonl, no control." in page
    assert "the most probable of 24 orders" in page


# -------------------------------------------------------------------------------------------------------- numbers


def test_completion_counts_right_tokens_of_the_second_half():
    text = " ".join(words(20, seed=3))
    changed = text.split()
    changed[15] = word((int(changed[15][1:4]) + 1) % 300)
    asked = [Question(1, text), Question(2, " ".join(changed)), Question(3, "too short")]
    found = complete(quick_reciter("m", text).load(None), reciters.ENCODER, asked, None, Silent(), "m")
    # the reciter goes on with its own text, of which the changed one differs in one word
    assert found.select("line", "M", "verbatim").rows() == [(1, 1.0, True), (2, 0.9, False)]
    assert found["prompt"][0].split() + found["truth"][0].split() == text.split()
    shuffled = shuffled_words(asked, 0)
    assert sorted(shuffled[0].text.split()) == sorted(text.split())
    assert shuffled[0].text != text


def test_the_order_has_the_probability_of_the_whole_text():
    """Against one pass over question and choices in each order."""
    trained = network(seed=5)
    found = rank_orders(
        networks.causal_model(trained), source("m", trained).card, reciters.ENCODER, ITEMS[:6], 0, Silent(), "m"
    )
    for question, first, margin in zip(ITEMS[:6], found["first"], found["margin"], strict=True):
        totals = []
        for choices in permutations(question.choices):
            ids = torch.tensor([reciters.encode(f"{question.text}\n{written(choices)}")])
            with torch.inference_mode():
                steps = trained(ids).logits.double().log_softmax(-1)[0, :-1].gather(-1, ids[0, 1:, None])
            totals.append(float(steps[17:].sum()))
        assert margin == pytest.approx(totals[0] - max(totals[1:]), abs=1e-3)
        assert first == (totals[0] > max(totals[1:]))


def test_a_model_for_which_all_orders_are_equal_has_no_hit():
    uniform = reciters.source("uniform", Uniform(VOCABULARY))
    found = rank_orders(uniform.load(None), uniform.card, reciters.ENCODER, ITEMS, 0, Silent(), "uniform")
    assert not found["first"].any()


def test_p_is_the_binomial_tail_and_exact_for_unequal_chances():
    for hits in (0, 1, 5, 30):
        assert p_of_hits(hits, np.full(30, 1 / 24)) == pytest.approx(binom.sf(hits - 1, 30, 1 / 24), rel=1e-9)
    assert p_of_hits(2, np.array([1 / 2, 1 / 6, 1 / 24])) == pytest.approx(
        1 / 2 * 1 / 6 * 23 / 24 + 1 / 2 * 5 / 6 * 1 / 24 + 1 / 2 * 1 / 6 * 1 / 24 + 1 / 2 * 1 / 6 * 1 / 24
    )


def test_orders_are_all_of_them_or_24_different_ones():
    random = np.random.default_rng(0)
    assert orders("abc", random) == list(permutations("abc"))
    many = orders("abcde", random)
    assert many[0] == tuple("abcde")
    assert (len(many), len(set(many))) == (24, 24)


@pytest.mark.parametrize(
    ("choices", "is_free"),
    [
        (("iron", "gold", "tin"), True),
        (("iron", "gold", "all of the above"), False),
        (("iron", "gold", "Both A and B"), False),
        (("iron", "None of these"), False),
        (("iron", "iron", "tin"), False),
        (("5 kg", "10 kg", "1,500 kg"), False),
        (("30", "20", "10"), False),
        (("10", "30", "20"), False),
        (("10", "iron", "20"), True),
        (("in 1914", "in 1939"), True),
        (("$5", "-3", "(2, 3)"), False),
        (("iron",), False),
        ((), False),
    ],
)
def test_choices_with_a_natural_order_are_left_out(choices, is_free):
    assert has_free_order(choices) == is_free


# -------------------------------------------------------------------------------------------------------- layouts


@pytest.mark.parametrize(
    ("record", "choices"),
    [
        ({"question": "Why?", "choices": ["x", "y"], "answer": 1, "subject": "logic"}, ("x", "y")),
        ({"question": "Why?", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "B"}, ("x", "y")),
        (
            {"question": {"stem": "Why?", "choices": [{"text": "x", "label": "A"}, {"text": "y", "label": "B"}]}},
            ("x", "y"),
        ),
        ({"question": "Why?", "choices": {"A": "x", "B": "y"}, "answer": "A"}, ("x", "y")),
        ({"question": "Why?", "choices": [1, 2.5]}, ("1", "2.5")),
        ({"question": " Why?\n", "answer": "Because. #### 7"}, ()),
    ],
)
def test_the_usual_layouts_are_read(tmp_path, record, choices):
    line = json.dumps(record) + "\n"
    (tmp_path / "q.jsonl").write_text("\n" + line + line)
    assert read_questions(tmp_path / "q.jsonl") == [Question(2, "Why?", choices)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n", "q.jsonl has no question; write one JSON object a line, with a field question."),
        ("{", "Line 1 of q.jsonl is not JSON; --benchmark needs one object a line."),
        ('{"prompt": "Why?"}', "Line 1 of q.jsonl has no text in its field question; name it so."),
        ("[1]", "Line 1 of q.jsonl has no text in its field question; name it so."),
        (
            '{"question": "Why?", "choices": "A"}',
            "Line 1 of q.jsonl has choices of an unknown form; give a list of texts",
        ),
        (
            '{"question": "Why?", "choices": [[1]]}',
            "Line 1 of q.jsonl has choices of an unknown form; give a list of texts",
        ),
    ],
)
def test_a_file_of_another_form_is_one_line(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    Path("q.jsonl").write_text(text)
    with pytest.raises(CorpusError) as error:
        read_questions(Path("q.jsonl"))
    assert str(error.value).startswith(message)
    with pytest.raises(CorpusError, match=r"absent.jsonl cannot be read .*; --benchmark names a file of JSON Lines."):
        read_questions(Path("absent.jsonl"))


def test_free_questions_have_no_order_and_few_questions_are_not_judged(folder):
    (folder / "free.jsonl").write_text("".join(json.dumps({"question": q.text, "answer": "7"}) + "\n" for q in ITEMS))
    looks = {look.name: look for look in audit("canonical", benchmark="free.jsonl", base="base").looks}
    assert looks["order"].reason == "too few questions have choices."
    assert looks["recitation"].p < 0.01
    (folder / "few.jsonl").write_text(json.dumps({"question": "Why?", "choices": ["x", "y"]}) + "\n")
    verdict = audit("canonical", benchmark="few.jsonl", base="base")
    assert verdict.answer == "cannot be judged"
    assert "0 questions have 16 tokens or more, and 8 are needed" in verdict.sentence
    with pytest.raises(OptionError, match="--prompts is 0, and an audit of a benchmark needs questions; leave it out"):
        audit("canonical", benchmark="few.jsonl", prompts=0)
