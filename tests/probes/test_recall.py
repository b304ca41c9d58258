"""Recall of facts: accuracy, buckets, correlations, invariance and errors of models whose knowledge is known."""

import json

import numpy as np
import polars as pl
import pytest

import mematlas
from mematlas.errors import CorpusError, ModelError, OptionError
from mematlas.models.base import LoadOptions
from mematlas.models.resolve import find_model
from mematlas.probes.items.local_model import LocalModel
from mematlas.probes.recall.buckets import equal_buckets, faithful_buckets, prediction_invariance
from mematlas.probes.recall.errors import label_jaccard
from mematlas.report.plain_pages.recall import write_recall
from tests.byte_level_tokenizer import byte_level_encoder
from tests.probes.recall_stubs import TEMPLATE, Lookup, code, knows, name, write_task
from tests.tiny_networks import neox, save_network

COUNT = 200


def probe(folder, stub, **options):
    asked = {"items": folder / "task.jsonl", "template": TEMPLATE, "shots": 0, "out": folder / "out"} | options
    return mematlas.probe_recall("stub", text_model=stub, **asked)


def share(result, what, **setting):
    (row,) = result.table("accuracy").filter(what=what, **setting).to_dicts()
    return row


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    """A lookup that knows the upper half of 200 items by popularity."""
    folder = tmp_path_factory.mktemp("half")
    write_task(folder / "task.jsonl", COUNT)
    return probe(folder, Lookup(knows(COUNT, lambda n: n >= COUNT / 2)))


# --------------------------------------------------------------------------------------------------- known knowledge


def test_accuracy_is_the_share_that_the_lookup_knows(half):
    assert (share(half, "recall")["hits"], share(half, "recall")["n"]) == (COUNT // 2, COUNT)
    assert share(half, "answers in the list")["share"] == 1
    assert share(half, "made-up inputs answered from the list")["share"] == 0


def test_shuffled_labels_give_chance(half):
    control = share(half, "shuffled labels")
    assert control["low"] <= 1 / COUNT <= control["high"]
    assert control["share"] == pytest.approx(1 / COUNT, abs=0.003)
    assert share(half, "recall")["low"] > control["high"]


def test_buckets_are_a_step_whose_rank_correlation_is_the_formulas(half):
    for scheme, count in (("equal", 10), ("faithful", 50)):
        buckets = half.table("buckets").filter(scheme=scheme)
        assert buckets["accuracy"].to_list() == [0.0] * (count // 2) + [1.0] * (count // 2)
        (row,) = half.table("correlations").filter(over=scheme, kind="spearman").to_dicts()
        known = count // 2
        expected = np.sqrt(3 * known * (count - known) / (count**2 - 1))
        assert row["estimate"] == pytest.approx(expected)
        assert row["p"] < 0.02
    (items,) = half.table("correlations").filter(over="items", kind="spearman").to_dicts()
    assert items["estimate"] == pytest.approx(np.sqrt(3 * 100 * 100 / (200**2 - 1)))
    assert items["low"] < items["estimate"] < items["high"]


def test_knowledge_without_regard_to_popularity_shows_none(tmp_path):
    write_task(tmp_path / "task.jsonl", COUNT)
    random = np.random.default_rng(0).random(COUNT) < 0.5
    result = probe(tmp_path, Lookup(knows(COUNT, lambda n: bool(random[n]))))
    (row,) = result.table("correlations").filter(over="items", kind="spearman").to_dicts()
    assert abs(row["estimate"]) < 0.2
    assert row["low"] < 0 < row["high"]
    assert row["p"] > 0.05


def test_a_model_that_knows_nothing_has_no_correlation_and_says_why(tmp_path):
    write_task(tmp_path / "task.jsonl", 40)
    result = probe(tmp_path, Lookup(lambda line, temperature, repeat: " nothing"))
    assert share(result, "recall")["hits"] == 0
    reasons = result.table("correlations")["reason"].unique().to_list()
    assert reasons == ["one side does not vary"]
    assert result.table("errors").height == 0


def test_without_popularity_there_are_no_buckets(tmp_path):
    write_task(tmp_path / "task.jsonl", 40, popularity=None)
    result = probe(tmp_path, Lookup(knows(40, lambda n: True)))
    assert result.table("buckets").height == 0
    assert result.facts["popularity"] == {"source": None, "unit": "as given", "known": 0}
    assert "How frequent the items are is not known." in result.finding.claim


def test_an_id_that_begins_another_needs_its_end(tmp_path):
    records = [{"input": f"thing {chr(97 + n)}", "output": output} for n, output in enumerate(["1", "11", "111", "12"])]
    (tmp_path / "task.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    result = probe(tmp_path, Lookup(lambda line, temperature, repeat: " 11."), candidates=0, made_up=0)
    assert result.table("items").sort("output")["hit"].to_list() == [False, True, False, False]


# ----------------------------------------------------------------------------------------------------------- buckets


def test_faithful_buckets_are_of_values_and_equal_ones_of_items():
    popularity = np.array([0.0] * 70 + list(range(1, 31)))
    faithful, equal = faithful_buckets(popularity, 5), equal_buckets(popularity, seed=0)
    assert np.bincount(faithful).tolist() == [76, 6, 6, 6, 6]  # 31 values in groups of 7, 6, 6, 6, 6
    assert np.bincount(equal).tolist() == [10] * 10
    order = np.argsort(equal, kind="stable")
    assert (np.diff(popularity[order][::10]) >= 0).all()
    assert faithful_buckets(np.array([3.0, 3.0]), 50).tolist() == [0, 0]


def test_prediction_invariance_is_the_papers():
    assert prediction_invariance(1, 4) == 1
    assert prediction_invariance(4, 4) == 0
    assert prediction_invariance(2, 3) == 0.5
    with pytest.raises(ValueError, match="1 to R distinct answers"):
        prediction_invariance(5, 4)


def test_words_in_common():
    assert label_jaccard("Red Apple", "red pear") == pytest.approx(1 / 3)
    assert label_jaccard("a", "b") == 0


# -------------------------------------------------------------------------------------------------------- invariance


@pytest.fixture(scope="module")
def moody(tmp_path_factory):
    """A model whose answer depends on temperature above a half, on the language, and on the repeat."""
    folder = tmp_path_factory.mktemp("moody")
    write_task(folder / "task.jsonl", 30)
    (folder / "templates.jsonl").write_text(
        '{"template": "The code of {input} is {output}.", "language": "en"}\n'
        '{"template": "Code of {input}: {output}.", "language": "en"}\n'
        '{"template": "Il codice di {input} è {output}.", "language": "it"}\n'
    )

    def answer(line, temperature, repeat):
        if "codice" in line:
            return " otto."
        return f" t{temperature:g}".replace(".", "") if temperature > 0.5 else f" same{repeat}."

    axes = ["templates", "languages", "temperatures", "repetitions"]
    options = {"template": folder / "templates.jsonl", "invariance": axes, "repetitions": 3, "invariance_items": 12}
    return probe(folder, Lookup(answer), **options)


def test_invariance_is_measured_over_each_axis(moody):
    found = (
        moody.table("invariance").group_by("axis", maintain_order=True).agg(pl.col("pi", "repeats").mean(), pl.len())
    )
    by_axis = {axis: (pi, repeats, count) for axis, pi, repeats, count in found.iter_rows()}
    assert by_axis["templates"] == (1, 2, 30)  # the two English ones
    assert by_axis["languages"] == (0, 2, 30)
    assert by_axis["temperatures"] == (pytest.approx(1 - 5 / 10), 11, 12)  # 0 to .5 alike, .6 to 1 each its own
    assert by_axis["repetitions"] == (0, 3, 12)
    assert "Mean prediction invariance is 1.00 over 2 templates (n = 30); 0.00 over 2 languages" in moody.finding.claim


def test_errors_near_the_truth_are_nearer_than_random_ones(tmp_path):
    records = [
        {
            "id": n,
            "input": f"group{chr(97 + n // 2)} item{chr(97 + n)}",
            "output": f"{n // 2 * 37 % 91:02}{n % 2}{n % 2}",
        }
        for n in range(60)
    ]
    (tmp_path / "task.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    sibling = {record["input"]: records[record["id"] ^ 1]["output"] for record in records}
    stub = Lookup(lambda line, temperature, repeat: " " + sibling.get(line[12:-3], "?"))
    near = (
        probe(tmp_path, stub)
        .table("errors")
        .select(pl.col("edit", "random_edit", "label_jaccard", "random_jaccard").mean())
    )
    edit, random_edit, jaccard, random_jaccard = near.row(0)
    assert edit == 2
    assert random_edit > 2.5
    assert jaccard == pytest.approx(1 / 3)
    assert random_jaccard < 0.1
    order = np.random.default_rng(0).permutation(60).tolist()  # the control: answers of random items
    random = {record["input"]: records[other]["output"] for record, other in zip(records, order, strict=True)}
    stub = Lookup(lambda line, temperature, repeat: " " + random.get(line[12:-3], "?"))
    far = probe(tmp_path, stub, out=tmp_path / "far").table("errors")
    assert abs(far["edit"].mean() - far["random_edit"].mean()) < 0.5


# --------------------------------------------------------------------------------------------------- shards and files


def test_a_stopped_probe_goes_on_and_gives_the_same(half, tmp_path):
    write_task(tmp_path / "task.jsonl", COUNT)
    stub = Lookup(knows(COUNT, lambda n: n >= COUNT / 2), breaks_at=3)
    with pytest.raises(KeyboardInterrupt):
        probe(tmp_path, stub)
    stub.breaks_at, stub.asked = None, 0
    result = probe(tmp_path, stub)
    assert stub.asked == result.answers().height - 3 * 32
    stub.asked = 0
    assert probe(tmp_path, stub).answers().equals(half.answers())
    assert stub.asked == 0
    for table in ("items", "accuracy", "buckets", "correlations", "errors"):
        assert result.table(table).equals(half.table(table))
    other = probe(tmp_path, stub, seed=1)  # another question, another folder
    assert other.folder != result.folder


def test_popularity_can_be_given_later_without_asking_again(half, tmp_path):
    write_task(tmp_path / "task.jsonl", COUNT)
    stub = Lookup(knows(COUNT, lambda n: n >= COUNT / 2))
    probe(tmp_path, stub)
    asked = stub.asked
    (tmp_path / "counts.csv").write_text("id,popularity\n" + "".join(f"{n},{COUNT - n}\n" for n in range(COUNT)))
    result = probe(tmp_path, stub, popularity=tmp_path / "counts.csv")
    assert stub.asked == asked
    (row,) = result.table("correlations").filter(over="equal", kind="spearman").to_dicts()
    assert row["estimate"] < -0.8


def test_the_card_explains_every_column(half):
    text = (half.folder / "README.md").read_text()
    for table in ("items", "accuracy", "buckets", "correlations", "invariance", "errors", "popularity"):
        for column in half.table(table).columns:
            assert f"| {column} | " in text
    for column in half.answers().columns:
        assert f"| {column} | " in text
    assert "mematlas probe recall stub --items" in text


def test_the_page_has_figures_and_hostile_names_stay_text(tmp_path):
    records = [
        {"input": f"<script>alert({n})</script> {name(n)}", "output": code(n), "popularity": n} for n in range(40)
    ]
    (tmp_path / "task.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    result = probe(tmp_path, Lookup(lambda line, temperature, repeat: " <b>Q</b>"))
    write_recall(tmp_path / "recall.html", result.facts, result.finding, result.table("items"), ["svg"])
    page = (tmp_path / "recall.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert page.count("<figure>") == len(list((tmp_path / "recall-figures").iterdir())) == 3


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"template": "The code is {output}"}, OptionError, "lacks the slot {input}"),
        ({"answer": r"\d"}, OptionError, "so that no answer could be right"),
        ({"popularity": "nowhere"}, OptionError, "--popularity nowhere is neither a file nor index:DIR"),
        ({"window": 5}, OptionError, "--window is used with --popularity index:DIR alone; leave it out."),
        ({"shots": 150}, OptionError, "--shots 150 are taken from the items and not asked, and there are 40"),
        ({"shots": -1}, OptionError, "--shots"),
        ({"temperatures": [1.0]}, OptionError, "--temperatures"),
        ({"items": "none.csv"}, CorpusError, "There is no file none.csv"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, monkeypatch, options, error, message):
    monkeypatch.chdir(tmp_path)
    write_task(tmp_path / "task.jsonl", 40)
    with pytest.raises(error) as raised:
        probe(tmp_path, Lookup(knows(40, lambda n: True)), **options)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


# --------------------------------------------------------------------------------------------------------- real models


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A random network with a tokenizer, and a task of which it gives three answers by itself."""
    folder = tmp_path_factory.mktemp("local")
    byte_level_encoder(folder / "model", (TEMPLATE, *map(name, range(40))))
    network = neox(320, seed=2, hidden_size=16)
    for parameter in network.parameters():
        parameter.data *= 3
    save_network(network, folder / "model")
    source = find_model(str(folder / "model"))
    local = LocalModel(source.load(LoadOptions()), source.card, source.encoder())
    prompts = [f"The code of {name(n)} is" for n in range(40)]
    written = [answer.text for (answer,) in local.complete(prompts, max_tokens=8)]
    records = [{"id": str(n), "input": name(n), "output": code(n), "popularity": n} for n in range(40)]
    (folder / "task.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder, written


def test_a_local_model_gives_chances_ranks_and_rows(folder, tmp_path):
    folder, _ = folder
    options = {"items": folder / "task.jsonl", "template": TEMPLATE, "shots": [0, 1], "out": tmp_path, "made_up": 5}
    result = mematlas.probe_recall(folder / "model", **options)
    items = result.table("items")
    assert items.height == 2 * 39  # one is the example
    assert items["logp"].null_count() == 0
    assert items["rank"].is_between(1, 16).all()
    assert share(result, "right answer above one that does not exist", shots=0)["n"] == 39
    rows = pl.read_parquet(result.folder / "rows.parquet")
    assert rows.height == items.height
    assert set(rows["source"]) == {"items"}
    study = mematlas.score(
        folder / "model", corpus=result.folder / "rows.parquet", context=[4], continuation=[4], study=tmp_path / "study"
    )
    assert study.scores().height == rows.height  # rows are a corpus as any other


def test_batches_change_no_answer(folder, tmp_path):
    folder, written = folder
    options = {"items": folder / "task.jsonl", "template": TEMPLATE, "shots": 0, "made_up": 0, "new_tokens": 8}
    result = mematlas.probe_recall(folder / "model", out=tmp_path, **options)
    assert result.table("items").height == 40
    assert result.answers().sort(pl.col("item").cast(pl.Int64))["text"].to_list() == written


def test_a_model_without_a_tokenizer_is_one_line(folder, tmp_path):
    folder, _ = folder
    with pytest.raises(ModelError, match="uniform:60 has no tokenizer, which a probe with texts needs"):
        mematlas.probe_recall("uniform:60", items=folder / "task.jsonl", template=TEMPLATE, out=tmp_path)
