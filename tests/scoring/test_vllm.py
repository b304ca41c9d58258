"""The scores of the vLLM engine equal those of the torch engine; what it cannot do is refused in one line."""

import sys

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import torch

import mematlas
from mematlas.errors import CorpusError, MissingExtra, ModelError, OptionError
from mematlas.models.base import LoadOptions
from mematlas.models.resolve import find_model
from mematlas.models.vllm import VllmModel
from mematlas.progress import Silent
from mematlas.scoring.engines.vllm import VLLM_CAVEAT, VllmEngine, load_vllm_engine
from mematlas.scoring.options import ScoringOptions
from mematlas.scoring.records.tables import score_table
from tests import tiny_networks as networks
from tests.scoring import fake_vllm

V = 61
GRID = {"contexts": [4, 7], "continuations": [3, 8]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A network whose greedy text sometimes contains its EOS token."""
    network = networks.neox(V, eos_token_id=3, bos_token_id=5)
    network.generation_config.eos_token_id = 3
    with torch.inference_mode():
        for weight in network.parameters():
            weight.mul_(4 if weight.dim() == 2 else 1)
        network.get_output_embeddings().weight[3] *= 1.5
    return networks.save_network(network, tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def network(folder):
    from transformers import GPTNeoXForCausalLM

    return GPTNeoXForCausalLM.from_pretrained(folder).eval()


@pytest.fixture
def vllm(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", fake_vllm)
    fake_vllm.LLM.loaded.clear()
    return fake_vllm.LLM


def score_records(engine, rows, options):
    results = engine.score(rows, np.arange(len(rows.ids)))
    return score_table("m", np.arange(len(rows.ids)), results, options).to_pylist()


@pytest.mark.parametrize(
    ("align", "depth", "eos", "bos"),
    [
        ("start", "graded", "ignore", False),
        ("start", "graded", "suppress", False),
        ("start", "graded", "stop", True),
        ("start", "verbatim", "stop", False),
        ("end", "verbatim", "ignore", False),
        ("end", "graded", "suppress", True),
    ],
)
def test_tables_equal_those_of_the_torch_engine(vllm, folder, network, align, depth, eos, bos):
    grid = networks.grid(**GRID, align=align)
    rows = networks.partly_recited_rows(network, grid, 24)
    rows[5] = rows[4]
    lengths = [*[grid.width] * 18, *[grid.width - 2] * 3, grid.continuation_start(4) + 3, 5, 1]
    shard, options = networks.token_rows(rows, lengths), ScoringOptions(grid, depth, eos=eos, bos=bos)
    source = find_model(str(folder))
    torch_engine = networks.Engine(source.load(LoadOptions(device="cpu")), source.card, options)
    expected = score_records(torch_engine, shard, options)
    records = score_records(load_vllm_engine(source, LoadOptions(), options), shard, options)
    assert len(expected) == len(records) == 24 * 4
    assert {record["reason"] for record in expected} >= {None, "short"}
    assert sum(record["verbatim"] == record["continuation"] for record in expected) > 5
    for record, wanted in zip(records, expected, strict=True):
        assert record | {"margin": None} == wanted | {"margin": None}
        assert (record["margin"] is None) == (wanted["margin"] is None)
        assert wanted["margin"] is None or record["margin"] == pytest.approx(wanted["margin"], abs=1e-4)


def test_these_rows_distinguish_the_eos_policies(vllm, folder, network):
    grid = networks.grid(**GRID)
    shard, source = networks.token_rows(networks.partly_recited_rows(network, grid, 24)), find_model(str(folder))
    records = {
        eos: score_records(
            load_vllm_engine(source, LoadOptions(), ScoringOptions(grid, eos=eos)), shard, ScoringOptions(grid, eos=eos)
        )
        for eos in ("ignore", "suppress", "stop")
    }
    assert records["ignore"] != records["suppress"] != records["stop"] != records["ignore"]


def test_a_vllm_run_has_a_key_of_its_own_and_a_caveat(vllm, folder, network, tmp_path):
    grid = networks.grid(**GRID)
    np.save(tmp_path / "rows.npy", networks.partly_recited_rows(network, grid, 24).astype(np.uint16))
    options = {"corpus": str(tmp_path / "rows.npy"), "context": [4, 7], "continuation": [3, 8], "shards": 2}
    messages = []

    class Watcher(Silent):
        def say(self, text):
            messages.append(text)

    both = {"study": tmp_path / "study", **options}
    torch_run = mematlas.score(str(folder), device="cpu", **both).run()
    study = mematlas.score(str(folder), progress=Watcher(), backend="vllm", **both)
    run = study.run()
    assert messages == [VLLM_CAVEAT]
    assert torch_run.key != run.key
    assert "backend" not in torch_run.settings
    assert run.settings["backend"] == "vllm"
    tables = [
        pl.read_parquet(sorted((study.folder / "scores" / key).glob("*/*.parquet"))).drop("margin")
        for key in (torch_run.key, run.key)
    ]
    assert tables[0].equals(tables[1])
    metadata = pq.read_schema(next((study.folder / "scores" / run.key).glob("*/*.parquet"))).metadata
    assert metadata[b"mematlas.backend"] == b"vllm"
    assert metadata[b"mematlas.batch"] == b"chosen by vLLM"
    assert vllm.loaded == [
        {
            "model": str(folder),
            "max_model_len": 15,
            "dtype": "float32",
            "skip_tokenizer_init": True,
            "trust_remote_code": False,
            "tensor_parallel_size": 1,
            "enable_prefix_caching": False,
            "generation_config": "vllm",
            "seed": 0,
        }
    ]


def test_forbidden_ids_beyond_the_vocabulary_are_not_named(vllm, folder):
    """vLLM's sampler is known to crash on them (gonka-ai/gonka#1170)."""
    model = VllmModel(folder, networks.card(V), LoadOptions(), 10, "suppress", (3, V))
    assert model._sampling(4).stop_token_ids == [3]
    nothing = VllmModel(folder, networks.card(V), LoadOptions(), 10, "suppress", ())._sampling(4)
    assert (nothing.stop_token_ids, nothing.min_tokens) == ([], 0)


def test_without_vllm_the_extra_is_named(monkeypatch, folder):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingExtra, match=r"^The backend 'vllm' needs the library 'vllm'.*mematlas\[vllm\]\"$"):
        load_vllm_engine(find_model(str(folder)), LoadOptions(), ScoringOptions(networks.grid([4], [3])))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"signals": ["truth"]},
            "--backend vllm gives scores and margins but no --signals truth; leave the signals out, or",
        ),
        ({"signals": ["hidden"]}, "but no --signals hidden"),
        ({"dtype": "bfloat16", "settle": True}, "--settle loads the model a second time, for which vLLM leaves no"),
        ({"device": "cuda:1"}, "--device cuda:1 is for --backend torch only; vLLM uses all visible GPUs: leave it out"),
        ({"batch": "auto"}, "--batch auto is for --backend torch only; vLLM chooses its own batches: leave it out"),
        ({"graphs": "off"}, "--graphs off is for --backend torch only; vLLM captures its own graphs: leave it out"),
        (
            {"models": "uniform:61"},
            "--backend vllm needs a Hugging Face folder or hub id, and 'uniform:61' is",
        ),
    ],
)
def test_options_that_vllm_cannot_fulfil_are_refused_before_anything_is_loaded(
    vllm, tmp_path, folder, options, message
):
    np.save(tmp_path / "rows.npy", np.zeros((2, 64), dtype=np.uint16))
    model = options.pop("models", str(folder))
    with pytest.raises(OptionError, match=f"^.*{message}") as error:
        mematlas.score(model, corpus=str(tmp_path / "rows.npy"), study=tmp_path / "s", backend="vllm", **options)
    assert "\n" not in str(error.value)
    assert vllm.loaded == []


def test_invalid_output_of_vllm_is_an_error_and_no_score(vllm, folder, monkeypatch):
    source, options = find_model(str(folder)), ScoringOptions(networks.grid([4], [3]))
    engine, complete = load_vllm_engine(source, LoadOptions(), options), fake_vllm.LLM._complete
    rows = networks.token_rows(np.ones((2, 7), dtype=np.int64))

    def short(self, prompts, params):
        outputs = complete(self, prompts, params)
        outputs[-1].outputs[0].token_ids.pop()
        return outputs

    monkeypatch.setattr(fake_vllm.LLM, "_complete", short)
    with pytest.raises(ModelError, match=r"^tiny: vLLM returned 2 tokens instead of 3; please report this"):
        engine.score(rows, np.arange(2))

    def spoiled(self, prompts, params):
        outputs = complete(self, prompts, params)
        for entry in outputs[-1].outputs[0].logprobs[1].values():
            entry.logprob = float("nan")
        return outputs

    monkeypatch.setattr(fake_vllm.LLM, "_complete", spoiled)
    with pytest.raises(ModelError, match=r"^tiny: vLLM returned log-probabilities that are not numbers"):
        engine.score(rows, np.arange(2))


def test_a_model_that_vllm_cannot_load_is_an_error_of_one_line(vllm, folder, monkeypatch):
    def refusing(self, **_):
        raise ValueError("\nno such architecture\nmore of it")

    monkeypatch.setattr(fake_vllm.LLM, "__init__", refusing)
    with pytest.raises(ModelError, match="cannot be loaded by vLLM: no such architecture; score it with --backend"):
        VllmModel(folder, networks.card(), LoadOptions(), 10, "ignore", ())


def test_it_checks_rows_as_the_torch_engine_does(vllm, folder):
    options = ScoringOptions(networks.grid([4], [3]))
    engine = VllmEngine(None, networks.card(61), options)
    with pytest.raises(CorpusError, match=r"^Row 7 contains the token id 61 at position 2"):
        engine.score(networks.token_rows(np.array([[1, 2, 61, 1, 1, 1, 1]])), np.array([7]))
