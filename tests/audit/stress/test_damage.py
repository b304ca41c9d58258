"""The limits of damage, the verdict on all rows, and synonyms in prompts."""

import json

import numpy as np
import polars as pl
import pytest

from mematlas.auditing.stress.damage import NOT_MEASURED, Damage, Estimate, rise_of, share_of
from mematlas.auditing.stress.synonyms import read_synonyms, replaced_prompts
from mematlas.auditing.stress.verdicts import OF_ROWS, judge, with_verdicts
from mematlas.errors import OptionError
from tests.byte_level_tokenizer import byte_level_encoder

GUESSING = float(np.log(100))


def damage(rise: float | None, lost: float | None = None, before: float = 2.0, guessing: float = GUESSING) -> Damage:
    losses = None if rise is None else (before, before * (1 + rise))
    return Damage(losses, Estimate(rise), None, NOT_MEASURED, Estimate(lost, n=10), guessing)


@pytest.mark.parametrize(
    ("rise", "lost", "state"),
    [
        (None, None, "not measured"),
        (0.05, 1.0, "none"),
        (0.051, 1.0, "over-unlearned"),
        (0.1, 1.0, "over-unlearned"),
        (0.101, 1.0, "destroyed"),
        (0.101, None, "destroyed"),
        (0.101, 0.49, "over-unlearned"),
        (-0.2, 1.0, "none"),
    ],
)
def test_damage_has_stated_limits(rise, lost, state):
    assert damage(rise, lost).state == state


def test_a_model_that_guesses_is_destroyed_though_the_loss_rises_little():
    before = 0.94 * GUESSING
    assert damage(0.06, before=before).state == "destroyed"  # 99.6 % of guessing
    assert damage(0.06, lost=0.0, before=before).state == "destroyed"
    assert damage(0.04, before=before).state == "none"
    assert damage(0.04, before=0.96 * GUESSING).shows_nothing


def test_a_rise_is_that_of_pairs_over_documents():
    before, after = np.array([2.0, 2.0, 4.0, 4.0]), np.array([2.2, 2.2, 4.4, 4.4])
    losses, rise = rise_of(before, after, np.array(["a", "a", "b", "b"]))
    assert losses == (3.0, pytest.approx(3.3))
    assert rise.value == pytest.approx(0.1)
    assert (rise.n, rise.clusters) == (4, 2)
    alone = rise_of(before, after, np.array(["a", "b", "c", "d"]))[1]
    assert alone.high - alone.low < rise.high - rise.low  # rows of one document tell less
    assert rise_of(before[:0], after[:0], np.array([], dtype=str)) == (None, NOT_MEASURED)
    assert share_of(np.array([], dtype=bool), np.array([], dtype=str)) == NOT_MEASURED


def rows(after: list[int], best: list[int], role: str = "tested") -> pl.DataFrame:
    count = len(after)
    columns = {
        "role": [role] * count,
        "row": range(count),
        "document": [f"{role} {row}" for row in range(count)],
        "length_before": [16 if role == "tested" else 0] * count,
        "length_after": after,
        "best_prompt": ["1 longer"] * count,
        "best_length": best,
        "gain": [high - low for low, high in zip(after, best, strict=True)],
        "best_retrained": pl.Series([None] * count, dtype=pl.Int64),
    }
    return pl.DataFrame(columns)


@pytest.mark.parametrize(
    ("after", "best", "alarms", "cost", "verdict"),
    [
        ([16] * 20, [0] * 20, 0, damage(0.0), "still recited"),
        ([0] * 20, [0] * 18 + [9] * 2, 0, damage(0.0), "prompt fails, text comes back"),
        ([0] * 20, [0] * 19 + [9], 0, damage(0.0), "removed"),  # 5 % are tolerated
        ([0] * 20, [0] * 18 + [9] * 2, 1, damage(0.0), "removed"),  # one of ten never-seen rows does the same
        ([0] * 20, [0] * 19 + [9], 0, damage(0.2), "model destroyed"),
        ([0] * 20, [0] * 18 + [9] * 2, 0, damage(0.2), "prompt fails, text comes back"),  # also from a destroyed one
        ([0] * 20, [0] * 20, 0, damage(None), "not recited"),
        ([0] * 20, [0] * 20, 0, damage(0.0, before=GUESSING), "not recited"),
    ],
)
def test_the_verdict_counts_what_comes_back_beyond_chance(after, best, alarms, cost, verdict):
    control = rows([0] * 10, [8] * alarms + [0] * (10 - alarms), "control")
    table = with_verdicts(pl.concat([rows(after, best), control]), 8, cost)
    assert table.columns == list(OF_ROWS)
    found = judge(table, 8, cost)
    assert found.verdict == verdict
    assert found.known == 20
    assert sum(share.value for share in found.shares.values()) == pytest.approx(1)
    assert found.alarms.value == alarms / 10


# ------------------------------------------------------------------------------------------------------------ synonyms


@pytest.fixture
def encoder(tmp_path):
    return byte_level_encoder(tmp_path / "tokenizer", ("The big cat sat on the mat, a bigger cat.",) * 5)


def synonyms(tmp_path, encoder, words):
    path = tmp_path / "words.json"
    path.write_text(json.dumps(words))
    return read_synonyms(path, encoder)


def texts(encoder, tmp_path, words, text: str) -> list[tuple[int, str]]:
    prompt = np.array(encoder.encode([text])[0])
    places = synonyms(tmp_path, encoder, words).found_in(prompt)
    found = replaced_prompts(prompt, places, 2, np.random.default_rng(0))
    return [(count, encoder.decode_windows([tokens.tolist()])[0]) for count, tokens in found]


def test_words_are_replaced_whole_and_written_as_before(encoder, tmp_path):
    text = "The big cat sat, bigger."
    found = texts(encoder, tmp_path, {"big": ["large", "huge"], "the": "a"}, text)
    assert found == [
        (1, "A big cat sat, bigger."),
        (1, "The huge cat sat, bigger."),
        (2, "A large cat sat, bigger."),
        (2, "A huge cat sat, bigger."),
    ]
    assert texts(encoder, tmp_path, {"dog": "wolf"}, text) == []


def test_other_tokens_stay_as_they_are(encoder, tmp_path):
    prompt = np.array([*encoder.encode(["春 big "])[0], *encoder.encode(["c"])[0], *encoder.encode(["at"])[0]])
    (place,) = synonyms(tmp_path, encoder, {"big": "huge"}).found_in(prompt)
    ((_, changed),) = replaced_prompts(prompt, [place], 1, np.random.default_rng(0))
    assert changed[: place.start].tolist() == prompt[: place.start].tolist()
    assert changed[len(changed) - 2 :].tolist() == prompt[-2:].tolist()


@pytest.mark.parametrize("content", ["[1]", "{}", '{"big": []}', '{"big": [1]}', '{"": "x"}'])
def test_a_map_that_is_none_is_refused(encoder, tmp_path, content):
    path = tmp_path / "words.json"
    path.write_text(content)
    with pytest.raises(OptionError, match=r'is no map of words; write \{"big": \["large", "huge"\]\}: each word'):
        read_synonyms(path, encoder)
    with pytest.raises(OptionError, match=r"no\.json cannot be read \(.*\); name a JSON file\.$"):
        read_synonyms(tmp_path / "no.json", encoder)
