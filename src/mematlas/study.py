"""The question of a study, resolved and carried out: what `mematlas score` and `mematlas.score()` do."""

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from platform import platform, python_version
from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from mematlas.corpus.base import Corpus, CorpusOptions, Cut
from mematlas.errors import CorpusError, MematlasError, OptionError
from mematlas.records import Align, Depth, Encoder, EosPolicy, Grid
from mematlas.store import Run, Study, fingerprint, shard_is_done, shard_name, telling, write_json, write_table

if TYPE_CHECKING:
    from mematlas.models.base import LoadOptions, ModelCard, ModelSource
    from mematlas.scoring.engine import Engine
    from mematlas.scoring.options import ScoringOptions
    from mematlas.scoring.shards import RowSet, ShardJob, ShardPlan

#: Part of every run's key; raised when a change of the engine can change a number.
ENGINE_VERSION = 2


class ScoreConfig(BaseModel):
    """Options of `mematlas score`; each is one option of the command line and one argument of `mematlas.score`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    corpus: str = Field(description="Corpus: file, folder, prefix, or hub dataset.")
    study: Path = Field(description="Folder in which the study is kept; the same command goes on where it stopped.")
    context: list[int] = Field(default=[32], description="Tokens that prompt the model; repeat for several.")
    continuation: list[int] = Field(default=[32], description="Tokens it should recite; repeat for several.")
    rows: str = Field(default="all", description="all, first:N, slice:A:B, sample:N[:SEED] or ids:FILE.")
    control: str | None = Field(default=None, description="A corpus that no model was trained on, as control.")
    control_rows: str = Field(default="all", description="Which rows of the control; as --rows.")
    depth: Depth = Field(default="graded", description="graded decodes; verbatim only checks the truth (fast).")
    signals: list[Literal["truth", "free"]] = Field(
        default=[], description="Per-token records: truth (teacher-forced), free (along the greedy text)."
    )
    temperature: list[float] = Field(
        default=[], description="Extra temperatures for the true tokens' log-probability (with --signals truth)."
    )
    align: Align = Field(default="start", description="start: contexts begin with the row; end: continuations fixed.")
    eos: EosPolicy = Field(default="ignore", description="End-of-text: ordinary token, forbidden, or end of the text.")
    bos: bool = Field(default=False, description="Put the model's BOS token before every prompt.")
    format: str | None = Field(default=None, description="Corpus format; see `mematlas list formats`.")
    row_length: int | None = Field(default=None, description="Tokens a row, for headerless files and text.", gt=0)
    token_dtype: Literal["uint16", "uint32"] | None = Field(default=None, description="Of headerless token files.")
    column: str | None = Field(default=None, description="Name of the text or token column.")
    cut: Cut = Field(default="rows", description="Text: consecutive rows of a document, or one window each.")
    tokenizer: str | None = Field(default=None, description="Folder or hub id of a tokenizer, instead of the model's.")
    cache: Path | None = Field(default=None, description="Folder for tokenized text.")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(default="float32", description="Of the model's numbers.")
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:N or mps.")
    device_map: str | None = Field(default=None, description="For models larger than one GPU: auto, balanced, ...")
    trust_remote_code: bool = Field(default=False, description="Run code that comes with the model.")
    settle: bool = Field(default=False, description="Run doubtful 16-bit rows again in float32.")
    batch: int = Field(default=128, description="Rows in step; halved when memory runs out.", gt=0)
    shards: int | None = Field(default=None, description="Shards a model; default about 256 rows each.", gt=0)

    @field_validator("context", "continuation")
    @classmethod
    def _ascending(cls, values: list[int]) -> list[int]:
        if not values or min(values) < 1:
            raise ValueError("numbers of tokens must be positive")
        return sorted(set(values))

    @field_validator("signals", "temperature")
    @classmethod
    def _distinct(cls, values: list[object]) -> list[object]:
        if any(isinstance(value, float) and value <= 0 for value in values):
            raise ValueError("temperatures must be positive")
        return sorted(set(values), key=str)


def resolve_config(**options: object) -> ScoreConfig:
    """A checked configuration.

    Raises:
        OptionError: an option is unknown or breaks a rule; the message names the option as the command line does.
    """
    try:
        config = ScoreConfig.model_validate(options)
    except ValidationError as error:
        raise OptionError(explain(error)) from None
    if config.temperature and "truth" not in config.signals:
        raise OptionError("--temperature is read from the teacher-forced record: add --signals truth.")
    if config.settle and config.dtype == "float32":
        raise OptionError("--settle re-runs 16-bit rows in float32, but --dtype is float32 already: leave it out.")
    return config


def explain(error: ValidationError) -> str:
    """The first broken rule in one line, naming the option as the command line does."""
    first = error.errors()[0]
    option = "--" + str(first["loc"][0]).replace("_", "-") if first["loc"] else "the options"
    if first["type"] == "missing":
        return f"{option} is missing; name it. See `mematlas score --help`."
    message = first["msg"].removeprefix("Value error, ")
    return f"{option}: {message} (given: {first['input']!r}). See `mematlas score --help`."


class Progress(Protocol):
    """What a long run tells its watcher."""

    def start(self, label: str, total: int, done: int) -> None: ...
    def advance(self, rows: int) -> None: ...
    def say(self, text: str) -> None: ...
    def stop(self) -> None: ...


class Silent:
    """Says nothing: the default of the Python API."""

    def start(self, label: str, total: int, done: int) -> None: ...
    def advance(self, rows: int) -> None: ...
    def say(self, text: str) -> None: ...
    def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Question:
    """A resolved configuration: sources found, rows counted, nothing loaded yet."""

    config: ScoreConfig
    sources: "dict[str, ModelSource]"
    plan: "ShardPlan"
    options: "ScoringOptions"
    run: Run


def score(*models: str, progress: Progress | None = None, **options: object) -> Study:
    """Score `models` on a corpus and return the study; the Python twin of `mematlas score`.

    Args:
        models: folders, hub ids, .gguf files or stand-ins; together they are one family.
        progress: watcher; silent by default.
        options: as `ScoreConfig`: corpus, study, context, continuation, rows, depth, signals ...

    Raises:
        MematlasError: one line with value, rule and remedy; finished shards stay.
    """
    return score_with(models, resolve_config(**options), progress or Silent())


def score_with(models: Sequence[str], config: ScoreConfig, watcher: Progress) -> Study:
    """`score` with a configuration that is already checked, if only by the command line's types."""
    question = ask(models, resolve_config(**dict(config)))
    study = Study(question.config.study)
    started, timings = time.time(), {}
    try:
        for label, source in question.sources.items():
            missing = _missing(question, label)
            watcher.start(label, question.plan.total, question.plan.total - sum(map(question.plan.size, missing)))
            if missing:
                timings[label] = _score_model(question, label, source, missing, watcher)
    finally:
        watcher.stop()
    if timings or study.manifest().get("current") != question.run.key:
        _write_manifest(study, question, started, timings)
    return study


def ask(models: Sequence[str], config: ScoreConfig) -> Question:
    """Find models and corpus, check that they fit, and write the question into the study folder."""
    from mematlas.models.finding import find_model
    from mematlas.scoring.options import ScoringOptions
    from mematlas.scoring.shards import ShardPlan, default_shards

    if not models:
        raise OptionError("No model was given; name at least one: a folder, a hub id, a .gguf file or a stand-in.")
    with telling(config.study):
        config.study.mkdir(parents=True, exist_ok=True)
    grid = Grid(tuple(config.context), tuple(config.continuation), config.align)
    sources = _labelled([find_model(spec) for spec in models])
    sets = _row_sets(config, grid, list(sources.values()))
    total = sum(len(rows.positions) for rows in sets)
    shards = config.shards or default_shards(total)
    if shards > total:
        raise OptionError(f"--shards {shards} is more than the {total} rows; give at most {total}.")
    plan = ShardPlan(sets, shards)
    options = ScoringOptions(
        grid, config.depth, tuple(config.signals), config.eos, config.bos, tuple(config.temperature), config.batch
    )
    run = _run(config, sources, sets, shards)
    return Question(config, sources, plan, options, run)


def _labelled(sources: "Sequence[ModelSource]") -> "dict[str, ModelSource]":
    """Sources by label, in their order; equal labels are told apart by the folder above, then by a number."""
    labels = [source.card.label for source in sources]
    if len(set(labels)) < len(labels):
        labels = ["-".join(Path(source.card.spec).parts[-2:]) or source.card.label for source in sources]
    found: dict[str, ModelSource] = {}
    for label, source in zip(labels, sources, strict=True):
        if any(source.card.fingerprint == other.card.fingerprint and label == name for name, other in found.items()):
            raise OptionError(f"The model {source.card.spec!r} was given twice; name each model once.")
        unique, number = label, 2
        while unique in found:
            unique, number = f"{label}-{number}", number + 1
        source.card = replace(source.card, label=unique)
        found[unique] = source
    return found


def _encoder(config: ScoreConfig, sources: "Sequence[ModelSource]") -> Encoder | None:
    """The one tokenizer of the family; None where the first model has none."""
    if config.tokenizer is not None:
        from mematlas.models.folder import tokenizer_encoder

        return tokenizer_encoder(config.tokenizer, min(source.card.vocabulary for source in sources))
    return sources[0].encoder()


def _check_one_tokenizer(corpus: Corpus, config: ScoreConfig, sources: "Sequence[ModelSource]") -> None:
    """Text becomes other rows under another tokenizer: such models share no rows."""
    different = {source.card.tokenizer: source.card.label for source in sources}
    if "encoder" in corpus.details and config.tokenizer is None and len(different) > 1:
        raise OptionError(
            f"{' and '.join(list(different.values())[:2])} have different tokenizers, so the text would become "
            "different rows. Score them into separate studies, or name one tokenizer with --tokenizer."
        )


def _row_sets(config: ScoreConfig, grid: Grid, sources: "Sequence[ModelSource]") -> "tuple[RowSet, ...]":
    from mematlas.corpus import open_corpus, select
    from mematlas.scoring.shards import RowSet, longest_row

    encoder = _encoder(config, sources)
    options = CorpusOptions(
        config.row_length,
        config.token_dtype,
        config.column,
        config.cut,
        encoder,
        config.cache,
        text_row_length=grid.width,
    )
    sets: list[RowSet] = []
    offset = 0
    for role, path, rows in (("train", config.corpus, config.rows), ("control", config.control, config.control_rows)):
        if path is None:
            continue
        corpus = open_corpus(path, format=config.format, options=options)
        _check_one_tokenizer(corpus, config, sources)
        positions = select(len(corpus), rows, row_ids=corpus.row_ids)
        if not len(positions):
            raise CorpusError(f"--rows {rows} takes no row of {path} ({len(corpus)} rows); choose at least one.")
        found = RowSet(role, corpus, positions, offset)
        longest = longest_row(found, grid.width)
        needed = grid.split(min(grid.contexts)) + min(grid.continuations)
        if longest < needed:
            raise CorpusError(
                f"The rows of {path} have at most {longest} tokens, but the smallest cell of the grid needs {needed}; "
                "choose a shorter --context or --continuation, or longer rows."
            )
        sets.append(found)
        offset = _first_free_id(corpus) if config.control is not None and role == "train" else 0
    return tuple(sets)


def _first_free_id(corpus: Corpus) -> int:
    """Control rows are numbered after the corpus' own rows."""
    import numpy as np

    highest = 0
    for start in range(0, len(corpus), 1 << 20):
        ids = corpus.row_ids(np.arange(start, min(start + (1 << 20), len(corpus))))
        highest = max(highest, int(ids.max()))
    return highest + 1


def _run(config: ScoreConfig, sources: "dict[str, ModelSource]", sets: "Sequence[RowSet]", shards: int) -> Run:
    """The run that this question belongs to, noted in the study folder."""
    chosen = [
        {"role": rows.role, "corpus": rows.corpus.fingerprint, "rows": digest_positions(rows.positions)}
        for rows in sets
    ]
    question = config.model_dump(
        mode="json",
        include={
            "context",
            "continuation",
            "align",
            "depth",
            "signals",
            "temperature",
            "eos",
            "bos",
            "dtype",
            "settle",
            "batch",
        },
    )
    key = fingerprint({**question, "rows": chosen, "shards": shards, "engine": ENGINE_VERSION})
    question |= {
        "corpus": config.corpus,
        "corpus_format": sets[0].corpus.format,
        "corpus_details": sets[0].corpus.details,
        "rows": config.rows,
        "row_counts": {rows.role: len(rows.positions) for rows in sets},
        "control": config.control,
        "fingerprints": chosen,
    }
    rows_key = fingerprint({"rows": chosen, "shards": shards})
    models = {label: f"{label.replace('/', '_')}-{source.card.fingerprint[:8]}" for label, source in sources.items()}
    study = Study(config.study)
    known = {run.key: run for run in study.runs()}
    if key in known:
        same = {label: name for label, name in known[key].models.items() if label not in models}
        models = {**same, **models}
    run = Run(key, rows_key, shards, models, question, known[key].asked if key in known else time.time())
    if known.get(key) != run or study.runs()[-1].key != key:
        run = replace(run, asked=time.time())
        write_json(config.study / "runs" / f"{key}.json", asdict(run))
    return run


def digest_positions(positions: object) -> str:
    """A hash of which rows were chosen, in their order."""
    import hashlib

    import numpy as np

    return hashlib.blake2b(np.ascontiguousarray(positions).tobytes(), digest_size=10).hexdigest()


def _missing(question: Question, label: str) -> list[int]:
    folder = question.config.study / "scores" / question.run.key / question.run.models[label]
    count = question.run.shards
    return [index for index in range(count) if not shard_is_done(folder, shard_name(index, count))]


def _score_model(
    question: Question, label: str, source: "ModelSource", missing: list[int], watcher: Progress
) -> dict[str, float]:
    """Load one model and score its missing shards; returns its timing."""
    from mematlas.models.base import LoadOptions
    from mematlas.scoring.engine import Engine
    from mematlas.scoring.shards import score_shard

    config, plan = question.config, question.plan
    load = LoadOptions(config.device, config.dtype, config.device_map, config.trust_remote_code)
    started = time.time()
    _write_card(config.study, question.run.models[label], source.card)
    engine = Engine(source.load(load), source.card, question.options, watcher.say)
    reference = _reference(source, load, question.options, watcher.say) if config.settle else None
    loaded = time.time()
    job = _job(question, label)
    doubts = {"doubtful_rows": 0, "settled_rows": 0, "changed_rows": 0}
    with telling(config.study):
        for index in missing:
            _write_rows(question, index)
            doubt = score_shard(job, plan, index, engine, reference, watcher.advance)
            for name, value in zip(doubts, (doubt.doubtful, doubt.settled, doubt.changed), strict=True):
                doubts[name] += value
    del engine, reference
    gc.collect()
    rows = sum(map(plan.size, missing))
    seconds = time.time() - loaded
    return {"load_seconds": round(loaded - started, 3), "seconds": round(seconds, 3), "rows": rows, **doubts}


def _reference(
    source: "ModelSource", load: "LoadOptions", options: "ScoringOptions", say: Callable[[str], None]
) -> "Callable[[], Engine]":
    """The same model in float32, loaded when the first doubtful row asks for it."""
    from functools import cache

    from mematlas.scoring.engine import Engine

    return cache(lambda: Engine(source.load(replace(load, dtype="float32")), source.card, options, say))


def _job(question: Question, label: str) -> "ShardJob":
    from mematlas.scoring.shards import ShardJob

    config, run = question.config, question.run
    name = run.models[label]
    return ShardJob(
        label,
        config.study / "scores" / run.key / name,
        {kind: config.study / "signals" / run.key / kind / name for kind in config.signals},
        question.options,
        config.dtype,
        {
            "run": run.key,
            "align": config.align,
            "eos": config.eos,
            "bos": str(config.bos),
            "depth": config.depth,
            "dtype": config.dtype,
            "engine": str(ENGINE_VERSION),
            "model_fingerprint": question.sources[label].card.fingerprint,
        },
    )


def _write_rows(question: Question, index: int) -> None:
    from mematlas.store import write_shard

    folder = question.config.study / "rows" / question.run.rows_key
    name = shard_name(index, question.run.shards)
    if not shard_is_done(folder, name):
        write_shard(folder, name, question.plan.rows_table(index), {"rows": question.run.rows_key})


def _write_card(study: Path, name: str, card: "ModelCard") -> None:
    """The model's line of the `models/` table."""
    import pyarrow as pa

    schema = pa.schema(
        [
            pa.field("model", pa.string(), nullable=False),
            pa.field("spec", pa.string()),
            pa.field("parameters", pa.int64()),
            pa.field("training_step", pa.int64()),
            pa.field("tokenizer", pa.string()),
            pa.field("vocabulary", pa.int64()),
            pa.field("fingerprint", pa.string()),
        ]
    )
    line = {"model": card.label, **{name: getattr(card, name) for name in schema.names[1:]}}
    write_table(study / "models" / f"{name}.parquet", pa.Table.from_pylist([line], schema=schema))


def versions() -> dict[str, str]:
    """Versions of what a number can depend on, without importing any of it."""
    found = {"python": python_version(), "platform": platform()}
    for name in ("mematlas", "torch", "transformers", "tokenizers", "numpy", "pyarrow", "polars"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _write_manifest(study: Study, question: Question, started: float, timings: dict[str, dict[str, float]]) -> None:
    """The manifest: written last, when every shard of every model asked for is there."""
    manifest = study.manifest()
    before = manifest.get("runs", {}).get(question.run.key, {})
    cards = {label: asdict(source.card) for label, source in question.sources.items()}
    runs = manifest.get("runs", {}) | {
        question.run.key: {
            "configuration": question.config.model_dump(mode="json"),
            "question": question.run.question,
            "shards": question.run.shards,
            "models": before.get("models", {}) | cards,
            "versions": versions(),
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "timings": before.get("timings", {}) | timings,
        }
    }
    write_json(study.folder / "manifest.json", {"current": question.run.key, "runs": runs})


__all__ = ["MematlasError", "Progress", "ScoreConfig", "Silent", "ask", "resolve_config", "score", "versions"]
