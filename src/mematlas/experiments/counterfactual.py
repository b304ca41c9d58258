"""Many small models, each trained on a random subset of the rows: the ground of counterfactual memorization (P10).

    OUT/tokenizer/, rows/        see data/subset_rows.py
        subsets.npy              [models, rows] bool: which rows each model was trained on
        models/subset-000/...    one folder per model, see training/trainer.py

Each model is a task: it is trained once, in this process or by a worker, and resumed if it was interrupted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mematlas.executors.options import SINGLE_PROCESS, WorkerOptions
from mematlas.executors.pool import enter_folder, map_tasks, raise_failed
from mematlas.experiments.data.standard_library import Document, standard_library_documents
from mematlas.experiments.data.subset_rows import RowsFolder, prepare_rows
from mematlas.experiments.design.plan import Plan
from mematlas.experiments.design.subsets import CounterfactualConfig
from mematlas.experiments.folders import check_disk_space
from mematlas.experiments.training.arm import Arm
from mematlas.experiments.training.network import checkpoint_name, neox_config
from mematlas.experiments.training.side_by_side import Progress, side_by_side
from mematlas.experiments.training.trainer import train_arm
from mematlas.stats.counterfactual import sample_membership
from mematlas.study import write_atomically
from mematlas.types import Ids

_BYTES_PER_PARAMETER = 4
_SLACK = 20_000_000


@dataclass(frozen=True, slots=True, eq=False)
class TrainedSubsets:
    """The trained models: an ordinary Hugging Face folder each, in the order of the lines of `members`.

    rows: the corpus of all rows, control: rows that no model was shown; members: [models, rows], who was trained on
    what; first_steps, last_steps: [models, rows], steps in which a row was shown first and last, 0 where it was not.
    """

    folder: Path
    rows: Path
    control: Path
    models: tuple[Path, ...]
    members: NDArray[np.bool_]
    epochs: int
    first_steps: Ids
    last_steps: Ids


def train_subsets(
    out: str | Path,
    config: CounterfactualConfig | None = None,
    progress: Progress | None = None,
    *,
    workers: WorkerOptions = SINGLE_PROCESS,
    documents: Callable[[], list[Document]] = standard_library_documents,
    at_once: int = 2,
) -> TrainedSubsets:
    """Train every model on its subset; models that are trained already are kept.

    Args:
        out: the output folder; created if necessary.
        progress: called as progress(step, steps, loss, label) while models train in this process, and as progress(done,
            models, None, "models") after each one of a worker.
        workers: processes that share the models; in this process, `at_once` of them are trained side by side.
        documents: called without arguments, returns the texts.

    Raises:
        CorpusError: the texts are missing or too few.
        StudyError: the folder cannot be written or contains something else, or the disk is too full.
    """
    out, config, report = Path(out), config or CounterfactualConfig(), progress or _silent
    parameters = config.size.parameters(config.rows.vocabulary)
    check_disk_space(out, _BYTES_PER_PARAMETER * parameters * (config.models + 6) + _SLACK)
    rows = prepare_rows(out, config.rows, config.seed, documents)
    members = sample_membership(
        config.models, len(rows.tokens), config.share, config.seed, rows.texts if config.unit == "text" else None
    )
    write_atomically(out / "subsets.npy", partial(_save, values=members))
    arms = [subset_arm(number, rows, members[number], config) for number in range(config.models)]
    if workers.uses_workers(len(arms)):
        _train_in_workers(out, config, workers, report)
    jobs = [partial(train_arm, arm, out / "models" / arm.label) for arm in arms]
    side_by_side(jobs, min(at_once, torch.get_num_threads()), report)
    steps = np.array([_shown_steps(arm.plan, len(rows.tokens)) for arm in arms])
    models = tuple(out / "models" / arm.label / checkpoint_name(arm.plan.steps) for arm in arms)
    return TrainedSubsets(out, rows.rows, rows.control, models, members, config.epochs, steps[:, 0], steps[:, 1])


def subset_arm(number: int, rows: RowsFolder, is_member: NDArray[np.bool_], config: CounterfactualConfig) -> Arm:
    """The training of one model: its rows in a new order in every epoch.

    Args:
        is_member: [rows], whether the model is trained on each row.
    """
    random = np.random.default_rng([config.seed, 2, number])
    subset = np.flatnonzero(is_member)
    order = np.concatenate([random.permutation(subset) for _ in range(config.epochs)])
    starts = np.concatenate(
        [len(subset) * epoch + np.arange(0, len(subset), config.batch) for epoch in range(config.epochs)]
    )
    vocabulary = len(rows.tokenizer)
    return Arm(
        label=f"subset-{number:03d}",
        start=neox_config(config.size, vocabulary, rows.tokens.shape[1]),
        plan=Plan(rows.tokens, order, np.append(starts, len(order))),
        schedule=config.schedule,
        seed=config.seed if config.shared_start else config.seed + 1 + number,
        tokenizer=rows.tokenizer,
    )


def _shown_steps(plan: Plan, rows: int) -> tuple[Ids, Ids]:
    """The first and the last step, from 1 on, in which each row is shown; 0 where it is not."""
    step_of_slot = np.searchsorted(plan.starts, np.arange(len(plan.rows)), side="right")
    first, last = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    first[plan.rows[::-1]] = step_of_slot[::-1]
    last[plan.rows] = step_of_slot
    return first, last


def _train_in_workers(out: Path, config: CounterfactualConfig, workers: WorkerOptions, report: Progress) -> None:
    done = 0

    def count(_: int) -> None:
        nonlocal done
        done += 1
        report(done, config.models, None, "models")

    factory = partial(_make_worker, Path.cwd(), out, config)
    failed = map_tasks(workers, factory, range(config.models), count, lambda _: None, None)
    raise_failed(failed, "models", "all others are kept. Run the same command again.")


def _make_worker(folder: Path, out: Path, config: CounterfactualConfig, threads: int) -> Callable[[int], int]:
    """A worker that trains the model of a number; the rows and subsets exist already."""
    enter_folder(folder)
    torch.set_num_threads(threads)
    rows = prepare_rows(out, config.rows, config.seed, standard_library_documents)
    members = np.load(out / "subsets.npy", allow_pickle=False)

    def train(number: int) -> int:
        arm = subset_arm(number, rows, members[number], config)
        train_arm(arm, out / "models" / arm.label)
        return number

    return train


def _save(path: Path, values: NDArray[np.bool_]) -> None:
    with path.open("wb") as file:
        np.save(file, values)


def _silent(step: int, steps: int, loss: float | None, label: str) -> None:
    """Report nothing."""
