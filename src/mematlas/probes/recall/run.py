"""A probe of recall from its options to the tables: what `mematlas probe recall` and `mematlas.probe_recall()` do.

OUT/<model>-<key>/answers/shard-00000-of-00004.parquet + .done   32 items each; see `answers.ANSWERS`
                 /items.parquet, accuracy, buckets, correlations, invariance, errors, popularity   see `tables`
                 /rows.parquet                                   prompts with right answers as a corpus of token rows
                 /finding/                                       the claim, with its charts
                 /replies/*.jsonl                                every raw answer of a model behind an API
                 /README.md, facts.json                          what was asked; written last
                 /recall.html, recall-figures/                   the page, written by the command

The key is a hash of everything that can change an answer: the same command resumes in its folder. Popularity changes no
answer, so that it can be given or counted later.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack

import numpy as np
import polars as pl

from mematlas.errors import ModelError, OptionError
from mematlas.errors.functions import public_function
from mematlas.errors.remedies import command_line
from mematlas.findings.finding import Finding, read_finding, write_finding
from mematlas.io.paths import write_atomically
from mematlas.models.base import LoadOptions, ModelSource
from mematlas.models.endpoints.client import Endpoint
from mematlas.models.endpoints.limits import Usage
from mematlas.models.endpoints.options import EndpointOptions, check_endpoint_options
from mematlas.models.endpoints.source import EndpointSource
from mematlas.models.resolve import find_model
from mematlas.probes.items.answering import TextModel
from mematlas.probes.items.controls import made_up_inputs, made_up_outputs
from mematlas.probes.items.parsing import make_parser
from mematlas.probes.items.task_file import Item, ItemColumns, read_items
from mematlas.probes.items.templates import asked_items, check_prompts, choose_examples, read_templates
from mematlas.probes.recall.asking import Asked, Questionnaire, answer_length, ask_items
from mematlas.probes.recall.config import RecallConfig, resolve_recall
from mematlas.probes.recall.endpoint import RequestCounter, check_options_of_endpoint
from mematlas.probes.recall.finding import recall_finding
from mematlas.probes.recall.keywords import RecallKeywords
from mematlas.probes.recall.popularity import read_popularity
from mematlas.probes.recall.tables import Material, make_tables, readme, token_rows
from mematlas.progress import Progress, Silent
from mematlas.scoring.model_names import model_names
from mematlas.study import (
    fingerprint,
    missing_shards,
    shard_name,
    translate_os_errors,
    write_json,
    write_shard,
    write_text,
)
from mematlas.study.versions import versions
from mematlas.types import Encoder

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Part of every key; raised when a change of the code can change an answer.
VERSION: Final = 1
_ITEMS_IN_A_SHARD: Final = 32
#: Options that change no answer, or only one of a model behind an API: that one is a setting by itself.
_NOT_IN_THE_KEY: Final = frozenset(
    ("items", "template", "out", "popularity", "count", "window", "tokenizer", "device", "device_map", "format")
) | {"input_column", "output_column", "trust_remote_code", *EndpointOptions.model_fields}


@dataclass(frozen=True, slots=True)
class Recall:
    """The result of a probe. folder: of the tables; facts: what was asked, as in facts.json; finding: what it shows."""

    folder: Path
    facts: dict[str, Any]
    finding: Finding

    def table(self, name: str) -> pl.DataFrame:
        """items, accuracy, buckets, correlations, invariance, errors or popularity; README.md says what they have."""
        return pl.read_parquet(self.folder / f"{name}.parquet")

    def answers(self) -> pl.DataFrame:
        """One record for each prompt and answer; see `answers.ANSWERS`."""
        return _read_answers(self.folder)


def _read_answers(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(sorted((folder / "answers").glob("shard-*.parquet")))


@public_function(RecallConfig)
def probe_recall(
    model: str | Path,
    *,
    text_model: TextModel | None = None,
    progress: Progress | None = None,
    **options: Unpack[RecallKeywords],
) -> Recall:
    """Whether a model knows the right answers of items, and whether only frequent ones (P5).

    Args:
        model: folder or hub id of a causal model with its tokenizer; a model behind an API (api:URL#MODEL); or any
            name, if `text_model` is given.
        text_model: what answers instead of `model`; has a method `complete`.
        progress: shows the progress; silent by default.
        options: see `RecallConfig`: items, template, shots, popularity ...

    Raises:
        MematlasError: one line with value, rule and remedy; finished items are kept.
    """
    name, *_ = model_names([model])
    return run_recall(name, resolve_recall(**options), progress or Silent(), text_model)


def run_recall(model: str, config: RecallConfig, progress: Progress, text_model: TextModel | None = None) -> Recall:
    """`probe_recall` with a validated configuration."""
    check_endpoint_options(config)
    source = None if text_model is not None else find_model(model)
    if isinstance(source, EndpointSource):
        check_options_of_endpoint(config, source.card.spec)
    for remark in () if source is None else source.card.remarks:
        progress.say(remark)
    job = prepare(model, config, source)
    popularity = read_popularity(job.items, config, job.encoder)  # before hours of asking
    missing = missing_shards(job.folder / "answers", job.shards)
    count = job.questionnaire.prompts_of_one(job.is_local)
    label = f"{job.label}, {count} answers an item"
    progress.start(label, len(job.questions), len(job.questions) - job.questions_in(missing), "items")
    try:
        with translate_os_errors(config.out):
            job.folder.mkdir(parents=True, exist_ok=True)
            if missing:
                with _answering(job, missing, text_model, progress) as answering:
                    _ask(job, missing, answering, progress)
    except PermissionError as error:
        raise OptionError(f"--out {config.out} cannot be written ({error.strerror}); name another folder.") from None
    finally:
        progress.stop()
    return job.finish(popularity)


@dataclass(frozen=True, slots=True)
class RecallJob:
    """What is asked. items: that are asked and not examples; questions: these and the made-up inputs after them."""

    model: str
    config: RecallConfig
    source: ModelSource | None
    encoder: Encoder | None
    items: tuple[Item, ...]
    questions: tuple[Asked, ...]
    questionnaire: Questionnaire

    @property
    def is_local(self) -> bool:
        """Whether the model's weights are loaded, and not only its texts known."""
        return self.encoder is not None

    @property
    def label(self) -> str:
        return self.model if self.source is None else self.source.card.label

    @property
    def shards(self) -> int:
        return -(-len(self.questions) // _ITEMS_IN_A_SHARD)

    def questions_in(self, shards: Sequence[int]) -> int:
        return sum(len(self.shard(number)) for number in shards)

    def shard(self, number: int) -> tuple[Asked, ...]:
        return self.questions[number * _ITEMS_IN_A_SHARD : (number + 1) * _ITEMS_IN_A_SHARD]

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that can change an answer."""
        asked = self.questionnaire
        return {
            "model": self.model if self.source is None else self.source.card.fingerprint,
            "questions": fingerprint({"all": [repr(question) for question in self.questions]}),
            "templates": [repr(template) for template in asked.templates],
            "examples": [repr(example) for example in asked.examples],
            "parser": [asked.parser.pattern.pattern, asked.parser.ends, asked.parser.normalization],
            "options": self.config.model_dump(mode="json", exclude=set(_NOT_IN_THE_KEY)),
            "version": VERSION,
        } | self._interface()

    def _interface(self) -> dict[str, Any]:
        """Which interface of a server is asked; nothing of other models."""
        return {"endpoint": self.config.endpoint} if isinstance(self.source, EndpointSource) else {}

    @property
    def folder(self) -> Path:
        return self.config.out / f"{self.label.replace('/', '_')}-{fingerprint(self.settings)}"

    def finish(self, popularity: pl.DataFrame) -> Recall:
        """Write the tables, the finding, the card and the facts."""
        facts = {**self._facts(), "popularity": _popularity_facts(popularity, self.config)}
        answers = _read_answers(self.folder)
        material = Material(answers, self.items, popularity, self.questionnaire, self.config.seed)
        tables = make_tables(material)
        for name, table in tables.items():
            write_atomically(self.folder / f"{name}.parquet", table.write_parquet)
        if self.is_local:
            write_atomically(self.folder / "rows.parquet", token_rows(answers).write_parquet)
        write_finding(self.folder / "finding", recall_finding(tables, facts))
        write_text(self.folder / "README.md", readme(facts, tables, recall_command(self.model, self.config)))
        details = {"question": self.settings, "configuration": self.config.model_dump(mode="json")}
        write_json(self.folder / "facts.json", facts | details | {"versions": versions()})
        return Recall(self.folder, facts, read_finding(self.folder / "finding"))

    def _facts(self) -> dict[str, Any]:
        config, asked = self.config, self.questionnaire
        return {
            "model": self.label,
            "items": config.items,
            "asked": len(self.items),
            "made_up": len(self.questions) - len(self.items),
            "outputs": len(asked.outputs),
            "templates": {template.name: template.text for template in asked.templates},
            "shots": list(config.shots),
            "examples": [example.id for example in asked.examples],
            "answer": asked.parser.kind,
            "pattern": asked.parser.pattern.pattern,
            "normalization": config.normalization,
            "candidates": config.candidates,
            "is_local": self.is_local,
            "seed": config.seed,
        } | self._interface()


def prepare(model: str, config: RecallConfig, source: ModelSource | None) -> RecallJob:
    """Read items and templates, and decide what is asked.

    Raises:
        CorpusError, OptionError: items, templates or parser do not fit.
        ModelError: the model has no tokenizer.
    """
    columns = ItemColumns(config.input_column, config.output_column)
    everything = read_items(Path(config.items), columns, config.format)
    templates = read_templates(config.template)
    check_prompts(everything, templates)
    parser = make_parser(
        config.answer, config.normalization, (item.output for item in everything), (each.end for each in templates)
    )
    examples = choose_examples(everything, max(config.shots), config.seed)
    items = asked_items(everything, examples)
    if not items:
        raise OptionError(f"--shots {max(config.shots)}: all items are examples or of their groups; lower it.")
    encoder = None if source is None else source.encoder()
    is_asked_with_texts = source is None or isinstance(source, EndpointSource)
    if not is_asked_with_texts and (encoder is None or encoder.decode_windows is None):
        raise ModelError(f"{model} has no tokenizer, which a probe with texts needs; save it beside the weights.")
    outputs = tuple(dict.fromkeys(item.output for item in everything))
    questionnaire = Questionnaire(templates, examples, outputs, parser, config)
    return RecallJob(model, config, source, encoder, items, _questions(items, config), questionnaire)


def _questions(items: tuple[Item, ...], config: RecallConfig) -> tuple[Asked, ...]:
    again = {"temperatures", "repetitions"} & set(config.invariance)
    drawn = np.random.default_rng([config.seed, 6]).permutation(len(items))[: config.invariance_items if again else 0]
    chosen = set(drawn.tolist())
    others = made_up_outputs(items, config.seed)
    asked = [Asked(item, False, others[number], number in chosen) for number, item in enumerate(items)]
    made_up = made_up_inputs(items, config.made_up, config.seed)
    asked += [Asked(Item(f"made-up-{number}", text, ""), True) for number, text in enumerate(made_up)]
    return tuple(asked)


@contextmanager
def _answering(
    job: RecallJob, missing: Sequence[int], text_model: TextModel | None, progress: Progress
) -> Iterator[TextModel]:
    """What answers the questions of the missing shards."""
    if text_model is not None:
        yield text_model
    elif isinstance(job.source, EndpointSource):
        endpoint = Endpoint(job.source.address, job.config, job.folder / "replies", progress.say)
        most = _most(job, missing)
        progress.say(endpoint.announcement(most.requests, most))
        try:
            yield endpoint
        finally:
            endpoint.close()
    else:
        yield _load(job)


def _most(job: RecallJob, missing: Sequence[int]) -> Usage:
    """What the answers of missing shards take at most of a model behind an API."""
    counter = RequestCounter(job.config.endpoint)
    length = answer_length(counter, job.questionnaire)
    for number in missing:
        ask_items(counter, job.shard(number), job.questionnaire, length)
    return counter.most


def _load(job: RecallJob) -> TextModel:
    from mematlas.probes.items.local_model import LocalModel

    assert job.source is not None
    assert job.encoder is not None
    return LocalModel(job.source.load(LoadOptions.of(job.config)), job.source.card, job.encoder)


def _ask(job: RecallJob, missing: Sequence[int], model: TextModel, progress: Progress) -> None:
    """Ask the items of the missing shards, and write each."""
    length = answer_length(model, job.questionnaire)
    metadata = {name: str(value) for name, value in job.settings.items()}
    for number in missing:
        questions = job.shard(number)
        table = ask_items(model, questions, job.questionnaire, length)
        write_shard(job.folder / "answers", shard_name(number, job.shards), table, metadata)
        progress.advance(len(questions))


def _popularity_facts(popularity: pl.DataFrame, config: RecallConfig) -> "Mapping[str, Any]":
    """Where popularity comes from, and of how many items it is known."""
    known = int(popularity["popularity"].count())
    source = "the column popularity" if config.popularity is None else config.popularity
    counted = popularity["count_both"].count() > 0
    unit = "as given"
    if counted:
        both = (
            "documents with both" if config.window is None else f"inputs with the output within {config.window} tokens"
        )
        unit = both if config.count == "both" else f"occurrences of the {config.count}"
    return {"source": source if known else None, "unit": unit, "known": known}


def recall_command(model: str, config: RecallConfig) -> str:
    """The command that asks the same again."""
    words: list[str] = []
    for name, value in config:
        field, option = RecallConfig.model_fields[name], f"--{name.replace('_', '-')}"
        if not field.is_required() and value == field.default:
            continue
        if name == "template":
            words += [word for text in value for word in (option, text)]
        elif isinstance(value, bool):
            words += [option]
        else:
            words += [option, ",".join(map(str, value)) if isinstance(value, list) else str(value)]
    return command_line("probe", "recall", model, *words)
