"""Scores through an API equal those of the same model on this machine; what an API cannot give is refused by name."""

import json
import re

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import torch

import mematlas
from mematlas.errors import CorpusError, ModelError, OptionError
from mematlas.models.endpoints.capabilities import find_capabilities
from mematlas.models.endpoints.client import Endpoint
from mematlas.models.endpoints.model import EndpointModel
from mematlas.types import Grid
from tests import tiny_networks as networks
from tests.endpoint_server import FAULTS, serve

V = 61
GRID = {"context": [4, 7], "continuation": [3, 8]}
SECRET = "sk-0123456789-secret"


@pytest.fixture(scope="module")
def network():
    network = networks.neox(V, eos_token_id=3)
    network.generation_config.eos_token_id = 3
    with torch.inference_mode():
        for weight in network.parameters():
            weight.mul_(4 if weight.dim() == 2 else 1)
        network.get_output_embeddings().weight[3] *= 1.5
    return network


@pytest.fixture(scope="module")
def desk(network, tmp_path_factory):
    """A folder with the model, and rows of which many are recited for a while."""
    desk = tmp_path_factory.mktemp("desk")
    networks.save_network(network, desk / "tiny")
    rows = networks.partly_recited_rows(network, Grid((4, 7), (3, 8)), 24)
    np.save(desk / "rows.npy", rows)
    return desk


@pytest.fixture(autouse=True)
def _quick(desk, monkeypatch):
    monkeypatch.chdir(desk)
    monkeypatch.delenv("MEMATLAS_API_KEY", raising=False)
    monkeypatch.setattr(Endpoint.__init__, "__defaults__", (*Endpoint.__init__.__defaults__[:-1], 0.01))


def score(spec, study, **options):
    options = {"corpus": "rows.npy", "shards": 2, "allow_short": True, **GRID, **options}
    return mematlas.score(spec, study=study, **options)


def api(served):
    return f"api:{served.url}#tiny"


def values(study):
    columns = ("row", "context", "continuation", "matches", "verbatim", "reason")
    return study.scores().select(columns).sort("row", "context", "continuation")


@pytest.fixture(scope="module")
def local(desk, tmp_path_factory):
    """The scores of the model's folder, by depth, alignment and EOS policy."""
    known = {}

    def of(**options):
        key = tuple(sorted(options.items()))
        if key not in known:
            known[key] = score("tiny", tmp_path_factory.mktemp("local") / "study", **options)
        return known[key]

    return of


@pytest.mark.parametrize(
    ("variant", "options"),
    [
        ("full", {"depth": "graded"}),
        ("full", {"depth": "graded", "align": "end"}),
        ("full", {"depth": "verbatim"}),
        ("full", {"depth": "graded", "eos": "stop"}),
        ("ids", {"depth": "verbatim"}),
        ("echo", {"depth": "verbatim"}),
        ("plain", {"depth": "verbatim", "align": "end"}),
    ],
)
def test_scores_are_those_of_the_same_model_on_this_machine(network, local, tmp_path, variant, options):
    expected = local(**options)
    eos = 3 if options.get("eos") == "stop" else None
    with serve(network, variant, eos=eos) as served:
        study = score(api(served), tmp_path / "study", **options)
    assert values(study).equals(values(expected))
    assert 0 < values(study)["verbatim"].mean() < 8  # some rows are recited, some are not
    shard = next((tmp_path / "study" / "scores").rglob("*.parquet"))
    reads = pq.read_schema(shard).metadata[b"mematlas.endpoint_reads"].decode()
    assert reads == (
        "greedy text" if "graded" in options["depth"] or variant == "ids" else "log-probabilities of the prompt"
    )
    if variant != "ids":  # margins come back, too
        both = study.scores().join(expected.scores(), on=["row", "context", "continuation"])
        known = both.filter(pl.col("margin").is_not_null() & (pl.col("verbatim") == pl.col("continuation")))
        assert np.abs(known["margin"] - known["margin_right"]).max() < 1e-3


@pytest.mark.parametrize("variant", ["full", "echo", "plain"])
def test_the_probability_of_a_text_is_that_of_the_model_on_this_machine(network, desk, variant):
    rows = np.load(desk / "rows.npy")[:6]
    with serve(network, variant) as served:
        asked = Endpoint(f"{served.url}#tiny")
        read = EndpointModel(asked, find_capabilities(asked), "ignore").read(rows.tolist())
    with torch.inference_mode():
        logits = network(torch.from_numpy(rows)).logits[:, :-1].double()
    logs = torch.log_softmax(logits, -1).gather(-1, torch.from_numpy(rows)[:, 1:, None])[..., 0].numpy()
    for number, one in enumerate(read):
        assert np.isnan(one.log_probability[0])
        assert one.log_probability[7:].sum() == pytest.approx(logs[number, 6:].sum(), abs=1e-6)


def test_a_server_that_ignores_echo_and_log_probabilities_is_refused_and_never_scored(network, tmp_path):
    with serve(network, "silent") as served, pytest.raises(ModelError) as raised:
        score(api(served), tmp_path / "study", depth="verbatim")
    assert str(raised.value) == (
        f"--depth verbatim needs ids of generated tokens, which {served.url} does not give (the ids of generated "
        "tokens did not come back, only their text); score the model's folder instead."
    )
    assert not list((tmp_path / "study").rglob("scores/**/*.parquet"))


@pytest.mark.parametrize("variant", ["constant", "shifted", "late", "generated"])
def test_log_probabilities_that_are_not_those_of_the_prompt_are_not_believed(network, variant):
    with serve(network, variant) as served:
        found = find_capabilities(Endpoint(f"{served.url}#tiny"))
    assert (found.accepts_ids, found.returns_ids, found.prompt_log_probabilities) == (True, True, False)
    assert re.search("log-probabilities (of|came back)", found.reasons["prompt_log_probabilities"])
    with serve(network, "full") as served:  # the honest server is believed
        assert find_capabilities(Endpoint(f"{served.url}#tiny")).prompt_log_probabilities


def test_graded_scores_need_ids_and_the_message_names_the_depth_that_does_not(network, tmp_path):
    with (
        serve(network, "echo") as served,
        pytest.raises(ModelError, match=r"--depth graded needs ids of generated .*score it with --depth verbatim"),
    ):
        score(api(served), tmp_path / "study")
    with (
        serve(network, "text") as served,
        pytest.raises(ModelError, match=r"Scoring needs prompts of token ids, which .*prompt must be a string"),
    ):
        score(api(served), tmp_path / "other")


def test_no_answer_is_lost_or_doubled_under_faults_and_a_stop_in_between(network, local, tmp_path):
    injected = [fault for fault in FAULTS if fault != "slow"]  # a slow machine would add more of these
    faults = {9 + 4 * number: fault for number, fault in enumerate(injected)}
    options = {"depth": "graded", "concurrency": 3}
    with serve(network, faults=faults) as served:
        served.stop_after = 40  # after the last fault
        with pytest.raises(
            ModelError, match=r"gave status 500: stopped, 7 times in a row\. \d+ answers are kept in .*"
        ):
            score(api(served), tmp_path / "study", **options)
        served.stop_after, before = None, served.answers()
        study = score(api(served), tmp_path / "study", **options)
        after = served.answers()
    assert values(study).equals(values(local(depth="graded")))
    assert {outcome for _, _, outcome in served.log} == {"answer", *injected}
    asked = {key: count for key, count in after.items() if '"max_tokens": 8' in key}
    assert set(asked.values()) == {1}, "an answer that came whole was asked for again"
    assert sum(before.values()) < sum(after.values())


def test_a_budget_stops_keeps_and_resumes(network, local, tmp_path):
    with serve(network) as served:
        for _ in range(2):  # a cap is on all runs together
            with pytest.raises(ModelError, match=r"^--max-requests 20 is reached: 20 requests, .* raise the cap, and"):
                score(api(served), tmp_path / "study", max_requests=20)
            assert len(served.log) == 20
        study = score(api(served), tmp_path / "study", max_requests=500)
    assert values(study).equals(values(local(depth="graded")))
    asked = [
        count for key, count in served.answers().items() if '"max_tokens": 8' in key
    ]  # not to find out what it gives
    assert set(asked) == {1}


def test_a_cap_on_tokens_and_costs_is_never_exceeded(network, tmp_path):
    prices = {"price_input": 2.0, "price_output": 8.0}
    with serve(network) as served:
        with pytest.raises(ModelError, match="--max-total-tokens 200 is reached"):
            score(api(served), tmp_path / "study", max_total_tokens=200)
        with pytest.raises(ModelError, match=r"--max-cost 0\.001 is reached.*at the given prices"):
            score(api(served), tmp_path / "study", max_cost=0.001, **prices)
    lines = [json.loads(line) for path in tmp_path.rglob("*.jsonl") for line in path.read_text().splitlines()]
    tokens_in, tokens_out = (sum(line["usage"][number] for line in lines) for number in (1, 2))
    assert tokens_in * 2 + tokens_out * 8 <= 1000


def test_the_key_is_nowhere_on_disk_even_if_the_server_repeats_it(network, tmp_path, monkeypatch):
    monkeypatch.setenv("MEMATLAS_API_KEY", "wrong-" + SECRET)
    with serve(network, key=SECRET, echo_key=True, faults={12: "500"}) as served:
        with pytest.raises(ModelError) as raised:
            score(api(served), tmp_path / "study")
        assert SECRET not in str(raised.value)
        assert "asks for a key (status 401" in str(raised.value)
        monkeypatch.setenv("MEMATLAS_API_KEY", SECRET)
        study = score(api(served), tmp_path / "study")
        mematlas.analyze(study, only=["distribution"])
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(b"you_sent" in path.read_bytes() for path in files)
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"endpoint": "chat"}, "--endpoint chat gives text only"),
        ({"signals": "truth"}, "--signals truth needs the model's logits"),
        ({"signals": "hidden"}, "--signals hidden needs the model's logits"),
        ({"eos": "suppress"}, "--eos suppress needs the model's logits"),
        ({"bos": True}, "--bos needs to know the model's BOS token"),
        ({"dtype": "bfloat16"}, "--dtype bfloat16 is for its server to decide"),
        ({"dtype": "bfloat16", "settle": True}, "--settle needs the model's weights"),
        ({"batch": 64}, "--batch 64 is for its server to decide"),
        ({"workers": 2}, "--workers and --executor would each have a budget"),
        ({"study": "memory://bucket/study"}, "answers are appended to files"),
    ],
)
def test_what_an_api_cannot_give_is_refused_by_name_before_it_is_asked(tmp_path, options, part):
    spec = "api:http://127.0.0.1:9/v1#tiny"
    with pytest.raises(OptionError) as raised:
        score(spec, options.pop("study", tmp_path / "study"), **options)
    assert str(raised.value).startswith(f"{spec} is a model behind an API: ")
    assert part in str(raised.value)
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize("option", [{"objective": "masked", "context": 4, "continuation": 8}, {"backend": "vllm"}])
def test_masked_scores_and_other_backends_need_a_folder(tmp_path, option):
    with pytest.raises(OptionError, match="needs a Hugging Face folder or hub id"):
        score("api:http://127.0.0.1:9/v1#tiny", tmp_path / "study", **option)


def test_an_answer_that_ends_early_is_no_low_score(network, tmp_path):
    with (
        serve(network, eos=3, always_ends=True) as served,
        pytest.raises(ModelError, match=r"tiny ended an answer after \d of 8 tokens, at its end-of-text token"),
    ):
        score(api(served), tmp_path / "study")


def test_rows_that_are_longer_than_the_server_says_are_refused(network, tmp_path):
    np.save("long.npy", np.random.default_rng(0).integers(0, V, (4, 200)))
    with (
        serve(network) as served,
        pytest.raises(ModelError, match="tiny was built for 128 tokens, but the grid needs 150"),
    ):
        score(api(served), tmp_path / "study", corpus="long.npy", context=100, continuation=50)


def test_text_needs_a_named_tokenizer(network, tmp_path):
    (tmp_path / "text.txt").write_text("a text\n" * 100)
    with pytest.raises(CorpusError, match="--tokenizer"):
        score("api:http://127.0.0.1:9/v1#tiny", tmp_path / "study", corpus=str(tmp_path / "text.txt"))


def test_nothing_listens(tmp_path):
    with pytest.raises(ModelError, match=r"^Nothing listens at http://127\.0\.0\.1:9/v1 .*start the server, or check"):
        score("api:http://127.0.0.1:9/v1#tiny", tmp_path / "study")


def test_verify_says_what_it_cannot_score_again(network, tmp_path):
    from mematlas.cli import run

    with serve(network) as served:
        score(api(served), tmp_path / "study")
        assert run(["verify", str(tmp_path / "study")]) == 0
