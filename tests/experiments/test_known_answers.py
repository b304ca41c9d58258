"""Answers of P8 that are known beforehand, measured by the code that measures trainings; each with its opposite."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from mematlas.experiments import Size
from mematlas.experiments.design.plan import Plan, Showing
from mematlas.experiments.design.schedule import Schedule
from mematlas.experiments.training.arm import Arm
from mematlas.experiments.training.network import neox_config
from mematlas.experiments.training.probe_sets import ProbeSet, measure_model
from mematlas.experiments.training.trainer import read_probes, train_arm
from mematlas.models.standins.ngram import NGram

VOCABULARY, LENGTH, ROWS = 32, 12, 16


def random_rows(count: int, seed: int = 0) -> np.ndarray:
    """Rows of uniform random tokens: nothing but the rows themselves says what comes next."""
    return np.random.default_rng(seed).integers(1, VOCABULARY, (count, LENGTH)).astype(np.uint16)


def trained(folder: Path, plan: Plan, peak: float, steps: tuple[int, ...]) -> dict[tuple[int, str, str], float]:
    """Measurements of a model in training: (step, set, metric) -> value."""
    sets = {"train": np.arange(ROWS), "validation": np.arange(ROWS, len(plan.tokens))}
    arm = Arm(
        label="arm",
        start=neox_config(Size(32, 2, 2, 1e-2), VOCABULARY, LENGTH),
        plan=plan,
        schedule=Schedule(peak),
        probes=tuple(ProbeSet(name, rows, steps, context=4) for name, rows in sets.items()),
    )
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        train_arm(arm, folder)
    finally:
        torch.set_num_threads(before)
    return {(r["step"], r["set"], r["metric"]): r["value"] for r in read_probes(arm, folder).to_pylist()}


def test_three_hits_in_five_contexts_are_0_6():
    """A model of bigrams that is right after three of the five tokens of a row."""
    model = NGram({(1,): {2: 1}, (2,): {3: 1}, (3,): {4: 1}, (4,): {1: 1}, (9,): {9: 1}}, vocabulary=10)
    values = measure_model(model, np.array([[1, 2, 3, 4, 9, 5], [1, 9, 1, 9, 1, 9]]), context=1)
    assert values["M"].tolist() == [3 / 5, 0.0]
    assert values["verbatim"].tolist() == [3, 0]


def test_a_count_based_bigram_model_has_the_m_of_its_counts():
    """M is the share of tokens that are the most frequent one after the token before; ties go to the lowest id."""
    rows = np.random.default_rng(1).integers(0, 12, (4, LENGTH))
    counts = Counter((int(a), int(b)) for row in rows for a, b in pairwise(row))
    best = {a: max(range(12), key=lambda b, a=a: (counts[a, b], -b)) for a in range(12)}
    expected = [np.mean([best[int(a)] == b for a, b in pairwise(row)]) for row in rows]
    model = NGram.fit(rows, 2, vocabulary=12)
    assert measure_model(model, rows, context=4)["M"].tolist() == pytest.approx(expected)
    assert np.mean(expected) > 3 / 12, "three times chance"
    others = np.random.default_rng(2).integers(0, 12, (200, LENGTH))
    assert measure_model(model, others, context=4)["M"].mean() == pytest.approx(1 / 12, abs=0.02)


def test_random_rows_are_memorized_whole_while_rows_never_shown_stay_at_chance(tmp_path: Path):
    tokens = random_rows(ROWS + 64)
    tokens[:ROWS, 0] = np.arange(1, ROWS + 1)  # what comes second is random otherwise, after equal first tokens
    plan = Plan.from_order(tokens, np.tile(np.arange(ROWS), 150), batch=ROWS)
    found = trained(tmp_path, plan, 1e-2, (0, 150))
    assert found[0, "train", "M"] < 0.15
    assert found[150, "train", "M"] > 0.99
    n = 64 * (LENGTH - 1)
    chance = 1 / (VOCABULARY - 1)
    assert found[150, "validation", "M"] == pytest.approx(chance, abs=5 * (chance / n) ** 0.5)
    assert found[150, "validation", "loss"] > np.log(VOCABULARY - 1), "surer of its rows, it is wrong of others"


@pytest.mark.parametrize(("peak", "is_flat"), [(0.0, True), (1e-2, False)])
def test_at_rate_0_showings_leave_no_trace(tmp_path: Path, peak: float, is_flat: bool):
    tokens = random_rows(ROWS + 48)
    background = np.random.default_rng(1).permutation(np.arange(ROWS, ROWS + 48))
    showings = [Showing(row, 16 + row) for row in range(ROWS)]
    plan = Plan.from_order(tokens, np.tile(background, 2), batch=16).with_showings(showings)
    found = trained(tmp_path, plan, peak, (0, 1, 2, 3, 6))
    for name in ("M", "loss", "verbatim"):
        values = {found[step, "train", name] for step in (0, 1, 2, 3, 6)}
        assert len(values) == 1 or not is_flat
    assert (found[1, "train", "loss"] == found[2, "train", "loss"]) == is_flat, "shown in step 2"
    assert found[2, "train", "shown"] == 1
