"""The audit of one text: coverage, probabilities and runs of models whose answers are known."""

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest
import torch

from mematlas.auditing import sources
from mematlas.auditing.config import resolve_audit
from mematlas.auditing.run import audit
from mematlas.auditing.work import scores as scores_module
from mematlas.auditing.work.look import WorkResult, look, units
from mematlas.auditing.work.scores import score_work
from mematlas.auditing.work.strip import BINS, binned_levels, strip
from mematlas.auditing.work.text import read_work, sections
from mematlas.auditing.work.windows import TAUS, cut_windows, default_stride
from mematlas.cli import run
from mematlas.errors import MematlasError, OptionError
from mematlas.models.base import LoadOptions
from mematlas.models.standins.uniform import Uniform
from mematlas.progress import Silent
from mematlas.scoring.engines.windows import greedy_run, score_windows
from tests import tiny_networks as networks
from tests.audit import reciters
from tests.audit.reciters import VOCABULARY, WordSource, quick_reciter, reciter, words
from tests.byte_level_tokenizer import byte_level_encoder

PREFIX, SUFFIX = 50, 50
PASSAGE = words(180, seed=5)
BEFORE, AFTER = words(120, seed=1), words(180, seed=2)
TEXT = " ".join([*BEFORE, *PASSAGE, *AFTER])
LONG = " ".join(words(1_200, seed=21))
PARTLY = " ".join([*words(500, seed=22), *PASSAGE, *words(500, seed=23)])
WHOLE = quick_reciter("model", LONG)
SILENT = reciters.source("base", Uniform(VOCABULARY))
ALIEN = WordSource(replace(SILENT.card, tokenizer="others", spec="alien"), Uniform(VOCABULARY))
OTHER = " ".join(words(1_300, seed=11))


def scored(source, text, stride=1, prefix=PREFIX, suffix=SUFFIX, folder=None):
    """A source's numbers for a text, or for files of a dictionary."""
    if folder is None:
        with TemporaryDirectory() as name:
            return scored(source, text, stride, prefix, suffix, Path(name))
    documents = list(text.items()) if isinstance(text, dict) else [("text.txt", text)]
    work = read_work(documents, reciters.ENCODER)
    windows = cut_windows(work, prefix, suffix, stride)
    return score_work(source.load(LoadOptions()), source.card, source.card.label, work, windows, folder, Silent())


# ------------------------------------------------------------------------------------------------------- coverage


def test_coverage_is_the_suffix_share_of_a_planted_passage():
    found = scored(reciter("parrot", " ".join(PASSAGE)), TEXT)
    start = len(" ".join([*BEFORE, *PASSAGE[:PREFIX]]))
    stop = len(" ".join([*BEFORE, *PASSAGE]))
    for tau in TAUS:
        assert found.coverage(tau) == (stop - start) / len(TEXT)
    assert np.flatnonzero(found.heat >= TAUS[1]).tolist() == list(range(start, stop))


def test_a_stopped_audit_goes_on_with_what_is_finished(tmp_path, monkeypatch):
    """Stopped in the third part of many; the parts before are read, and the numbers are those of one go."""
    monkeypatch.setattr(scores_module, "_PART", 50)
    source, calls = reciter("parrot", " ".join(PASSAGE)), []
    whole = scored(source, TEXT)

    def stopping(model, ids, *arguments):
        calls.append(len(ids))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return score_windows(model, ids, *arguments)

    monkeypatch.setattr(scores_module, "score_windows", stopping)
    with pytest.raises(KeyboardInterrupt):
        scored(source, TEXT, folder=tmp_path)
    finished, again = calls[:2], scored(source, TEXT, folder=tmp_path)
    assert sum(finished) + sum(calls[3:]) == len(whole.windows.start)
    assert again.table().equals(whole.table())
    calls.clear()
    assert scored(source, TEXT, folder=tmp_path).run == whole.run
    assert not calls
    monkeypatch.setattr(scores_module, "score_windows", score_windows)
    assert scored(source, TEXT, stride=40, folder=tmp_path).table().equals(scored(source, TEXT, stride=40).table())


@pytest.mark.parametrize("stride", [10, 37, 400])
def test_a_larger_stride_covers_what_its_own_windows_show(stride):
    """An oracle that loops over windows; and no character is covered that stride 1 does not cover."""
    source = reciter("parrot", " ".join(PASSAGE))
    every, found = scored(source, TEXT), scored(source, TEXT, stride)
    text_words, starts, ends, at = TEXT.split(), [], [], 0
    for text_word in text_words:
        starts.append(max(0, at - 1))
        at += len(text_word) + 1
        ends.append(at - 1)
    covered, last = set(), len(text_words) - PREFIX - SUFFIX
    for first in {next(i for i, s in enumerate(starts) if s >= c) for c in range(0, starts[-1] + 1, stride)} | {last}:
        if len(BEFORE) <= first <= len(BEFORE) + len(PASSAGE) - PREFIX - SUFFIX:
            covered |= set(range(ends[first + PREFIX - 1], ends[first + PREFIX + SUFFIX - 1]))
    assert covered == set(np.flatnonzero(found.heat >= TAUS[1]).tolist())
    assert found.coverage(TAUS[1]) <= every.coverage(TAUS[1])


def test_shuffled_words_other_texts_and_a_uniform_model_have_no_coverage():
    source = reciter("parrot", " ".join(PASSAGE))
    shuffled = np.random.default_rng(0).permutation(TEXT.split()).tolist()
    for text in (" ".join(shuffled), " ".join(words(400, seed=9))):
        found = scored(source, text)
        assert found.coverage(TAUS[0]) == 0
        assert found.run is None
    assert scored(reciters.source("uniform", Uniform(VOCABULARY)), TEXT, 50).coverage(TAUS[0]) == 0


def test_windows_do_not_cross_files():
    halves = {"a": " ".join([*BEFORE, *PASSAGE[:90]]), "b": " ".join([*PASSAGE[90:], *AFTER])}
    found = scored(reciter("parrot", " ".join(PASSAGE)), halves)
    assert found.coverage(TAUS[0]) == 0  # neither file has a window of 100 words of the passage
    assert set(found.windows.document.tolist()) == {0, 1}


def test_the_last_window_ends_with_the_text():
    found = scored(SILENT, TEXT, 10**6)
    assert found.windows.token.tolist() == [0, len(TEXT.split()) - PREFIX - SUFFIX]
    assert found.windows.stop[-1] == len(TEXT)


def test_the_default_stride_is_the_papers_for_short_texts_and_leaves_no_gap_in_long_ones():
    short = read_work([("a", TEXT)], reciters.ENCODER)
    long = read_work([("a", " ".join(words(60_000, seed=3)))], reciters.ENCODER)
    assert default_stride(short, SUFFIX) == 10
    stride = default_stride(long, SUFFIX)
    windows = cut_windows(long, PREFIX, SUFFIX, stride)
    assert 100 < stride < 300
    assert (windows.start[1:] <= windows.stop[:-1]).all()


# ------------------------------------------------------------------------------------------- probabilities, runs


def test_p_z_is_that_of_a_slow_loop():
    """Full softmax, the 40 largest, and a product; some tokens are outside, and some windows are the model's own."""
    network = networks.neox(initializer_range=0.3)
    model, random = networks.causal_model(network), np.random.default_rng(0)
    windows = random.integers(0, networks.V, (12, 30))
    for row in range(8):
        for column in range(20, 30):
            with torch.inference_mode():
                logits = network(torch.from_numpy(windows[None, row, :column])).logits[0, -1]
            windows[row, column] = int(logits.topk(4).indices[random.integers(0, 4 if row < 6 else 1)])
    found = score_windows(model, windows, 20)
    for row in range(len(windows)):
        product, full, right, still = 1.0, 1.0, 0, True
        for column in range(20, 30):
            with torch.inference_mode():
                logits = network(torch.from_numpy(windows[None, row, :column])).logits[0, -1].double()
            order = logits.argsort(descending=True)[:40].tolist()
            weights, token = logits.softmax(0), int(windows[row, column])
            full *= float(weights[token])
            product *= float(weights[token] / weights[order].sum()) if token in order else 0.0
            still = still and order[0] == token
            right += still
        assert np.exp(found.log_probability_top40[row]) == pytest.approx(product, rel=1e-3, abs=0)
        assert np.exp(found.log_probability[row]) == pytest.approx(full, rel=1e-3)
        assert found.right[row] == right
    assert np.isneginf(found.log_probability_top40[8:]).all()
    assert np.isfinite(found.log_probability_top40[:8]).all()
    assert found.right[6:8].tolist() == [10, 10]


def test_batches_change_nothing(monkeypatch):
    model, windows = networks.causal_model(networks.neox()), np.random.default_rng(0).integers(0, networks.V, (9, 30))
    together, done = score_windows(model, windows, 20), []
    monkeypatch.setattr("mematlas.scoring.engines.windows._TOKENS_AT_ONCE", {"cpu": 60})
    parted = score_windows(model, windows, 20, done.append)
    assert done == [2, 2, 2, 2, 1]
    np.testing.assert_allclose(parted.log_probability, together.log_probability, rtol=1e-5)
    assert (parted.right == together.right).all()
    assert len(score_windows(model, windows[:0], 20).right) == 0


def test_the_longest_run_is_the_passage_after_its_first_prefix():
    found = scored(reciter("parrot", " ".join(PASSAGE)), TEXT).run
    assert (found.tokens, found.is_cut) == (len(PASSAGE) - PREFIX, False)
    assert TEXT[found.start : found.stop].split() == PASSAGE[PREFIX:]
    assert TEXT[found.prompt : found.start].split() == PASSAGE[:PREFIX]


def test_a_run_ends_with_the_text_the_models_length_or_an_error():
    passage = " ".join(PASSAGE)
    assert scored(reciter("parrot", passage), passage).run.is_cut  # the text ends
    limited = scored(reciter("parrot", passage, max_length=120), TEXT).run
    assert (limited.tokens, limited.is_cut) == (120 - PREFIX, True)
    partly = " ".join([*BEFORE, *PASSAGE[:130], *AFTER])
    assert scored(reciter("parrot", passage), partly).run.tokens == 130 - PREFIX
    short = " ".join([*BEFORE, *PASSAGE[:70], *AFTER])  # less than a suffix
    assert scored(reciter("parrot", passage), short).run.tokens == 70 - PREFIX


def test_a_run_that_goes_on_from_a_later_window_is_followed():
    """Two recited texts: one goes astray after 120 words; the other starts ten words later and does not."""
    text = words(200, seed=6)
    astray, later = [*text[:120], *words(70, seed=7)], text[10:]
    run = scored(reciter("parrot", " ".join(astray), " ".join(later)), " ".join(text)).run
    # the first window whose 50 words end beyond the first run is the one after 71 words
    assert run.tokens == 200 - 71


def test_a_greedy_run_is_counted_token_by_token():
    network = networks.neox()
    prompt = np.random.default_rng(0).integers(0, networks.V, 12)
    text = networks.greedy_text(network, torch.from_numpy(prompt)[None], 20, 64).numpy()[0]
    assert greedy_run(networks.causal_model(network), prompt, text) == 20
    text[7] ^= 1
    assert greedy_run(networks.causal_model(network), prompt, text) == 7


# ------------------------------------------------------------------------------------------- sections and places


def test_chapters_are_told_by_their_headings_and_not_by_a_table_of_contents():
    body = " ".join(words(100, seed=1))
    contents = "Chapter 1\nChapter II: A Road\n"
    chapters = f"Chapter 1\n{body}\n  CHAPTER II. A Road\n{body}\n# Notes\npart I played\n{body}"
    text = f"Title\n\n{contents}\n{body}\n\n{chapters}"
    work = read_work([("book.txt", text)], reciters.ENCODER)
    found = sections(work)
    assert [part.name for part in found] == ["(before the first heading)", "Chapter 1", "CHAPTER II. A Road", "# Notes"]
    assert [part.start for part in found[1:]] == [part.stop for part in found[:-1]]
    assert (found[0].start, found[-1].stop) == (0, len(text))
    assert len(sections(read_work([("plain.txt", body)], reciters.ENCODER))) == 1


def test_places_name_the_file_and_the_character_in_it():
    work = read_work([("a.py", "one two"), ("b.py", "three four")], reciters.ENCODER)
    assert [work.place(character) for character in (0, 6, 7, 9)] == [
        "a.py, character 0", "a.py, character 6", "b.py, character 0", "b.py, character 2",
    ]  # fmt: skip
    assert work.text(4, 12) == "twothree"
    assert [part.name for part in sections(work)] == ["a.py", "b.py"]


def test_a_tokenizer_says_where_its_tokens_end_even_within_characters(tmp_path):
    encoder = byte_level_encoder(tmp_path / "tokenizer")
    text = "  Tea for ☕ two,\n\nand\ta naïve 猫."
    ids, ends = encoder.locate(text)
    assert ids == encoder.encode([text])[0]
    assert len(ends) == len(ids)
    assert ends == sorted(ends)
    assert ends[-1] == len(text)
    for count in range(1, len(ids) + 1):
        decoded = encoder.decode_windows([ids[:count]])[0]
        if "�" not in decoded:
            assert text[: ends[count - 1]] == decoded


def test_the_strip_shows_the_passage_where_it_stands():
    found = scored(reciter("parrot", " ".join(PASSAGE)), TEXT)
    levels = np.array(binned_levels(found))
    hot = np.flatnonzero(levels)
    assert len(levels) == BINS
    assert set(levels.tolist()) == {0, len(TAUS)}
    assert hot[0] / BINS == pytest.approx(np.argmax(found.heat > 0.5) / len(TEXT), abs=0.01)
    assert strip(found, []).count("<rect") == 2


# ------------------------------------------------------------------------------------------------------ verdicts


def result(model, base=None, control=None, text=LONG):
    parts = [scored(each, text, 60) if each else None for each in (model, base)]
    controls = [scored(each, control, 60) if each and control else None for each in (model, base)]
    return WorkResult(*parts, *controls)


@pytest.mark.parametrize(("base", "control"), [(SILENT, None), (None, OTHER), (SILENT, OTHER)])
def test_a_recited_text_is_found_with_a_base_or_a_control(base, control):
    found = look(result(WHOLE, base, control))
    assert found.p < 0.01
    assert found.share > 0.9


@pytest.mark.parametrize(
    ("model", "base", "control"),
    [(SILENT, None, OTHER), (SILENT, SILENT, None), (WHOLE, WHOLE, None), (quick_reciter("both", OTHER), None, OTHER)],
)
def test_nothing_recited_or_no_more_than_the_base_or_the_control_is_no_leak(model, base, control):
    assert look(result(model, base, control)).p > 0.3


def test_without_a_comparison_nothing_is_judged():
    found = look(result(WHOLE))
    assert found.p is None
    assert found.reason == "there is neither a base model nor a control work to compare with."
    assert found.share > 0.9


def test_a_single_passage_is_shown_and_not_judged():
    found = look(result(quick_reciter("model", " ".join(PASSAGE)), SILENT, text=PARTLY))
    assert found.p is None
    assert "is in 2 of 10 parts of the text, and a test needs 5" in found.reason
    assert found.examples[0].note.startswith("longest run, 17")


def test_a_short_text_is_not_judged():
    text = " ".join(PASSAGE)
    found = look(result(reciter("parrot", text), SILENT, text=text))
    assert (found.p, found.reason) == (None, "the text is too short for 8 parts, the units of the test.")


def test_chapters_are_the_units_where_there_are_enough():
    chapters = "".join(f"Chapter {n}\n{' '.join(words(150, seed=n))}\n" for n in range(9))
    assert [part.name for part in units(scored(SILENT, chapters, 50))] == [f"Chapter {n}" for n in range(9)]
    assert [part.name for part in units(scored(SILENT, LONG, 50))] == [f"part {n}" for n in range(1, 11)]


def test_the_test_keeps_its_level_when_parts_are_alike():
    """Half of the parts of work and control are recited, which ones is random: p <= .05 in about 5 %."""
    random, rejected = np.random.default_rng(0), 0
    template = scored(SILENT, LONG, 50)
    for _ in range(100):
        work, control = (_with_random_heat(template, random) for _ in range(2))
        rejected += (look(WorkResult(work, None, control)).p or 1.0) <= 0.05
    assert rejected <= 12


def _with_random_heat(scores, random):
    heat = np.zeros(len(scores.heat))
    for part in units(scores):
        heat[part.start : part.start + int(random.integers(0, part.stop - part.start))] = 1.0
    return replace(scores, heat=heat)


# ------------------------------------------------------------------------------------------- files, page, errors


ONE_OF = "An audit takes one of --train, --work and --benchmark"


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    (tmp_path / "book.txt").write_text(LONG)
    (tmp_path / "other.txt").write_text(OTHER)
    monkeypatch.setattr(sources, "find_model", {"model": WHOLE, "base": SILENT, "alien": ALIEN}.__getitem__)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_verdict_and_its_tables_are_written(folder, capsys):
    assert (
        run(["audit", "model", "--work", "book.txt", "--control", "other.txt", "--base", "base", "--stride", "90"]) == 0
    )
    assert capsys.readouterr().out.startswith("RECITES TRAINING TEXT: ")
    verdict = json.loads((folder / "audit" / "verdict.json").read_text())
    assert verdict["answer"] == "recites training text"
    audited = verdict["audited"]
    assert audited["longest_run"]["text"].split() == LONG.split()[PREFIX:]
    assert audited["coverage"]["base model base"]["0.1 %"] == 0
    windows = pl.read_parquet(folder / "audit" / "tables" / "windows.parquet")
    assert windows["of"].unique().sort().to_list() == [
        "base model base",
        "base model base, control",
        "model",
        "model, control",
    ]
    assert windows.filter(of="model").height == audited["windows"]
    parts = pl.read_parquet(folder / "audit" / "tables" / "parts.parquet")
    assert parts["characters"].sum() == len(LONG)
    page = (folder / "audit" / "verdict.html").read_text()
    assert page.count('<svg class="strip"') == 4
    assert "Sampling with other settings than top-k 40" in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_changed_verdict_is_known(folder, capsys):
    assert run(["audit", "model", "--work", "book.txt", "--base", "base", "--stride", "90"]) == 0
    assert run(["verify", "audit"]) == 0
    assert "The files of the verdict are as the audit wrote them." in capsys.readouterr().out
    page = folder / "audit" / "verdict.html"
    page.write_text(page.read_text().replace("Recites training text", "No leak found"))
    assert run(["verify", "audit"]) == 1
    assert "verdict.html was changed after the audit" in capsys.readouterr().out


def test_a_condition_on_the_coverage_fails_the_command(folder):
    command = ["audit", "model", "--work", "book.txt", "--base", "base", "--stride", "90", "--fail-on"]
    assert run([*command, "recitation>50%"]) == 3
    assert run([*command, "recitation>99%"]) == 0


def test_files_of_a_folder_have_a_table(folder):
    (folder / "source").mkdir()
    for number in range(3):
        (folder / "source" / f"{number}.py").write_text(" ".join(LONG.split()[number * 300 : number * 300 + 300]))
    audit("model", work="source", base="base", stride=50)
    parts = pl.read_parquet(folder / "audit" / "tables" / "parts.parquet")
    assert parts["name"].to_list() == ["0.py", "1.py", "2.py"]
    assert (parts["coverage_1"] > 0.7).all()
    assert "By file" in (folder / "audit" / "verdict.html").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, f"{ONE_OF} (given: none)."),
        ({"work": "a", "train": "b"}, f"{ONE_OF} (given: --train and --work)."),
        ({"work": "a", "secrets": "none"}, "--secrets is not used with --work; leave it out."),
        ({"train": "a", "stride": 10}, "--stride is not used with --train; leave it out."),
        (
            {"work": "a", "fail_on": "copying>1%"},
            "--fail-on copying>1% is not measured with --work; give leak",
        ),
    ],
)
def test_wrong_combinations_of_options_are_one_line(options, message):
    with pytest.raises(OptionError) as error:
        _ = resolve_audit(**options).subject
    assert str(error.value).startswith(message)


def test_texts_and_models_that_do_not_fit_are_one_line(folder, monkeypatch):
    (folder / "short.txt").write_text(" ".join(words(60, seed=1)))
    with pytest.raises(MematlasError, match=r"short.txt has 60 tokens, and one window needs 100; take a longer text"):
        audit("model", work="short.txt")
    (folder / "blank.txt").write_text(" \n")
    with pytest.raises(MematlasError, match=r"blank.txt has no text"):
        audit("model", work="blank.txt")
    with pytest.raises(MematlasError, match="alien has another tokenizer than model, so their tokens cannot"):
        audit("model", work="book.txt", base="alien")
    small = reciter("small", TEXT, max_length=80)
    monkeypatch.setattr(sources, "find_model", {"small": small}.__getitem__)
    with pytest.raises(MematlasError, match="small reads at most 80 tokens, and a window has 100; lower --context"):
        audit("small", work="book.txt")
