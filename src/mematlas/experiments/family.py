"""A family of small models that know by heart what they were shown often: same data, same order, growing size.

<out>/tokenizer/, corpus/          see corpus_folder.py
      models/neox-0.29m/...        one folder a size, see training.py
      family.json                  the manifest, written last
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mematlas.experiments.artifacts import fingerprint, make_room, write_json
from mematlas.experiments.configuration import TrainingConfig
from mematlas.experiments.corpus_folder import prepare_corpus
from mematlas.experiments.network import checkpoint_name
from mematlas.experiments.standard_library import Document, standard_library_documents
from mematlas.experiments.training import Progress, run_fingerprint, train_size

BYTES_A_PARAMETER = 4
SLACK = 50_000_000
"""Bytes for the corpus, the tokenizers and the file system's rounding."""


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
    out: Path,
    config: TrainingConfig | None = None,
    progress: Progress | None = None,
    documents: Callable[[], list[Document]] = standard_library_documents,
) -> TrainedFamily:
    """Make the planted corpus and train every size on it; what is there already and still valid is kept.

    Args:
        out: the folder to fill; created if need be.
        config: sizes, schedule and planting; the built-in recipe unless given.
        progress: called as progress(step, steps, loss, label) after every step, and with loss None before and after
            the corpus is made (label "corpus", 0 and 1 of 1). What it raises ends the training, which can be resumed.
        documents: where the texts come from.

    Raises:
        CorpusError: the texts are missing or too few.
        StudyError: the folder cannot be written, is too full, or holds something else.
    """
    config = config or TrainingConfig()
    progress = progress or _silent
    make_room(out, _bytes_needed(config))
    progress(0, 1, None, "corpus")
    corpus = prepare_corpus(out, documents(), config)
    progress(1, 1, None, "corpus")
    members: list[Member] = []
    runs: dict[str, str] = {}
    for size in config.sizes:
        label = size.label(corpus.vocabulary)
        train_size(size, corpus, config, out / "models" / label, progress)
        runs[label] = run_fingerprint(size, corpus, config)
        parameters = size.parameters(corpus.vocabulary)
        for step in config.checkpoint_steps:
            folder = out / "models" / label / checkpoint_name(step)
            shown = min(step * config.batch, len(corpus.order))
            members.append(Member(label, folder, parameters, step, shown, step == config.steps))
    family = TrainedFamily(
        folder=out,
        train=corpus.train,
        control=corpus.control,
        order=corpus.order_file,
        tokenizer=corpus.tokenizer_folder,
        members=tuple(members),
        fingerprint=fingerprint(runs),
    )
    write_json(out / "family.json", _manifest(family, config, runs))
    return family


def _manifest(family: TrainedFamily, config: TrainingConfig, runs: dict[str, str]) -> dict[str, Any]:
    members = [asdict(m) | {"folder": m.folder.relative_to(family.folder).as_posix()} for m in family.members]
    return {"fingerprint": family.fingerprint, "runs": runs, "members": members, "config": asdict(config)}


def _bytes_needed(config: TrainingConfig) -> int:
    """An upper bound: every checkpoint, and the largest size's training state (weights and two moments), twice."""
    sizes = [size.parameters(config.planting.vocabulary) for size in config.sizes]
    return BYTES_A_PARAMETER * (sum(sizes) * len(config.checkpoint_steps) + 6 * max(sizes)) + SLACK


def _silent(step: int, steps: int, loss: float | None, label: str) -> None:
    """Report nothing."""
