"""Rows with a token of their own: the same targets and order in all arms, and the id only a context."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mematlas.errors import OptionError
from mematlas.experiments import Size
from mematlas.experiments.data import documents as data_documents
from mematlas.experiments.ids import EXPERIMENT, IdsConfig, outline, with_unique_ids
from mematlas.experiments.training.network import build_network
from mematlas.experiments.training.objectives import CausalObjective
from mematlas.experiments.training.probe_sets import measure_causal
from mematlas.experiments.training.trainer import read_probes, train_arm
from tests.experiments.conftest import documents

CPU = torch.device("cpu")
TINY = IdsConfig(
    out="out", sizes=[Size(16, 1, 2, 2e-2)], seeds=[0, 1], row_length=24, vocabulary=300, batch=4, context=8, epochs=3,
    train_rows=10, validation_rows=6, blocks=2,
)  # fmt: skip


@pytest.fixture
def arms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(data_documents, "standard_library_documents", documents)
    design = EXPERIMENT.design(TINY, tmp_path)
    assert [arm.label for arm in design.arms] == [arm.label for arm in outline(TINY)]
    assert [arm.label.partition("--")[2] for arm in design.scored] == ["baseline", "enlarged"] * 2
    return design.arms[:3]


def test_every_row_begins_with_a_token_of_its_own_which_no_row_contains():
    tokens = np.arange(12).reshape(3, 4).astype(np.uint16) + 65_500
    rows = with_unique_ids(tokens, 65_536)
    assert rows[:, 0].tolist() == [65_536, 65_537, 65_538], "beyond 16 bits"
    assert np.array_equal(rows[:, 1:], tokens)


def test_arms_show_the_same_rows_in_the_same_order_and_differ_in_the_id_alone(arms):
    baseline, enlarged, ids = arms
    assert baseline.plan.digest(9) == enlarged.plan.digest(9)
    for step in range(1, 10):
        assert np.array_equal(ids.plan.batch(step)[:, 1:], baseline.plan.batch(step))
    assert ids.plan.batch(1)[:, 0].min() >= len(baseline.tokenizer)
    assert enlarged.start.to_dict() == ids.start.to_dict()
    assert enlarged.start.vocab_size == baseline.start.vocab_size + 16
    assert [(arm.seed, arm.schedule) for arm in arms] == [(0, baseline.schedule)] * 3


def targets_of(arm, monkeypatch) -> torch.Tensor:
    """What the loss of the first step is taken over."""
    seen = []
    real = torch.nn.functional.cross_entropy

    def spy(logits, targets, **options):
        seen.append(targets)
        return real(logits, targets, **options)

    monkeypatch.setattr(torch.nn.functional, "cross_entropy", spy)
    objective = CausalObjective(build_network(arm), CPU, "float32", arm.prefix)
    objective.backward(arm.plan.batch(1))
    monkeypatch.undo()
    return torch.cat([part.flatten() for part in seen])


def test_the_id_changes_neither_targets_nor_their_number(arms, monkeypatch):
    targets = [targets_of(arm, monkeypatch).tolist() for arm in arms]
    assert targets[0] == targets[1] == targets[2] == arms[0].plan.batch(1)[:, 1:].flatten().tolist()
    without = targets_of(replace(arms[2], prefix=0), monkeypatch)
    assert without.numel() == len(targets[0]) + 4, "without the prefix, the first token of 4 rows is a target as well"


def test_m_and_loss_are_over_the_same_tokens_with_and_without_ids(arms):
    """Of a network that does not look back, the id changes no number; counted as a token, it would."""
    network = build_network(arms[2])
    for layer in network.gpt_neox.layers:  # what attention adds is taken away: a bigram model is left
        torch.nn.init.zeros_(layer.attention.dense.weight)
        torch.nn.init.zeros_(layer.attention.dense.bias)
    tokens = arms[0].plan.tokens[:10]
    plain = measure_causal(network, tokens, 8, CPU)
    with_ids = measure_causal(network, arms[2].plan.tokens[:10], 8, CPU, prefix=1)
    for name in ("M", "loss", "verbatim"):
        assert with_ids[name] == pytest.approx(plain[name], abs=1e-6)
    counted = measure_causal(network, arms[2].plan.tokens[:10], 8, CPU)
    assert not np.allclose(counted["loss"], plain["loss"], atol=1e-4)


def test_the_gradient_in_parts_leaves_the_prefix_out_too(arms):
    gradients = []
    for is_split in (True, False):
        network = build_network(arms[2])
        objective = CausalObjective(network, CPU, "float32", 1)
        assert objective._is_split
        objective._is_split = is_split
        loss = objective.backward(arms[2].plan.batch(1))
        gradients.append((loss, [weight.grad for weight in network.parameters()]))
    assert gradients[0][0] == pytest.approx(gradients[1][0], rel=1e-5)
    for a, b in zip(gradients[0][1], gradients[1][1], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_unused_tokens_stay_out_of_the_data_and_ids_are_learnt(arms, tmp_path):
    """With ids alone to tell rows apart, they are memorized; without ids they cannot be."""
    same = np.tile(arms[0].plan.tokens[:1, :12], (4, 1))
    same[:, 6] = [5, 6, 7, 8]  # four rows that differ in one token, in front of which they are equal
    same[:, 7:] = same[0, 7:]
    order = np.tile(np.arange(4), 150)
    found = {}
    for arm, rows in ((arms[1], same), (arms[2], with_unique_ids(same, len(arms[0].tokenizer)))):
        plan = type(arm.plan).from_order(rows, order, 4)
        probes = tuple(replace(arm.probes[0], rows=np.arange(4), steps=(150,), blocks=1) for _ in range(1))
        trained = replace(arm, plan=plan, probes=probes)
        train_arm(trained, tmp_path / arm.label)
        records = read_probes(trained, tmp_path / arm.label).to_pylist()
        found[arm.label.partition("--")[2]] = {record["metric"]: record["value"] for record in records}
    assert found["ids"]["M"] == 1
    assert found["enlarged"]["M"] == pytest.approx(1 - 3 / 4 / 11), "one token of 11, of which one row in four is right"


@pytest.mark.parametrize("prefix", [-1, 24])
def test_a_prefix_that_leaves_nothing_is_refused(arms, prefix):
    with pytest.raises(OptionError, match="leaves nothing to learn of rows of 25"):
        replace(arms[2], prefix=prefix)


@pytest.mark.parametrize("preset", ["cpu", "gpu"])
def test_presets_are_complete(preset):
    assert IdsConfig.model_validate(EXPERIMENT.presets[preset]).ids > 300
