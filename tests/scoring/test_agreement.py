"""The engine's scores equal those of one call of transformers' `generate` per cell (benchmarks/generate_oracle.py)."""

import pytest
from generate_oracle import oracle

from mematlas.scoring.options import DOUBTFUL_MARGIN, ScoringOptions
from tests import tiny_networks as networks

CONTEXTS, CONTINUATIONS, ROWS = (8, 12, 20), (3, 8, 12, 16), 100
MARGIN, SHARE = DOUBTFUL_MARGIN["float32"], 1e-3
# embeddings, attention, feed-forward, norms; computed by hand from the sizes in tiny_networks.py
PARAMETERS = {"neox": 49_088, "llama": 50_528, "gpt2": 45_536}


@pytest.fixture(scope="module", params=["neox", "llama", "gpt2"])
def net(request):
    network = getattr(networks, request.param)()
    by_align = {}
    for align in ("start", "end"):
        rows = networks.partly_recited_rows(network, networks.grid(CONTEXTS, CONTINUATIONS, align), ROWS)
        by_align[align] = rows, oracle(network, rows, CONTEXTS, CONTINUATIONS, align=align)
    return request.param, network, by_align


def disagreements(records, truth, depth):
    """Cells that differ from `generate`, as (cell, margin)."""
    wrong = []
    for (row, context, length), record in records.items():
        matches, verbatim = (int(values[row]) for values in truth[context, length])
        if depth == "verbatim" and verbatim < length:
            matches = None
        if (record["matches"], record["verbatim"]) != (matches, verbatim):
            wrong.append(((row, context, length), record["margin"]))
    return wrong


def test_the_networks_have_the_stated_sizes(net):
    name, network, _ = net
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS[name]


def test_the_rows_distinguish_the_cells(net):
    for _, truth in net[2].values():
        for (_, length), (matches, verbatim) in truth.items():
            assert (matches == length).sum() >= 5
            assert (matches < length).sum() >= 20
            assert (matches != verbatim).any()


@pytest.mark.parametrize("batch", [1, 7, 64])
@pytest.mark.parametrize("depth", ["graded", "verbatim"])
@pytest.mark.parametrize("align", ["start", "end"])
def test_every_cell_equals_generate(net, align, depth, batch):
    _, network, by_align = net
    rows, truth = by_align[align]
    model = networks.causal_model(network)
    for signals in ((), ("free", "truth")) if batch == 64 else ((),):
        options = ScoringOptions(networks.grid(CONTEXTS, CONTINUATIONS, align), depth, signals, batch=batch)
        records = networks.score_cells(model, rows, options)
        assert len(records) == ROWS * len(CONTEXTS) * len(CONTINUATIONS)
        wrong = disagreements(records, truth, depth)
        assert all(margin < MARGIN for _, margin in wrong), wrong
        assert len(wrong) <= SHARE * len(records), wrong


@pytest.mark.parametrize("signals", [("free",), ("truth",)])
@pytest.mark.parametrize("depth", ["graded", "verbatim"])
def test_each_kind_of_signals_alone_leaves_the_scores_as_they_are(net, depth, signals):
    _, network, by_align = net
    rows, truth = by_align["start"]
    options = ScoringOptions(networks.grid(CONTEXTS, CONTINUATIONS), depth, signals, batch=7)
    wrong = disagreements(networks.score_cells(networks.causal_model(network), rows, options), truth, depth)
    assert all(margin < MARGIN for _, margin in wrong), wrong
    assert len(wrong) <= SHARE * ROWS * len(CONTEXTS) * len(CONTINUATIONS), wrong
