"""A demonstration that needs nothing but Python: a family of small models, trained on its standard library.

Some rows are shown 1, 2, 4 ... 128 times, others never (the control); see `mematlas.experiments`. The study file with
which the family is studied is written beside it, so that it can be changed and run again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mematlas.errors import MematlasError
from mematlas.errors.functions import public_function
from mematlas.executors.options import resolve_worker_options
from mematlas.pipeline.run import RunOutcome, run_file
from mematlas.pipeline.study_file import parse_study_file
from mematlas.pipeline.study_file_template import study_file_text
from mematlas.progress import Progress, Silent
from mematlas.study import Study, write_text

if TYPE_CHECKING:
    from mematlas.experiments import TrainedFamily, TrainingConfig

CONTEXTS, CONTINUATIONS = (16, 32), (16, 32, 48, 64)

Training = Callable[[int, int, float | None, str], None]


@dataclass(frozen=True, slots=True)
class RecitedExample:
    """A row that the largest model recites in full, as text."""

    source: str
    repetitions: int
    context: str
    continuation: str


@dataclass(frozen=True, slots=True)
class Demonstration:
    """The trained family and the outcome of its study. edited: the study file in the folder is not the demo's own."""

    family: "TrainedFamily"
    outcome: RunOutcome
    edited: bool

    @property
    def study(self) -> Study:
        return self.outcome.study

    def examples(self, context: int = 32, continuation: int = 32, limit: int = 3) -> list[RecitedExample]:
        """Rows that the largest model recites in full, each from a different file, the least repeated first."""
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
        examples = []
        for row, source, repetitions in rows.select("row", "source", "repetitions").iter_rows():
            ids = tokens[row].to_list()
            examples.append(
                RecitedExample(
                    source,
                    repetitions,
                    tokenizer.decode(ids[:context]),
                    tokenizer.decode(ids[context : context + continuation]),
                )
            )
        return examples


@public_function()
def demo(
    folder: str | Path = "demo",
    *,
    full: bool = False,
    config: "TrainingConfig | None" = None,
    training: Training | None = None,
    progress: Progress | None = None,
    workers: int = 1,
) -> Demonstration:
    """Train the family in `folder` (kept if it exists already) and study it with `folder`/study.yaml.

    A study file that exists already is left as it is; the demo always runs its own settings.

    Args:
        folder: models, corpus and study go here; about 200 MB.
        full: fit predictors to the hidden states of every model, instead of the largest only.
        config: the configuration of the training, instead of the built-in one.
        training: called as training(step, steps, loss, label) while models train.
        progress: display of the study's progress; none by default.
        workers: processes that share the study's work; 1 for this one alone.

    Raises:
        OptionError: there are no workers.
        MematlasError: no sources of the standard library, no disk space, or a folder with other contents.
    """
    from mematlas.experiments.repetition import train_family

    out, options = Path(folder), resolve_worker_options("demo", workers=workers)
    family = train_family(out, config, training)
    path = out / "study.yaml"
    text, other = (study_file_text(_study_settings(family, which), path.name) for which in (full, not full))
    if not path.exists() or _has_settings(path, other):
        write_text(path, text)
    file = parse_study_file(text, path).model_copy(update={"workers": options.workers})
    outcome = run_file(file, progress or Silent())
    return Demonstration(family, outcome, not _has_settings(path, text))


def _has_settings(path: Path, text: str) -> bool:
    """Whether the study file at `path` has the same settings as `text`, whatever its comments."""
    try:
        return parse_study_file(path.read_text(encoding="utf-8"), path) == parse_study_file(text, path)
    except MematlasError:
        return False


def _study_settings(family: "TrainedFamily", full: bool) -> dict[str, object]:
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
