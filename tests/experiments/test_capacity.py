"""Models of random sequences: distinct ones, their entropy known, and bits that no model exceeds."""

import polars as pl
import pytest
from pydantic import ValidationError

from mematlas.analyses.training.capacity import capacity_runs
from mematlas.experiments import Size
from mematlas.experiments.capacity import EXPERIMENT, CapacityConfig, outline
from mematlas.experiments.running import collect_probes, train_design

TINY = {
    "sizes": [Size(16, 1, 2, 2e-2)], "row_length": 9, "vocabulary": 8, "batch": 8, "sequences": [8, 16], "steps": 120,
}  # fmt: skip


def test_bits_grow_from_nothing_and_are_never_more_than_the_entropy(tmp_path):
    design = EXPERIMENT.design(CapacityConfig(**TINY), tmp_path)
    train_design(design, tmp_path, lambda *_: None, at_once=1, device="cpu")
    probes = pl.from_arrow(collect_probes(design, tmp_path))
    models = pl.DataFrame({"model": [f"{design.arms[0].label}-step-000120"], "parameters": [1000]})
    runs = capacity_runs(probes, models)
    assert runs["sequences"].unique().sort().to_list() == [8, 16]
    last = runs.filter(step=120)
    assert last["entropy"].to_list() == pytest.approx([8 * 8 * 3, 16 * 8 * 3]), "8 tokens of 3 bits each"
    assert (runs["total"] <= runs["entropy"]).all()
    before = runs.filter(step=0)
    assert before["total"].max() < 0.05 * last["entropy"].min(), "an untrained model is nearly uniform"
    assert last["total"][0] > 0.5 * last["entropy"][0], "it learns a few sequences by heart"
    assert last["never"].max() < 2


def test_models_of_fewer_sequences_have_the_first_ones_of_the_same(tmp_path):
    design = EXPERIMENT.design(CapacityConfig(**TINY), tmp_path)
    few, many = (arm.plan for arm in design.arms)
    assert (few.tokens == many.tokens).all()
    assert (few.tokens[:, 0] == 0).all()
    assert set(few.rows) == set(range(8))
    assert set(many.rows) == set(range(16))
    assert [arm.label for arm in outline(CapacityConfig(**TINY))] == [arm.label for arm in design.arms]
    assert pl.DataFrame(few.tokens).is_unique().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sequences": [16, 8]}, "sequences are ascending numbers of 1 or more, each once"),
        ({"row_length": 5}, "8 symbols and 4 tokens make too few different sequences for 16"),
        ({"corpus": "texts"}, "corpus"),
    ],
)
def test_a_value_that_breaks_a_rule_is_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        CapacityConfig(**{**TINY, "context": 4, **change})


@pytest.mark.parametrize("preset", ["cpu", "gpu"])
def test_presets_are_complete(preset):
    assert CapacityConfig.model_validate(EXPERIMENT.presets[preset]).seeds
