"""Models trained on subsets: they are shown what `subsets.npy` says; killed and resumed, they have the same bits."""

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForCausalLM

from mematlas.experiments.base import Design
from mematlas.experiments.counterfactual import EXPERIMENT, CounterfactualConfig
from mematlas.experiments.data import documents as data_documents
from mematlas.experiments.data.subset_rows import RowKinds, arrange_rows, prepare_subset_rows
from mematlas.experiments.design.config import Size
from mematlas.experiments.running import collect_exposures, model_folder, train_design
from tests.experiments.conftest import documents, weights

KEYS = {
    "sizes": [Size(hidden=8, layers=1, heads=2, peak_rate=1e-2)],
    "models": 5,
    "share": 0.5,
    "epochs": 3,
    "batch": 4,
    "row_length": 24,
    "vocabulary": 300,
    "context": 8,
    "copies": [1, 3],
    "texts": [10, 2],
    "random_rows": 4,
    "template_rows": 4,
    "control_rows": 6,
}


def config(**changes: object) -> CounterfactualConfig:
    return CounterfactualConfig(**KEYS | changes)


@pytest.fixture(autouse=True)
def _synthetic_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_documents, "standard_library_documents", documents)


def silent(*_: object) -> None:
    """Report nothing."""


def train(design: Design, out: Path, progress: object = silent) -> list[bytes]:
    """Train with one thread per model, so that the order of sums is fixed; the weights of every model."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        train_design(design, out, progress, at_once=2, device="cpu")
    finally:
        torch.set_num_threads(before)
    return [weights(model_folder(arm, out)) for arm in design.scored]


class StoppedError(Exception):
    """Raised by a progress callback to kill the experiment."""


def test_every_model_is_shown_its_subset_once_an_epoch_and_nothing_else(tmp_path: Path) -> None:
    design = EXPERIMENT.design(config(), tmp_path)
    members = np.load(tmp_path / "subsets.npy")
    assert members.shape == (5, 24)
    assert (members.sum(1) == 12).all()
    assert design.rows == config().kinds.rows == 24
    exposures = collect_exposures(design)
    assert exposures.height == members.size
    for arm, is_member in zip(design.arms, members, strict=True):
        assert arm.plan.steps == 9
        of_model = exposures.filter(model=f"{arm.label}-step-000009").sort("row")
        assert of_model["times"].to_list() == (3 * is_member).tolist()
        shown = of_model.filter(pl.col("times") > 0)
        assert shown["first_step"].is_between(1, 3).all()
        assert shown["last_step"].is_between(7, 9).all()
        for epoch in range(3):
            assert sorted(arm.plan.rows[12 * epoch : 12 * epoch + 12]) == np.flatnonzero(is_member).tolist()
    outlines = EXPERIMENT.outline(config())
    assert [(outline.label, outline.steps) for outline in outlines] == [(arm.label, 9) for arm in design.arms]


def test_killed_in_the_fourth_model_it_ends_in_the_same_bits(tmp_path: Path) -> None:
    def stop(step: int, steps: int, loss: float | None, label: str) -> None:
        if label == "subset-003" and step == 4:
            raise StoppedError

    design = EXPERIMENT.design(config(), tmp_path / "whole")
    whole = train(design, tmp_path / "whole")
    assert len(set(whole)) == 5
    network = AutoModelForCausalLM.from_pretrained(model_folder(design.arms[0], tmp_path / "whole"))
    assert network.num_parameters() == KEYS["sizes"][0].parameters(network.config.vocab_size)
    with pytest.raises(StoppedError):
        train(EXPERIMENT.design(config(), tmp_path / "killed"), tmp_path / "killed", stop)
    assert train(EXPERIMENT.design(config(), tmp_path / "killed"), tmp_path / "killed") == whole
    assert (np.load(tmp_path / "killed" / "subsets.npy") == np.load(tmp_path / "whole" / "subsets.npy")).all()


def test_shared_start_and_subsets_of_texts(tmp_path: Path) -> None:
    shared = EXPERIMENT.design(config(shared_start=True), tmp_path)
    assert {arm.seed for arm in shared.arms} == {0}
    assert len({arm.seed for arm in EXPERIMENT.design(config(), tmp_path).arms}) == 5
    EXPERIMENT.design(config(unit="text"), tmp_path)
    members = np.load(tmp_path / "subsets.npy")
    texts = np.array(pq.read_table(tmp_path / "rows" / "rows.parquet")["text"].to_pylist())
    assert len(np.unique(texts)) == config(unit="text").units == 20
    for text in np.unique(texts):
        of_text = members[:, texts == text]
        assert (of_text == of_text[:, :1]).all()


def test_rows_are_copies_random_tokens_and_a_template(tmp_path: Path) -> None:
    rows = prepare_subset_rows(tmp_path, config().kinds, 24, 300, 0, documents())
    table = pq.read_table(rows.corpus)
    assert table["source"].to_pylist() == ["text"] * 16 + ["random"] * 4 + ["template"] * 4
    assert rows.texts.tolist() == [*range(10), 10, 10, 10, 13, 13, 13, *range(16, 24)]
    assert rows.tokens.shape == (24, 24)
    assert rows.tokens.max() < 300
    control = np.array(pq.read_table(rows.control)["tokens"].to_pylist())
    assert len(control) == 6
    assert not (control[:, None] == rows.tokens).all(2).any()

    written = rows.corpus.stat().st_mtime_ns
    again = prepare_subset_rows(tmp_path, config().kinds, 24, 300, 0, documents())
    assert (again.tokens == rows.tokens).all()
    assert again.corpus.stat().st_mtime_ns == written, "the rows were made again"
    others = prepare_subset_rows(tmp_path, config().kinds, 24, 300, 0, documents()[1:])
    assert others.corpus.stat().st_mtime_ns > written


def test_rows_of_the_template_differ_in_two_tokens_of_the_continuation() -> None:
    kinds = RowKinds((1,), (2,), 0, 50, 1, context=16)
    texts = np.arange(3 * 48, dtype=np.uint16).reshape(3, 48)
    tokens, _, _ = arrange_rows(texts, kinds, 2048, np.random.default_rng(0))
    assert np.flatnonzero((tokens[-50:] != texts[-1]).any(0)).tolist() == [24, 40]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"models": 3}, "greater than or equal to 4"),
        ({"share": 1.0}, "less than 1"),
        ({"share": 0.01}, "leaves nothing in a subset, or out of it"),
        ({"texts": [10]}, "one number of texts belongs to each"),
        ({"copies": [0, 3]}, "are positive"),
        ({"sizes": KEYS["sizes"] * 2}, "models are of one size, not of 2"),
        ({"context": 24}, "a context of 24 tokens leaves nothing of rows of 24"),
    ],
)
def test_impossible_configurations_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config(**change)
