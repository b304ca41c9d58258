"""Models trained on subsets: they are shown what `subsets.npy` says; killed and resumed, they have the same bits."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM

from mematlas.errors import OptionError
from mematlas.executors.options import WorkerOptions
from mematlas.experiments.counterfactual import TrainedSubsets, subset_arm, train_subsets
from mematlas.experiments.data.subset_rows import arrange_rows, prepare_rows
from mematlas.experiments.design.config import Size
from mematlas.experiments.design.subsets import CounterfactualConfig, SubsetRows
from tests.experiments.conftest import documents, weights

ROWS = SubsetRows(
    row_length=24, vocabulary=300, texts=((1, 10), (3, 2)), random_rows=4, template_rows=4, control_rows=6, documents=20
)
SIZE = Size(hidden=8, layers=1, heads=2, peak_rate=1e-2)
TINY = CounterfactualConfig(models=5, share=0.5, epochs=3, batch=4, rows=ROWS, size=SIZE, warm_up=2)


class StoppedError(Exception):
    """Raised by a progress callback to kill the experiment."""


def train(out: Path, config: CounterfactualConfig = TINY, **options: object) -> TrainedSubsets:
    """`train_subsets` on synthetic documents, with one thread per model, so that the order of sums is fixed."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        return train_subsets(out, config, documents=documents, **options)
    finally:
        torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedSubsets:
    return train(tmp_path_factory.mktemp("subsets"))


def test_every_model_is_shown_its_subset_once_an_epoch_and_nothing_else(trained: TrainedSubsets) -> None:
    members = np.load(trained.folder / "subsets.npy")
    assert members.shape == (5, ROWS.rows) == (5, 24)
    assert (members.sum(1) == 12).all()
    assert (members == trained.members).all()
    rows = prepare_rows(trained.folder, ROWS, 0, documents)
    for number in range(5):
        plan = subset_arm(number, rows, members[number], TINY).plan
        counts = np.bincount(plan.rows, minlength=24)
        assert counts.tolist() == (3 * members[number]).tolist()
        assert plan.steps == TINY.steps(12) == 9
        shown = [np.flatnonzero((rows.tokens[:, None] == plan.batch(step)).all(2).any(1)) for step in range(1, 10)]
        for row in np.flatnonzero(members[number]):
            of_row = [step for step, batch in enumerate(shown, 1) if row in batch]
            if (rows.texts == rows.texts[row]).sum() == 1:
                assert (trained.first_steps[number, row], trained.last_steps[number, row]) == (of_row[0], of_row[-1])
        assert (trained.first_steps[number][~members[number]] == 0).all()


def test_models_are_ordinary_folders_and_differ(trained: TrainedSubsets) -> None:
    network = AutoModelForCausalLM.from_pretrained(trained.models[0])
    assert network.num_parameters() == SIZE.parameters(network.config.vocab_size)
    assert [path.parent.name for path in trained.models] == [f"subset-00{number}" for number in range(5)]
    assert len({weights(path) for path in trained.models}) == 5


def test_killed_after_the_third_model_it_ends_in_the_same_bits(trained: TrainedSubsets, tmp_path: Path) -> None:
    def stop(step: int, steps: int, loss: float | None, label: str) -> None:
        if label == "subset-003" and step == 4:
            raise StoppedError

    with pytest.raises(StoppedError):
        train(tmp_path, progress=stop)
    again = train(tmp_path)
    assert (again.members == trained.members).all()
    assert [weights(path) for path in again.models] == [weights(path) for path in trained.models]


def test_a_second_call_trains_nothing(trained: TrainedSubsets) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a model was trained again")

    assert train(trained.folder, progress=refuse).models == trained.models


def test_workers_train_the_same_models(
    trained: TrainedSubsets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    reports = []
    again = train(tmp_path, workers=WorkerOptions(workers=2), progress=lambda *report: reports.append(report))
    assert [weights(path) for path in again.models] == [weights(path) for path in trained.models]
    assert reports == [(done, 5, None, "models") for done in range(1, 6)]


def test_shared_start_and_subsets_of_texts(tmp_path: Path) -> None:
    rows = prepare_rows(tmp_path, ROWS, 0, documents)
    config = replace(TINY, shared_start=True)
    assert {subset_arm(number, rows, np.ones(24, bool), config).seed for number in range(3)} == {0}
    assert len({subset_arm(number, rows, np.ones(24, bool), TINY).seed for number in range(3)}) == 3
    members = train(tmp_path, replace(TINY, unit="text", epochs=1, models=4)).members
    for text in np.unique(rows.texts):
        of_text = members[:, rows.texts == text]
        assert (of_text == of_text[:, :1]).all()


def test_rows_are_copies_random_tokens_and_a_template(trained: TrainedSubsets) -> None:
    table = pq.read_table(trained.rows)
    assert table["source"].to_pylist() == ["text"] * 16 + ["random"] * 4 + ["template"] * 4
    texts = table["text"].to_pylist()
    assert texts == [*range(10), 10, 10, 10, 13, 13, 13, *range(16, 24)]
    tokens = np.array(table["tokens"].to_pylist())
    assert tokens.shape == (24, 24)
    assert tokens.max() < 300
    template = tokens[20:]
    assert ((template != template[0]).any(0)).sum() <= ROWS.template_slots
    assert (template[:, :12] == template[0, :12]).all()
    control = np.array(pq.read_table(trained.control)["tokens"].to_pylist())
    assert len(control) == 6
    assert not (control[:, None] == tokens).all(2).any()


def test_places_of_a_template_are_apart() -> None:
    config = SubsetRows(texts=((1, 2),), template_rows=50)
    texts = np.arange(3 * 48, dtype=np.uint16).reshape(3, 48)
    tokens, _, _ = arrange_rows(texts, config, 2048, np.random.default_rng(0))
    assert np.flatnonzero((tokens[-50:] != texts[-1]).any(0)).tolist() == [30, 42]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"models": 3}, "has 4 models"),
        ({"share": 1.0}, "share of rows in a subset is between 0 and 1, not 1.0"),
        ({"epochs": 0}, "1 epoch"),
    ],
)
def test_impossible_configurations_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        replace(TINY, **change)
    with pytest.raises(OptionError, match="Numbers of copies"):
        replace(ROWS, texts=((0, 3),))
