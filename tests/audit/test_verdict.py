"""The answer from the looks, conditions of pipelines, masking, and the page."""

import re
from dataclasses import replace

import polars as pl
import pytest

from mematlas.auditing.base import Example, Look, Measure, could_not_be_judged
from mematlas.auditing.config import resolve_audit
from mematlas.auditing.page import verdict_page
from mematlas.auditing.recitation import damage
from mematlas.auditing.redaction import mask, masked, redacted
from mematlas.auditing.thresholds import parse_threshold
from mematlas.auditing.verdict import decide
from mematlas.corpus.reading.places import place_values
from mematlas.errors import OptionError
from mematlas.types import Encoder

FACTS = {
    "model": "m", "base": None, "training_texts": 3, "control_texts": 0, "command": "mematlas audit m",
    "model_fingerprint": "f",
}  # fmt: skip


def look(name="recitation", p=0.5, severity="recites", **changes):
    return replace(Look(name, name.capitalize(), f"About {name}.", p, severity), **changes)


@pytest.mark.parametrize(
    ("looks", "answer"),
    [
        ([look(p=0.001)], "recites training text"),
        ([look(p=0.001, severity="membership")], "leaks membership"),
        ([look(p=0.5), look("membership", 0.001, "membership")], "leaks membership"),
        ([look(p=0.5), look("membership", 0.001, "membership"), look("secrets", 0.002)], "recites training text"),
        ([look(p=0.2), look("secrets", 0.3)], "no leak found"),
        ([look(p=0.03), look("membership", 0.04, "membership")], "no leak found"),  # each alone would be found
        ([could_not_be_judged("recitation", "Recitation", "no control.")], "cannot be judged"),
        ([could_not_be_judged("recitation", "Recitation", "no control."), look("secrets", 0.5)], "cannot be judged"),
        (
            [could_not_be_judged("recitation", "Recitation", "no control."), look("secrets", 0.01)],
            "recites training text",
        ),
    ],
)
def test_the_answer_follows_from_the_looks(looks, answer):
    assert decide(looks).answer == answer


def test_what_was_not_found_comes_with_the_power_to_find_it():
    assert "recitation of 4.0 % of the documents" in decide([look(power=0.04)]).sentence
    assert "too few documents" in decide([look()]).sentence


def test_conditions_of_pipelines():
    verdict = decide([look(p=0.5, share=0.006), look("membership", 0.001, "membership")])
    fails = {
        text: verdict.fails(parse_threshold(text)) for text in ("leak", "recites", "recitation>0.5%", "recitation > 1%")
    }
    assert fails == {"leak": True, "recites": False, "recitation>0.5%": True, "recitation > 1%": False}
    assert not verdict.fails(parse_threshold("secrets>0")), "what was not looked at fails nothing"
    with pytest.raises(
        OptionError, match=r"--fail-on.*'recitation>many' is no condition; give leak, recites, or a limit"
    ):
        resolve_audit(train="x", fail_on=["recitation>many"])


def test_secrets_are_masked_even_where_they_cross_from_prompt_to_text():
    assert masked("4539 5787 6362 1486") == "45•••••••••••••••86"
    assert masked("abc") == "•••"
    assert mask("call +49 30 1234567 or 0815-4711", ["0815-4711"]) == "call +4••••••••••67 or 08•••••11"
    example = Example("a", "mail anna.kel", "ler@example.org today", ((0, 15),))
    table = pl.DataFrame({"value": ["0815-4711"], "p": [0.1]})
    shown = redacted(look(examples=(example,), table=table), ["0815-4711"])
    assert "keller" not in (shown.examples[0].prompt + shown.examples[0].text)
    assert len(shown.examples[0].text) == len(example.text), "marked spans still fit"
    assert shown.table["value"].to_list() == ["08•••••11"]


def test_the_page_runs_nothing_of_a_text_and_shows_every_number():
    hostile = Example("<b>name</b>", "<script>alert(1)</script>", "x\u202e<img onerror=1>y", ((1, 8),), "note")
    measure = Measure("rows recited whole", "m", 0.25, 0.1, 0.5, 20)
    page = verdict_page(decide([look(p=0.001, examples=(hostile,), measures=(measure,))]), FACTS)
    assert "<script" not in page
    assert "<img" not in page
    assert "\u202e" not in page
    assert "<mark>" in page
    assert re.search(r"25\.0 % \(10\.0 to 50\.0\) <small>of 20 documents", page)
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert not re.search(r"(src|href)=", page), "nothing from elsewhere"


def test_all_values_are_compared_after_the_same_prompt():
    """A tokenizer that joins a space with the next character, as byte-pair ones do."""
    pieces: dict[str, int] = {}

    def encode(texts):
        return [[pieces.setdefault(p, len(pieces)) for p in re.findall(r" .?|[^ ]", text)] for text in texts]

    encoder = Encoder("pieces", "f", 99, encode)
    names = lambda ids: "".join(next(p for p, i in pieces.items() if i == token) for token in ids)  # noqa: E731
    place = place_values(encoder, "the code is ", ["42", "77"], None, None)
    assert names(place.prompt) == "the code is", "the space belongs to the first digit's token"
    assert [names(ids) for ids in place.values] == [" 42", " 77"]
    assert len(place_values(encoder, "the code is ", ["42"], 6, None).prompt) == 4, "cut to the model's length"
    with pytest.raises(ValueError, match="nothing is before the value"):
        place_values(encoder, "", ["42"], None, None)
    assert place_values(encoder, "", ["42"], None, 7).prompt.tolist() == [7]


@pytest.mark.parametrize(("of_control", "is_damaged"), [(-1.5, True), (-0.5, False), (0.3, False), (None, False)])
def test_a_model_that_predicts_held_out_text_far_worse_than_its_base_is_named(of_control, is_damaged):
    rows = pl.DataFrame(
        {"member": [True, True, False, False], "reference": [-9.0, -9.0, of_control, of_control]},
        schema_overrides={"reference": pl.Float64},
    )
    said = damage(rows)
    assert bool(said) == is_damaged
    assert not is_damaged or said[0].startswith("Tokens of the control are 1.5 nats less likely than under the base")
