"""Imports published scores as a study, so that they can be analysed without running a model: `mematlas import`.

The study has the tables that `mematlas.score` writes, with what was published: rows, models, matches. Its settings
contain `imported`, and `complete: false` if only recited rows were published.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mematlas.corpus.fingerprint import fingerprint as content_fingerprint
from mematlas.corpus.reading.bytestream import ByteStream
from mematlas.errors import CorpusError, OptionError
from mematlas.errors.functions import public_function
from mematlas.importers import LAYOUTS
from mematlas.io.paths import make_folder, write_json
from mematlas.progress import Progress, Silent
from mematlas.study import Run, Study, fingerprint, is_shard_done, shard_name, write_model
from mematlas.study.manifest import record_run
from mematlas.study.versions import versions

if TYPE_CHECKING:
    import pyarrow as pa

    from mematlas.importers.base import Layout, ModelScores, PublishedModel, PublishedScores
    from mematlas.importers.files import Source

SHARD_ROWS: Final = 1 << 19
VERSION: Final = 1  # part of the run's key; raised when the same files would give different numbers


@public_function()
def import_scores(
    *paths: str | Path, study: str | Path, layout: str | None = None, progress: Progress | None = None
) -> Study:
    """Write published scores into a study folder and return the study; the Python function of `mematlas import`.

    Args:
        paths: Parquet files or folders of them, each PATH or LABEL=PATH.
        study: folder of the study; repeating the same call finishes what is missing.
        layout: a name of `mematlas list layouts`; by default it is detected from the columns of the first file.
        progress: display of the progress; none by default.

    Raises:
        MematlasError: a file is absent, damaged, of no known layout, or breaks a rule; nothing is written then.
    """
    from mematlas.importers.files import find_source

    if not paths:
        raise OptionError("No file was given; name Parquet files with published scores, or a folder of them.")
    sources = [find_source(str(path)) for path in paths]
    chosen = _choose_layout(layout, sources)
    published = chosen.open(sources)
    _check_labels(published)
    opened = Study(study)
    run = _record_import(opened, chosen.name, sources, published)
    _write_tables(opened, run, published, progress or Silent())
    return opened


def _choose_layout(name: str | None, sources: "Sequence[Source]") -> "Layout":
    """The layout called `name`, which must fit the columns; or the one detected from the columns."""
    from mematlas.importers.files import read_schema

    file = sources[0].files[0]
    columns = list(read_schema(file))
    detected = next((candidate for candidate in LAYOUTS if LAYOUTS.load(candidate).detect(columns)), None)
    if name is None and detected is None:
        raise CorpusError(
            f"{file} has no known layout: its columns are {', '.join(columns)}. `mematlas list layouts` shows the "
            "known ones."
        )
    chosen: Layout = LAYOUTS.load(name or str(detected))
    if detected not in (None, chosen.name):
        raise OptionError(
            f"{file} has the layout {detected} by its columns, not {name}; name that, or leave the layout out."
        )
    return chosen


def _check_labels(published: "PublishedScores") -> None:
    folders = [model.label.replace("/", "_") for model in published.models]
    if len(set(folders)) < len(folders):
        raise OptionError(f"The labels {', '.join(folders)} are not distinct; give each model its own.")


def _record_import(study: Study, layout: str, sources: "Sequence[Source]", published: "PublishedScores") -> Run:
    """Record the import as a run in the study folder and return it."""
    fingerprints = {model.label: _file_fingerprint(layout, model) for model in published.models}
    key = fingerprint({"imported": layout, "files": fingerprints, "rows": SHARD_ROWS, "version": VERSION})
    settings = _settings(layout, sources, published, fingerprints)
    models = {label: f"{label.replace('/', '_')}-{digest[:8]}" for label, digest in fingerprints.items()}
    shards = -(-len(published.rows) // SHARD_ROWS)
    runs = {run.key: run for run in study.runs()}
    if key in runs and study.runs()[-1].key == key and runs[key].settings == settings:
        return runs[key]
    make_folder(study.folder)
    run = Run(key, fingerprint({"rows": fingerprints}), shards, models, settings, time.time())
    write_json(study.folder / "runs" / f"{key}.json", run.to_json())
    return run


def _settings(
    layout: str, sources: "Sequence[Source]", published: "PublishedScores", fingerprints: dict[str, str]
) -> dict[str, Any]:
    """The settings of the run, as far as they are published, under the names that scoring uses."""
    from mematlas.importers.base import CONTEXT, CONTINUATION

    imported = {
        model.label: {"files": [str(file) for file in model.files], "fingerprint": fingerprints[model.label]}
        for model in published.models
    }
    return {
        "context": [CONTEXT],
        "continuation": [CONTINUATION],
        "depth": "graded",
        "signals": [],
        "temperature": [],
        "align": "start",
        **dict.fromkeys(("eos", "bos", "dtype", "settle", "batch"), "not published"),
        "corpus": ", ".join(str(source.path) for source in sources),
        "corpus_format": "parquet",
        "corpus_details": {"column": published.column, "own_row_ids": True},
        "rows": "as published" if published.complete else "recited by a model, as published",
        "row_counts": {"train": len(published.rows)},
        "control": None,
        "control_models": [],
        "fingerprints": [{"role": "train", "corpus": None, "rows": fingerprint(fingerprints)}],
        "complete": published.complete,
        "imported": {"layout": layout, "models": imported},
    }


def _file_fingerprint(layout: str, model: "PublishedModel") -> str:
    return content_fingerprint(layout, {"model": model.label}, ByteStream(model.files))


def _write_tables(study: Study, run: Run, published: "PublishedScores", progress: Progress) -> None:
    """Write the missing shards, and the manifest last."""
    from mematlas.study import write_shard

    started = time.time()
    for model in published.models:
        write_model(study.folder, run.models[model.label], _model_card(model, run))
    total = len(published.rows)
    has_written = False
    try:
        progress.start("rows", total, 0)
        for index in range(run.shards):
            start, stop = index * SHARD_ROWS, min((index + 1) * SHARD_ROWS, total)
            name = shard_name(index, run.shards)
            if not _is_done(study, run, name):
                rows = study.folder / "rows" / run.rows_key
                write_shard(rows, name, _row_table(published.rows[start:stop]), {"rows": run.rows_key})
                for scores in published.read_scores(start, stop):
                    folder = study.folder / "scores" / run.key / run.models[scores.label]
                    write_shard(
                        folder, name, _score_table(scores, published.complete), {"run": run.key, "align": "start"}
                    )
                has_written = True
            progress.advance(stop - start)
    finally:
        progress.stop()
    if has_written or study.manifest().get("current") != run.key:
        _write_manifest(study, run, started)


def _is_done(study: Study, run: Run, name: str) -> bool:
    folders = [study.folder / "scores" / run.key / model for model in run.models.values()]
    return all(is_shard_done(folder, name) for folder in [study.folder / "rows" / run.rows_key, *folders])


def _model_card(model: "PublishedModel", run: Run) -> dict[str, Any]:
    """What is published about a model."""
    return {
        "model": model.label,
        "spec": str(model.files[0]),
        "parameters": model.parameters,
        "training_step": model.training_step,
        "fingerprint": run.settings["imported"]["models"][model.label]["fingerprint"],
    }


def _row_table(rows: Any) -> "pa.Table":
    """The table of rows: ids of the training stream; their sources are not published."""
    import pyarrow as pa

    unknown = pa.nulls(len(rows))
    return pa.table(
        {
            "row": pa.array(rows, pa.int64()),
            "role": pa.repeat("train", len(rows)),
            "repetitions": unknown.cast(pa.int64()),
            "document": unknown.cast(pa.int64()),
            "source": unknown.cast(pa.string()),
        }
    )


def _score_table(scores: "ModelScores", graded: bool) -> "pa.Table":
    """The table of scores, with the columns that scoring writes; margins are not published.

    If scores are `graded`, the verbatim length is null in all rows, even in those with M = 1: known for recited rows
    only, it would look as if all rows were recited. If only recited rows were published, it is the full length.
    """
    import numpy as np
    import pyarrow as pa

    from mematlas.importers.base import CONTEXT, CONTINUATION

    count = len(scores.rows)
    reason = np.full(count, "not published" if graded else None, dtype=object)
    reason[~scores.is_known] = "the published score is null"
    return pa.table(
        {
            "model": pa.repeat(scores.label, count),
            "row": pa.array(scores.rows, pa.int64()),
            "context": pa.repeat(pa.scalar(CONTEXT, pa.int32()), count),
            "continuation": pa.repeat(pa.scalar(CONTINUATION, pa.int32()), count),
            "matches": pa.array(scores.matches, pa.int32(), mask=~scores.is_known),
            "verbatim": pa.nulls(count, pa.int32()) if graded else pa.array(scores.matches, pa.int32()),
            "margin": pa.nulls(count, pa.float32()),
            "reason": pa.array(reason, pa.string()),
        }
    )


def _write_manifest(study: Study, run: Run, started: float) -> None:
    time_format = "%Y-%m-%dT%H:%M:%SZ"
    entry = {
        "question": run.settings,
        "shards": run.shards,
        "models": run.settings["imported"]["models"],
        "versions": versions(),
        "started": time.strftime(time_format, time.gmtime(started)),
        "finished": time.strftime(time_format, time.gmtime()),
    }
    record_run(study, run.key, entry)
