"""A stress test from its options to the finding: what `mematlas stress` and `mematlas.stress()` do.

OUT/<unlearned>-<key>/lengths/*.parquet     what each model recites; with these a stopped stress test goes on
                     /relearned-a/ ...      trainings of the unlearned model, if asked for
                     /finding.json, stress.parquet, rows.parquet, damage.parquet, summary.parquet, verdicts.parquet
                     /facts.json            what was asked; written last
                     /stress.html           the page, written by the command

The key is a hash of everything that can change a number.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack

import numpy as np

from mematlas.auditing.stress.config import StressConfig
from mematlas.auditing.stress.keywords import StressKeywords
from mematlas.auditing.stress.synonyms import read_synonyms
from mematlas.errors import ModelError, OptionError
from mematlas.errors.configurations import resolve_options
from mematlas.errors.functions import public_function
from mematlas.findings.finding import Finding, write_finding
from mematlas.models.base import LoadOptions, Model, ModelSource
from mematlas.models.resolve import find_model
from mematlas.progress import Progress, Silent
from mematlas.scoring.job import labels_by_tokenizer
from mematlas.scoring.model_names import model_names
from mematlas.study import digest, fingerprint, translate_os_errors, write_json
from mematlas.study.versions import versions

if TYPE_CHECKING:
    import polars as pl

    from mematlas.auditing.stress.damage import Damage
    from mematlas.auditing.stress.lengths import Answers
    from mematlas.auditing.stress.prompts import Prompt
    from mematlas.auditing.stress.rows import RowSets

#: Part of every key; raised when a change of the code can change a number.
VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class StressTest:
    """A finished stress test. verdict: on all tested rows; folder: of the tables; facts: what was asked."""

    verdict: str
    finding: Finding
    folder: Path
    facts: dict[str, Any]

    def prompts(self) -> "pl.DataFrame":
        """One record per row and prompt: lengths before and after, and the gain."""
        return self.finding.table("stress")

    def rows(self) -> "pl.DataFrame":
        """One record per row: its best prompt and its verdict."""
        return self.finding.table("rows")

    def damage(self) -> "pl.DataFrame":
        """Held-out loss and kept rows, before and after."""
        return self.finding.table("damage")


@public_function(StressConfig)
def stress(
    original: str | Path, unlearned: str | Path, *, progress: Progress | None = None, **options: Unpack[StressKeywords]
) -> StressTest:
    """Whether a model that "forgot" rows still recites them under other prompts, as `mematlas stress` finds out (P3).

    Args:
        original: folder or hub id of the model before unlearning.
        unlearned: the same after it.
        progress: shows the progress; silent by default.
        options: see `StressConfig`: corpus, rows, retain, control ...

    Raises:
        MematlasError: one line with value, rule and remedy; models that were asked are not asked again.
    """
    names = model_names([original, unlearned])
    return run_stress(names[0], names[1], resolve_options(StressConfig, "stress", options), progress or Silent())


def run_stress(original: str, unlearned: str, config: StressConfig, progress: Progress) -> StressTest:
    """`stress` with a validated configuration."""
    job = _open(original, unlearned, config, progress)
    try:
        with translate_os_errors(config.out):
            return job.run(progress)
    except PermissionError as error:
        raise OptionError(f"--out {config.out} cannot be written ({error.strerror}); name another folder.") from None
    finally:
        progress.stop()


@dataclass(frozen=True, slots=True)
class _Job:
    """Models by their part in the test (before, after, retrained), rows and prompts."""

    config: StressConfig
    sources: dict[str, ModelSource]
    rows: "RowSets"
    prompts: "list[Prompt]"

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that can change a number of the tables."""
        config = self.config
        names = ("context", "continuation", "threshold", "shifts", "substitutions", "draws", "relearn", "relearn_on")
        return {
            "models": {part: source.card.fingerprint for part, source in self.sources.items()},
            "rows": self.rows.digest,
            "options": {name: getattr(config, name) for name in (*names, "relearn_rate", "seed", "dtype")},
            "synonyms": None if config.synonyms is None else [digest(config.synonyms), self.rows.tokenizer],
            "version": VERSION,
        }

    @property
    def folder(self) -> Path:
        label = self.sources["after"].card.label.replace("/", "_")
        return self.config.out / f"{label}-{fingerprint(self.settings)}"

    def run(self, progress: Progress) -> StressTest:
        """Ask all models, judge, and write the finding."""
        from mematlas.auditing.stress.tables import prompt_table, with_relearned

        answers = {part: self._ask(part, source, self.prompts, progress) for part, source in self.sources.items()}
        retrained = answers["retrained"].lengths if "retrained" in answers else None
        table = prompt_table(self.prompts, answers["before"].lengths, answers["after"].lengths, retrained)
        if self.config.relearn:
            table = with_relearned(table, self._relearn(progress), self.config.relearn)
        return self._judged(table, answers)

    def _ask(self, part: str, source: ModelSource, prompts: "Sequence[Prompt]", progress: Progress) -> "Answers":
        from mematlas.auditing.stress.lengths import answers_of

        config = self.config
        rows = [*self.rows.of("kept"), *self.rows.of("control")]
        limits = [card.max_length for card in (other.card for other in self.sources.values()) if card.max_length]
        sizes = (config.context, min([config.context + config.continuation, *limits]))
        return answers_of(part, self._loader(source), prompts, rows, sizes, self.folder / "lengths", progress)

    def _loader(self, source: ModelSource) -> Callable[[], Model]:
        options = LoadOptions.of(self.config)
        return lambda: source.load(options)

    def _relearn(self, progress: Progress) -> "list[tuple[frozenset[tuple[str, int]], pl.Series]]":
        from mematlas.auditing.stress.prompts import ORIGINAL
        from mematlas.auditing.stress.relearning import lessons_of, relearn, trainable_folder

        first = [prompt for prompt in self.prompts if prompt.perturbation == ORIGINAL]
        results = []
        start = trainable_folder(self.config, self.sources["after"])
        for lesson in lessons_of(self.config, self.rows):
            trained = relearn(self.config, start, lesson, self.folder, progress)
            answers = self._ask(lesson.name, find_model(str(trained)), first, progress)
            results.append((lesson.asked, answers.lengths))
        return results

    def _judged(self, table: "pl.DataFrame", answers: "dict[str, Answers]") -> StressTest:
        from mematlas.auditing.stress.finding import Names, stress_finding
        from mematlas.auditing.stress.verdicts import judge, row_table, with_verdicts

        config = self.config
        rows = row_table(table, counts_relearned=config.relearn_on == "others")
        damage = self._damage(rows, answers)
        rows = with_verdicts(rows, config.threshold, damage)
        judgement = judge(rows, config.threshold, damage)
        labels = {part: source.card.label for part, source in self.sources.items()}
        names = Names(labels["before"], labels["after"], labels.get("retrained"))
        numbers = {
            "context": config.context,
            "threshold": config.threshold,
            "relearned_rows": config.relearn * (config.relearn_on == "rows"),
        }
        finding = stress_finding(table, rows, judgement, damage, names, numbers)
        write_finding(self.folder, finding)
        facts = {
            "original": labels["before"],
            "unlearned": labels["after"],
            "retrained": labels.get("retrained"),
            "corpus": config.corpus,
            "selection": config.rows,
            "rows": {role: len(self.rows.of(role)) for role in self.rows.short},
            "too_short": dict(self.rows.short),
            "verdict": judgement.verdict,
            "damage": damage.state,
        }
        details = {"question": self.settings, "configuration": config.model_dump(mode="json"), "versions": versions()}
        write_json(self.folder / "facts.json", facts | details)
        return StressTest(judgement.verdict, finding, self.folder, facts)

    def _damage(self, rows: "pl.DataFrame", answers: "dict[str, Answers]") -> "Damage":
        from mematlas.auditing.stress.damage import Damage, rise_of
        from mematlas.auditing.stress.verdicts import lost_share

        kept, control = self.rows.of("kept"), self.rows.of("control")
        before, after = answers["before"].losses, answers["after"].losses
        documents = np.array([row.cluster for row in (*kept, *control)], dtype=np.str_)
        kept_losses, kept_rise = rise_of(before[: len(kept)], after[: len(kept)], documents[: len(kept)])
        losses, rise = rise_of(before[len(kept) :], after[len(kept) :], documents[len(kept) :])
        lost = lost_share(rows.filter(role="kept"), self.config.threshold)
        guessing = math.log(self.sources["after"].card.vocabulary)
        return Damage(losses, rise, kept_losses, kept_rise, lost, guessing)


def _open(original: str, unlearned: str, config: StressConfig, progress: Progress) -> _Job:
    """Find the models, read the rows and make the prompts.

    Raises:
        ModelError: a model is not there, or their tokenizers differ.
        CorpusError, OptionError: as `open_rows` and `read_synonyms`.
    """
    from mematlas.auditing.stress.prompts import prompts_of
    from mematlas.auditing.stress.relearning import lessons_of, trainable_folder
    from mematlas.auditing.stress.rows import open_rows

    sources = {"before": find_model(original), "after": find_model(unlearned)}
    if config.retrained is not None:
        sources["retrained"] = find_model(config.retrained)
    cards = [source.card for source in sources.values()]
    for remark in dict.fromkeys(remark for card in cards for remark in card.remarks):
        progress.say(remark)
    if len(labels_by_tokenizer([source for source in sources.values() if source.card.tokenizer])) > 1:
        raise ModelError(
            f"{original} and {unlearned} (or the retrained model) have different tokenizers, so that a row is another "
            "text to each; name models of one origin."
        )
    rows = open_rows(config, sources["before"], cards)
    if config.relearn:  # refused before any model is asked
        trainable_folder(config, sources["after"])
        lessons_of(config, rows)
    synonyms = None if config.synonyms is None else read_synonyms(config.synonyms, rows.encoder)
    most = min((card.max_length for card in cards if card.max_length is not None), default=None)
    if most is not None and most < config.context + config.threshold:
        raise ModelError(
            f"{unlearned} reads {most} tokens at a time, fewer than {config.context + config.threshold} (--context and "
            "--threshold); give smaller ones."
        )
    prompts = [prompt for row in rows.rows for prompt in prompts_of(row, config, synonyms, most)]
    return _Job(config, sources, rows, prompts)
