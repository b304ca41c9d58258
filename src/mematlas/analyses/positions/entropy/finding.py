"""How sure a model is while it recites: entropy by position, what it does at the border and where reciting stops.

Source: P1, Fig. 6: mean entropy of each generated step of memorized, half-memorized and unmemorized rows. The numbers
are made in signal_lines.py and signal_curves.py, the words on trends in entropy_trends.py.
"""

from typing import Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.frames.memorized_shares import nearest_cell
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.analyses.phrasing import difference_of, listed
from mematlas.analyses.positions.boundary_step import STEP, WIDTH, width
from mematlas.analyses.positions.entropy.signals import FREE, PATHS, TRUTH, has_signals, rows_at, signals_at
from mematlas.analyses.positions.entropy.tables import (
    PATH_WORDS,
    Frames,
    entropy_charts,
    entropy_frames,
    entropy_tables,
)
from mematlas.analyses.positions.entropy.trends import (
    TRENDS,
    Line,
    contrast_of,
    entropy_trends,
    level_of,
    line_of,
    paths_of,
)
from mematlas.analyses.positions.profiles import DIVERGENCE, FEW, REACH
from mematlas.analyses.positions.token_windows import CLASSES, EVERY, HALF, MEMORIZED, OTHER, UNMEMORIZED
from mematlas.findings.finding import Finding
from mematlas.stats.estimates.intervals import standard_error

_QUESTION: Final = "how the entropy of memorized and unmemorized rows runs over context and continuation"


# --------------------------------------------------------------------------------------------------------- the words


def _spoken_of(tables: Tables, frames: Frames) -> str:
    """The largest model of those that have most of: memorized rows and unmemorized rows, enough for an interval."""

    def held(model: str) -> tuple[int, bool]:
        path = next(iter(paths_of(frames, model)), FREE)
        lines = [line_of(frames, model, name, path) for name in (MEMORIZED, UNMEMORIZED)]
        return sum(1 + (line["value_lower"] is not None) for line in lines if line), bool(
            line_of(frames, model, HALF, path)
        )

    return max([*reversed(tables.by_size), *reversed(tables.family)], key=held)


def _levels(frames: Frames, model: str, path: str, names: tuple[str, ...], role: str = "train") -> str:
    """ "0.1 nats (95 % interval 0.05 to 0.15) in 20 memorized rows and ...", of the classes that have a line."""
    lines = filter(None, (line_of(frames, model, name, path, role=role) for name in names))
    return listed([f"{level_of(line)} {_rows_of(line)}" for line in lines])


def _steps(frames: Frames, model: str, path: str, names: tuple[str, ...], **where: str) -> str:
    """ "+1 nats (95 % interval ...) in 20 memorized rows and ..." at the border unless told else, in one step."""
    lines = filter(None, (line_of(frames, model, name, path, STEP, **where) for name in names))
    return listed([f"{difference_of(line, 'value')} {_rows_of(line)}" for line in lines])


def _rows_of(line: Line) -> str:
    called = f"rows called {line['class']}" if line["role"] == "shuffled" else f"{line['class']} rows"
    return f"in {line['rows']:,} {called}"


def _claim(frames: Frames, model: str, cell: Cell) -> str:
    path = paths_of(frames, model)[0]
    names = tuple(name for name in (MEMORIZED, UNMEMORIZED) if line_of(frames, model, name, path)) or (HALF,)
    said = [
        f"In {model} at {cell} tokens the mean entropy over the continuation ({PATH_WORDS[path]}) is "
        f"{_levels(frames, model, path, names)}"
    ]
    if steps := _steps(frames, model, TRUTH, names):
        said.append(f"at the border (along the truth) it steps by {steps}")
    return f"{_briefly('; '.join(said))}."


def _briefly(text: str) -> str:
    """What an interval is, said once."""
    first, told, rest = text.partition("95 % interval ")
    return first + told + rest.replace("95 % interval ", "")


def _control(frames: Frames, model: str) -> str:
    """What shuffled labels and control rows give, in words."""
    path = paths_of(frames, model)[0]
    said = [_shuffled(frames, model, path), _diverging(frames, model)]
    if beside := _levels(frames, model, path, CLASSES, "control"):
        steps = _steps(frames, model, TRUTH, CLASSES, role="control")
        at_border = f"; at the border (along the truth) it steps by {steps}" if steps else ""
        said.append(f"Among rows no model was trained on it is {beside}{at_border}.")
    return " ".join(filter(None, said))


def _shuffled(frames: Frames, model: str, path: str) -> str:
    lines = [line_of(frames, model, name, path, role="shuffled") for name in CLASSES]
    enough = tuple(line["class"] for line in lines if line and line["rows"] >= FEW)
    if not enough:
        return f"No class of {model} has {FEW} rows: shuffled labels tell nothing."
    pair, every = contrast_of(frames, model, path, "shuffled"), line_of(frames, model, EVERY, path)
    between = f"; rows called memorized and unmemorized are {difference_of(pair)} nats apart" if pair else ""
    whole = f"; in all {every['rows']:,} rows it is {level_of(every)}" if every else ""
    return (
        f"With the classes shuffled among the training rows of {model} the mean entropy over the continuation "
        f"({PATH_WORDS[path]}) is {_levels(frames, model, path, enough, 'shuffled')}{whole}{between}."
    )


def _diverging(frames: Frames, model: str) -> str:
    """The step at divergence points beside that at shuffled ones, along the truth if it is known."""
    path = paths_of(frames, model)[-1]
    where = {"alignment": DIVERGENCE}
    stopping = (OTHER,) if line_of(frames, model, OTHER, path, STEP, **where) else (HALF,)
    own = _steps(frames, model, path, stopping, **where)
    swapped = _steps(frames, model, path, stopping, role="shuffled", **where)
    their = _steps(frames, model, path, stopping, role="control", **where)
    beside = f" and, where no model was trained on them, by {their}" if their else ""
    return (
        f"At the first token that is not recited the entropy ({PATH_WORDS[path]}) steps by {own}{beside}; at shuffled "
        f"divergence points by {swapped}."
        if own and swapped
        else ""
    )


def _caveats(tables: Tables, cell: Cell, frames: Frames, unrecorded: int) -> tuple[str, ...]:
    curves = frames["curves"]
    classes = set(frames["statistics"].filter(role="train")["class"])
    lacking = [name for name in CLASSES if name not in classes]
    absent = [path for path in PATHS if path not in tables.signals]
    said = {
        "Rows are classed by tokens chosen from these very distributions: low entropy of memorized rows, and high "
        "entropy at divergence points and at the first token of unmemorized rows, which they all miss, are in part "
        "what the words mean. Rows no model was trained on, of the same classes, have this part alone.": True,
        f"No training row of any model is {' or '.join(lacking)}.": tables.graded and lacking,
        "M was not graded: half-memorized and unmemorized rows are unknown.": not tables.graded,
        f"A continuation of {cell.continuation} tokens has no half: no row can have M = 1/2.": cell.continuation % 2,
        f"{unrecorded:,} scored training rows, counted once a model, have no signals and are left out.": unrecorded,
        **{
            f"No {'teacher-forced' if path == TRUTH else 'free-running'} signals were recorded: score with "
            f"--signals {path}.": True
            for path in absent
        },
        "How many tokens each row recites before its first miss is unknown: no curve around divergence points.": (
            not curves["alignment"].eq(DIVERGENCE).any()
        ),
        "The models of a size trend are measured on the same rows: its interval says how well they lie on a line.": (
            frames["slopes"].height
        ),
        "One model, or models of one or of unknown size: no trend with size.": not frames["slopes"].height,
        "The study has no control rows: only shuffled labels stand beside.": not tables.has_control,
    }
    return tuple(words for words, holds in said.items() if holds)


def _deviations(cell: Cell) -> tuple[str, ...]:
    wide = width(cell.context, cell.continuation)
    short = f" (here {wide}, as a side has no more)" if wide < WIDTH else ""
    return (
        "P1 does not say to which base its logarithms are: here entropies are in nats.",
        "P1 draws generated steps of 10,000 rows; here free-running and teacher-forced entropies of all rows with "
        "signals stand apart, with 95 % intervals; a context has teacher-forced entropies alone.",
        "P1 does not publish the formula of its boundary difference: one step and a window are ours, "
        f"with {WIDTH} tokens on each side{short}, along the truth.",
        "Log-probability, rank and margin, shuffled labels and the alignment on each row's divergence point "
        f"({REACH} tokens on each side) are ours.",
        f"Charts show classes of at least {FEW} rows, of the last checkpoint of each size; the tables hold all.",
    )


# ------------------------------------------------------------------------------------------------------- the finding


def answer(tables: Tables) -> Finding:
    """Signals by position of the three classes at the cell nearest to 32 + 32, and what they do at the border."""
    cell = nearest_cell(tables)
    if not tables.complete or cell is None:
        return ANALYSIS.lacking_rows(tables, _QUESTION)
    if not has_signals(tables):
        remedy = "Record them: `mematlas score ... --signals truth --signals free`."
        return ANALYSIS.lacking(tables, _QUESTION, "signals (per-token records)", remedy)
    signals = signals_at(tables, cell)
    rows = rows_at(tables, signals)
    frames = entropy_frames(tables, rows, signals)
    model = _spoken_of(tables, frames)
    if not any(line_of(frames, model, name, path) for name in CLASSES for path in paths_of(frames, model)):
        what = "memorized, half-memorized or unmemorized rows whose entropy is known"
        return ANALYSIS.lacking(tables, _QUESTION, what, "Score more rows, or other models, with --signals free.")
    pair = contrast_of(frames, model, paths_of(frames, model)[0])
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(frames, model, cell),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=_strength(pair),
        control=_control(frames, model),
        tables=entropy_tables(frames),
        charts=entropy_charts(frames, model),
        trends=entropy_trends(tables, frames, model),
        caveats=_caveats(tables, cell, frames, _unrecorded(tables, cell, rows)),
        deviations=_deviations(cell),
    )


def _unrecorded(tables: Tables, cell: Cell, rows: pl.DataFrame) -> int:
    """Training rows that a model scored in the cell without signals."""
    here = tables.counts().filter(context=cell.context, continuation=cell.continuation, role="train")
    recorded = rows.filter(role="train", alignment="border", **{"class": EVERY})
    return int(here["rows"].sum()) - recorded.height


def _strength(pair: dict[str, float] | None) -> float | None:
    """The difference of memorized and unmemorized rows / its standard error."""
    if pair is None or pair["difference_lower"] is None:
        return None
    return abs(pair["difference"]) / standard_error(pair["difference_lower"], pair["difference_upper"])


ANALYSIS: Final = Analysis(
    "entropy",
    "Entropy while reciting",
    "P1, Figure 6",
    "signals (`mematlas score --signals truth --signals free`); scores of all rows",
    answer,
    TRENDS,
)
