"""A family of small models that memorize what they were shown often: same data, same order, increasing size.

<out>/tokenizer/, corpus/          see data/corpus_folder.py
      models/neox-0.29m/...        one folder per size, see training/trainer.py
      family.json                  the manifest, written last
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from mematlas.experiments.data.corpus_folder import CorpusFolder, prepare_corpus
from mematlas.experiments.data.standard_library import Document, standard_library_documents
from mematlas.experiments.design.config import Size, TrainingConfig
from mematlas.experiments.design.plan import Plan
from mematlas.experiments.folders import check_disk_space
from mematlas.experiments.training.arm import Arm
from mematlas.experiments.training.network import checkpoint_name, neox_config
from mematlas.experiments.training.side_by_side import Progress, side_by_side
from mematlas.experiments.training.trainer import train_arm
from mematlas.study import fingerprint, write_json

BYTES_PER_PARAMETER = 4
SLACK = 50_000_000
"""Bytes for the corpus, the tokenizers and the file system's overhead."""


@dataclass(frozen=True, slots=True)
class Member:
    """One checkpoint of one size: an ordinary Hugging Face folder.

    parameters: weights and biases; training_step: optimizer steps done; presentations: rows shown so far.
    """

    label: str
    folder: Path
    parameters: int
    training_step: int
    presentations: int
    is_final: bool


@dataclass(frozen=True, slots=True)
class TrainedFamily:
    """The trained models, by size and then by step; the rows they were shown (`train`) and never shown (`control`)."""

    folder: Path
    train: Path
    control: Path
    order: Path
    tokenizer: Path
    members: tuple[Member, ...]
    fingerprint: str

    @property
    def final(self) -> tuple[Member, ...]:
        """The fully trained models, in the order of the configuration's sizes."""
        return tuple(member for member in self.members if member.is_final)


def train_family(
    out: str | Path,
    config: TrainingConfig | None = None,
    progress: Progress | None = None,
    documents: Callable[[], list[Document]] = standard_library_documents,
    at_once: int = 2,
) -> TrainedFamily:
    """Create the planted corpus and train every size on it; existing results that are still valid are kept.

    Args:
        out: the output folder; created if necessary.
        config: sizes, schedule and planting; by default the built-in ones.
        progress: called as progress(step, steps, loss, label) after every step, and with loss None before and after
            the corpus is created (label "corpus", 0 and 1 of 1). Sizes report interleaved. An exception that it raises
            ends the training, which can be resumed.
        documents: called without arguments, returns the texts.
        at_once: number of sizes trained at the same time, which share torch's threads.

    Raises:
        CorpusError: the texts are missing or too few.
        StudyError: the folder cannot be written or contains something else, or the disk is too full.
    """
    out, config = Path(out), config or TrainingConfig()
    progress = progress or _silent
    check_disk_space(out, _bytes_needed(config))
    progress(0, 1, None, "corpus")
    corpus = prepare_corpus(out, documents(), config)
    progress(1, 1, None, "corpus")
    longest_first = sorted(config.sizes, key=lambda size: -size.parameters(corpus.vocabulary))
    folders = {size: out / "models" / size.label(corpus.vocabulary) for size in config.sizes}
    plan = Plan.from_order(corpus.tokens, corpus.order, config.batch)
    arms = {size: _arm(size, plan, corpus, config) for size in config.sizes}
    jobs = [partial(train_arm, arms[size], folders[size]) for size in longest_first]
    side_by_side(jobs, min(at_once, torch.get_num_threads()), progress)
    runs = {folders[size].name: arms[size].fingerprint() for size in config.sizes}
    family = TrainedFamily(
        folder=out,
        train=corpus.train,
        control=corpus.control,
        order=corpus.order_file,
        tokenizer=corpus.tokenizer_folder,
        members=tuple(member for size in config.sizes for member in _members(size, config, corpus, folders[size])),
        fingerprint=fingerprint(runs),
    )
    write_json(out / "family.json", _manifest(family, config, runs))
    return family


def _arm(size: Size, plan: Plan, corpus: CorpusFolder, config: TrainingConfig) -> Arm:
    """The training of one size."""
    return Arm(
        label=size.label(corpus.vocabulary),
        start=neox_config(size, corpus.vocabulary, plan.row_length),
        plan=plan,
        schedule=config.schedule(size.peak_rate),
        seed=config.seed,
        checkpoints=config.checkpoint_steps,
        tokenizer=corpus.tokenizer,
    )


def _members(size: Size, config: TrainingConfig, corpus: CorpusFolder, folder: Path) -> list[Member]:
    """The checkpoints of one size, by step."""
    return [
        Member(
            label=folder.name,
            folder=folder / checkpoint_name(step),
            parameters=size.parameters(corpus.vocabulary),
            training_step=step,
            presentations=min(step * config.batch, len(corpus.order)),
            is_final=step == config.steps,
        )
        for step in config.checkpoint_steps
    ]


def _manifest(family: TrainedFamily, config: TrainingConfig, runs: dict[str, str]) -> dict[str, Any]:
    members = [asdict(m) | {"folder": m.folder.relative_to(family.folder).as_posix()} for m in family.members]
    return {"fingerprint": family.fingerprint, "runs": runs, "members": members, "config": asdict(config)}


def _bytes_needed(config: TrainingConfig) -> int:
    """An upper bound: all checkpoints, and twice the largest size's training state (weights and two moments)."""
    sizes = [size.parameters(config.planting.vocabulary) for size in config.sizes]
    return BYTES_PER_PARAMETER * (sum(sizes) * len(config.checkpoint_steps) + 6 * max(sizes)) + SLACK


def _silent(step: int, steps: int, loss: float | None, label: str) -> None:
    """Report nothing."""
