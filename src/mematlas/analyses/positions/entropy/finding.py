"""How certain a model is while it recites: entropy by position, at the boundary and where the recitation stops.

Source: P1, Fig. 6: mean entropy of each generated step of memorized, half-memorized and unmemorized rows. The numbers
are computed in signals.py and profiles.py, the trends in trends.py.
"""

from typing import Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.frames.memorized_shares import nearest_cell
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.analyses.phrasing import by_interval, format_count, format_difference, join_with_and, shuffled_sentence
from mematlas.analyses.positions.boundary_step import ONE_STEP, boundary_deviation
from mematlas.analyses.positions.class_caveats import class_caveats
from mematlas.analyses.positions.entropy.signals import FREE, PATHS, TRUTH, cell_signals, has_signals, rows_of_signals
from mematlas.analyses.positions.entropy.tables import (
    PATH_PHRASES,
    Frames,
    entropy_charts,
    entropy_frames,
    entropy_tables,
)
from mematlas.analyses.positions.entropy.trends import (
    TRENDS,
    Record,
    contrast_record,
    entropy_trends,
    format_level,
    known_paths,
    statistic_record,
)
from mematlas.analyses.positions.profiles import BOUNDARY, DIVERGENCE, DIVERGENCE_REACH, MIN_ROWS
from mematlas.analyses.positions.token_windows import ALL_ROWS, CLASSES, HALF, MEMORIZED, OTHER, UNMEMORIZED
from mematlas.findings.finding import Finding
from mematlas.stats.estimates.intervals import standard_error

_QUESTION: Final = "how the entropy of memorized and unmemorized rows runs over context and continuation"


# ----------------------------------------------------------------------------------------------------- the sentences


def _headline_model(tables: Tables, frames: Frames) -> str:
    """The largest model among those with the best coverage: memorized and unmemorized rows, each with an interval."""

    def class_coverage(model: str) -> tuple[int, bool]:
        path = next(iter(known_paths(frames, model)), FREE)
        records = [statistic_record(frames, model, name, path) for name in (MEMORIZED, UNMEMORIZED)]
        return sum(1 + (record["value_lower"] is not None) for record in records if record), bool(
            statistic_record(frames, model, HALF, path)
        )

    return max([*reversed(tables.by_size), *reversed(tables.family)], key=class_coverage)


def _format_levels(
    frames: Frames,
    model: str,
    path: str,
    names: tuple[str, ...],
    role: str = "train",
    *,
    separator: str | None = None,
) -> str:
    """ "0.1 nats (95 % interval 0.05 to 0.15) in 20 memorized rows and ...", for the classes that were measured.

    separator: what stands between two classes instead of "and".
    """
    records = filter(None, (statistic_record(frames, model, name, path, role=role) for name in names))
    return _join([f"{format_level(record)} {_format_rows(record)}" for record in records], separator)


def _format_steps(
    frames: Frames, model: str, path: str, names: tuple[str, ...], *, separator: str | None = None, **where: str
) -> str:
    """ "+1 nats (95 % interval ...) in 20 memorized rows and ...": the one-step differences."""
    records = filter(None, (statistic_record(frames, model, name, path, ONE_STEP, **where) for name in names))
    return _join([f"{format_difference(record, 'value')} {_format_rows(record)}" for record in records], separator)


def _join(parts: list[str], separator: str | None) -> str:
    return join_with_and(parts) if separator is None else separator.join(parts)


def _format_rows(record: Record) -> str:
    if record["role"] == "shuffled":
        return f"in {record['rows']:,} rows called {record['class']}"
    return f"in {format_count(record['rows'], record['class'] + ' row')}"


def _claim(frames: Frames, model: str, cell: Cell) -> str:
    path = known_paths(frames, model)[0]
    names = tuple(name for name in (MEMORIZED, UNMEMORIZED) if statistic_record(frames, model, name, path)) or (HALF,)
    parts = [
        f"In {model} at {cell} tokens the mean entropy over the continuation ({PATH_PHRASES[path]}) is "
        f"{_format_levels(frames, model, path, names)}"
    ]
    if steps := _format_steps(frames, model, TRUTH, names):
        parts.append(f"at the border (along the truth) it steps by {steps}")
    return f"{_shorten_intervals('; '.join(parts))}."


def _headline(contrast: Record | None) -> str:
    """Whether memorized rows have a lower entropy, by the interval of the difference."""
    if contrast is None:
        return "Memorized and unmemorized rows cannot be compared: one kind is missing"
    return by_interval(
        contrast["difference_lower"],
        contrast["difference_upper"],
        "Entropy is higher in memorized than in unmemorized rows",
        "Entropy is lower in memorized than in unmemorized rows",
        "Entropy does not clearly differ between memorized and unmemorized rows",
    )


def _sentence(frames: Frames, model: str, contrast: Record | None) -> str:
    """The difference of the two classes, or the entropy of the class that there is."""
    if contrast is not None:
        rows = f"{contrast['memorized']:,} memorized and {contrast['unmemorized']:,} unmemorized rows of {model}"
        return f"Mean entropy in {rows} differs by {format_difference(contrast)} nats."
    path = known_paths(frames, model)[0]
    records = (statistic_record(frames, model, name, path) for name in CLASSES)
    record = next(record for record in records if record is not None)
    rows = format_count(record["rows"], f"{record['class']} row")
    return f"Mean entropy in {rows} of {model} is {format_level(record)}."


def _shorten_intervals(text: str) -> str:
    """The text with "95 % interval" only at its first occurrence."""
    first, phrase, rest = text.partition("95 % interval ")
    return first + phrase + rest.replace("95 % interval ", "")


def _control(frames: Frames, model: str) -> str:
    """The results for shuffled labels and control rows, as sentences."""
    path = known_paths(frames, model)[0]
    sentences = [_shuffled(frames, model, path), _diverging(frames, model)]
    if control_levels := _format_levels(frames, model, path, CLASSES, "control", separator=". It is "):
        steps = _format_steps(frames, model, TRUTH, CLASSES, separator=". It steps by ", role="control")
        at_boundary = f" At the border (along the truth) it steps by {steps}." if steps else ""
        sentences.append(f"Among rows no model was trained on it is {control_levels}.{at_boundary}")
    return " ".join(filter(None, sentences))


def _shuffled(frames: Frames, model: str, path: str) -> str:
    records = [statistic_record(frames, model, name, path, role="shuffled") for name in CLASSES]
    large_classes = tuple(record["class"] for record in records if record and record["rows"] >= MIN_ROWS)
    if not large_classes:
        return f"No class of {model} has {MIN_ROWS} rows: shuffled labels tell nothing."
    contrast, all_rows = (
        contrast_record(frames, model, path, "shuffled"),
        statistic_record(frames, model, ALL_ROWS, path),
    )
    levels = _format_levels(frames, model, path, large_classes, "shuffled", separator=". It is ")
    sentences = [
        shuffled_sentence(model, "classes"),
        f"The mean entropy over the continuation ({PATH_PHRASES[path]}) is then {levels}.",
    ]
    if all_rows:
        sentences.append(f"In all {all_rows['rows']:,} rows it is {format_level(all_rows)}.")
    if contrast:
        sentences.append(f"Rows called memorized and unmemorized are {format_difference(contrast)} nats apart.")
    return " ".join(sentences)


def _diverging(frames: Frames, model: str) -> str:
    """The step at divergence points compared with shuffled ones, along the truth if that was recorded."""
    path = known_paths(frames, model)[-1]
    filters = {"alignment": DIVERGENCE}
    classes = (OTHER,) if statistic_record(frames, model, OTHER, path, ONE_STEP, **filters) else (HALF,)
    steps = _format_steps(frames, model, path, classes, **filters)
    shuffled_steps = _format_steps(frames, model, path, classes, role="shuffled", **filters)
    control_steps = _format_steps(frames, model, path, classes, role="control", **filters)
    if not (steps and shuffled_steps):
        return ""
    control = f" Where no model was trained on the rows it steps by {control_steps}." if control_steps else ""
    return (
        f"At the first token that is not recited entropy ({PATH_PHRASES[path]}) steps by {steps}.{control} At "
        f"shuffled divergence points it steps by {shuffled_steps}."
    )


def _caveats(tables: Tables, cell: Cell, frames: Frames, without_signals: int) -> tuple[str, ...]:
    missing_paths = [path for path in PATHS if path not in tables.signals]
    caveats = {
        "Rows are classed by tokens chosen from these very distributions: low entropy of memorized rows, and high "
        "entropy at divergence points and at the first token of unmemorized rows, which they all miss, are in part "
        "what the words mean. Rows no model was trained on, of the same classes, have this part alone.": True,
        f"{without_signals:,} scored training rows, counted once a model, have no signals and are left "
        "out.": without_signals,
        **{
            f"No {'teacher-forced' if path == TRUTH else 'free-running'} signals were recorded: score with "
            f"--signals {path}.": True
            for path in missing_paths
        },
        "One model, or models of one or of unknown size: no trend with size.": not frames["slopes"].height,
    }
    own = [text for text, applies in caveats.items() if applies]
    return (*own, *class_caveats(tables, cell, frames["statistics"], frames))


def _deviations(cell: Cell) -> tuple[str, ...]:
    return (
        "P1 does not say to which base its logarithms are: here entropies are in nats.",
        "P1 draws generated steps of 10,000 rows; here free-running and teacher-forced entropies of all rows with "
        "signals stand apart, with 95 % intervals; a context has teacher-forced entropies alone.",
        boundary_deviation(cell.context, cell.continuation, ", along the truth"),
        "Log-probability, rank and margin, shuffled labels and the alignment on each row's divergence point "
        f"({DIVERGENCE_REACH} tokens on each side) are ours.",
        f"Charts show classes of at least {MIN_ROWS} rows, of the last checkpoint of each size; the tables hold all.",
    )


# ------------------------------------------------------------------------------------------------------- the finding


def compute(tables: Tables) -> Finding:
    """Signals by position of the three classes at the cell nearest to 32 + 32, and their change at the boundary."""
    cell = nearest_cell(tables)
    if not tables.complete or cell is None:
        return ANALYSIS.without_scores(tables, _QUESTION)
    if not has_signals(tables):
        remedy = "Record them: `mematlas score ... --signals truth,free`."
        return ANALYSIS.insufficient_data(tables, _QUESTION, "signals (per-token records)", remedy)
    signals = cell_signals(tables, cell)
    rows = rows_of_signals(tables, signals)
    frames = entropy_frames(tables, rows, signals)
    model = _headline_model(tables, frames)
    if not any(statistic_record(frames, model, name, path) for name in CLASSES for path in known_paths(frames, model)):
        missing = "memorized, half-memorized or unmemorized rows whose entropy is known"
        remedy = "Score more rows, or other models: `mematlas score MODEL ... --signals free --rows all`."
        return ANALYSIS.insufficient_data(tables, _QUESTION, missing, remedy)
    contrast = contrast_record(frames, model, known_paths(frames, model)[0])
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(frames, model, cell),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=_strength(contrast),
        control=_control(frames, model),
        tables=entropy_tables(frames),
        charts=entropy_charts(frames, model),
        trends=entropy_trends(tables, frames, model),
        caveats=_caveats(tables, cell, frames, _rows_without_signals(tables, cell, rows)),
        deviations=_deviations(cell),
        headline=_headline(contrast),
        sentence=_sentence(frames, model, contrast),
    )


def _rows_without_signals(tables: Tables, cell: Cell, rows: pl.DataFrame) -> int:
    """The number of training rows scored in the cell without signals, over all models."""
    scored = tables.counts().filter(context=cell.context, continuation=cell.continuation, role="train")
    recorded = rows.filter(role="train", alignment=BOUNDARY, **{"class": ALL_ROWS})
    return int(scored["rows"].sum()) - recorded.height


def _strength(contrast: dict[str, float] | None) -> float | None:
    """The difference of memorized and unmemorized rows / its standard error."""
    if contrast is None or contrast["difference_lower"] is None:
        return None
    return abs(contrast["difference"]) / standard_error(contrast["difference_lower"], contrast["difference_upper"])


ANALYSIS: Final = Analysis(
    "entropy",
    "Entropy while reciting",
    "P1, Figure 6",
    "signals (`mematlas score ... --signals truth,free`); scores of all rows",
    compute,
    TRENDS,
)
