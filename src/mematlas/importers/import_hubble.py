"""Imports where Hubble's items were inserted into its training: `mematlas import hubble`.

Source: K9, `perturb_hubble.py` (November 2025). It writes PREFIX_perturbation_info.json, which has one JSON object a
line, one for every insertion:

    perturbation_file, perturbation_idx   the inserted document: a tokenized file, and its number in there, from 0
    pt_loc                                the training row that it was put into, in the order of the training, from 0
    pt_injection_pos, pt_window_offset, pt_injection_len, orig_doc_seq_sizes ...   where in the row; not needed here

Documents that are inserted several times stand in the tokenized file as often. A step trains on `batch` rows, 1,024 in
Hubble, so that row pt_loc is shown in step pt_loc // batch, counted from 0, and in step pt_loc // batch + 1 here.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mematlas.corpus.opening import open_corpus
from mematlas.errors import CorpusError, MematlasError, OptionError, did_you_mean
from mematlas.errors.functions import public_function
from mematlas.importers.import_exposures import (
    collect_file,
    refuse_no_row,
    refuse_second_table,
    scan_file,
    scored_rows,
    showings_by_model,
)
from mematlas.study import Study, open_study
from mematlas.study.exposures import write_exposures

if TYPE_CHECKING:
    import polars as pl

KIND: Final = "hubble"
BATCH: Final = 1024
"""Rows of a step in all of Hubble's trainings."""

_FILE, _NUMBER, _PLACE = "perturbation_file", "perturbation_idx", "pt_loc"
_KEYS: Final = (_FILE, _NUMBER, "row")


@public_function()
def import_hubble(
    path: str | Path,
    *,
    study: str | Path,
    items: str | Path | None = None,
    models: Sequence[str] = (),
    steps: int | None = None,
    batch: int = BATCH,
) -> Study:
    """Write to a study how often its rows were inserted into a Hubble training; `mematlas import hubble` in Python.

    Every model with a known training step gets the insertions up to it, every other one all of them.

    Args:
        path: PREFIX_perturbation_info.json, as `perturb_hubble.py` wrote it.
        study: folder of the study, whose rows are items, inserted or not.
        items: a .csv, .parquet or .jsonl file with the columns perturbation_file, perturbation_idx and row: which row
            of the study an inserted document is. None if the study scored the tokenized file of documents itself, whose
            rows are in the same order; documents of equal tokens are one item then.
        models: labels of the models that were trained on the perturbed corpus; () for all but control models.
        steps: of the training; insertions beyond them are refused. None if not known.
        batch: rows of a step.

    Raises:
        MematlasError: a file is absent or of another kind, names no scored row, or has an insertion outside the
            training; nothing is written then.
    """
    import polars as pl

    opened, file = open_study(study), Path(path)
    if batch < 1 or (steps is not None and steps < 1):
        raise OptionError(f"A training has at least one step of at least one row, not {steps} of {batch}.")
    insertions = _read_insertions(file, batch, steps)
    shown = _of_items(insertions, Path(items)) if items else _of_tokenized_file(file, insertions, opened)
    shown = shown.join(collect_file(file, scored_rows(opened)), on="row", how="semi")
    if shown.is_empty():
        refuse_no_row(file, opened, 0)
    last = int(insertions["step"].max())  # type: ignore[arg-type]
    trained = _models(opened, models).with_columns(pl.col("training_step").fill_null(last))
    exposures = showings_by_model(shown.select("row", "step"), trained, opened)
    refuse_second_table(file, exposures, opened, KIND)
    write_exposures(opened.folder, file.stem, exposures)
    return opened


def _read_insertions(file: Path, batch: int, steps: int | None) -> "pl.DataFrame":
    """perturbation_file, perturbation_idx, pt_loc and step (from 1) of every insertion."""
    import polars as pl

    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise CorpusError(f"There is no file {file}; name the PREFIX_perturbation_info.json of a corpus.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{file} cannot be read ({error}); it has one JSON object a line.") from None
    records = [_record(file, number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not records:
        raise CorpusError(f"{file} has no insertion; it has one JSON object a line, as perturb_hubble.py writes it.")
    found = pl.DataFrame(records, schema={_FILE: pl.String, _NUMBER: pl.Int64, _PLACE: pl.Int64}, orient="row")
    rows = None if steps is None else steps * batch
    outside = found.filter((pl.col(_PLACE) < 0) | (pl.col(_PLACE) >= rows if rows else False))
    if outside.height:
        end = f"{rows - 1:,}, as {steps:,} steps have {batch:,} rows each" if rows else "the last"
        raise CorpusError(
            f"{file} has the training row {_PLACE} {outside[_PLACE][0]:,}; rows are from 0 to {end}. Take the file of "
            "this training, or give its --steps and --batch."
        )
    twice = found.filter(pl.col(_PLACE).is_duplicated())
    if twice.height:
        raise CorpusError(
            f"{file} has two insertions in the training row {_PLACE} {twice[_PLACE][0]:,}; each has a row of its own. "
            "Take the file of one training."
        )
    return found.with_columns(step=pl.col(_PLACE) // batch + 1)


def _record(file: Path, number: int, line: str) -> tuple[str, int, int]:
    """One insertion of the file."""
    try:
        content: Any = json.loads(line)
        name, document, place = (content[key] for key in (_FILE, _NUMBER, _PLACE))
    except (ValueError, KeyError, TypeError, RecursionError):
        name = document = place = None
    if not isinstance(name, str) or type(document) is not int or type(place) is not int:
        raise CorpusError(
            f"{file}, line {number}: no insertion, which is a JSON object with {_FILE}, {_NUMBER} and {_PLACE}; name "
            "the PREFIX_perturbation_info.json that perturb_hubble.py wrote."
        )
    if max(abs(document), abs(place)) >= 1 << 62:
        raise CorpusError(f"{file}, line {number}: {max(document, place)} is no number of a document or a row.")
    return name, document, place


def _of_items(insertions: "pl.DataFrame", items: Path) -> "pl.DataFrame":
    """row and step of every insertion whose row is in the file `items`."""
    import polars as pl

    frame = scan_file(items, (_NUMBER,))
    columns = frame.collect_schema().names()
    missing = [name for name in _KEYS if name not in columns]
    if missing:
        raise CorpusError(f"{items} has the columns {', '.join(columns)}; it needs {', '.join(_KEYS)}.")
    known = collect_file(items, frame.select(pl.col(_FILE).cast(pl.String), pl.col(_NUMBER, "row").cast(pl.Int64)))
    twice = known.filter(known.select(_FILE, _NUMBER).is_duplicated())
    if twice.height:
        name, number, _ = twice.row(0)
        raise CorpusError(f"{items} has document {number} of {name} twice; a document is one row of the study.")
    return insertions.join(known, on=[_FILE, _NUMBER], how="inner")


def _of_tokenized_file(file: Path, insertions: "pl.DataFrame", study: Study) -> "pl.DataFrame":
    """row and step of every insertion of the tokenized file that the study scored, whose equal documents are one."""
    import numpy as np
    import polars as pl

    settings = study.run().settings
    prefix = Path(str(settings["corpus"]))
    name = prefix.with_suffix("").name if prefix.suffix in (".bin", ".idx") else prefix.name
    names = insertions[_FILE].unique().sort().to_list()
    if name not in names:
        raise OptionError(
            f"{file} has insertions of {', '.join(names)}, and {study.folder} scored {prefix}; say which row an "
            f"inserted document is: --items FILE with the columns {', '.join(_KEYS)}."
        )
    inserted = insertions.filter(pl.col(_FILE) == name).select(_NUMBER, "step")
    try:
        corpus = open_corpus(prefix, format=settings.get("corpus_format"))
    except MematlasError as error:
        raise OptionError(f"{error} Or say which row an inserted document is: --items FILE.") from None
    largest = int(inserted[_NUMBER].max())  # type: ignore[arg-type]
    if largest >= len(corpus):
        raise CorpusError(
            f"{file} has document {largest:,} of {name}, and {prefix} has {len(corpus):,}; take the file "
            "that was inserted."
        )
    width = int(corpus.details.get("longest_row") or corpus.details["row_length"])  # type: ignore[call-overload]
    table = corpus.read(np.arange(len(corpus)), width)
    texts: dict[bytes, int] = {}
    keys = [row[:length].tobytes() for row, length in zip(table.ids, table.lengths, strict=True)]
    item = pl.DataFrame({"row": range(len(keys)), "item": [texts.setdefault(key, len(texts)) for key in keys]})
    of_item = inserted.join(item, left_on=_NUMBER, right_on="row").select("item", "step")
    return of_item.join(item, on="item").select("row", "step")


def _models(study: Study, names: Sequence[str]) -> "pl.DataFrame":
    """model and training_step of the models that the insertions are recorded for."""
    import polars as pl

    known = study.models().select("model", pl.col("training_step").cast(pl.Int64))
    labels = known["model"].to_list()
    for name in names:
        if name not in labels:
            raise OptionError(
                f"{study.folder} has no model {name!r}.{did_you_mean(name, labels)} It has {', '.join(labels[:5])}."
            )
    control = study.run().settings.get("control_models", ())
    chosen = list(names) or [label for label in labels if label not in control]
    return known.filter(pl.col("model").is_in(chosen))
