"""Shares in free text: models that write in the shares of their training, in a control's, or between both."""

import csv
import json
from types import SimpleNamespace
from zlib import crc32

import numpy as np
import polars as pl
import pytest

import mematlas
from mematlas.cli import run
from mematlas.errors import CorpusError, ModelError, OptionError
from mematlas.probes.items.answering import Text
from mematlas.probes.items.local_model import LocalModel
from mematlas.probes.ratios.finding import nearer, ratios_finding
from mematlas.probes.ratios.run import table_of_ratios
from mematlas.probes.ratios.tables import SHUFFLED, TOLD
from mematlas.probes.ratios.telling import BASE, CONTROL, MODEL, TRAINING
from mematlas.types import Encoder
from tests.probes.task_corpus import text_encoder
from tests.tiny_networks import neox, save_network

_WORDS = {"sport": "match goal team score whistle pitch", "music": "violin chord tune opera singer drum"}
_COMMON = ["the", "a", "then", "under", "evening", "and", "was", "again", "that"]


def text_of(label, random, count=16):
    """Words of a label among others."""
    words = [*_WORDS[label].split(), *_COMMON]
    return " ".join(words[place] for place in random.integers(0, len(words), count))


def write_table(path, sport, music, seed):
    random = np.random.default_rng(seed)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["topic", "text"])
        writer.writerows((label, text_of(label, random)) for label in ["sport"] * sport + ["music"] * music)
    return path


@pytest.fixture
def tables(tmp_path):
    """Training texts at 70 to 30, and control texts at 50 to 50."""
    return {
        "corpus": write_table(tmp_path / "train.csv", 280, 120, 1),
        "control": write_table(tmp_path / "heldout.csv", 200, 200, 2),
    }


class Writer:
    """Writes about sport with this probability, by the seed; breaks at a call, if asked to."""

    def __init__(self, sport, breaks_at=None):
        self.sport, self.breaks_at, self.calls, self.prompts = sport, breaks_at, 0, set()

    def complete(self, prompts, *, max_tokens, temperature=0.0, seed=0, n=1):
        assert temperature == 1
        self.calls += 1
        self.prompts |= set(prompts)
        if self.breaks_at == self.calls:
            raise KeyboardInterrupt
        return [[self._write([seed, crc32(prompt.encode()), number]) for number in range(n)] for prompt in prompts]

    def _write(self, seeds):
        random = np.random.default_rng(seeds)
        if self.sport is None:
            return Text(" ")
        return Text(text_of("sport" if random.random() < self.sport else "music", random))


def probe(tables, sport, writer=None, **options):
    options = {"out": tables["corpus"].parent / "ratios", "samples": 400, "label": "topic"} | tables | options
    return mematlas.probe_ratios("stub", text_model=writer or Writer(sport), **options)


def row(result, name, **which):
    return table_of_ratios(result, name).filter(**which).row(0, named=True)


# ------------------------------------------------------------------------------------------------------ known answers


def test_a_model_with_the_shares_of_its_training_is_told(tables):
    result = probe(tables, 0.7)
    for source, share in ((TRAINING, 0.7), (CONTROL, 0.5)):
        found = row(result, "shares", source=source, label="sport")
        assert (found["given"], found["texts"]) == (pytest.approx(share), 400)
        assert found["share"] == pytest.approx(share, abs=0.01)
    own = row(result, "shares", source=MODEL, label="sport")
    assert own["low"] < 0.7 < own["high"]
    assert own["low"] > 0.6
    assert (own["given"], own["number"]) == (None, 400)
    near, far = (row(result, "distances", to=source) for source in (TRAINING, CONTROL))
    assert near["distance"] < 0.08
    assert near["p"] > 0.05
    assert far["distance"] == pytest.approx(0.2, abs=0.06)
    assert far["p"] < 0.001
    assert far["permuted"] < 0.05 < far["low"]
    found = row(result, "nearness", labels=TOLD)
    assert found["difference"] == pytest.approx(far["distance"] - near["distance"])
    assert (nearer(found), found["texts"]) == ("training", 1200)
    finding = ratios_finding(result)
    assert finding.headline == "stub: shares are nearer to those of its training"
    assert len(finding.sentence.split()) <= 25
    assert finding.sentence.startswith("music: 27 % of its texts, 30 % of training, 50 % of control texts; ")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_model_with_the_shares_of_the_control_is_not_called_near_its_training(tables, seed):
    result = probe(tables, 0.5, seed=seed)
    assert nearer(row(result, "nearness", labels=TOLD)) == "control"
    assert ratios_finding(result).headline == "stub: shares are nearer to those of the control texts"
    assert row(result, "distances", to=TRAINING)["p"] < 0.001


def test_a_model_between_both_is_called_neither(tables):
    result = probe(tables, 0.6)
    assert nearer(row(result, "nearness", labels=TOLD)) is None
    assert ratios_finding(result).headline == "stub: shares are not clearly nearer to either side's"


def test_nothing_is_nearer_if_training_and_control_have_the_same_shares(tables, tmp_path):
    tables = tables | {"control": write_table(tmp_path / "small.csv", 28, 12, 3)}
    result = probe(tables, 0.7)
    assert nearer(row(result, "nearness", labels=TOLD)) is None


def test_shuffled_labels_tell_nothing(tables):
    result = probe(tables, 0.7)
    assert nearer(row(result, "nearness", labels=SHUFFLED)) is None
    assert result.facts["error_rate"][CONTROL] < 0.02
    assert 0.3 < result.facts["error_rate_shuffled"] < 0.6
    errors = table_of_ratios(result, "errors")
    shares = errors.group_by("source", "label").agg(pl.col("share").sum())["share"].to_list()
    assert shares == pytest.approx([1] * 4)
    assert errors.filter(source=CONTROL, label="sport")["texts"].to_list() == [200, 200]


def test_a_pattern_is_the_property_itself(tables):
    result = probe(tables, 0.7, label=None, pattern="ball=goal|team|match|score|whistle|pitch")
    assert nearer(row(result, "nearness", labels=TOLD)) == "training"
    assert nearer(row(result, "nearness", labels=SHUFFLED)) is None
    assert table_of_ratios(result, "shares")["shuffled"].null_count() == 6
    assert table_of_ratios(result, "errors").is_empty()
    assert result.facts["error_rate"] is None
    assert result.facts["error_rate_reason"] == "the pattern itself says who has the property"
    assert result.facts["labels"] == ["ball", "no ball"]
    assert [table.name for table in ratios_finding(result).tables] == ["shares", "distances", "nearness"]


def test_longer_texts_do_not_have_a_pattern_more_often(tables, tmp_path):
    """Training texts are twice as long and therefore have the word more often; cut to one length, they do not."""
    random = np.random.default_rng(5)
    made = ["".join("ab"[n] for n in random.integers(0, 2, 400)) for _ in range(200)]
    for name, texts in (("train.csv", made), ("heldout.csv", [text[:200] for text in made])):
        (tmp_path / name).write_text("text\n" + "\n".join(texts) + "\n")

    class Half:
        def complete(self, prompts, *, seed, n, **options):
            own = np.random.default_rng(seed)
            return [[Text("".join("ab"[k] for k in own.integers(0, 2, 200))) for _ in range(n)] for _ in prompts]

    result = probe(tables, None, Half(), label=None, pattern="run=a{8}")
    whole, cut = (row(result, "shares", source=TRAINING, label="run")[name] for name in ("given", "share"))
    assert whole > cut + 0.1
    assert cut == row(result, "shares", source=CONTROL, label="run")["share"]
    assert row(result, "distances", to=TRAINING)["p"] > 0.05


def test_a_base_model_is_a_control(tables):
    result = probe(tables | {"control": None}, 0.7, base="before", base_text_model=Writer(0.4))
    assert table_of_ratios(result, "distances")["to"].to_list() == [TRAINING, BASE]
    assert nearer(row(result, "nearness", labels=TOLD, control=BASE)) == "training"
    both = probe(tables, 0.7, base="before", base_text_model=Writer(0.7))
    verdicts = table_of_ratios(both, "nearness").filter(labels=TOLD)
    assert verdicts["control"].to_list() == [CONTROL, BASE]
    assert [nearer(record) for record in verdicts.to_dicts()] == ["training", None]
    assert ratios_finding(both).headline == "stub: shares are not clearly nearer to either side's"
    assert not both.table("base").equals(both.table("written")), "drawn with other seeds"


def test_texts_from_one_start_are_one_cluster(tables, tmp_path):
    lines = tables["control"].read_text().splitlines()
    (tmp_path / "few.csv").write_text("\n".join([lines[0], *lines[1:21], *lines[-20:], "sport,two words"]) + "\n")
    writer = Writer(0.7)
    result = probe(tables | {"control": tmp_path / "few.csv"}, None, writer, start_words=2, samples=100)
    starts = {" ".join(line.split(",")[1].split()[:2]) for line in [*lines[1:21], *lines[-20:]]}
    assert writer.prompts == starts
    assert result.facts["too_short"] == 1
    assert row(result, "shares", source=MODEL, label="sport")["number"] == len(starts)
    written = result.table("written")
    assert written.height == 100
    assert written["generation"].n_unique() > 95
    assert any("pulls its shares" in text for text in ratios_finding(result).caveats)


# ------------------------------------------------------------------------------------------------- folder and command


def test_a_stopped_probe_goes_on_and_gives_the_same(tables):
    writer, out = Writer(0.7, breaks_at=3), tables["corpus"].parent / "stopped"
    with pytest.raises(KeyboardInterrupt):
        probe(tables, None, writer, out=out)
    writer.breaks_at = None
    result = probe(tables, None, writer, out=out)
    assert writer.calls == 14  # thirteen shards, of which one was asked twice
    whole = probe(tables, 0.7)
    assert result.table("written").equals(whole.table("written"))
    for name in ("told", "shares", "distances", "nearness", "errors"):
        frame = table_of_ratios(result, name)
        assert frame.equals(table_of_ratios(whole, name))
        for column in frame.columns:
            assert f"| {column} | " in (result.folder / "README.md").read_text()
    assert probe(tables, None, writer, out=out).folder == result.folder
    assert writer.calls == 14
    other = probe(tables, 0.7, seed=1)
    assert other.folder != whole.folder
    assert not other.table("written").equals(whole.table("written"))


def test_the_command_asks_a_model_on_this_machine(tables, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    encoder = text_encoder(tmp_path / "model", [" ".join([*_WORDS.values(), *_COMMON])], 400)
    save_network(neox(encoder.vocabulary, seed=2), tmp_path / "model")
    words = ["probe", "ratios", "model", "--corpus", "train.csv", "--label", "topic", "--control", "heldout.csv"]
    words += ["--samples", "40", "--new-tokens", "8", "--start-words", "1", "--quiet"]
    assert run([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["samples"], document["labels"], document["property"]) == (40, ["music", "sport"], "topic")
    assert len(document["ratios"]["shares"]) == 6
    page = (tmp_path / document["page"]).read_text()
    assert "Shares in what model writes" in page
    assert page.count("<figure>") == 1
    assert run([*words, "--pictures", "svg"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("model: shares are ")
    assert "The page is in ratios/model-" in out
    assert list((tmp_path / document["folder"]).glob("ratios-figures/*.svg"))


# -------------------------------------------------------------------------------------------------------- wrong input


@pytest.mark.parametrize(
    ("change", "options", "part"),
    [
        (
            None,
            {"label": None, "pattern": "q=zebra"},
            "--pattern q=zebra is in none of 800 texts, so that there are no",
        ),
        (None, {"label": None, "pattern": "q=."}, "--pattern q=. is in all of 800 texts, so that there are no shares"),
        (lambda lines: lines[:200], {}, "has one label only, 'sport', in the column 'topic'; shares need two or more"),
        (lambda lines: lines[:10], {}, "has 9 texts; give at least 20, to know their shares"),
        (None, {"start_words": 16}, "has 0 texts of more than 16 words; give at least 20"),
        (None, {"label": "text"}, "labels in the column 'text'; give at most 50, such as ranges of a number"),
        (
            None,
            {"label": "topics"},
            "has no column 'topics'. Did you mean 'topic'? It has: topic, text; name the column",
        ),
        (
            lambda lines: [*lines, "art,some words"],
            {},
            "'art' has 1 different texts, and a label is learnt from one to",
        ),
        (lambda lines: [*lines, "art,"], {}, "has no text in the column 'text' (''); fill it, or leave the record out"),
    ],
)
def test_a_wrong_table_is_one_line(tables, change, options, part):
    path = tables["corpus"]
    if change:
        path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")
    with pytest.raises(CorpusError) as raised:
        probe(tables, 0.7, **options)
    assert part in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_label_of_control_texts_alone_is_refused(tables):
    with tables["control"].open("a") as file:
        file.write("sports,some words\n")
    with pytest.raises(CorpusError, match=r"has the label 'sports', which no text of .* Did you mean 'sport'\?"):
        probe(tables, 0.7)


def test_a_model_that_writes_nothing_is_said(tables):
    with pytest.raises(ModelError, match="stub wrote 0 texts with a character, of 400; shares need 20: ask for more"):
        probe(tables, None)


def test_a_model_without_a_token_that_starts_a_text_is_refused():
    encoder = Encoder("bare", "", 9, lambda texts: [[] for _ in texts], None, lambda rows: ["" for _ in rows])
    card = SimpleNamespace(label="bare", bos=None, eos=(), max_length=None)
    with pytest.raises(ModelError, match="bare names no token that starts or ends a text; give prompts that"):
        LocalModel(None, card, encoder).complete([""], max_tokens=3)


def test_an_api_is_refused_with_the_way_to_ask_it(tables):
    with pytest.raises(OptionError, match=r"is a model behind an API, .*probe_ratios\(\) the endpoint as text_model"):
        mematlas.probe_ratios("api:http://127.0.0.1:9/v1#tiny", label="topic", **tables)
