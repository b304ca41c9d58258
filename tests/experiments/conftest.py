"""A family that trains in about a second: synthetic documents, two sizes of a few thousand weights."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mematlas.experiments import PlantingConfig, Size, TrainedFamily, TrainingConfig, train_family
from mematlas.experiments.data.standard_library import Document
from mematlas.experiments.training.side_by_side import Progress

PLANTING = PlantingConfig(
    vocabulary=300, row_length=24, repetitions=(1, 4), rows_per_level=6, control_rows=8, held_out_share=0.3, overlap=8
)
TINY = TrainingConfig(
    seed=3,
    planting=PLANTING,
    sizes=(Size(hidden=8, layers=1, heads=2, peak_rate=1e-2), Size(hidden=16, layers=2, heads=2, peak_rate=1e-2)),
    batch=4,
    warm_up=2,
)


def documents() -> list[Document]:
    """Twenty documents of random words, so that rows share no passage."""
    random = np.random.default_rng(0)
    words = ["".join(chr(97 + letter) for letter in random.integers(0, 26, size=5)) for _ in range(200)]
    return [Document(f"made/{i:02d}.txt", " ".join(random.choice(words, size=120))) for i in range(20)]


def train(
    out: Path, config: TrainingConfig = TINY, progress: Progress | None = None, at_once: int = 2
) -> TrainedFamily:
    """`train_family` on the synthetic documents, with one thread per size, so that the order of sums is fixed."""
    before = torch.get_num_threads()
    torch.set_num_threads(at_once)
    try:
        return train_family(out, config, progress, documents, at_once)
    finally:
        torch.set_num_threads(before)


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory) -> TrainedFamily:
    return train(tmp_path_factory.mktemp("family"))


def weights(folder: Path) -> bytes:
    """The file of a checkpoint's weights."""
    return (folder / "model.safetensors").read_bytes()
