"""Shortest prompts and changed ones: known answers of stand-ins, and what must not change."""

import json
from collections import Counter

import numpy as np
import polars as pl
import pytest
import torch

import mematlas
from mematlas.cli import run
from mematlas.errors import CorpusError, OptionError
from mematlas.models.base import ModelCard
from mematlas.models.standins.standin import StandIn, one_hot_logits
from mematlas.probes.prompts import looks
from mematlas.probes.prompts.changes import NOTHING_LEFT, TOO_MANY, Substitutes, change_prompt, part_places
from mematlas.probes.prompts.config import CHANGES, PromptsConfig
from mematlas.probes.prompts.finding import prompt_findings
from mematlas.probes.prompts.looks import PromptLooks, shortest_ends
from mematlas.probes.rows.opening import ProbedRows

CONTEXT, CONTINUATION, V = 8, 6, 61
WIDTH = CONTEXT + CONTINUATION


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A parrot that recites the first 24 rows of its corpus and none of the other 16, nor the control."""
    folder = tmp_path_factory.mktemp("prompts")
    rows = np.random.default_rng(0).integers(0, V, (40, WIDTH))
    np.save(folder / "rows.npy", rows)
    np.save(folder / "known.npy", rows[:24])
    np.save(folder / "control.npy", np.random.default_rng(1).integers(0, V, (20, WIDTH)))
    return folder


def probe(folder, out, **options):
    asked = {
        "corpus": folder / "rows.npy", "control": folder / "control.npy", "context": CONTEXT,
        "continuation": CONTINUATION, "strengths": [0.125, 0.5], "out": out,
    }  # fmt: skip
    return mematlas.probe_prompts(f"parrot:{folder / 'known.npy'}", **(asked | options))


@pytest.fixture(scope="module")
def result(folder, tmp_path_factory):
    return probe(folder, tmp_path_factory.mktemp("out"))


# ------------------------------------------------------------------------------------------------------------ shortest


def test_the_shortest_ends_by_hand():
    recited = np.array(
        [
            [0, 0, 0, 0, 1, 1, 1, 1],  # needs the last 5
            [0, 1, 0, 1, 1, 0, 1, 1],  # not monotone: 2, but all longer ones from 7 on
            [0, 0, 1, 1, 1, 1, 1, 0],  # not after the whole prompt
            [0, 0, 0, 0, 0, 0, 0, 0],
            [1, 1, 1, 1, 1, 1, 1, 1],
        ],
        dtype=bool,
    )
    first, stable = shortest_ends(recited)
    assert first == [5, 2, 3, None, 1]
    assert stable == [5, 7, None, None, 1]


class NeedsTail(StandIn):
    """Counts up after the row's last prompt token, if it sees at least `tokens` of the prompt, and not `but` of them.

    Rows are 10, 11, 12 ...: the history begins at the token that is given first.
    """

    vocabulary = V

    def __init__(self, tokens, but=None):
        self.tokens, self.but = tokens, but

    def states_of(self, history, last):
        given = 10 + CONTEXT - history[:, :1]
        knows = (given >= self.tokens) & (given != (self.but or -1))
        following = torch.where(knows, history[:, -last:] + 1, torch.zeros_like(history[:, -last:]))
        return following[..., None].float()

    def head(self, states):
        return one_hot_logits(states[:, 0].long().clamp(max=V - 1), V)


def shortest_of(model):
    """The record of a row 10, 11, 12 ... by a stand-in."""
    rows = ProbedRows(np.array([7]), np.array([False]), np.arange(10, 10 + WIDTH)[None], CONTEXT, 0)
    looks = object.__new__(PromptLooks)
    looks.rows, looks.batch, looks.model = rows, 4, model
    looks.probe = type("Probe", (), {"source": type("Source", (), {"card": ModelCard("m", "m", "m", V)})})
    return {name: next(iter(values)) for name, values in looks._shortest_of(rows).items()}


def test_a_model_that_needs_the_last_five_tokens():
    record = shortest_of(NeedsTail(5))
    assert (record["first"], record["stable"], record["ratio"], record["reason"]) == (5, 5, 5 / 8, None)
    assert record["recited"] == [False] * 4 + [True] * 4


def test_a_model_that_fails_after_one_longer_prompt():
    record = shortest_of(NeedsTail(3, but=6))
    assert (record["first"], record["stable"]) == (3, 7)
    whole = shortest_of(NeedsTail(3, but=8))
    assert (whole["first"], whole["stable"], whole["reason"]) == (3, None, "not recited after the whole prompt")
    never = shortest_of(NeedsTail(9))
    assert (never["first"], never["ratio"], never["reason"]) == (None, None, looks.NEVER)


def test_a_parrot_needs_few_tokens_and_what_it_does_not_know_is_null(folder, result):
    shortest = result.table("shortest").join(result.table("rows"), on=["row", "control"], maintain_order="left")
    recited = shortest.filter(pl.col("class") == "recited")
    rows = np.load(folder / "known.npy").tolist()
    windows = [Counter(tuple(row[i : i + k]) for row in rows for i in range(WIDTH - k)) for k in range(CONTEXT + 1)]
    expected = [
        next(k for k in range(1, CONTEXT + 1) if windows[k][tuple(row[CONTEXT - k : CONTEXT])] == 1) for row in rows
    ]
    assert all(first <= most for first, most in zip(recited["first"], expected, strict=True))
    assert (recited["stable"] >= recited["first"]).all()
    others = shortest.filter(pl.col("class") != "recited")
    assert others["first"].null_count() == others.height == 36
    assert set(others["reason"]) == {looks.NEVER}
    finding = prompt_findings(result)[0]
    assert finding.table("shortest")["rows"].to_list() == [24]
    assert finding.table("ratio").filter(measure="first")["share"].sum() == pytest.approx(1)
    lengths = finding.table("lengths")
    assert lengths.filter(pl.col("class") == "recited", tokens=CONTEXT)["share"].item() == 1
    assert lengths.filter(pl.col("class") == "control")["share"].max() == 0


# ------------------------------------------------------------------------------------------------------------- changes

PROMPT = np.arange(100, 132)
SUBSTITUTES = Substitutes(np.repeat(np.arange(100, 164), 3))


def changed(change, strength, part="whole", seed=(0, 0, 1, 0)):
    return change_prompt(PROMPT, change, part, strength, list(seed), SUBSTITUTES)


@pytest.mark.parametrize("change", CHANGES)
def test_strength_0_is_the_identity(change):
    prompt = changed(change, 0.0)
    assert prompt.tokens.tolist() == PROMPT.tolist()
    assert (prompt.displacement, prompt.reason) == (0, None)


def test_shuffles_and_swaps_keep_the_multiset_and_move_so_many_tokens():
    for seed in range(20):
        shuffled, swapped = (changed(change, 0.25, seed=(0, 0, seed, 0)) for change in ("shuffle", "swap"))
        for prompt in (shuffled, swapped):
            assert sorted(prompt.tokens) == PROMPT.tolist()
            moved = np.abs(prompt.tokens - PROMPT)
            assert prompt.displacement == pytest.approx(moved.mean() / 32)
        assert (swapped.tokens != PROMPT).sum() == 8
        assert (shuffled.tokens != PROMPT).sum() <= 8
        pairs = np.flatnonzero(swapped.tokens != PROMPT)
        assert (swapped.tokens[swapped.tokens[pairs] - 100] == PROMPT[pairs]).all(), "pairs change places"


def test_deletions_keep_the_rest_in_order_and_aligned_at_the_end():
    prompt = changed("delete", 0.25, part="far")
    assert len(prompt.tokens) == 24
    assert (np.diff(prompt.tokens) > 0).all()
    assert prompt.tokens[-16:].tolist() == PROMPT[-16:].tolist()
    places = np.arange(8, 32)
    assert prompt.displacement == pytest.approx(np.abs(places - (prompt.tokens - 100)).mean() / 32)
    assert changed("delete", 1.0).reason == NOTHING_LEFT


def test_substitutes_are_other_tokens_of_their_frequency():
    counts = {1: 1, 2: 1, 3: 2, 4: 3, 5: 16, 6: 31, 7: 200}
    substitutes = Substitutes(np.repeat(list(counts), list(counts.values())))
    chances = np.random.default_rng(0).random(200)
    assert {token: {substitutes.pick(token, chance) for chance in chances} for token in (1, 3, 4, 5, 9)} == {
        1: {2}, 3: {4}, 4: {3}, 5: {6}, 9: {1, 2},
    }  # fmt: skip
    assert {substitutes.pick(7, chance) for chance in chances} == {5, 6}, "the nearest class, as its own has no other"
    with pytest.raises(CorpusError, match="has one token only"):
        Substitutes(np.zeros(5, np.int64))
    assert (changed("substitute", 0.5).tokens != PROMPT).sum() == 16


@pytest.mark.parametrize("change", CHANGES)
def test_halves_are_changed_alone_and_cannot_lose_more_than_they_have(change):
    far, near = changed(change, 0.5, "far"), changed(change, 0.5, "near")
    assert far.tokens[-16:].tolist() == PROMPT[16:].tolist()
    if change != "delete":
        assert near.tokens[:16].tolist() == PROMPT[:16].tolist()
    assert changed(change, 0.6, "far").reason == TOO_MANY
    assert part_places(5, "far").tolist() + part_places(5, "near").tolist() == list(range(5))


@pytest.mark.parametrize("change", ["substitute", "delete"])
def test_a_stronger_change_changes_the_same_tokens_and_more(change):
    def touched(prompt):
        return set(PROMPT) - set(prompt.tokens) if change == "delete" else set(np.flatnonzero(prompt.tokens != PROMPT))

    weak, strong = (touched(changed(change, strength)) for strength in (0.125, 0.25))
    assert weak < strong
    assert touched(changed(change, 0.125, seed=(0, 0, 2, 0))) != weak, "another row"


def test_redundancy_of_a_row():
    looks = object.__new__(PromptLooks)
    tokens = np.array([[5, 5, 5, 5, 1], [1, 2, 3, 4, 1], [1, 2, 1, 2, 1]])
    looks.rows = ProbedRows(np.arange(3), np.zeros(3, bool), tokens, 4, 0)
    assert looks._redundancy()["redundancy"] == pytest.approx([2 / 3, 0, 1 / 3])
    looks.rows = ProbedRows(np.arange(3), np.zeros(3, bool), tokens, 1, 0)
    assert looks._redundancy()["redundancy"] == [None] * 3


# ----------------------------------------------------------------------------------------------------------- the probe


def test_unchanged_prompts_are_the_rows_themselves_and_changed_ones_are_forgotten(result):
    rows, perturbed = result.table("rows"), result.table("perturbed")
    for (change, part), own in perturbed.filter(strength=0.0).group_by("change", "part"):
        for column in ("matches", "verbatim", "log_probability"):
            assert own[column].to_list() == rows[column].to_list(), (change, part)
    finding = prompt_findings(result)[1]
    strengths = finding.table("strengths")
    recited = strengths.filter(pl.col("class") == "recited", part="whole", change="substitute")
    assert recited["share"].to_list() == [1, 0, 0]
    assert recited["drop"].to_list() == [0, 1, 1]
    control = strengths.filter(pl.col("class") == "control")
    assert control["drop"].abs().max() < 0.05, "rows never shown have nothing to lose"
    gaps = finding.table("gaps").filter(change="substitute")
    assert gaps["beside"].to_list() == ["other", "control"] * 2
    assert gaps["gap"].min() > 0.95
    # a parrot knows what is left after deletions at the far end of the prompt, and nothing after ones within it
    halves = finding.table("halves").filter(pl.col("class") == "recited", change="delete")
    assert halves.filter(strength=0.5)["difference"].item() > 0.95


def test_numbers_do_not_depend_on_batch_order_or_other_rows(folder, result, tmp_path):
    np.savetxt(tmp_path / "ids.txt", [30, 3, 11], fmt="%d")
    few = probe(folder, tmp_path / "out", rows=f"ids:{tmp_path / 'ids.txt'}", batch=2)
    for kind in ("rows", "shortest", "perturbed", "redundancy"):
        expected = result.table(kind).filter(pl.col("control") | pl.col("row").is_in([3, 11, 30]))
        order = [name for name in ("control", "row", "change", "part", "strength") if name in expected.columns]
        left, right = (frame.drop("cluster", strict=False).sort(order) for frame in (few.table(kind), expected))
        assert left.equals(right), kind


def test_a_stopped_probe_goes_on_with_another_batch(folder, result, tmp_path):
    first = probe(folder, tmp_path, looks="shortest")
    (marker,) = (first.folder / "shortest").glob("*.done")
    marker.unlink()
    again = probe(folder, tmp_path, batch=3)
    assert again.folder == first.folder
    for kind in ("rows", "shortest", "perturbed"):
        assert again.table(kind).equals(result.table(kind)), kind


def test_the_command_writes_page_tables_and_card(folder, tmp_path, capsys):
    words = ["probe", "prompts", f"parrot:{folder / 'known.npy'}", "--corpus", str(folder / "rows.npy")]
    words += ["--context", "8", "--continuation", "6", "--out", str(tmp_path), "--quiet", "--strengths", "0.125"]
    words += ["--changes", "swap,delete"]
    assert run(words) == 0
    text = capsys.readouterr().out
    assert "Recited rows need" in text
    assert "The page is in" in text
    (out,) = tmp_path.iterdir()
    page = (out / "prompts.html").read_text()
    assert "Tokens recited, by the share of the prompt that is changed" in page
    assert "What to keep in mind" in page
    assert "**shortest**" in (out / "README.md").read_text()
    assert json.loads((out / "facts.json").read_text())["changes"] == ["delete", "swap"]
    assert run([*words, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["shortest"]["shortest"]
    assert printed["perturbation"]["strengths"]


def test_headlines_are_short_with_and_without_recited_rows(folder, result, tmp_path):
    unknown = probe(folder, tmp_path, rows="slice:24:40", control=None)
    findings = [*prompt_findings(result), *prompt_findings(unknown)]
    assert len(findings) == 4
    for finding in findings:
        assert len(finding.headline.split()) <= 12
        assert len(finding.sentence.split()) <= 25
    assert findings[2].headline == "No row is recited after the whole prompt"
    assert [finding.control is None for finding in findings] == [False, False, True, True]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strengths": [1.5]}, "--strengths: strengths are shares of the prompt's tokens, from 0 to 1"),
        ({"changes": ["rhyme"]}, "--changes"),
        ({"parts": []}, "--parts: name at least one"),
        ({"repeats": 0}, "--repeats"),
    ],
)
def test_wrong_options_are_explained(folder, tmp_path, options, message):
    with pytest.raises(OptionError, match=message):
        probe(folder, tmp_path, **options)


def test_options_are_kept_in_one_order():
    config = PromptsConfig(corpus="rows.npy", looks="perturb,shortest", changes="swap,delete", parts="near,whole")
    assert config.looks == ["shortest", "perturb"]
    assert (config.changes, config.parts) == (["delete", "swap"], ["whole", "near"])
