"""The main job on what every machine with Python has: a family of small models trained on the standard library, scored.

Some rows are shown 1, 2, 4 ... 128 times, a held-out part never (the control); see `mematlas.experiments`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mematlas.store import Study
from mematlas.study import Progress, Silent, score

if TYPE_CHECKING:
    from mematlas.experiments import TrainedFamily, TrainingConfig

CONTEXTS, CONTINUATIONS = (16, 32), (16, 32, 48, 64)

Training = Callable[[int, int, float | None, str], None]


@dataclass(frozen=True, slots=True)
class Recited:
    """A row that the largest model recites whole, as text."""

    source: str
    repetitions: int
    context: str
    continuation: str


@dataclass(frozen=True, slots=True)
class Demonstration:
    """The trained family and its scored study."""

    family: "TrainedFamily"
    study: Study

    def examples(self, context: int = 32, continuation: int = 32, limit: int = 3) -> list[Recited]:
        """Rows that the largest model recites whole, each from another file, the least shown first."""
        import polars as pl

        from mematlas.experiments.tokenizer import read_tokenizer

        tokenizer = read_tokenizer(self.family.tokenizer)
        largest = self.study.models()["model"][-1]
        rows = (
            self.study.scores()
            .filter(model=largest, context=context, continuation=continuation)
            .filter(pl.col("matches") == continuation)
            .join(self.study.rows().filter(role="train"), on="row")
            .sort("repetitions", "row")
            .unique("source", keep="first", maintain_order=True)
            .head(limit)
        )
        tokens = pl.read_parquet(self.family.train, columns=["tokens"])["tokens"]
        found = []
        for row, source, repetitions in rows.select("row", "source", "repetitions").iter_rows():
            ids = tokens[row].to_list()
            found.append(
                Recited(
                    source,
                    repetitions,
                    tokenizer.decode(ids[:context]),
                    tokenizer.decode(ids[context : context + continuation]),
                )
            )
        return found


def demo(
    folder: str | Path = "demo",
    *,
    config: "TrainingConfig | None" = None,
    training: Training | None = None,
    progress: Progress | None = None,
) -> Demonstration:
    """Train the family in `folder` (kept if it is there already) and score it into `folder`/study.

    Args:
        folder: models, corpus and study go here; about 50 MB.
        config: another recipe than the built-in one.
        training: called as training(step, steps, loss, label) while models train.
        progress: watcher of the scoring.

    Raises:
        MematlasError: no standard library sources, no room, or a folder that holds something else.
    """
    from mematlas.experiments import train_family

    out = Path(folder)
    family = train_family(out, config, training)
    largest = family.final[-1]
    checkpoints = [member for member in family.members if member.label.startswith(largest.label.split("/")[0])]
    members = [*family.final[:-1], *sorted(checkpoints, key=lambda member: member.training_step)]
    study = score(
        *[str(member.folder) for member in members],
        corpus=str(family.train),
        control=str(family.control),
        context=list(CONTEXTS),
        continuation=list(CONTINUATIONS),
        study=out / "study",
        progress=progress or Silent(),
    )
    return Demonstration(family, study)
