"""The style of continuations: models that know authors in their training, all authors, or none."""

import csv
import json

import numpy as np
import pytest

import mematlas
from mematlas.cli import run
from mematlas.errors import CorpusError, OptionError
from mematlas.probes.items.answering import Text
from mematlas.probes.style.finding import knows_styles, style_finding
from mematlas.probes.style.run import table_of_style
from mematlas.probes.style.tables import GENERATION, IN, OUT, TRUTH
from mematlas.stats.classification.authorship import NOBODY, attribute, deal_folds
from mematlas.stats.estimates.intervals import wilson
from tests.probes.task_corpus import text_encoder
from tests.tiny_networks import neox, save_network

AUTHORS, TEXTS = 10, 6  # the first half of the authors is in the training
_LETTERS = "bcdfghklmnprstvz"


def words_of(author, count, seed):
    """Words as an author writes them: of letters that the author prefers."""
    random = np.random.default_rng([author, seed])
    likes = np.random.default_rng([author, 99]).permutation(len(_LETTERS))[:5]
    made = ["".join(_LETTERS[likes[n]] + "aeiou"[n] for n in random.integers(0, 5, 3)) for _ in range(count)]
    return " ".join(made)


def in_training(author):
    return author < AUTHORS // 2


@pytest.fixture
def table(tmp_path):
    """A table of texts, and whose each beginning is."""
    whose = {}
    with (tmp_path / "authors.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["author", "in_training", "text"])
        for author in range(AUTHORS):
            for number in range(TEXTS):
                text = words_of(author, 40, number)
                whose[" ".join(text.split()[:10])] = author
                writer.writerow([f"author {author}", str(in_training(author)).lower(), text])
    return tmp_path / "authors.csv", whose


class Writer:
    """Writes as the author whom `style` names for the author of a beginning; breaks at a call, if asked to."""

    def __init__(self, whose, style, breaks_at=None):
        self.whose, self.style, self.breaks_at, self.calls = whose, style, breaks_at, 0

    def complete(self, prompts, *, max_tokens, temperature=0.0, seed=0, n=1):
        self.calls += 1
        if self.breaks_at == self.calls:
            raise KeyboardInterrupt
        authors = [self.style(self.whose[prompt]) for prompt in prompts]
        return [
            [Text("" if author is None else " " + words_of(author, 20, 500 + number))]
            for number, author in enumerate(authors)
        ]


def probe(table, style, **options):
    path, whose = table
    options = {"texts": path, "out": path.parent / "style", "prompt_words": 10} | options
    return mematlas.probe_style("stub", text_model=Writer(whose, style), **options)


def row(result, name, **which):
    return table_of_style(result, name).filter(**which).row(0, named=True)


# ------------------------------------------------------------------------------------------------------ known answers


def test_a_model_that_knows_authors_in_its_training_alone_is_told(table):
    result = probe(table, lambda author: author if in_training(author) else (author + 1) % AUTHORS)
    inside, outside = (row(result, "accuracy", what=GENERATION, authors=group) for group in (IN, OUT))
    assert (inside["share"], inside["texts"], inside["number"]) == (1, 30, 5)
    assert (outside["share"], outside["low"]) == (0, 0)
    difference = row(result, "difference", what=GENERATION)
    assert difference["difference"] == 1
    assert difference["low"] == pytest.approx(1 - np.sqrt(2) * (1 - wilson(5, 5).lower))  # of 5 authors, not 30 texts
    assert difference["p"] == pytest.approx(1 / 252, abs=0.003)  # one of 252 ways to choose 5 of 10 authors
    assert row(result, "accuracy", what=TRUTH, authors=OUT)["share"] == 1
    finding = style_finding(result)
    assert finding.headline == "stub writes more like authors in its training"
    assert finding.sentence.startswith("100 % of its continuations are attributed to authors in training, 0 % to oth")
    assert len(finding.sentence.split()) <= 25


def test_permuted_authors_give_chance(table):
    result = probe(table, lambda author: author)
    for group in (IN, OUT):
        assert row(result, "accuracy", what=GENERATION, authors=group)["permuted"] == pytest.approx(1 / AUTHORS)


@pytest.mark.parametrize(
    ("style", "share"),
    [(lambda author: author, 1), (lambda author: 77, None), (lambda author: (author + 5) % AUTHORS, 0)],
    ids=["copies whatever it reads", "writes as nobody of them", "mixes all up"],
)
def test_a_model_to_which_training_makes_no_difference_is_not_told(table, style, share):
    result = probe(table, style)
    assert not knows_styles(table_of_style(result, "difference"))
    difference = row(result, "difference", what=GENERATION)
    assert difference["low"] <= 0 <= difference["high"]
    assert difference["p"] > 0.05
    if share is not None:
        assert row(result, "accuracy", what=GENERATION, authors=IN)["share"] == share
    assert style_finding(result).headline == "stub does not write more like authors in its training"


def test_continuations_without_a_character_are_nobodys_and_counted(table):
    result = probe(table, lambda author: None)
    assert row(result, "accuracy", what=GENERATION, authors=IN)["share"] == 0
    assert table_of_style(result, "attributed")["generation"].null_count() == AUTHORS * TEXTS
    assert any(text.startswith("60 continuations have no characters") for text in style_finding(result).caveats)


def test_a_text_is_never_told_by_itself():
    """Each author's text is as the other's in the other part: a classifier that saw it would be right, and none is."""
    texts, authors, folds = ["aaaa aaa", "bbbb bbb", "bbbb bb", "aaaa aa"], [0, 0, 1, 1], [0, 1, 0, 1]
    found = attribute(texts, authors, folds, {"own": texts, "empty": ["", " ", "", ""]})
    assert found["own"].tolist() == [1, 1, 0, 0]
    assert set(found["empty"]) == {NOBODY}
    for seed in range(5):
        dealt = deal_folds([0, 0, 0, 1, 1], 2, seed)
        assert sorted(dealt[:3]) == [0, 0, 1]
        assert sorted(dealt[3:]) == [0, 1]
    with pytest.raises(ValueError, match="without fold 0, an author has no text"):
        attribute(texts, authors, [0, 0, 1, 1], {"own": texts})
    with pytest.raises(ValueError, match="of one length"):
        attribute(texts, authors, folds, {"own": texts[:2]})


def test_too_few_authors_for_any_test_are_said(table):
    path, _ = table
    lines = path.read_text().splitlines()
    kept = [line for line in lines if line.split(",")[0] in ("author", *(f"author {n}" for n in (0, 1, 2, 7, 8, 9)))]
    path.write_text("\n".join(kept) + "\n")
    result = probe(table, lambda author: author if in_training(author) else 77)
    assert not knows_styles(table_of_style(result, "difference"))
    assert any("only 20 ways to choose 3 of 6 authors" in text for text in style_finding(result).caveats)


# ------------------------------------------------------------------------------------------------- folder and command


def test_a_stopped_probe_goes_on_and_gives_the_same(table):
    path, whose = table
    writer = Writer(whose, lambda author: author, breaks_at=2)
    options = {"texts": path, "out": path.parent / "stopped", "prompt_words": 10}
    with pytest.raises(KeyboardInterrupt):
        mematlas.probe_style("stub", text_model=writer, **options)
    writer.breaks_at = None
    result = mematlas.probe_style("stub", text_model=writer, **options)
    assert writer.calls == 3  # two shards, of which one was asked twice
    assert result.table("written").equals(probe(table, lambda author: author).table("written"))
    assert mematlas.probe_style("stub", text_model=writer, folds=3, **options).folder == result.folder
    assert writer.calls == 3
    readme = (result.folder / "README.md").read_text()
    for name in ("written", "attributed", "accuracy", "difference"):
        frame = result.table(name) if name == "written" else table_of_style(result, name)
        for column in frame.columns:
            assert f"| {column} | " in readme


def test_the_command_asks_a_model_on_this_machine(table, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    encoder = text_encoder(tmp_path / "model", [words_of(author, 40, 0) for author in range(AUTHORS)], 400)
    save_network(neox(encoder.vocabulary, seed=2), tmp_path / "model")
    words = ["probe", "style", "model", "--texts", "authors.csv", "--prompt-words", "10", "--new-tokens", "8"]
    words += ["--quiet"]
    assert run([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["asked"], document["authors_in_training"], document["temperature"]) == (60, 5, 1.0)
    assert len(document["style"]["accuracy"]) == 6
    page = (tmp_path / document["page"]).read_text()
    assert "In whose style model writes" in page
    assert page.count("<figure>") == 1
    assert run([*words, "--pictures", "svg"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("model does not write more like authors in its training.")
    assert "The page is in style/model-" in out
    assert list((tmp_path / document["folder"]).glob("style-figures/*.svg"))


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda lines: ["author,known,text", *lines[1:]], "has no column 'in_training'. It has: author, known, text"),
        (lambda lines: [*lines, "author 0,false,some words"], "'author 0' is both in and not in training"),
        (lambda lines: [*lines, lines[1]], "has the text of "),
        (lambda lines: [*lines, "author 11,maybe,some words"], "in_training is 'maybe'; write true or false"),
        (lambda lines: [*lines, "author 11,true,"], "has no text in the column 'text'"),
        (lambda lines: [*lines, "author 11,true,some words"], "'author 11' has 0 texts of at least 20 words"),
        (lambda lines: lines[: 1 + 6 * 6], "has 1 authors not in training"),
    ],
)
def test_a_wrong_table_is_one_line(table, change, part):
    path, _ = table
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")
    with pytest.raises(CorpusError) as raised:
        probe(table, lambda author: author)
    assert part in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_api_is_refused_with_the_way_to_ask_it(table):
    with pytest.raises(OptionError, match=r"is a model behind an API, .*probe_style\(\) the endpoint as text_model"):
        mematlas.probe_style("api:http://127.0.0.1:9/v1#tiny", texts=table[0])
