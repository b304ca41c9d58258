"""`mematlas probe style` from its options to the tables.

OUT/<model>-<key>/written/shard-00000-of-00004.parquet + .done   what the model wrote; see `tables.WRITTEN`
                 /attributed, accuracy, difference .parquet      who seems to have written it, and shares of it
                 /README.md, facts.json                          what was asked; written last

The key is a hash of everything that can change what the model writes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Unpack

import polars as pl

from mematlas.errors.configurations import resolve_options
from mematlas.errors.functions import public_function
from mematlas.io.paths import write_atomically
from mematlas.models.base import LoadOptions
from mematlas.probes.items.answering import TextModel
from mematlas.probes.items.writer import Writer
from mematlas.probes.rows.stages import ProbeResult, Stage, column_meanings, finish_probe, run_stages
from mematlas.probes.style.config import StyleConfig, StyleKeywords
from mematlas.probes.style.tables import (
    ACCURACY_COLUMNS,
    ATTRIBUTED_COLUMNS,
    DIFFERENCE_COLUMNS,
    WRITTEN,
    accuracy_table,
    attributed_table,
    difference_table,
)
from mematlas.probes.style.texts import AuthorText, read_texts
from mematlas.progress import Progress, Silent
from mematlas.scoring.model_names import model_names
from mematlas.study import fingerprint

#: Part of every key; raised when a change of the code can change what is written.
VERSION: Final = 1
_TEXTS_IN_A_SHARD: Final = 32
_TABLES: Final = {"attributed": ATTRIBUTED_COLUMNS, "accuracy": ACCURACY_COLUMNS, "difference": DIFFERENCE_COLUMNS}


@public_function(StyleConfig)
def probe_style(
    model: str | Path,
    *,
    text_model: TextModel | None = None,
    progress: Progress | None = None,
    **options: Unpack[StyleKeywords],
) -> ProbeResult:
    """Whether a model writes in the style of the authors that it was trained on (P6).

    Args:
        model: folder or hub id of a causal model with its tokenizer; or any name, if `text_model` is given.
        text_model: what writes instead of `model`, such as a model behind an API; has a method `complete`.
        progress: shows the progress; silent by default.
        options: see `StyleConfig`: texts, prompt_words, new_tokens ...

    Raises:
        MematlasError: one line with value, rule and remedy; finished texts are kept.
    """
    name, *_ = model_names([model])
    return run_style(name, resolve_options(StyleConfig, "probe style", options), progress or Silent(), text_model)


def run_style(model: str, config: StyleConfig, progress: Progress, text_model: TextModel | None = None) -> ProbeResult:
    """`probe_style` with a validated configuration."""
    writer = Writer(model, LoadOptions.of(config), "probe_style", text_model)
    for remark in writer.remarks:
        progress.say(remark)
    texts, short = read_texts(Path(config.texts), config.prompt_words, config.format)
    job = _Job(config, writer, texts, short)
    stage = Stage("written", WRITTEN, job.shards, job.write, min(len(texts), _TEXTS_IN_A_SHARD))
    run_stages(job.folder, config.out, [stage], job.settings, progress, writer.label, "texts")
    return job.finish([stage])


def table_of_style(result: ProbeResult, name: str) -> pl.DataFrame:
    """`attributed`, `accuracy` or `difference` of a finished probe."""
    return pl.read_parquet(result.folder / f"{name}.parquet")


@dataclass(frozen=True)
class _Job:
    """What is asked. short: texts that are left out."""

    config: StyleConfig
    writer: Writer
    texts: tuple[AuthorText, ...]
    short: int

    @property
    def shards(self) -> int:
        return -(-len(self.texts) // _TEXTS_IN_A_SHARD)

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that can change what the model writes."""
        config = self.config
        return {
            "model": self.writer.identity,
            "texts": fingerprint([repr(text) for text in self.texts]),
            "new_tokens": config.new_tokens,
            "temperature": config.temperature,
            "seed": config.seed,
            "dtype": config.dtype,
            "version": VERSION,
        }

    @property
    def folder(self) -> Path:
        return self.config.out / f"{self.writer.label.replace('/', '_')}-{fingerprint(self.settings)}"

    def write(self, number: int) -> Mapping[str, Any]:
        """The columns of a shard: what the model writes after the beginnings of its texts."""
        part, config = self.texts[number * _TEXTS_IN_A_SHARD : (number + 1) * _TEXTS_IN_A_SHARD], self.config
        prompts = [text.prompt for text in part]
        written = self.writer.loaded.complete(
            prompts, max_tokens=config.new_tokens, temperature=config.temperature, seed=config.seed
        )
        columns = {name: [getattr(text, name) for text in part] for name in WRITTEN.names if name != "generation"}
        return columns | {"generation": [answer.text for (answer,) in written]}

    def finish(self, stages: Sequence[Stage]) -> ProbeResult:
        """Tell the authors, and write tables, card and facts."""
        config = self.config
        written = ProbeResult(self.folder, {}).table("written")
        attributed = attributed_table(written, config.folds, config.seed)
        tables = (attributed, accuracy_table(attributed), difference_table(attributed, config.seed))
        for (name, columns), table in zip(_TABLES.items(), tables, strict=True):
            write_atomically(self.folder / f"{name}.parquet", table.select(*columns).write_parquet)
        facts = {
            "model": self.writer.label,
            "texts": config.texts,
            "asked": len(self.texts),
            "too_short": self.short,
            "authors_in_training": attributed.filter("in_training")["author"].n_unique(),
            "authors_not_in_training": attributed.filter(~pl.col("in_training"))["author"].n_unique(),
            "prompt_words": config.prompt_words,
            "new_tokens": config.new_tokens,
            "temperature": config.temperature,
            "folds": attributed["fold"].n_unique(),
            "empty": int((written["generation"].str.strip_chars() == "").sum()),
            "seed": config.seed,
        }
        return finish_probe(self.folder, stages, facts, self.settings, _card(facts))


def _card(facts: Mapping[str, Any]) -> list[str]:
    return [
        f"# In whose style {facts['model']} writes",
        f"{facts['asked']:,} texts of {facts['authors_in_training']} authors in and {facts['authors_not_in_training']} "
        f"not in the training ({facts['texts']}); the model continues the first {facts['prompt_words']} words of each "
        f"by up to {facts['new_tokens']} tokens at temperature {facts['temperature']:g}.",
        f"Each continuation is attributed to an author by the characters of the texts in the other of "
        f"{facts['folds']} parts.",
        *(column_meanings(f"{name}.parquet", columns) for name, columns in _TABLES.items()),
    ]
