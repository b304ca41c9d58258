"""Steps of constant shape give the results of plain sessions in any order, and never wait for the device."""

from contextlib import contextmanager, nullcontext
from functools import partial

import pytest
import torch
import transformers

from mematlas.errors import ModelError
from mematlas.models.base import ModelCard
from mematlas.models.cuda import graph_choice
from mematlas.models.cuda.graph_choice import (
    DecodingComparison,
    choose_faster,
    compare_decoding,
    unsuitable_reason,
    with_graphs,
)
from mematlas.models.cuda.graphs import MAX_STEP_TOKENS, DecodingStep, GraphedModel, GraphedSession, padded_rows
from mematlas.models.standins.uniform import Uniform
from mematlas.scoring.options import ScoringOptions
from tests import tiny_networks as networks
from tests.host_synchronizations import HostSynchronizations

V = networks.V
SLIDING = {
    "vocab_size": V,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "sliding_window": 8,
}


def sliding():
    """A network with layers that attend to 8 tokens and layers that attend to all."""
    torch.manual_seed(0)
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "head_dim": 8,
    }
    config = transformers.Gemma3TextConfig(
        vocab_size=V, num_key_value_heads=2, max_position_embeddings=128, sliding_window=8, **sizes
    )
    config.layer_types = ["sliding_attention", "full_attention"]
    return transformers.Gemma3ForCausalLM(config).eval()


def windowed():
    """A network whose layers all attend to 8 tokens."""
    torch.manual_seed(0)
    return transformers.MistralForCausalLM(transformers.MistralConfig(**SLIDING)).eval()


NETS = {"neox": networks.neox, "llama": networks.llama, "gpt2": networks.gpt2, "sliding": sliding, "windowed": windowed}


@pytest.fixture(scope="module", params=NETS)
def network(request):
    return NETS[request.param]()


@pytest.fixture
def model(network):
    return networks.causal_model(network)


def tokens(rows=5, width=40, seed=3):
    return torch.randint(V, (rows, width), generator=torch.Generator().manual_seed(seed))


def start_both(model, rows=5, capacity=48):
    return model.start(rows, capacity), GraphedModel(model).start(rows, capacity)


@pytest.fixture
def step_shapes(monkeypatch):
    """The shapes of all steps run, in their order."""
    shapes, call = [], DecodingStep.__call__

    def counting(self, given):
        shapes.append((len(self._tokens), given.shape[1]))
        return call(self, given)

    monkeypatch.setattr(DecodingStep, "__call__", counting)
    return shapes


def check_feed(plain, graphed, given, last=None):
    expected, states = plain.feed(given, last), graphed.feed(given, last)
    torch.testing.assert_close(states, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(graphed.kept, plain.kept, atol=1e-5, rtol=1e-5)


def test_rows_are_padded_so_that_shapes_are_few_and_arithmetic_is_not_doubled():
    assert [padded_rows(rows) for rows in (1, 7, 8, 9, 100, 128, 129, 1032)] == [8, 8, 8, 16, 128, 128, 192, 1088]


@torch.inference_mode()
def test_feeds_of_any_size_forks_and_rewinds_equal_the_plain_session(model, step_shapes):
    given = tokens()
    plain, graphed = start_both(model)
    assert isinstance(graphed, GraphedSession)
    at = 0
    for count, last in ((13, None), (1, None), (2, 1), (8, 3), (9, 2), (1, 1)):
        check_feed(plain, graphed, given[:, at : at + count], last)
        at += count
    assert step_shapes == [(8, 1), (8, 2), (8, 8), (8, 1)]  # neither the prefill nor nine tokens

    rows = torch.tensor([4, 1, 1])
    forks = [session.fork(rows, 11) for session in (plain, graphed)]
    check_feed(*forks, tokens(3, 4, 5))
    deeper = [session.fork(torch.tensor([2, 0]), 13) for session in forks]
    check_feed(*deeper, tokens(2, 1, 6))
    check_feed(plain, graphed, given[:, at : at + 2])  # back to the first session, which had been unloaded
    check_feed(*forks, tokens(3, 1, 7))
    check_feed(plain, graphed, given[:, at + 2 : at + 3])  # what it was fed before is still there
    for session in (plain, graphed):
        session.rewind(17)
    check_feed(plain, graphed, tokens(5, 3, 8))
    forks[0].rewind(12), forks[1].rewind(12)
    check_feed(*forks, tokens(3, 8, 9), 2)


@torch.inference_mode()
def test_a_larger_batch_and_a_longer_row_take_a_larger_cache(model, step_shapes):
    graphed = GraphedModel(model)
    for rows, capacity, count in ((3, 10, 4), (20, 10, 4), (3, 30, 25), (3, 10, 4)):
        given, plain, session = tokens(rows, capacity), model.start(rows, capacity), graphed.start(rows, capacity)
        check_feed(plain, session, given[:, :count])
        check_feed(plain, session, given[:, count : count + 1])
    assert graphed._shared._buffers[0][0].shape[::2] == (32, 30)
    assert step_shapes == [(8, 1), (32, 1), (8, 1), (8, 1)]


@torch.inference_mode()
def test_nan_does_not_outlive_its_session(model):
    graphed = GraphedModel(model)
    invalid = graphed.start(5, 48)
    invalid.feed(tokens(5, 20))
    invalid.feed(tokens(5, 1))
    for keys, values in graphed._shared._buffers:
        keys.fill_(float("nan")), values.fill_(float("nan"))
    del invalid
    plain, session = model.start(5, 48), graphed.start(5, 48)
    check_feed(plain, session, tokens(5, 6))
    check_feed(plain, session, tokens(5, 1, 4))
    assert session.kept.isfinite().all()


@torch.inference_mode()
def test_the_kept_layer_is_the_one_chosen_last(model):
    graphed = GraphedModel(model)
    for layer in (1, 0, model.layers):
        graphed.keep(layer)
        assert not graphed._shared._steps
        plain, session = model.start(4, 20), graphed.start(4, 20)
        check_feed(plain, session, tokens(4, 6))
        check_feed(plain, session, tokens(4, 2, 4))
        assert session.kept.shape == (4, 2, 32)


@pytest.mark.parametrize(("align", "depth"), [("start", "graded"), ("start", "verbatim"), ("end", "graded")])
def test_scores_are_the_same(network, model, step_shapes, depth, align):
    grid = networks.grid([4, 9], [3, 8], align)
    rows = networks.partly_recited_rows(network, grid, 12)
    options = ScoringOptions(grid, depth, batch=7)
    expected = networks.score_cells(model, rows, options)
    records = networks.score_cells(GraphedModel(model), rows, options)
    assert records.keys() == expected.keys()
    for cell, record in expected.items():
        assert record | {"margin": 0} == records[cell] | {"margin": 0}
        assert records[cell]["margin"] == pytest.approx(record["margin"], abs=2e-5)
    assert len(step_shapes) >= 3
    assert max(count for _, count in step_shapes) <= MAX_STEP_TOKENS


@torch.inference_mode()
def test_a_step_waits_for_nothing_so_that_it_can_be_recorded(model):
    graphed = GraphedModel(model).start(5, 48)
    graphed.feed(tokens(5, 6))
    graphed.feed(tokens(5, 1))
    step = graphed.shared._steps[8, 1]
    states, kept = step(tokens(5, 1))
    assert states.data_ptr() == kept.data_ptr() != step._output[0].data_ptr()  # a recording writes there again
    with HostSynchronizations() as waits:
        step._run()
    assert waits.total == 0


@torch.inference_mode()
def test_out_of_memory_frees_the_cache(model, monkeypatch):
    graphed = GraphedModel(model)
    session = graphed.start(5, 48)
    session.feed(tokens(5, 6))

    def full(self, given):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(DecodingStep, "__call__", full)
    with pytest.raises(torch.OutOfMemoryError):
        session.feed(tokens(5, 1))
    assert graphed._shared._buffers == []


class FakeStream:
    def wait_stream(self, other):
        assert isinstance(other, FakeStream)


@torch.inference_mode()
def test_a_step_that_cannot_be_recorded_is_run_and_reported_once(monkeypatch):
    """On a CPU, with a simulated CUDA that refuses to record: results are still correct."""

    @contextmanager
    def refuses(graph, pool, stream):
        yield
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    for name, replacement in {
        "CUDAGraph": object,
        "graph": refuses,
        "graph_pool_handle": object,
        "stream": nullcontext,
        "current_stream": lambda device: FakeStream(),
    }.items():
        monkeypatch.setattr(torch.cuda, name, replacement)
    model, messages = networks.causal_model(networks.neox()), []
    graphed = GraphedModel(model, messages.append)
    graphed._shared._stream = FakeStream()
    graphed._shared.clear()
    plain, session = model.start(5, 48), graphed.start(5, 48)
    check_feed(plain, session, tokens(5, 6))
    check_feed(plain, session, tokens(5, 1, 1))
    assert messages == []  # nothing is recorded at first
    monkeypatch.setattr(DecodingStep, "_run", run_unless_recording(DecodingStep._run, monkeypatch))
    for seed in (2, 3, 4):
        check_feed(plain, session, tokens(5, 1, seed))
    check_feed(plain, session, tokens(5, 2, 5))
    check_feed(plain, session, tokens(5, 2, 6))
    reason = "operation not permitted when stream is capturing"
    assert messages == [f"A decoding step could not be recorded as a CUDA graph and runs without: {reason}"]


def run_unless_recording(run, monkeypatch):
    """A `_run` that does nothing inside `_capture`, since recording does not run anything."""
    recording, record = [], DecodingStep._capture

    def recorded(self, place):
        recording.append(True)
        try:
            record(self, place)
        finally:
            recording.pop()

    monkeypatch.setattr(DecodingStep, "_capture", recorded)
    return lambda self: None if recording else run(self)


CARD = ModelCard("tiny", "tiny", "f", V, parameters=49_088)


def test_unsuitable_models_are_left_unchanged_or_refused_in_one_line():
    neox, uniform = networks.causal_model(networks.neox()), Uniform(10)
    messages = []
    for model in (neox, uniform):
        assert with_graphs(model, CARD, "auto", 8, 48, messages.append) is model
        assert with_graphs(model, CARD, "off", 8, 48, messages.append) is model
    with pytest.raises(
        ModelError, match=r"^--graphs on cannot be used for tiny, which is on the device cpu, not on a CUDA"
    ):
        with_graphs(neox, CARD, "on", 8, 48, messages.append)
    with pytest.raises(
        ModelError, match=r"^--graphs on cannot be used for tiny, which is not a transformers network; leave it"
    ):
        with_graphs(uniform, CARD, "on", 8, 48, messages.append)
    neox.device = torch.device("cuda")
    assert unsuitable_reason(neox) is None
    neox.network._can_compile_fullgraph = False
    assert unsuitable_reason(neox) == "which transformers does not support with a cache of fixed size"
    neox.network._can_compile_fullgraph = True
    neox.network.hf_device_map = {"a": 0, "b": 1}
    assert unsuitable_reason(neox) == "whose layers are on several devices"
    neox.cached = False
    assert unsuitable_reason(neox) == "whose state is not a key-value cache"
    assert messages == []


@pytest.mark.parametrize(
    ("wanted", "comparison", "chosen", "message"),
    [
        (
            "auto",
            DecodingComparison(2e-3, 1e-3, 1e-6),
            True,
            "replayed as CUDA graphs, 1.00 ms per step instead of 2.00 with 16",
        ),
        ("auto", DecodingComparison(1e-3, 2e-3, 1e-6), False, None),
        ("on", DecodingComparison(1e-3, 2e-3, 1e-6), True, "2.00 ms per step instead of 1.00"),
        (
            "on",
            DecodingComparison(2e-3, 1e-3, 0.5),
            False,
            "continuing without CUDA graphs, whose logits differ by up to 0.5",
        ),
        ("auto", DecodingComparison(2e-3, 1e-3, float("nan")), False, "differ by up to nan"),
        (
            "on",
            RuntimeError("operation not permitted\nwhen capturing"),
            False,
            "be recorded (operation not permitted)",
        ),
        ("auto", ValueError("Attention mask should be of size 8"), False, "be recorded (Attention mask should be"),
    ],
)
def test_the_measurement_decides(monkeypatch, wanted, comparison, chosen, message):
    def measured(*_):
        if isinstance(comparison, Exception):
            raise comparison
        return comparison

    monkeypatch.setattr(graph_choice, "compare_decoding", measured)
    model, messages = networks.causal_model(networks.neox()), []
    assert isinstance(choose_faster(model, "tiny", wanted, (16, 48), messages.append), GraphedModel) is chosen
    assert [message in text for text in messages] == ([True] if message else [])


def test_the_measurement_compares_the_same_steps():
    model = networks.causal_model(networks.neox())
    comparison = compare_decoding(model, GraphedModel(model), 4)
    assert 0 < comparison.plain_seconds < 1
    assert 0 < comparison.replayed_seconds < 1
    assert comparison.logit_difference < 1e-5
    other = networks.causal_model(networks.neox(seed=1))
    assert compare_decoding(model, GraphedModel(other), 4).logit_difference > 1e-3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", NETS)
def test_recorded_steps_give_the_results_of_plain_ones(name):
    network = NETS[name]().cuda()
    with torch.inference_mode():
        model = networks.CausalModel(network, V, torch.device("cuda"))
        comparison = compare_decoding(model, GraphedModel(model), 100)
    assert comparison.logit_difference < 2e-4
    graphed = GraphedModel(model)  # one for all, so that longer rows and other layers need new recordings
    compare_decoding(model, graphed, 30)
    grid = networks.grid([6, 12], [4, 60])
    rows = networks.partly_recited_rows(networks.neox(), grid, 30)
    for depth in ("graded", "verbatim"):
        scores = partial(networks.score_cells, rows=rows, options=ScoringOptions(grid, depth, batch=30))
        plain, replayed = ([record["verbatim"] for record in scores(each).values()] for each in (model, graphed))
        assert plain == replayed
    graphed.keep(1)
    with torch.inference_mode():
        plain, session = model.start(5, 48), graphed.start(5, 48)
        for count in (6, 1, 1, 1, 2, 2, 2):
            states, expected = session.feed(tokens(5, count)), plain.feed(tokens(5, count))
            torch.testing.assert_close(states, expected, atol=2e-4, rtol=2e-4)
            torch.testing.assert_close(session.kept, plain.kept, atol=2e-4, rtol=2e-4)
