"""Published scores as a study, so that they can be analysed without scoring anything: what `mematlas import` does.

The study is one as `mematlas.score` writes it, with what the publication tells: rows, models, matches. Its question
says `imported`, and `complete: false` where only recited rows were published.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mematlas.corpus.fingerprint import fingerprint as content
from mematlas.corpus.reading.bytestream import ByteStream
from mematlas.errors import CorpusError, OptionError
from mematlas.importers import LAYOUTS
from mematlas.io.paths import make_folder, write_json
from mematlas.progress import Progress, Silent
from mematlas.study import Run, Study, fingerprint, shard_is_done, shard_name, write_model
from mematlas.study.manifest import record_run
from mematlas.study.versions import versions

if TYPE_CHECKING:
    import pyarrow as pa

    from mematlas.importers.base import Layout, Lines, Published, PublishedModel
    from mematlas.importers.files import Source

SHARD_ROWS: Final = 1 << 19
VERSION: Final = 1  # part of the run's key; raised when the same files would give other numbers


def import_scores(
    *paths: str | Path, study: str | Path, layout: str | None = None, progress: Progress | None = None
) -> Study:
    """Write published scores into a study folder and return the study; the Python twin of `mematlas import`.

    Args:
        paths: Parquet files or folders of them, each PATH or LABEL=PATH.
        study: folder of the study; the same call again finishes what is missing.
        layout: a name of `mematlas list layouts`; by default the one whose columns the first file has.
        progress: watcher; silent by default.

    Raises:
        MematlasError: a file is absent, damaged, of no known layout, or breaks a rule; nothing has been written then.
    """
    from mematlas.importers.files import find_source

    if not paths:
        raise OptionError("No file was given; name Parquet files with published scores, or a folder of them.")
    sources = [find_source(str(path)) for path in paths]
    chosen = _layout(layout, sources)
    published = chosen.open(sources)
    _check_labels(published)
    opened = Study(study)
    run = _run(opened, chosen.name, sources, published)
    _write(opened, run, published, progress or Silent())
    return opened


def _layout(name: str | None, sources: "Sequence[Source]") -> "Layout":
    """The layout called `name`, which must suit the columns, or the one that the columns tell."""
    from mematlas.importers.files import schema_of

    file = sources[0].files[0]
    columns = list(schema_of(file))
    detected = next((other for other in LAYOUTS if LAYOUTS.load(other).detect(columns)), None)
    if name is None and detected is None:
        raise CorpusError(
            f"{file} is of no known layout: it has the columns {', '.join(columns)}. `mematlas list layouts` says "
            "what is known."
        )
    chosen: Layout = LAYOUTS.load(name or str(detected))
    if detected not in (None, chosen.name):
        raise OptionError(f"{file} is of the layout {detected} by its columns, not {name}; name that, or none.")
    return chosen


def _check_labels(published: "Published") -> None:
    folders = [model.label.replace("/", "_") for model in published.models]
    if len(set(folders)) < len(folders):
        raise OptionError(f"The labels {', '.join(folders)} are not distinct; give each model its own.")


def _run(study: Study, layout: str, sources: "Sequence[Source]", published: "Published") -> Run:
    """The run that these files are, noted in the study folder."""
    prints = {model.label: _file_fingerprint(layout, model) for model in published.models}
    key = fingerprint({"imported": layout, "files": prints, "rows": SHARD_ROWS, "version": VERSION})
    question = _question(layout, sources, published, prints)
    models = {label: f"{label.replace('/', '_')}-{print[:8]}" for label, print in prints.items()}
    shards = -(-len(published.rows) // SHARD_ROWS)
    known = {run.key: run for run in study.runs()}
    if key in known and study.runs()[-1].key == key and known[key].question == question:
        return known[key]
    make_folder(study.folder)
    run = Run(key, fingerprint({"rows": prints}), shards, models, question, time.time())
    write_json(study.folder / "runs" / f"{key}.json", asdict(run))
    return run


def _question(
    layout: str, sources: "Sequence[Source]", published: "Published", prints: dict[str, str]
) -> dict[str, Any]:
    """What was asked, as far as the publication tells, in the words of a scored study."""
    from mematlas.importers.base import CONTEXT, CONTINUATION

    imported = {
        model.label: {"files": [str(file) for file in model.files], "fingerprint": prints[model.label]}
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
        "fingerprints": [{"role": "train", "corpus": None, "rows": fingerprint(prints)}],
        "complete": published.complete,
        "imported": {"layout": layout, "models": imported},
    }


def _file_fingerprint(layout: str, model: "PublishedModel") -> str:

    return content(layout, {"model": model.label}, ByteStream(model.files))


def _write(study: Study, run: Run, published: "Published", watcher: Progress) -> None:
    """Shard by shard, the manifest last; what is there stays."""
    from mematlas.study import write_shard

    started = time.time()
    for model in published.models:
        write_model(study.folder, run.models[model.label], _model_line(model, run))
    total = len(published.rows)
    wrote = False
    try:
        watcher.start("rows", total, 0)
        for index in range(run.shards):
            start, stop = index * SHARD_ROWS, min((index + 1) * SHARD_ROWS, total)
            name = shard_name(index, run.shards)
            if not _is_done(study, run, name):
                rows = study.folder / "rows" / run.rows_key
                write_shard(rows, name, _row_table(published.rows[start:stop]), {"rows": run.rows_key})
                for lines in published.lines(start, stop):
                    folder = study.folder / "scores" / run.key / run.models[lines.label]
                    write_shard(
                        folder, name, _score_table(lines, published.complete), {"run": run.key, "align": "start"}
                    )
                wrote = True
            watcher.advance(stop - start)
    finally:
        watcher.stop()
    if wrote or study.manifest().get("current") != run.key:
        _write_manifest(study, run, started)


def _is_done(study: Study, run: Run, name: str) -> bool:
    folders = [study.folder / "scores" / run.key / model for model in run.models.values()]
    return all(shard_is_done(folder, name) for folder in [study.folder / "rows" / run.rows_key, *folders])


def _model_line(model: "PublishedModel", run: Run) -> dict[str, Any]:
    """What the publication tells of a model."""
    return {
        "model": model.label,
        "spec": str(model.files[0]),
        "parameters": model.parameters,
        "training_step": model.training_step,
        "fingerprint": run.question["imported"]["models"][model.label]["fingerprint"],
    }


def _row_table(rows: Any) -> "pa.Table":
    """Row ids of the training stream; where a row comes from is not published."""
    import pyarrow as pa

    nothing = pa.nulls(len(rows))
    return pa.table(
        {
            "row": pa.array(rows, pa.int64()),
            "role": pa.repeat("train", len(rows)),
            "repetitions": nothing.cast(pa.int64()),
            "document": nothing.cast(pa.int64()),
            "source": nothing.cast(pa.string()),
        }
    )


def _score_table(lines: "Lines", graded: bool) -> "pa.Table":
    """As scoring writes it; the margin is not published.

    Where scores are `graded`, the verbatim length is null in all lines, also in those with M = 1: known of the recited
    rows alone, it would look as if all rows were recited. Where only recited rows were published it is the whole.
    """
    import numpy as np
    import pyarrow as pa

    from mematlas.importers.base import CONTEXT, CONTINUATION

    count = len(lines.rows)
    reason = np.full(count, "not published" if graded else None, dtype=object)
    reason[~lines.known] = "the published score is null"
    return pa.table(
        {
            "model": pa.repeat(lines.label, count),
            "row": pa.array(lines.rows, pa.int64()),
            "context": pa.repeat(pa.scalar(CONTEXT, pa.int32()), count),
            "continuation": pa.repeat(pa.scalar(CONTINUATION, pa.int32()), count),
            "matches": pa.array(lines.matches, pa.int32(), mask=~lines.known),
            "verbatim": pa.nulls(count, pa.int32()) if graded else pa.array(lines.matches, pa.int32()),
            "margin": pa.nulls(count, pa.float32()),
            "reason": pa.array(reason, pa.string()),
        }
    )


def _write_manifest(study: Study, run: Run, started: float) -> None:
    moment = "%Y-%m-%dT%H:%M:%SZ"
    entry = {
        "question": run.question,
        "shards": run.shards,
        "models": run.question["imported"]["models"],
        "versions": versions(),
        "started": time.strftime(moment, time.gmtime(started)),
        "finished": time.strftime(moment, time.gmtime()),
    }
    record_run(study, run.key, entry)
