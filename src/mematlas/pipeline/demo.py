"""The main job on what every machine with Python has: a family of small models, trained on the standard library.

Some rows are shown 1, 2, 4 ... 128 times, a held-out part never (the control); see `mematlas.experiments`. What is
asked of the family stands in a study file beside it, to be changed and run again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mematlas.pipeline.run import RunOutcome, run_file
from mematlas.pipeline.study_file import parse_study_file, study_file_text
from mematlas.progress import Progress, Silent
from mematlas.study import Study, write_atomically

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
    """The trained family, and what its study came to; edited: the study file there is another than the demo's."""

    family: "TrainedFamily"
    carried: RunOutcome
    edited: bool

    @property
    def study(self) -> Study:
        return self.carried.study

    def examples(self, context: int = 32, continuation: int = 32, limit: int = 3) -> list[Recited]:
        """Rows that the largest model recites whole, each from another file, the least shown first."""
        import polars as pl

        from mematlas.experiments.data.tokenizer import read_tokenizer

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
    full: bool = False,
    config: "TrainingConfig | None" = None,
    training: Training | None = None,
    progress: Progress | None = None,
) -> Demonstration:
    """Train the family in `folder` (kept if it is there already) and carry out `folder`/study.yaml on it.

    A study file that is there already is left as it is; the demo always asks its own question.

    Args:
        folder: models, corpus and study go here; about 200 MB.
        full: fit predictors to the hidden states of every model, with more seeds, instead of the largest alone.
        config: another recipe than the built-in one.
        training: called as training(step, steps, loss, label) while models train.
        progress: watcher of the study.

    Raises:
        MematlasError: no standard library sources, no room, or a folder that holds something else.
    """
    from mematlas.experiments.repetition import train_family

    out = Path(folder)
    family = train_family(out, config, training)
    path = out / "study.yaml"
    text, other = (study_file_text(_asked(family, which), path.name) for which in (full, not full))
    if not path.exists() or path.read_text(encoding="utf-8") == other:
        write_atomically(path, lambda temporary: _write(temporary, text))
    carried = run_file(parse_study_file(text, path), progress or Silent())
    return Demonstration(family, carried, path.read_text(encoding="utf-8") != text)


def _asked(family: "TrainedFamily", full: bool) -> dict[str, object]:
    """The demo's study: the fully trained models, and all checkpoints of the largest."""
    largest = family.final[-1].label
    members = [member for member in family.members if member.is_final or member.label == largest]
    return {
        "models": [member.folder.relative_to(family.folder).as_posix() for member in members],
        "order": "both",
        "corpus": family.train.relative_to(family.folder).as_posix(),
        "control": family.control.relative_to(family.folder).as_posix(),
        "study": "study",
        "scope": "rows",
        "training_order": family.order.relative_to(family.folder).as_posix(),
        "context": list(CONTEXTS),
        "continuation": list(CONTINUATIONS),
        "signals": ["free", "truth", "hidden"],
        "hidden_rows": 4000,  # of every row
        "predictors": "all" if full else "last",
        "predictor_seeds": 3,
    }


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
