"""A checked configuration turned into a scoring job: models resolved, corpus opened, nothing loaded yet."""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mematlas.corpus.base import Corpus, CorpusOptions
from mematlas.corpus.opening import open_corpus
from mematlas.corpus.selection import select
from mematlas.errors import CorpusError, MematlasError, OptionError
from mematlas.io.paths import is_remote, make_folder, translate_os_errors, write_json
from mematlas.models.base import UNTOLD_VOCABULARY
from mematlas.models.endpoints.source import EndpointSource
from mematlas.models.huggingface import FolderSource, tokenizer_encoder
from mematlas.models.masked_lm.masks import MASKING
from mematlas.models.resolve import find_models
from mematlas.scoring.config import Order, ScoreConfig, grid_of
from mematlas.scoring.endpoint_options import check_options_of_endpoint
from mematlas.scoring.options import ScoringOptions
from mematlas.scoring.row_checks import check_answers_fit, check_control, check_rows, describe_rows, smallest_cell
from mematlas.study import Run, Study, fingerprint
from mematlas.types import Encoder, Grid

if TYPE_CHECKING:
    from mematlas.corpus.row_sets import RowSet, ShardPlan
    from mematlas.corpus.selection import Positions
    from mematlas.models.base import ModelSource

#: Part of every run's key; increased when a change of the engine can change a number.
ENGINE_VERSION = 3

#: Options that are part of every run's key.
_KEY_OPTIONS = (
    *("context", "continuation", "align", "depth", "signals", "temperature", "eos", "bos", "dtype", "settle", "batch"),
)

_ORDER_FIELDS: dict[Order, tuple[str, ...]] = {
    "given": (),
    "size": ("parameters",),
    "step": ("training_step",),
    "both": ("parameters", "training_step"),
}


@dataclass(frozen=True, slots=True)
class ScoringJob:
    """Everything that a run of the engine needs. sources: by label, not loaded yet; plan: the rows, cut into shards."""

    config: ScoreConfig
    sources: "dict[str, ModelSource]"
    plan: "ShardPlan"
    options: "ScoringOptions"
    run: Run

    @property
    def model_remarks(self) -> list[str]:
        """Lines on how models were understood, and on those that are scored beyond the length they were trained for."""
        width = self.options.grid.width + self.options.bos
        cards = [source.card for source in self.sources.values()]
        lines = [line for card in cards for line in (*card.remarks, card.beyond_trained_length(width))]
        return [line for line in lines if line is not None]


def resolve_job(models: Sequence[str], config: ScoreConfig, *, extend: bool = True) -> ScoringJob:
    """Find the models and the corpus, check that they fit together, and record the run in the study folder.

    Args:
        extend: whether models that the same run was started with earlier stay part of it.

    Raises:
        MematlasError: they cannot be found or do not fit; a newly created study folder is removed again.
    """
    if not models:
        raise OptionError("No model was given; name at least one: a folder, a hub id, a .gguf file or a stand-in.")
    with translate_os_errors(config.study):
        existed = is_remote(config.study) or config.study.exists()
    make_folder(config.study)
    try:
        family = _sort_family([source for spec in models for source in find_models(spec)], config.order)
        return job_of_models(family, config, extend=extend)
    except MematlasError:
        if not existed:
            with suppress(OSError):  # not empty: another process has started in it
                config.study.rmdir()
        raise


def job_of_models(family: "Sequence[ModelSource]", config: ScoreConfig, *, extend: bool = True) -> ScoringJob:
    """The job of models that are resolved already, or loaded; otherwise as `resolve_job`, in an existing folder.

    Args:
        family: in the order of the study; the models that `config.control_models` names are added to it.
    """
    from mematlas.corpus.row_sets import ShardPlan, default_shard_count, require_grid

    grid = grid_of(config)
    controls = [source for spec in config.control_models for source in find_models(spec)]
    sources = _label_sources([*family, *controls])
    if config.backend == "vllm" or config.objective == "masked":
        _check_folders(config, list(sources.values()))
    for source in sources.values():
        if isinstance(source, EndpointSource):
            check_options_of_endpoint(config, source.card.spec)
    sets = open_row_sets(config, grid, family_tokenizer(config, list(sources.values())))
    require_grid(sets, grid)
    for rows in sets:
        _check_one_tokenizer(rows.corpus, config, list(sources.values()))
    check_control(config, sets)
    total = sum(len(rows.positions) for rows in sets)
    shards = config.shards or default_shard_count(total)
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
    run = _register_run(config, sources, sets, grid, shards, [*sources][len(family) :], extend)
    return ScoringJob(config, sources, plan, options, run)


def _check_folders(config: ScoreConfig, sources: "Sequence[ModelSource]") -> None:
    """Refuse models without a folder, since vLLM and the loader of masked models are given the path of one."""
    option, remedy = "--backend vllm", "score it with --backend torch"
    if config.objective == "masked":
        option, remedy = "--objective masked", "it is a causal model: leave the option out"
    for source in sources:
        if source.card.adapter is not None:
            raise OptionError(
                f"{option} does not read adapters, and {source.card.spec!r} is one; merge it into its base model first "
                f"(peft: merge_and_unload, save_pretrained), and give the merged folder."
            )
        if not isinstance(source, FolderSource):
            raise OptionError(
                f"{option} needs a Hugging Face folder or hub id, and {source.card.spec!r} is neither; {remedy}."
            )


def _sort_family(sources: "list[ModelSource]", order: Order) -> "list[ModelSource]":
    """The family sorted by parameters, by training step, or by both in this order; ties stay in the given order."""
    for name in _ORDER_FIELDS[order]:
        unknown = [source.card.label for source in sources if getattr(source.card, name) is None]
        if unknown:
            raise OptionError(
                f"--order {order} needs the {name.replace('_', ' ')} of every model, but {unknown[0]} states none; "
                "give the models in the right order and leave --order out."
            )
    return sorted(sources, key=lambda source: [getattr(source.card, name) for name in _ORDER_FIELDS[order]])


def _label_sources(sources: "Sequence[ModelSource]") -> "dict[str, ModelSource]":
    """Sources by label, in their order; equal labels are prefixed with the parent folder's name, or numbered."""
    labels = [source.card.label for source in sources]
    if len(set(labels)) < len(labels):
        labels = ["-".join(Path(source.card.spec).parts[-2:]) or source.card.label for source in sources]
    labelled: dict[str, ModelSource] = {}
    for label, source in zip(labels, sources, strict=True):
        if label in labelled and labelled[label].card.fingerprint == source.card.fingerprint:
            raise OptionError(f"The model {source.card.spec!r} was given twice; name each model once.")
        unique, number = label, 2
        while unique in labelled:
            unique, number = f"{label}-{number}", number + 1
        source.card = replace(source.card, label=unique)
        labelled[unique] = source
    return labelled


def family_tokenizer(config: ScoreConfig, sources: "Sequence[ModelSource]") -> Encoder | None:
    """The tokenizer that `--tokenizer` names, else that of the first model; None if that has none."""
    return choose_tokenizer(config, (source.card.vocabulary for source in sources), sources[0].encoder)


def choose_tokenizer(
    config: ScoreConfig, vocabularies: Iterable[int], open_first: Callable[[], Encoder | None]
) -> Encoder | None:
    """The tokenizer that the options name, for models with these vocabulary sizes; else `open_first()`."""
    if config.tokenizer is None:
        return open_first()

    smallest = min(vocabularies)
    return tokenizer_encoder(config.tokenizer, None if smallest == UNTOLD_VOCABULARY else smallest)


def _check_one_tokenizer(corpus: Corpus, config: ScoreConfig, sources: "Sequence[ModelSource]") -> None:
    """Refuse text for models with different tokenizers: it would become different rows for each of them."""
    if "encoder" not in corpus.details or config.tokenizer is not None:
        return
    by_tokenizer = labels_by_tokenizer(sources)
    if len(by_tokenizer) > 1:
        raise OptionError(
            f"{' and '.join(list(by_tokenizer.values())[:2])} have different tokenizers, so the text would be cut into "
            "different rows. Score them into separate studies, or name one tokenizer with --tokenizer."
        )


def labels_by_tokenizer(sources: "Sequence[ModelSource]") -> dict[str | None, str]:
    """By tokenizer the label of a model that has it; where files differ, tokenizers are compared as they are loaded."""
    if len(_by_rules(sources)) > 1:
        _compare_loaded(sources)
    return _by_rules(sources)


def _by_rules(sources: "Sequence[ModelSource]") -> dict[str | None, str]:
    return {source.card.tokenizer_rules or source.card.tokenizer: source.card.label for source in sources}


def _compare_loaded(sources: "Sequence[ModelSource]") -> None:
    """Write into the models' cards the rules of their tokenizers as transformers loads them, not as the files say."""
    for source in sources:
        encoder = source.encoder()
        rules = None if encoder is None or encoder.rules is None else encoder.rules()
        if rules is not None:
            source.card = replace(source.card, tokenizer_rules=rules)


def open_row_sets(
    config: ScoreConfig, grid: Grid, tokenizer: Encoder | None, scored_format: str | None = None
) -> "tuple[RowSet, ...]":
    """Open the corpus and the control, and select the rows that the options choose.

    Args:
        scored_format: the format in which the corpus was scored before, so that it need not be detected again.

    Raises:
        CorpusError: a corpus cannot be opened, the selection is empty, or its rows are too short for the grid.
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
        context=None if grid.align == "masked" else max(grid.contexts),
    )
    sets: list[RowSet] = []
    offset = 0
    for role, path, option, rows in (
        ("train", config.corpus, "--rows", config.rows),
        ("control", config.control, "--control-rows", config.control_rows),
    ):
        if path is None:
            continue
        format = config.format or (scored_format if role == "train" and Path(path).exists() else None)
        corpus = open_corpus(path, format=format, options=options)
        check_answers_fit(path, corpus.details, grid)
        positions = select(len(corpus), rows, row_ids=corpus.row_ids)
        if not len(positions):
            raise CorpusError(f"{option} {rows} selects no row of {path} ({len(corpus)} rows); choose at least one.")
        row_set = RowSet(role, corpus, positions, offset)
        needed = smallest_cell(grid)
        longest = longest_row(row_set, needed)
        if longest < needed:
            raise CorpusError(
                f"The rows of {path} have at most {longest} tokens, but the smallest cell of the grid needs {needed}; "
                "choose a shorter --context or --continuation, or longer rows."
            )
        sets.append(row_set)
        offset = _first_free_id(corpus) if config.control is not None and role == "train" else 0
    return tuple(sets)


def _first_free_id(corpus: Corpus) -> int:
    """The id after the corpus's highest row id, where the ids of control rows start."""
    import numpy as np

    highest = 0
    for start in range(0, len(corpus), 1 << 20):
        ids = corpus.row_ids(np.arange(start, min(start + (1 << 20), len(corpus))))
        highest = max(highest, int(ids.max()))
    return highest + 1


def _register_run(
    config: ScoreConfig,
    sources: "dict[str, ModelSource]",
    sets: "Sequence[RowSet]",
    grid: Grid,
    shards: int,
    control_models: list[str],
    extend: bool,
) -> Run:
    """Record the run of this configuration in the study folder and return it.

    Raises:
        CorpusError, OptionError: from its rows nothing can be concluded; see `row_checks.check_rows`.
    """
    rows, settings = row_set_fingerprints(sets), _key_settings(config)
    key = fingerprint({**settings, "rows": rows, "shards": shards, "engine": ENGINE_VERSION})
    study = Study(config.study)
    previous = {entry.key: entry for entry in study.runs()}.get(key)
    described = describe_rows(sets, grid, None if previous is None else previous.settings)
    check_rows(config, described)
    settings |= {
        "corpus": config.corpus,
        "corpus_format": sets[0].corpus.format,
        "corpus_details": sets[0].corpus.details,
        "rows": config.rows,
        "row_counts": {row_set.role: len(row_set.positions) for row_set in sets},
        "control": config.control,
        "control_models": control_models,
        "fingerprints": rows,
        **described,
    }
    models = {label: f"{label.replace('/', '_')}-{source.card.fingerprint[:8]}" for label, source in sources.items()}
    run = Run(key, fingerprint({"rows": rows, "shards": shards}), shards, models, settings, time.time())
    return _record_run(study, run, extend)


def _key_settings(config: ScoreConfig) -> dict[str, Any]:
    """The options that can change a number; the run's key is a hash of them."""
    settings = config.model_dump(mode="json", include=set(_KEY_OPTIONS))
    if "hidden" in config.signals:
        settings["hidden_rows"] = config.hidden_rows
        # the last layer is left out, so that runs from before this option existed keep their key
        settings |= {} if config.hidden_layer == "last" else {"hidden_layer": config.hidden_layer}
    if config.objective == "masked":
        cell = grid_of(config)
        settings |= {"objective": "masked", "masking": MASKING.to_json(), "align": cell.align}
        settings |= {"context": list(cell.contexts), "continuation": list(cell.continuations)}
    return settings | ({} if config.backend == "torch" else {"backend": config.backend})


def _record_run(study: Study, run: Run, extend: bool) -> Run:
    """Write the run as the study's latest; with `extend`, it keeps the models it had before."""
    recorded = {entry.key: entry for entry in study.runs()}
    previous = recorded.get(run.key)
    if previous is not None and extend:
        earlier = {label: name for label, name in previous.models.items() if label not in run.models}
        controls = [label for label in previous.settings.get("control_models", []) if label in earlier]
        settings = run.settings | {"control_models": controls + run.settings["control_models"]}
        run = replace(run, models={**earlier, **run.models}, settings=settings)
    if previous is not None:
        run = replace(run, requested_at=previous.requested_at)
    same_order = previous is not None and [*previous.models] == [*run.models]
    if previous != run or not same_order or study.runs()[-1].key != run.key:
        latest = max((entry.requested_at for entry in recorded.values()), default=0.0)
        run = replace(run, requested_at=max(time.time(), latest + 1e-3))  # even if the clock was set back
        write_json(study.folder / "runs" / f"{run.key}.json", run.to_json())
    return run


def row_set_fingerprints(sets: "Sequence[RowSet]") -> list[dict[str, Any]]:
    """What identifies the rows of a run: for each set its role, its corpus, and which rows were selected."""
    return [
        {"role": rows.role, "corpus": rows.corpus.fingerprint, "rows": digest_positions(rows.positions)}
        for rows in sets
    ]


def digest_positions(positions: "Positions") -> str:
    """A hash of the selected positions, in their order."""
    import hashlib

    digest = hashlib.blake2b(digest_size=10)
    for start in range(0, len(positions), 1 << 20):  # in blocks, so that ten million positions are never copied at once
        digest.update(positions[start : start + (1 << 20)].tobytes())
    return digest.hexdigest()
