"""`mematlas probe ratios` from its options to the tables.

OUT/<model>-<key>/written/shard-00000-of-00016.parquet + .done     what the model wrote; see `tables.WRITTEN`
                 /base/                                            what the base model wrote, if there is one
                 /told, shares, distances, nearness, errors .parquet   labels of all texts, and shares of them
                 /README.md, facts.json                            what was asked; written last

The key is a hash of everything that can change a number.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final, Unpack
from zlib import crc32

import polars as pl

from mematlas.errors import ModelError
from mematlas.errors.configurations import resolve_options
from mematlas.errors.functions import public_function
from mematlas.io.paths import write_atomically
from mematlas.models.base import LoadOptions
from mematlas.probes.items.answering import TextModel
from mematlas.probes.items.writer import Writer
from mematlas.probes.ratios.config import RatiosConfig, RatiosKeywords
from mematlas.probes.ratios.tables import (
    DISTANCES_COLUMNS,
    ERRORS_COLUMNS,
    NEARNESS_COLUMNS,
    SHARES_COLUMNS,
    WRITTEN,
    distances_table,
    errors_table,
    nearness_table,
    shares_table,
)
from mematlas.probes.ratios.telling import BASE, CONTROL, MODEL, TOLD_COLUMNS, TRAINING, common_length, told_table
from mematlas.probes.ratios.texts import Texts, read_texts
from mematlas.probes.rows.stages import ProbeResult, Stage, column_meanings, finish_probe, run_stages
from mematlas.progress import Progress, Silent
from mematlas.scoring.model_names import model_names
from mematlas.study import fingerprint

#: Part of every key; raised when a change of the code can change what is written.
VERSION: Final = 1
_TEXTS_IN_A_SHARD: Final = 32
_FEWEST_WRITTEN: Final = 20  # with a character, of a model; our choice
_TABLES: Final = {
    "told": TOLD_COLUMNS,
    "shares": SHARES_COLUMNS,
    "distances": DISTANCES_COLUMNS,
    "nearness": NEARNESS_COLUMNS,
    "errors": ERRORS_COLUMNS,
}


@public_function(RatiosConfig)
def probe_ratios(
    model: str | Path,
    *,
    text_model: TextModel | None = None,
    base_text_model: TextModel | None = None,
    progress: Progress | None = None,
    **options: Unpack[RatiosKeywords],
) -> ProbeResult:
    """Whether what a model writes has a property as often as its training texts have it (P6).

    Args:
        model: folder or hub id of a causal model with its tokenizer; or any name, if `text_model` is given.
        text_model: what writes instead of `model`, such as a model behind an API; has a method `complete`.
        base_text_model: the same instead of the option `base`, which is its name.
        progress: shows the progress; silent by default.
        options: see `RatiosConfig`: corpus, control, base, label, pattern, samples ...

    Raises:
        MematlasError: one line with value, rule and remedy; finished texts are kept.
    """
    name, *_ = model_names([model])
    config = resolve_options(RatiosConfig, "probe ratios", options)
    return run_ratios(name, config, progress or Silent(), text_model, base_text_model)


def run_ratios(
    model: str,
    config: RatiosConfig,
    progress: Progress,
    text_model: TextModel | None = None,
    base_text_model: TextModel | None = None,
) -> ProbeResult:
    """`probe_ratios` with a validated configuration."""
    config.check()
    load = LoadOptions.of(config)
    writers = {MODEL: Writer(model, load, "probe_ratios", text_model)}
    if config.base is not None:
        writers[BASE] = Writer(config.base, load, "probe_ratios", base_text_model)
    for writer in writers.values():
        for remark in writer.remarks:
            progress.say(remark)
    job = _Job(config, writers, read_texts(config))
    run_stages(job.folder, config.out, job.stages, job.settings, progress, writers[MODEL].label, "texts")
    return job.finish()


def table_of_ratios(result: ProbeResult, name: str) -> pl.DataFrame:
    """`told`, `shares`, `distances`, `nearness` or `errors` of a finished probe."""
    return pl.read_parquet(result.folder / f"{name}.parquet")


@dataclass(frozen=True)
class _Job:
    """What is asked. writers: by the source of their texts."""

    config: RatiosConfig
    writers: Mapping[str, Writer]
    texts: Texts

    @cached_property
    def stages(self) -> list[Stage]:
        shards = -(-self.config.samples // _TEXTS_IN_A_SHARD)
        kinds = {MODEL: "written", BASE: "base"}
        return [
            Stage(kinds[source], WRITTEN, shards, partial(self.write, source), _TEXTS_IN_A_SHARD)
            for source in self.writers
        ]

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Everything that can change a number."""
        config = self.config
        return {
            "model": self.writers[MODEL].identity,
            "base": self.writers[BASE].identity if BASE in self.writers else None,
            "texts": fingerprint([repr(self.texts.training), repr(self.texts.control)]),
            "pattern": config.pattern,
            "samples": config.samples,
            "start_words": config.start_words,
            "new_tokens": config.new_tokens,
            "folds": config.folds,
            "seed": config.seed,
            "dtype": config.dtype,
            "version": VERSION,
        }

    @property
    def folder(self) -> Path:
        return self.config.out / f"{self.writers[MODEL].label.replace('/', '_')}-{fingerprint(self.settings)}"

    def write(self, source: str, number: int) -> Mapping[str, Any]:
        """The columns of a shard: texts after the starts in turn, each shard with a seed of its own."""
        config, starts = self.config, self.texts.starts
        places = range(number * _TEXTS_IN_A_SHARD, min((number + 1) * _TEXTS_IN_A_SHARD, config.samples))
        asked = [starts[place % len(starts)] for place in places]
        counts = Counter(asked)
        answers = self.writers[source].loaded.complete(
            list(counts),
            max_tokens=config.new_tokens,
            temperature=1.0,
            seed=crc32(f"{config.seed} {source} {number}".encode()) >> 1,  # 31 bits, which every API takes
            n=max(counts.values()),
        )
        rest = {start: iter(several) for start, several in zip(counts, answers, strict=True)}
        return {"start": asked, "generation": [next(rest[start]).text for start in asked]}

    def finish(self) -> ProbeResult:
        """Tell the labels, and write tables, card and facts."""
        config, labels = self.config, self.texts.labels
        result = ProbeResult(self.folder, {})
        written = {source: result.table(stage.kind) for source, stage in zip(self.writers, self.stages, strict=True)}
        for source, part in written.items():
            _check_written(self.writers[source].label, part)
        told = told_table(self.texts, written, config)
        errors = told.clear() if config.pattern else told
        tables = {
            "told": told,
            "shares": shares_table(told, labels),
            "distances": distances_table(told, labels, config.seed),
            "nearness": nearness_table(told, labels, config.seed),
            "errors": errors_table(errors, labels),
        }
        for name, columns in _TABLES.items():
            write_atomically(self.folder / f"{name}.parquet", tables[name].select(*columns).write_parquet)
        facts = self._facts(written, told)
        return finish_probe(self.folder, self.stages, facts, self.settings, _card(facts))

    def _facts(self, written: Mapping[str, pl.DataFrame], told: pl.DataFrame) -> dict[str, Any]:
        config = self.config
        return {
            "model": self.writers[MODEL].label,
            "base": self.writers[BASE].label if BASE in self.writers else None,
            "corpus": config.corpus,
            "control": config.control,
            "property": config.label or config.pattern,
            "labels": list(self.texts.labels),
            "training_texts": len(self.texts.training),
            "control_texts": len(self.texts.control),
            "too_short": self.texts.short,
            "samples": config.samples,
            "start_words": config.start_words,
            "new_tokens": config.new_tokens,
            "characters": common_length(written[MODEL]),
            "empty": {source: part.height - _with_characters(part) for source, part in written.items()},
            "error_rate": None if config.pattern else {
                source: _error_rate(told.filter(source=source))
                for source in (TRAINING, CONTROL) if told["source"].eq(source).any()
            },
            "error_rate_reason": "the pattern itself says who has the property" if config.pattern else None,
            "error_rate_shuffled": None if config.pattern else _error_rate(told.filter(source=TRAINING), "shuffled"),
            "seed": config.seed,
        }  # fmt: skip


def _error_rate(part: pl.DataFrame, name: str = "told") -> float:
    """Share of labelled texts that are told to have another label."""
    known = part.drop_nulls(name)
    return float((known["label"] != known[name]).mean())  # type: ignore[arg-type]


def _with_characters(written: pl.DataFrame) -> int:
    return int((written["generation"].str.strip_chars() != "").sum())


def _check_written(label: str, written: pl.DataFrame) -> None:
    count = _with_characters(written)
    if count < _FEWEST_WRITTEN:
        raise ModelError(
            f"{label} wrote {count} texts with a character, of {written.height}; shares need {_FEWEST_WRITTEN}: ask "
            "for more --samples or more --new-tokens."
        )


def _card(facts: Mapping[str, Any]) -> list[str]:
    start = f"the first {facts['start_words']} words of control texts" if facts["start_words"] else "no words"
    return [
        f"# Shares in what {facts['model']} writes",
        f"{facts['samples']:,} texts of up to {facts['new_tokens']} tokens after {start}, drawn at temperature 1, "
        f"beside {facts['training_texts']:,} training texts ({facts['corpus']}) and "
        f"{facts['control_texts']:,} control texts. The property is {facts['property']}; all texts are cut to "
        f"{facts['characters']} characters.",
        *(column_meanings(f"{name}.parquet", columns) for name, columns in _TABLES.items()),
    ]
