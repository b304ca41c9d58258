"""How often the host waits for a device while rows are scored, counted on a fake device; and equal numbers."""

import numpy as np
import pytest
import torch

from mematlas.experiments.training import recital
from mematlas.models.cuda import waiting
from mematlas.models.cuda.graphs import GraphedModel
from mematlas.scoring.engines import batch
from mematlas.scoring.engines.prompting import greedy_continuations
from mematlas.scoring.options import ScoringOptions
from tests import tiny_networks as networks
from tests.host_synchronizations import HostSynchronizations

NETWORK = networks.neox()
#: The check that all logits are finite reads one number: after a choice along the truth, and at the end of decoding.
FINITE = "readout.py:check_finite"


@pytest.fixture
def as_on_a_device(monkeypatch):
    """The engine reads values as seldom as on a device."""
    for module in (batch, recital):
        monkeypatch.setattr(module, "steps_between_reads", lambda device: 8)


def count(options, model=None, **fields):
    rows = networks.partly_recited_rows(NETWORK, networks.grid(options.grid.contexts, [32]), 24)
    model = model or networks.causal_model(NETWORK)
    with HostSynchronizations() as waits:
        networks.run_engine(model, rows, options, **fields)
    return waits.places


def test_the_fake_device_counts_what_waits_and_nothing_else():
    values = torch.arange(6.0)
    with HostSynchronizations() as waits:
        values[values > 2]
        (values > 2).nonzero()
        values.cpu(), values.to("cpu"), values.tolist()
        torch.tensor([1, 2])
        torch.unique(values)
        bool(values.any())
        int(values.sum())
        values[values > 2] = torch.arange(3.0)
    expected = {"boolean index": 2, "nonzero": 1, "cpu": 1, "to": 1, "tolist": 1, "lift_fresh": 1, "_unique2": 1}
    assert waits.operations == expected | {"_local_scalar_dense": 2}
    with HostSynchronizations() as waits:
        values[torch.arange(2)] + values.sum() + values.where(values > 2, 0).cumsum(0)[:2]
        values[values > 2] = 0
        values.masked_fill_(values > 2, 1).argsort()
    assert waits.total == 0


@pytest.mark.parametrize("graphs", [False, True])
@pytest.mark.parametrize("eos", ["ignore", "stop", "suppress"])
def test_a_decoding_step_waits_for_nothing(as_on_a_device, graphs, eos):
    def places(length):
        model = networks.causal_model(NETWORK)
        options = ScoringOptions(networks.grid([4], [length]), "graded", batch=64, eos=eos)
        return count(options, GraphedModel(model) if graphs else model, eos=(3,))

    short, long = places(8), places(32)
    assert long == short  # before, each of the 24 further steps waited once, and twice with --eos suppress
    # a batch: two arrays sent, who recites the first token, two arrays of results; before, 7 and with --eos stop 8
    assert short.total() - short[FINITE] == 5 + (eos == "suppress")
    assert short[FINITE] == 2


def test_following_the_truth_waits_once_a_stage_of_up_to_eight_tokens(as_on_a_device):
    places = count(ScoringOptions(networks.grid([4], [32]), "verbatim", batch=64))
    stages = 1 + 6  # the first token; then 2, 4, 8, 8, 8 and 1
    assert places.pop(FINITE) == stages  # before: 15
    assert places == {
        "batch.py:_follow_truth": stages,  # before: 15, and 6 for the indices of the rows that go on
        "batch.py:__init__": 1,
        "causal.py:_score_start_aligned": 1,
        "causal.py:<listcomp>": 2,
    }


@pytest.mark.parametrize(("align", "depth"), [("start", "graded"), ("start", "verbatim"), ("end", "graded")])
@pytest.mark.parametrize("eos", ["ignore", "stop"])
def test_scores_are_those_of_a_cpu(as_on_a_device, monkeypatch, align, depth, eos):
    shape = networks.grid([4, 9], [3, 8, 20], align)
    rows = networks.partly_recited_rows(NETWORK, shape, 40)
    options, model = ScoringOptions(shape, depth, batch=16, eos=eos), networks.causal_model(NETWORK)
    on_device = networks.score_cells(model, rows, options, eos=(3, 7))
    monkeypatch.undo()
    on_cpu = networks.score_cells(model, rows, options, eos=(3, 7))
    assert on_device.keys() == on_cpu.keys()
    assert {record["matches"] or record["verbatim"] for record in on_cpu.values()} >= {0, 3, 8, 20}
    for cell, record in on_cpu.items():
        assert record | {"margin": 0} == on_device[cell] | {"margin": 0}
        assert on_device[cell]["margin"] == pytest.approx(record["margin"], abs=2e-5)


def test_recitals_are_those_of_a_cpu_with_a_read_every_eight_tokens(as_on_a_device, monkeypatch):
    rows = networks.partly_recited_rows(NETWORK, networks.grid([4, 9], [30]), 20)
    asked, model = recital.Recital(36, (4, 9), 20), networks.causal_model(NETWORK)
    with HostSynchronizations() as waits:
        on_device = recital.recite(model, rows, asked)
    monkeypatch.undo()
    with HostSynchronizations() as often:
        on_cpu = recital.recite(model, rows, asked)
    assert set(on_cpu["V"]) >= {0, 20}
    for name, values in on_cpu.items():
        np.testing.assert_array_equal(on_device[name], values)
    seldom, often = (counter.operations["boolean index"] for counter in (waits, often))
    assert (seldom, often) == (5, 41)  # of three batches: two are recited to the end, one misses its first token


def test_tokens_that_a_model_gives_are_read_once_at_their_end():
    prompts, model = [np.arange(5), np.arange(1, 6)], networks.causal_model(NETWORK)
    waits = []
    for tokens in (2, 12):
        with HostSynchronizations() as counter:
            greedy_continuations(model, prompts, tokens)
        waits.append(counter.places)
    assert waits[0] == waits[1] == {"prompting.py:_continuations": 2}  # prompts sent, tokens read


def test_arrays_go_to_a_gpu_from_pinned_memory_and_stay_where_they_are_on_a_cpu(monkeypatch):
    values, calls = torch.arange(3), []
    assert waiting.to_device(values, torch.device("cpu")) is values
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: calls.append("pinned") or self)
    monkeypatch.setattr(torch.Tensor, "to", lambda self, device, **how: calls.append((device, how)) or self)
    waiting.to_device(values, torch.device("cuda"))
    assert calls == ["pinned", (torch.device("cuda"), {"non_blocking": True})]
    assert [waiting.steps_between_reads(torch.device(name)) for name in ("cpu", "cuda", "mps")] == [1, 8, 8]
