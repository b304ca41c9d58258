"""`mematlas probe tasks` from its options to the tables.

OUT/task-<key>/examples, pairs, spans/shard-...parquet   what the corpus says; see `tables`
              /scores/<model>-<key>/, answers/...        what each model says
              /mem.parquet, coverage.parquet             Mem and performance of all models of the last command
              /README.md, facts.json                     what was asked; written last

The key of the folder is a hash of everything that can change a count, so that models can be added later.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack

import polars as pl

from mematlas.errors import OptionError
from mematlas.errors.configurations import resolve_options
from mematlas.errors.functions import public_function
from mematlas.index.folder import digest_file
from mematlas.index.lookup import OpenedIndex, open_any_index
from mematlas.io.paths import write_atomically
from mematlas.models.base import ModelSource
from mematlas.models.resolve import find_models
from mematlas.probes.items.task_file import ItemColumns
from mematlas.probes.items.words import index_encoder
from mematlas.probes.rows.stages import ProbeResult, Stage, column_meanings, finish_probe, run_stages
from mematlas.probes.tasks.config import TasksConfig, TasksKeywords
from mematlas.probes.tasks.counting import OVERLAPS, TaskIndex
from mematlas.probes.tasks.coverage import coverage_table
from mematlas.probes.tasks.embedder import static_embedder
from mematlas.probes.tasks.examples import Example, read_examples
from mematlas.probes.tasks.memorization import CorpusSide, mem_table
from mematlas.probes.tasks.mining import (
    COLUMN,
    EMBEDDER,
    Embed,
    Embeddings,
    Equality,
    Everything,
    Miner,
    Similarity,
    TaskGram,
    character_similarity,
)
from mematlas.probes.tasks.ngrams import Gram
from mematlas.probes.tasks.tables import COVERAGE_COLUMNS, EXAMPLES, MEM_COLUMNS, PAIRS, SPANS, by_column
from mematlas.progress import Progress, Silent
from mematlas.scoring.model_names import model_names
from mematlas.study import fingerprint
from mematlas.types import Encoder

if TYPE_CHECKING:
    from mematlas.probes.tasks.model_side import ModelSide

#: Part of every key; raised when a change of the code can change a number.
VERSION: Final = 1
_EXAMPLES_IN_A_SHARD: Final = 32


@public_function(TasksConfig)
def probe_tasks(
    *models: str | Path, embed: Embed | None = None, progress: Progress | None = None, **options: Unpack[TasksKeywords]
) -> ProbeResult:
    """Whether models find probable what their corpus has together with a task's inputs (P4).

    Args:
        models: folders or hub ids of causal models with their tokenizers.
        embed: an embedder of your own, texts -> array [texts, width], instead of `similarity`.
        progress: shows the progress; silent by default.
        options: see `TasksConfig`: task, index, n, gamma, similarity ...

    Raises:
        MematlasError: one line with value, rule and remedy; finished parts are kept.
    """
    config = resolve_options(TasksConfig, "probe tasks", options)
    return run_tasks(model_names(models), config, progress or Silent(), embed)


def run_tasks(
    models: Sequence[str], config: TasksConfig, progress: Progress, embed: Embed | None = None
) -> ProbeResult:
    """`probe_tasks` with a validated configuration."""
    from mematlas.probes.tasks.model_side import ModelSide

    if not models:
        raise OptionError("A probe of a task needs a model; name its folder or hub id.")
    sources = [(source, False) for name in models for source in find_models(name)]
    sources += [(source, True) for name in config.control for source in find_models(name)]
    for source, _ in sources:
        for remark in source.card.remarks:
            progress.say(remark)
    job = _open_job(config, sources[0][0], embed)
    sides = [ModelSide(source, config, is_control) for source, is_control in sources]
    labels = [side.label for side in sides]
    if len(set(labels)) < len(labels):
        raise OptionError(f"Two models are called {max(labels, key=labels.count)!r}; name each once, in one role.")
    folder = config.out / f"task-{fingerprint(job.settings)}"
    stages = job.stages()
    for side in sides:
        stages += side.stages([partial(job.spans_of, number) for number in range(job.shards)])
    run_stages(folder, config.out, stages, job.settings, progress, f"{len(sides)} models" if sides[1:] else labels[0])
    return _finish(job, sides, ProbeResult(folder, {}), stages)


def _finish(job: "_Job", sides: "Sequence[ModelSide]", made: ProbeResult, stages: Sequence[Stage]) -> ProbeResult:
    """Write the tables of all models, the card and the facts."""
    config = job.config
    side = CorpusSide(made.table("examples"), made.table("pairs"), made.table("spans"), config.n, config.gamma)
    known = pl.DataFrame(
        {
            "model": [each.label for each in sides],
            "control": [each.is_control for each in sides],
            "parameters": pl.Series([each.source.card.parameters for each in sides], dtype=pl.Int64),
        }
    )
    mem = mem_table(side, {each.label: made.table(each.scores) for each in sides}, config.seed)
    coverage = coverage_table(side, {each.label: made.table(each.answers) for each in sides}, config.seed)
    for name, table, columns in (("mem", mem, MEM_COLUMNS), ("coverage", coverage, COVERAGE_COLUMNS)):
        whole = table.join(known, on="model", how="left", maintain_order="left").select(*columns)
        write_atomically(made.folder / f"{name}.parquet", whole.write_parquet)
    facts = job.facts(side, [(each.label, each.is_control) for each in sides])
    return finish_probe(made.folder, stages, facts, job.settings, _card(facts))


def table_of_models(result: ProbeResult, name: str) -> pl.DataFrame:
    """`mem` or `coverage` of a finished probe."""
    return pl.read_parquet(result.folder / f"{name}.parquet")


@dataclass(frozen=True)
class _Job:
    """The side of the corpus: what is asked of its index. embed: an embedder of the user's own, None without one."""

    config: TasksConfig
    examples: tuple[Example, ...]
    opened: OpenedIndex
    encoder: Encoder
    embed: Embed | None

    @property
    def shards(self) -> int:
        return -(-len(self.examples) // _EXAMPLES_IN_A_SHARD)

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that can change a count."""
        config = self.config
        return {
            "task": fingerprint([repr(example) for example in self.examples]),
            "index": _index_fingerprint(self.opened),
            "tokenizer": self.encoder.fingerprint,
            "n": config.n,
            "similarity": "own embedder" if self.embed else config.similarity,
            "embedder": self._embedder_fingerprint(),
            "gamma": config.gamma[0],
            "whole_output": config.whole_output,
            "pairs": config.pairs,
            "version": VERSION,
        }

    def _embedder_fingerprint(self) -> str | None:
        if self.embed is not None:  # its vectors of the task's own texts tell it apart
            texts = [text for example in self.examples[:100] for text in (example.item.input, example.item.output)]
            return fingerprint([[round(float(x), 5) for x in vector] for vector in self.embed(texts)])
        if not self.config.similarity.startswith(EMBEDDER):
            return None
        return digest_file(Path(self.config.similarity.removeprefix(EMBEDDER)) / "model.safetensors")

    @cached_property
    def index(self) -> TaskIndex:
        return TaskIndex(self.opened, self.encoder)

    @cached_property
    def miner(self) -> Miner:
        config = self.config
        spec = config.similarity
        options = (tuple(config.n), config.gamma[0], config.pairs, config.whole_output)
        if self.embed is not None:
            return Miner(Embeddings(self.embed), *options)
        if spec.startswith(COLUMN):
            return Miner(None, *options)
        similarity: Similarity
        if spec.startswith(EMBEDDER):
            similarity = Embeddings(static_embedder(Path(spec.removeprefix(EMBEDDER))))
        elif spec == "characters":
            similarity = character_similarity(self.examples, config.n)
        else:
            similarity = Everything() if spec == "any" else Equality()
        return Miner(similarity, *options, same=spec == "exact")

    def part(self, number: int) -> tuple[Example, ...]:
        return self.examples[number * _EXAMPLES_IN_A_SHARD : (number + 1) * _EXAMPLES_IN_A_SHARD]

    def mined(self, number: int) -> list[tuple[Example, list[TaskGram]]]:
        """The pairs of each example of a shard."""
        return [(example, self.miner.mine(example)) for example in self.part(number)]

    def spans_of(self, number: int) -> list[tuple[Example, list[tuple[int, Gram]]]]:
        """The n-grams of outputs, (n, n-gram), that are in a pair, for each example of a shard."""
        return [
            (example, list({(pair.n, pair.second.text): (pair.n, pair.second) for pair in pairs}.values()))
            for example, pairs in self.mined(number)
        ]

    def stages(self) -> list[Stage]:
        """What is asked of the index."""
        made = (("examples", EXAMPLES, self._examples), ("pairs", PAIRS, self._pairs), ("spans", SPANS, self._spans))
        cost = min(len(self.examples), _EXAMPLES_IN_A_SHARD)
        return [Stage(kind, schema, self.shards, make, cost) for kind, schema, make in made]

    def _examples(self, number: int) -> Mapping[str, Any]:
        part, first = self.part(number), number * _EXAMPLES_IN_A_SHARD
        return {
            "example": [example.item.id for example in part],
            "number": list(range(first, first + len(part))),
            "input": [example.item.input for example in part],
            "output": [example.item.output for example in part],
            "prompt": [example.before + example.gap for example in part],
            **{f"overlap_{n}": [self.index.overlap(example, n) for example in part] for n in OVERLAPS},
        }

    def _pairs(self, number: int) -> Mapping[str, Any]:
        mined = [(example.item.id, pair) for example, pairs in self.mined(number) for pair in pairs]
        return by_column(self.index.pairs(mined), PAIRS)

    def _spans(self, number: int) -> Mapping[str, Any]:
        spans = self.spans_of(number)
        return by_column([each for example, own in spans for each in self.index.infinity(example, own)], SPANS)

    def facts(self, side: CorpusSide, models: Sequence[tuple[str, bool]]) -> dict[str, Any]:
        """What was asked, for facts.json and the page."""
        config = self.config
        overlaps = {str(n): _overlap(side.examples[f"overlap_{n}"]) for n in OVERLAPS}
        return {
            "models": [label for label, is_control in models if not is_control],
            "control": [label for label, is_control in models if is_control],
            "task": config.task,
            "index": config.index,
            "examples": len(self.examples),
            "examples_with_pairs": side.pairs["example"].n_unique(),
            "pairs": side.pairs.height,
            "pairs_of_no_document": int((side.pairs["count_pair"] == 0).sum()),
            "n": config.n,
            "gamma": config.gamma,
            "similarity": "an embedder of your own" if self.embed else config.similarity,
            "whole_output": config.whole_output,
            "overlap": overlaps,
            "seed": config.seed,
        }


def _overlap(found: pl.Series) -> dict[str, int]:
    return {"examples": found.len() - found.null_count(), "found": int(found.sum() or 0)}


def _open_job(config: TasksConfig, first: ModelSource, embed: Embed | None) -> _Job:
    column = config.similarity.removeprefix(COLUMN) if config.similarity.startswith(COLUMN) else None
    columns = ItemColumns(config.input_column, config.output_column)
    examples = read_examples(Path(config.task), columns, config.template, column, config.format)
    opened = open_any_index(Path(config.index))
    opened.check_scope("documents")
    return _Job(config, examples, opened, index_encoder(opened, config.tokenizer, first.encoder()), embed)


def _index_fingerprint(opened: OpenedIndex) -> Any:
    """Of the corpus that was indexed; of a folder of infini-gram the names and sizes of its files."""
    if opened.manifest is not None:
        facts = opened.manifest
        return [facts.corpus, facts.tokenizer_fingerprint, facts.eod, facts.joined, facts.tokens]
    return sorted((path.name, path.stat().st_size) for path in opened.folder.iterdir())


def _card(facts: Mapping[str, Any]) -> list[str]:
    return [
        f"# The task {facts['task']} in the corpus of {facts['index']}",
        f"{facts['examples']:,} examples, of which {facts['examples_with_pairs']:,} have pairs of n-grams (n = "
        f"{', '.join(map(str, facts['n']))} words) of input and output with a similarity ({facts['similarity']}) above "
        f"{facts['gamma'][0]:g}: {facts['pairs']:,} pairs, {facts['pairs_of_no_document']:,} of them in no document.",
        "- **pairs**: documents of the corpus with both n-grams, anywhere in them, from posting lists.",
        "- **spans**: the infinity-gram's probability of the output's n-grams.",
        "- **scores**, **answers**: each model's probability of them, and its greedy answers.",
        "- **mem.parquet**, **coverage.parquet**: correlations, and performance by counts; columns below.",
        column_meanings("mem.parquet", MEM_COLUMNS),
        column_meanings("coverage.parquet", COVERAGE_COLUMNS),
    ]
