"""A task from file to page: a model that learnt its corpus follows it, an untrained one does not, and nothing twice."""

import json

import numpy as np
import pytest

import mematlas
from mematlas.cli import run
from mematlas.errors import ModelError, OptionError
from mematlas.index.infinigram import export_infinigram
from mematlas.probes.tasks import run as tasks_run
from mematlas.probes.tasks.finding import headline_mem, task_findings
from mematlas.probes.tasks.run import table_of_models
from mematlas.stats.hypotheses import clustered_correlation
from tests.probes.task_corpus import DOCUMENTS, NAMES, TEMPLATE, code, name, right_times, sentences, write_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("tasks"))


@pytest.fixture(autouse=True)
def _fewer_draws(monkeypatch):
    monkeypatch.setattr(clustered_correlation, "RESAMPLES", 199)
    monkeypatch.setattr(clustered_correlation, "SHUFFLES", 199)


def probe(world, out, *models, **options):
    asked = {"task": world / "task.jsonl", "index": world / "index", "template": TEMPLATE, "n": 1, "similarity": "any"}
    asked |= {"gamma": 0.5, "control": world / "untrained", "out": out}
    return mematlas.probe_tasks(*(models or (world / "trained",)), **(asked | options))


@pytest.fixture(scope="module")
def result(world, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clustered_correlation, "RESAMPLES", 199)
        patch.setattr(clustered_correlation, "SHUFFLES", 199)
        return probe(world, tmp_path_factory.mktemp("out"))


def test_counts_are_those_of_the_sentences(result):
    pairs = result.table("pairs")
    assert pairs["sy"].to_list() == [code(number) for number in range(NAMES)]
    texts = sentences()
    for number, record in enumerate(pairs.to_dicts()):
        own = [text for text in texts if f" {name(number)} " in text]
        assert record["count_x"] == record["occurrences_x"] == len(own) == DOCUMENTS
        assert record["count_pair"] == sum(text.endswith(code(number)) for text in own) == right_times(number)
        assert record["count_y"] == sum(text.endswith(code(number)) for text in texts)
        assert record["log_p"] == pytest.approx(np.log(right_times(number) / DOCUMENTS))
    spans = result.table("spans")
    np.testing.assert_allclose(spans["log_p_infinity"], pairs["log_p"], atol=1e-9)  # the whole prompt is in the corpus


def test_a_trained_model_follows_its_corpus_and_an_untrained_one_does_not(result):
    mem = {record["model"]: record for record in headline_mem(table_of_models(result, "mem"), result.facts).to_dicts()}
    trained, untrained = mem["trained"], mem["untrained"]
    assert trained["rho"] > 0.8
    assert trained["p"] <= 0.01
    assert trained["low"] > trained["null_high"] > 0
    assert (trained["control"], untrained["control"]) == (False, True)
    assert untrained["null_low"] < untrained["rho"] < untrained["null_high"]
    assert trained["parameters"] == untrained["parameters"] > 0
    first, second = task_findings(result)
    assert first.headline.startswith("trained follows its corpus: Mem = 0.")
    coverage = second.table("coverage").filter(model="trained")
    assert coverage["right"].to_list()[-1] > coverage["right"].to_list()[0]
    assert coverage["examples"].sum() == NAMES


def test_more_models_ask_the_index_nothing_again_and_all_at_once_is_the_same(world, tmp_path, result, monkeypatch):
    alone = probe(world, tmp_path, control=[])
    monkeypatch.setattr(tasks_run, "_EXAMPLES_IN_A_SHARD", 32)

    def no_index(*arguments):
        raise AssertionError("the index is asked again")

    monkeypatch.setattr(tasks_run, "TaskIndex", no_index)
    added = probe(world, tmp_path)
    assert added.folder == alone.folder
    for kind in ("mem", "coverage"):
        assert table_of_models(added, kind).equals(table_of_models(result, kind))


def test_shards_change_nothing(world, tmp_path, result, monkeypatch):
    monkeypatch.setattr(tasks_run, "_EXAMPLES_IN_A_SHARD", 5)
    small = probe(world, tmp_path)
    for kind in ("examples", "pairs", "spans"):
        assert small.table(kind).equals(result.table(kind))
    mem, other = (table_of_models(each, "mem") for each in (small, result))
    assert mem.equals(other)


def test_an_infini_gram_folder_counts_the_same(world, tmp_path, result):
    export_infinigram(world / "index", tmp_path / "infini")
    found = probe(world, tmp_path, index=tmp_path / "infini", tokenizer=world / "trained", control=[])
    assert found.table("pairs").equals(result.table("pairs"))
    assert found.table("spans").equals(result.table("spans"))


def test_equal_n_grams_are_a_null(world, tmp_path):
    (tmp_path / "copies.jsonl").write_text(
        "".join(json.dumps({"input": f"{name(n)} x", "output": name(n)}) + "\n" for n in range(6))
    )
    found = probe(world, tmp_path, task=tmp_path / "copies.jsonl", similarity="exact", control=[])
    record = headline_mem(table_of_models(found, "mem"), found.facts).row(0, named=True)
    assert (record["rho"], record["pairs"], record["reason"]) == (None, 6, "one side does not vary")
    assert task_findings(found)[0].headline == "Mem of trained is not defined"


def test_examples_without_pairs_are_said(world, tmp_path):
    found = probe(world, tmp_path, similarity="characters", control=[])
    assert found.facts["examples_with_pairs"] == found.facts["pairs"] == 0
    assert "24 of 24 examples have no pair." in task_findings(found)[0].caveats
    mem = table_of_models(found, "mem")
    assert mem["zero_share"].null_count() == mem.height, "not measured, and not 0"


def test_the_command_writes_a_page_and_prints_json(world, tmp_path, capsys):
    words = [str(world / "trained"), "--task", str(world / "task.jsonl"), "--index", str(world / "index")]
    words += ["--template", TEMPLATE, "--n", "1", "--similarity", "any", "--gamma", "0.5,0.7", "--out", str(tmp_path)]
    assert run(["probe", "tasks", *words, "--json", "--quiet"]) == 0
    document = json.loads(capsys.readouterr().out)
    page = open(document["page"]).read()  # noqa: SIM115
    assert "trained follows its corpus" in page
    assert len(document["memorization"]["sensitivity"]) == 2
    assert document["overlap"]["8"]["found"] == 0, "what was asked is not hidden by a table of this name"
    assert "://" not in page.replace("http://www.w3.org", "")
    assert run(["probe", "tasks", *words, "--quiet"]) == 0
    assert "The page is in" in capsys.readouterr().out
    readme = (tmp_path / document["folder"].rsplit("/", 1)[-1] / "README.md").read_text()
    assert "## mem.parquet" in readme
    assert "| count_pair |" in readme


def test_mistakes_are_one_line(world, tmp_path):
    with pytest.raises(OptionError, match="A probe of a task needs a model; name its folder or hub id"):
        mematlas.probe_tasks(task="t", index="i")
    with pytest.raises(OptionError, match="Two models are called 'trained'; name each once"):
        probe(world, tmp_path, control=world / "trained")
    with pytest.raises(OptionError, match="--similarity: 'letters' is none of characters, any, exact, embedder:DIR"):
        probe(world, tmp_path, similarity="letters")
    with pytest.raises(OptionError, match="--gamma: similarities to exceed are from 0 to below 1"):
        probe(world, tmp_path, gamma=1.0)
    with pytest.raises(ModelError, match="has no tokenizer, which a task's texts need"):
        probe(world, tmp_path, "uniform:60", index=world / "index", tokenizer=world / "trained")
