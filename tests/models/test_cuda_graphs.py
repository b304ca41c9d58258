"""Steps of constant shape say what the plain session says, whoever lives in their cache, and ask the device nothing."""

from contextlib import contextmanager, nullcontext
from functools import partial

import pytest
import torch
import transformers
from torch.utils._python_dispatch import TorchDispatchMode

from mematlas.errors import ModelError
from mematlas.models import cuda_graph_choice as graph_choice
from mematlas.models.base import ModelCard
from mematlas.models.cuda_graph_choice import Compared, better_of, compare, unsuited, with_graphs
from mematlas.models.cuda_graphs import FEW, GraphedModel, GraphedSession, Step, padded
from mematlas.models.standins.uniform import Uniform
from mematlas.scoring.options import ScoringOptions
from tests import tiny_networks as networks

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
    """Layers that see 8 tokens and layers that see all."""
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
    """All layers see 8 tokens."""
    torch.manual_seed(0)
    return transformers.MistralForCausalLM(transformers.MistralConfig(**SLIDING)).eval()


NETS = {"neox": networks.neox, "llama": networks.llama, "gpt2": networks.gpt2, "sliding": sliding, "windowed": windowed}


@pytest.fixture(scope="module", params=NETS)
def network(request):
    return NETS[request.param]()


@pytest.fixture
def model(network):
    return networks.asked(network)


def tokens(rows=5, width=40, seed=3):
    return torch.randint(V, (rows, width), generator=torch.Generator().manual_seed(seed))


def both(model, rows=5, capacity=48):
    return model.start(rows, capacity), GraphedModel(model).start(rows, capacity)


@pytest.fixture
def stepped(monkeypatch):
    """The shapes of all steps, in their order."""
    called, call = [], Step.__call__

    def counting(self, given):
        called.append((len(self._tokens), given.shape[1]))
        return call(self, given)

    monkeypatch.setattr(Step, "__call__", counting)
    return called


def fed_alike(plain, graphed, given, last=None):
    expected, found = plain.feed(given, last), graphed.feed(given, last)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(graphed.kept, plain.kept, atol=1e-5, rtol=1e-5)


def test_rows_are_padded_so_that_shapes_are_few_and_arithmetic_is_not_doubled():
    assert [padded(rows) for rows in (1, 7, 8, 9, 100, 128, 129, 1032)] == [8, 8, 8, 16, 128, 128, 192, 1088]


@torch.inference_mode()
def test_feeds_of_any_size_forks_and_rewinds_equal_the_plain_session(model, stepped):
    given = tokens()
    plain, graphed = both(model)
    assert isinstance(graphed, GraphedSession)
    at = 0
    for count, last in ((13, None), (1, None), (2, 1), (8, 3), (9, 2), (1, 1)):
        fed_alike(plain, graphed, given[:, at : at + count], last)
        at += count
    assert stepped == [(8, 1), (8, 2), (8, 8), (8, 1)]  # neither the prefill nor nine tokens

    rows = torch.tensor([4, 1, 1])
    forks = [session.fork(rows, 11) for session in (plain, graphed)]
    fed_alike(*forks, tokens(3, 4, 5))
    deeper = [session.fork(torch.tensor([2, 0]), 13) for session in forks]
    fed_alike(*deeper, tokens(2, 1, 6))
    fed_alike(plain, graphed, given[:, at : at + 2])  # back to the first, which had moved out
    fed_alike(*forks, tokens(3, 1, 7))
    fed_alike(plain, graphed, given[:, at + 2 : at + 3])  # what it was fed here came along
    for session in (plain, graphed):
        session.rewind(17)
    fed_alike(plain, graphed, tokens(5, 3, 8))
    forks[0].rewind(12), forks[1].rewind(12)
    fed_alike(*forks, tokens(3, 8, 9), 2)


@torch.inference_mode()
def test_a_larger_batch_and_a_longer_row_take_a_larger_cache(model, stepped):
    graphed = GraphedModel(model)
    for rows, capacity, count in ((3, 10, 4), (20, 10, 4), (3, 30, 25), (3, 10, 4)):
        given, plain, session = tokens(rows, capacity), model.start(rows, capacity), graphed.start(rows, capacity)
        fed_alike(plain, session, given[:, :count])
        fed_alike(plain, session, given[:, count : count + 1])
    assert graphed._shared._full[0][0].shape[::2] == (32, 30)
    assert stepped == [(8, 1), (32, 1), (8, 1), (8, 1)]


@torch.inference_mode()
def test_numbers_that_are_none_do_not_outlive_their_session(model):
    graphed = GraphedModel(model)
    spoiled = graphed.start(5, 48)
    spoiled.feed(tokens(5, 20))
    spoiled.feed(tokens(5, 1))
    for keys, values in graphed._shared._full:
        keys.fill_(float("nan")), values.fill_(float("nan"))
    del spoiled
    plain, session = model.start(5, 48), graphed.start(5, 48)
    fed_alike(plain, session, tokens(5, 6))
    fed_alike(plain, session, tokens(5, 1, 4))
    assert session.kept.isfinite().all()


@torch.inference_mode()
def test_the_kept_layer_follows_what_was_asked_last(model):
    graphed = GraphedModel(model)
    for layer in (1, 0, model.layers):
        graphed.keep(layer)
        assert not graphed._shared._steps
        plain, session = model.start(4, 20), graphed.start(4, 20)
        fed_alike(plain, session, tokens(4, 6))
        fed_alike(plain, session, tokens(4, 2, 4))
        assert session.kept.shape == (4, 2, 32)


@pytest.mark.parametrize(("align", "depth"), [("start", "graded"), ("start", "verbatim"), ("end", "graded")])
def test_scores_are_the_same(network, model, stepped, depth, align):
    grid = networks.grid([4, 9], [3, 8], align)
    rows = networks.half_recited(network, grid, 12)
    options = ScoringOptions(grid, depth, batch=7)
    expected = networks.cells(model, rows, options)
    found = networks.cells(GraphedModel(model), rows, options)
    assert found.keys() == expected.keys()
    for cell, line in expected.items():
        assert line | {"margin": 0} == found[cell] | {"margin": 0}
        assert found[cell]["margin"] == pytest.approx(line["margin"], abs=2e-5)
    assert len(stepped) >= 3
    assert max(count for _, count in stepped) <= FEW


class Asked(TorchDispatchMode):
    """Counts what makes a CPU wait for a GPU, or takes an array from one to the other."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        if name in {"_local_scalar_dense", "nonzero", "is_nonzero", "item", "lift_fresh", "masked_select"}:
            self.found.append(name)
        return function(*args, **(kwargs or {}))


@torch.inference_mode()
def test_a_step_waits_for_nothing_so_that_it_can_be_recorded(model):
    graphed = GraphedModel(model).start(5, 48)
    graphed.feed(tokens(5, 6))
    graphed.feed(tokens(5, 1))
    step = graphed.shared._steps[8, 1]
    states, kept = step(tokens(5, 1))
    assert states.data_ptr() == kept.data_ptr() != step._found[0].data_ptr()  # a recording writes there again
    with Asked() as asked:
        step._carried_out()
    assert asked.found == []
    with Asked() as asked:  # the mode sees what it is there to see
        torch.tensor([1, 2])
        int(torch.ones(3).sum())
    assert {"lift_fresh", "item"} == set(asked.found)


@torch.inference_mode()
def test_out_of_memory_gives_the_cache_back(model, monkeypatch):
    graphed = GraphedModel(model)
    session = graphed.start(5, 48)
    session.feed(tokens(5, 6))

    def full(self, given):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Step, "__call__", full)
    with pytest.raises(torch.OutOfMemoryError):
        session.feed(tokens(5, 1))
    assert graphed._shared._full == []


class FakeStream:
    def wait_stream(self, other):
        assert isinstance(other, FakeStream)


@torch.inference_mode()
def test_a_step_that_cannot_be_recorded_is_carried_out_and_told_once(monkeypatch):
    """On a CPU, with a CUDA that refuses to record: what is fed is as right as ever."""

    @contextmanager
    def refuses(graph, pool, stream):
        yield
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    for name, stand_in in {
        "CUDAGraph": object,
        "graph": refuses,
        "graph_pool_handle": object,
        "stream": nullcontext,
        "current_stream": lambda device: FakeStream(),
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    model, heard = networks.asked(networks.neox()), []
    graphed = GraphedModel(model, heard.append)
    graphed._shared._stream = FakeStream()
    graphed._shared.clear()
    plain, session = model.start(5, 48), graphed.start(5, 48)
    fed_alike(plain, session, tokens(5, 6))
    fed_alike(plain, session, tokens(5, 1, 1))
    assert heard == []  # nothing is recorded at first
    monkeypatch.setattr(Step, "_carried_out", carried_out_unless_recording(Step._carried_out, monkeypatch))
    for seed in (2, 3, 4):
        fed_alike(plain, session, tokens(5, 1, seed))
    fed_alike(plain, session, tokens(5, 2, 5))
    fed_alike(plain, session, tokens(5, 2, 6))
    why = "operation not permitted when stream is capturing"
    assert heard == [f"A decoding step goes on without a CUDA graph, for none could be recorded: {why}"]


def carried_out_unless_recording(carried_out, monkeypatch):
    """A recording carries nothing out: the call inside `_record` does nothing."""
    recording, record = [], Step._record

    def recorded(self, place):
        recording.append(True)
        try:
            record(self, place)
        finally:
            recording.pop()

    monkeypatch.setattr(Step, "_record", recorded)
    return lambda self: None if recording else carried_out(self)


CARD = ModelCard("tiny", "tiny", "f", V, parameters=49_088)


def test_what_cannot_be_replayed_is_left_as_it_is_or_refused_in_one_line():
    neox, uniform = networks.asked(networks.neox()), Uniform(10)
    heard = []
    for model in (neox, uniform):
        assert with_graphs(model, CARD, "auto", 8, 48, heard.append) is model
        assert with_graphs(model, CARD, "off", 8, 48, heard.append) is model
    with pytest.raises(
        ModelError, match=r"^--graphs on is not for tiny, which is on the device cpu, and not on a CUDA"
    ):
        with_graphs(neox, CARD, "on", 8, 48, heard.append)
    with pytest.raises(ModelError, match=r"^--graphs on is not for tiny, which is no transformers network; leave it"):
        with_graphs(uniform, CARD, "on", 8, 48, heard.append)
    neox.device = torch.device("cuda")
    assert unsuited(neox) is None
    neox.network._can_compile_fullgraph = False
    assert unsuited(neox) == "whose network transformers does not call fit for a cache of fixed size"
    neox.network._can_compile_fullgraph = True
    neox.network.hf_device_map = {"a": 0, "b": 1}
    assert unsuited(neox) == "whose layers are on several devices"
    neox.cached = False
    assert unsuited(neox) == "whose state is no key-value cache"
    assert heard == []


@pytest.mark.parametrize(
    ("wanted", "found", "chosen", "said"),
    [
        (
            "auto",
            Compared(2e-3, 1e-3, 1e-6),
            True,
            "replayed as CUDA graphs, 1.00 ms a step instead of 2.00 with 16",
        ),
        ("auto", Compared(1e-3, 2e-3, 1e-6), False, None),
        ("on", Compared(1e-3, 2e-3, 1e-6), True, "2.00 ms a step instead of 1.00"),
        ("on", Compared(2e-3, 1e-3, 0.5), False, "going on without CUDA graphs, whose logits are apart by up to 0.5"),
        ("auto", Compared(2e-3, 1e-3, float("nan")), False, "apart by up to nan"),
        (
            "on",
            RuntimeError("operation not permitted\nwhen capturing"),
            False,
            "be recorded (operation not permitted)",
        ),
        ("auto", ValueError("Attention mask should be of size 8"), False, "be recorded (Attention mask should be"),
    ],
)
def test_the_measurement_decides(monkeypatch, wanted, found, chosen, said):
    def measured(*_):
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(graph_choice, "compare", measured)
    model, heard = networks.asked(networks.neox()), []
    assert isinstance(better_of(model, "tiny", wanted, (16, 48), heard.append), GraphedModel) is chosen
    assert [said in text for text in heard] == ([True] if said else [])


def test_the_measurement_compares_the_same_steps():
    model = networks.asked(networks.neox())
    found = compare(model, GraphedModel(model), 4)
    assert 0 < found.plain < 1
    assert 0 < found.replayed < 1
    assert found.apart < 1e-5
    other = networks.asked(networks.neox(seed=1))
    assert compare(model, GraphedModel(other), 4).apart > 1e-3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", NETS)
def test_recorded_steps_say_what_plain_ones_say(name):
    network = NETS[name]().cuda()
    with torch.inference_mode():
        model = networks.CausalModel(network, V, torch.device("cuda"))
        found = compare(model, GraphedModel(model), 100)
    assert found.apart < 2e-4
    graphed = GraphedModel(model)  # one for all, so that recordings are made anew for longer rows and other layers
    compare(model, graphed, 30)
    grid = networks.grid([6, 12], [4, 60])
    rows = networks.half_recited(networks.neox(), grid, 30)
    for depth in ("graded", "verbatim"):
        scores = partial(networks.cells, rows=rows, options=ScoringOptions(grid, depth, batch=30))
        plain, replayed = ([line["verbatim"] for line in scores(way).values()] for way in (model, graphed))
        assert plain == replayed
    graphed.keep(1)
    with torch.inference_mode():
        plain, session = model.start(5, 48), graphed.start(5, 48)
        for count in (6, 1, 1, 1, 2, 2, 2):
            found, expected = session.feed(tokens(5, count)), plain.feed(tokens(5, count))
            torch.testing.assert_close(found, expected, atol=2e-4, rtol=2e-4)
            torch.testing.assert_close(session.kept, plain.kept, atol=2e-4, rtol=2e-4)
