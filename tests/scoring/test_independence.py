"""Scores do not depend on how a corpus is cut, batched or ordered."""

import numpy as np
import pytest

import mematlas
from tests import tiny_networks as networks
from tests.tiny_networks import grid


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("invariance")
    network, shape = networks.neox(), grid([8, 12], [4, 12])
    rows = networks.partly_recited_rows(network, shape, 40)
    rows[5] = rows[11]
    np.save(folder / "rows.npy", rows)
    networks.save_network(network, folder / "model")
    return folder, rows


def scored(folder, path, corpus="rows.npy", **options):
    study = mematlas.score(
        str(folder / "model"),
        corpus=str(folder / corpus),
        study=path,
        context=[8, 12],
        continuation=[4, 12],
        **options,
    )
    return study.scores()


@pytest.mark.parametrize("options", [{"batch": 1}, {"batch": 7, "shards": 4}, {"shards": 10}, {"signals": ["truth"]}])
def test_scores_do_not_depend_on_batch_shards_or_signals(corpus, tmp_path, options):
    folder, _ = corpus
    plain, other = scored(folder, tmp_path / "a"), scored(folder, tmp_path / "b", **options)
    exact = ["model", "row", "context", "continuation", "matches", "verbatim", "reason"]
    assert plain.select(exact).equals(other.select(exact))
    assert np.allclose(plain["margin"], other["margin"], atol=1e-4)


def test_scores_do_not_depend_on_the_order_of_the_rows(corpus, tmp_path):
    folder, rows = corpus
    order = np.random.default_rng(3).permutation(len(rows))
    np.save(folder / "shuffled.npy", rows[order])
    exact = ["context", "continuation", "matches", "verbatim"]
    plain = scored(folder, tmp_path / "a")
    other = scored(folder, tmp_path / "b", "shuffled.npy", batch=7)
    for position, row in enumerate(order.tolist()):
        assert plain.filter(row=row).select(exact).equals(other.filter(row=position).select(exact))
