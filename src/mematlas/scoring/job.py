"""A configuration turned into a question: models found, corpus opened, rows counted, nothing loaded yet."""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mematlas.corpus.base import Corpus, CorpusOptions
from mematlas.corpus.opening import open_corpus
from mematlas.corpus.selection import select
from mematlas.errors import CorpusError, MematlasError, OptionError
from mematlas.io.paths import is_remote, make_folder, translate_os_errors, write_json
from mematlas.scoring.config import Order, ScoreConfig
from mematlas.scoring.options import ScoringOptions
from mematlas.study import Run, Study, fingerprint
from mematlas.types import Encoder, Grid

if TYPE_CHECKING:
    from mematlas.corpus.row_sets import RowSet, ShardPlan
    from mematlas.corpus.selection import Positions
    from mematlas.models.base import ModelSource

#: Part of every run's key; raised when a change of the engine can change a number.
ENGINE_VERSION = 3

#: Options that are part of every run's key.
_KEYED = (
    *("context", "continuation", "align", "depth", "signals", "temperature", "eos", "bos", "dtype", "settle", "batch"),
)

_ORDERS: dict[Order, tuple[str, ...]] = {
    "given": (),
    "size": ("parameters",),
    "step": ("training_step",),
    "both": ("parameters", "training_step"),
}


@dataclass(frozen=True, slots=True)
class ScoringJob:
    """A resolved configuration: sources found, rows counted, nothing loaded yet."""

    config: ScoreConfig
    sources: "dict[str, ModelSource]"
    plan: "ShardPlan"
    options: "ScoringOptions"
    run: Run


def resolve_job(models: Sequence[str], config: ScoreConfig, *, extend: bool = True) -> ScoringJob:
    """Find models and corpus, check that they fit, and write the question into the study folder.

    Args:
        extend: models that the same run was asked for before stay members of it; else these are all.

    Raises:
        MematlasError: they cannot be found or do not fit; a folder that was made for the study is gone again.
    """
    if not models:
        raise OptionError("No model was given; name at least one: a folder, a hub id, a .gguf file or a stand-in.")
    with translate_os_errors(config.study):
        was_there = is_remote(config.study) or config.study.exists()
    make_folder(config.study)
    try:
        return _resolved(models, config, extend)
    except MematlasError:
        if not was_there:
            with suppress(OSError):  # it is not empty: another process has begun
                config.study.rmdir()
        raise


def _resolved(models: Sequence[str], config: ScoreConfig, extend: bool) -> ScoringJob:
    from mematlas.corpus.row_sets import ShardPlan, default_shards
    from mematlas.models.resolve import find_model

    grid = Grid(tuple(config.context), tuple(config.continuation), config.align)
    family = _ordered([find_model(spec) for spec in models], config.order)
    sources = _labelled([*family, *(find_model(spec) for spec in config.control_models)])
    if config.backend == "vllm":
        _check_served(list(sources.values()))
    sets = row_sets(config, grid, encoder(config, list(sources.values())))
    for rows in sets:
        _check_one_tokenizer(rows.corpus, config, list(sources.values()))
    total = sum(len(rows.positions) for rows in sets)
    shards = config.shards or default_shards(total)
    if shards > total:
        raise OptionError(f"--shards {shards} is more than the {total} rows; give at most {total}.")
    plan = ShardPlan(sets, shards)
    options = ScoringOptions(
        grid,
        config.depth,
        tuple(config.signals),
        config.eos,
        config.bos,
        tuple(config.temperature),
        config.batch,
        config.hidden_rows,
        config.hidden_layer,
    )
    run = _run(config, sources, sets, shards, [*sources][len(family) :], extend)
    return ScoringJob(config, sources, plan, options, run)


def _check_served(sources: "Sequence[ModelSource]") -> None:
    """vLLM is given a folder's path."""
    from mematlas.models.huggingface import FolderSource

    for source in sources:
        if not isinstance(source, FolderSource):
            raise OptionError(
                f"--backend vllm takes Hugging Face folders and hub ids, and {source.card.spec!r} is neither; score it "
                "with --backend torch."
            )


def _ordered(sources: "list[ModelSource]", order: Order) -> "list[ModelSource]":
    """The family by parameters, by training step, or by parameters and then step; equals stay as given."""
    for name in _ORDERS[order]:
        unknown = [source.card.label for source in sources if getattr(source.card, name) is None]
        if unknown:
            raise OptionError(
                f"--order {order} needs the {name.replace('_', ' ')} of every model, but {unknown[0]} states none; "
                "give the models in their order and leave --order out."
            )
    return sorted(sources, key=lambda source: [getattr(source.card, name) for name in _ORDERS[order]])


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


def encoder(config: ScoreConfig, sources: "Sequence[ModelSource]") -> Encoder | None:
    """The one tokenizer of the family; None where the first model has none."""
    return chosen_encoder(config, (source.card.vocabulary for source in sources), sources[0].encoder)


def chosen_encoder(
    config: ScoreConfig, vocabularies: Iterable[int], of_first: Callable[[], Encoder | None]
) -> Encoder | None:
    """The tokenizer that the options name, for models of these vocabularies; else that of the first model."""
    if config.tokenizer is None:
        return of_first()
    from mematlas.models.huggingface import tokenizer_encoder

    return tokenizer_encoder(config.tokenizer, min(vocabularies))


def _check_one_tokenizer(corpus: Corpus, config: ScoreConfig, sources: "Sequence[ModelSource]") -> None:
    """Text becomes other rows under another tokenizer: such models share no rows."""
    different = {source.card.tokenizer: source.card.label for source in sources}
    if "encoder" in corpus.details and config.tokenizer is None and len(different) > 1:
        raise OptionError(
            f"{' and '.join(list(different.values())[:2])} have different tokenizers, so the text would become "
            "different rows. Score them into separate studies, or name one tokenizer with --tokenizer."
        )


def row_sets(config: ScoreConfig, grid: Grid, tokenizer: Encoder | None) -> "tuple[RowSet, ...]":
    """The rows that the options choose, of the corpus and of the control.

    Raises:
        CorpusError: a corpus cannot be opened, or its rows do not suit the request.
    """
    from mematlas.corpus.row_sets import RowSet, longest_row

    options = CorpusOptions(
        config.row_length,
        config.token_dtype,
        config.column,
        config.cut,
        tokenizer,
        config.cache,
        text_row_length=grid.width,
    )
    sets: list[RowSet] = []
    offset = 0
    for role, path, rows in (("train", config.corpus, config.rows), ("control", config.control, config.control_rows)):
        if path is None:
            continue
        corpus = open_corpus(path, format=config.format, options=options)
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


def _run(
    config: ScoreConfig,
    sources: "dict[str, ModelSource]",
    sets: "Sequence[RowSet]",
    shards: int,
    control_models: list[str],
    extend: bool,
) -> Run:
    """The run that this job belongs to, recorded in the study folder."""
    rows, settings = fingerprints(sets), _keyed_settings(config)
    key = fingerprint({**settings, "rows": rows, "shards": shards, "engine": ENGINE_VERSION})
    settings |= {
        "corpus": config.corpus,
        "corpus_format": sets[0].corpus.format,
        "corpus_details": sets[0].corpus.details,
        "rows": config.rows,
        "row_counts": {of.role: len(of.positions) for of in sets},
        "control": config.control,
        "control_models": control_models,
        "fingerprints": rows,
    }
    models = {label: f"{label.replace('/', '_')}-{source.card.fingerprint[:8]}" for label, source in sources.items()}
    run = Run(key, fingerprint({"rows": rows, "shards": shards}), shards, models, settings, time.time())
    return _recorded(Study(config.study), run, extend)


def _keyed_settings(config: ScoreConfig) -> dict[str, Any]:
    """The options that can change a number, which the run's key is a hash of."""
    settings = config.model_dump(mode="json", include=set(_KEYED))
    if "hidden" in config.signals:
        settings["hidden_rows"] = config.hidden_rows
        # the last layer is not named: runs begun before there was a choice keep their key
        settings |= {} if config.hidden_layer == "last" else {"hidden_layer": config.hidden_layer}
    return settings | ({} if config.backend == "torch" else {"backend": config.backend})


def _recorded(study: Study, run: Run, extend: bool) -> Run:
    """The run as the study records it now: joined, if `extend`, with the models it had before, and the latest run."""
    known = {other.key: other for other in study.runs()}
    before = known.get(run.key)
    if before is not None and extend:
        kept = {label: name for label, name in before.models.items() if label not in run.models}
        controls = [label for label in before.question.get("control_models", []) if label in kept]
        question = run.question | {"control_models": controls + run.question["control_models"]}
        run = replace(run, models={**kept, **run.models}, question=question)
    if before is not None:
        run = replace(run, asked=before.asked)
    same_order = before is not None and [*before.models] == [*run.models]
    if before != run or not same_order or study.runs()[-1].key != run.key:
        latest = max((other.asked for other in known.values()), default=0.0)
        run = replace(run, asked=max(time.time(), latest + 1e-3))  # a clock that was set back does not reorder runs
        write_json(study.folder / "runs" / f"{run.key}.json", asdict(run))
    return run


def fingerprints(sets: "Sequence[RowSet]") -> list[dict[str, Any]]:
    """What tells these rows from all others: of each set its role, its corpus, and which rows were chosen."""
    return [
        {"role": rows.role, "corpus": rows.corpus.fingerprint, "rows": digest_positions(rows.positions)}
        for rows in sets
    ]


def digest_positions(positions: "Positions") -> str:
    """A hash of which rows were chosen, in their order."""
    import hashlib

    digest = hashlib.blake2b(digest_size=10)
    for start in range(0, len(positions), 1 << 20):  # never all of ten million at once
        digest.update(positions[start : start + (1 << 20)].tobytes())
    return digest.hexdigest()
