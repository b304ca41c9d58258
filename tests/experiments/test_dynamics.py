"""Every training row once an epoch, measured after each; validation rows never shown."""

from pathlib import Path

import pytest

from mematlas.experiments import Size
from mematlas.experiments.data import documents as data_documents
from mematlas.experiments.dynamics import EXPERIMENT, DynamicsConfig, outline
from mematlas.experiments.training.network import build_network
from mematlas.models.masked_lm.model import SpecialTokens
from tests.experiments.conftest import documents

TINY = DynamicsConfig(
    out="out", sizes=[Size(8, 1, 2, 1e-2), Size(16, 1, 2, 1e-2)], seeds=[0, 1], row_length=24, vocabulary=300, batch=4,
    context=8, epochs=3, train_rows=10, validation_rows=6, blocks=2,
)  # fmt: skip


@pytest.fixture
def design(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(data_documents, "standard_library_documents", documents)
    return EXPERIMENT.design(TINY, tmp_path)


def test_every_epoch_shows_every_training_row_once_in_another_order(design):
    for arm in design.arms:
        plan = arm.plan
        assert plan.steps == 9
        assert [len(plan.batch(step)) for step in (1, 2, 3, 4)] == [4, 4, 2, 4], "no batch has rows of two epochs"
        for epoch in (1, 2, 3):
            assert plan.times_shown(3 * epoch).tolist() == [epoch] * 10 + [0] * 6
        assert plan.rows[:10].tolist() != plan.rows[10:20].tolist()
        assert [probe.steps for probe in arm.probes] == [(0, 3, 6, 9)] * 2


def test_sizes_of_one_seed_share_their_batches_and_seeds_do_not(design):
    by_seed: dict[int, set[str]] = {}
    for arm in design.arms:
        by_seed.setdefault(arm.seed, set()).add(arm.plan.digest(9))
    assert [len(digests) for digests in by_seed.values()] == [1, 1]
    assert by_seed[0] != by_seed[1]


def test_the_outline_names_the_arms_and_their_steps(design):
    arms = outline(TINY)
    assert sorted(arm.label for arm in arms) == sorted(arm.label for arm in design.arms)
    assert [arm.label for arm in arms] == [arm.label for arm in design.scored]
    assert {arm.steps for arm in arms} == {9}


@pytest.mark.parametrize("preset", ["cpu", "gpu"])
def test_presets_are_complete(preset):
    assert len(DynamicsConfig.model_validate(EXPERIMENT.presets[preset]).sizes) >= 3


def test_masked_models_are_shown_the_same_rows_and_counted_right(tmp_path, monkeypatch):
    monkeypatch.setattr(data_documents, "standard_library_documents", documents)
    config = TINY.model_copy(update={"objective": "masked"})
    arms = EXPERIMENT.design(config, tmp_path).arms
    causal = EXPERIMENT.design(TINY, tmp_path).arms
    assert [arm.plan.digest(9) for arm in arms] == [arm.plan.digest(9) for arm in causal]
    parameters = {outlined.label: outlined.parameters for outlined in outline(config)}
    for arm in arms:
        assert parameters[arm.label] == build_network(arm).num_parameters()
        assert arm.mask_token == len(arm.tokenizer) - 1 == 300
        assert arm.special_tokens == SpecialTokens(300, special=(0, 300))
    assert len(parameters) == 4
