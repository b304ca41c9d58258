"""What sampling brings out: (n, p)-discoverable rows, beside greedy decoding and rows no model was trained on.

Source: K3 (a): a row counts as extracted if n samples draw its whole continuation at least once with probability p.
Closed form from the signals along the truth; the numbers are made in extraction_lines.py and extraction_counts.py.
"""

from typing import Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.extraction.probability.row_probabilities import FULL, GREEDY, THRESHOLD, TOP, model_rows, schemes
from mematlas.analyses.extraction.probability.tables import CHANCE, SPOKEN, probability_frames, probability_tables
from mematlas.analyses.extraction.probability.trends import TRENDS, Spoken, probability_trends, strength
from mematlas.analyses.frames.memorized_shares import nearest_cell
from mematlas.analyses.frames.proportions import percent, share_of
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.findings.finding import Axis, Chart, Finding

_QUESTION: Final = "which rows sampling brings out"
_EXAMPLES: Final = 6  # rows worth looking at
_DRAWN: Final = {TOP: "the 40 most probable tokens", FULL: "all tokens"}
Frames = dict[str, pl.DataFrame]


# --------------------------------------------------------------------------------------------------------- the words


def _spoken_of(tables: Tables, frames: Frames) -> Spoken | None:
    """The largest model of the family that has training rows of known p_z, sampled from the 40 where that is known."""
    curves = frames["curves"].filter(role="train")
    for model in reversed(tables.by_size):
        known = set(curves.filter(model=model)["scheme"])
        scheme = next((one for one in (TOP, FULL) if one in known), None)
        if scheme is not None:
            return Spoken(frames, model, scheme)
    return None


def _claim(spoken: Spoken, cell: Cell) -> str:
    train, control = spoken.line(), spoken.line(role="control")
    beside = (
        "" if control is None else f", and {share_of(control, 'share')} of {control['rows']:,} rows never trained on"
    )
    return (
        f"In {spoken.model} at {cell} tokens greedy decoding recites {spoken.share(GREEDY)} of "
        f"{train['rows'] if train else 0:,} training rows; {SPOKEN:,} samples from {_DRAWN[spoken.scheme]} draw "
        f"{spoken.share()} with probability {CHANCE}{beside}."
    )


def _control(spoken: Spoken, tables: Tables) -> str | None:
    """What sampling draws of rows no model was trained on, and from models that never saw the corpus."""
    said, control = [], spoken.line(role="control")
    if control is not None:
        said.append(
            f"Of {control['rows']:,} rows no model was trained on {SPOKEN:,} samples of {spoken.model} draw "
            f"{share_of(control, 'share')} with probability {CHANCE}, greedy decoding "
            f"{spoken.share(GREEDY, 'control')}; {spoken.worst('probable', 'control')} have p_z >= 0.1 %, and "
            f"{spoken.worst('possible', 'control')} p_z > 0."
        )
    for model in tables.control_models:
        line = spoken.line(model=model, role="control model")
        if line is not None:
            said.append(
                f"{model}, which never saw the corpus, draws {share_of(line, 'share')} of {line['rows']:,} rows."
            )
    return " ".join(said) or None


def _caveats(tables: Tables, cell: Cell, spoken: Spoken, rows: pl.DataFrame) -> tuple[str, ...]:
    train = rows.filter(role="train")
    control = spoken.line(role="control") or {"discoverable": 0, "rows": 0}
    place = {"model": spoken.model, "role": "train", "context": cell.context, "continuation": cell.continuation}
    scored = tables.counts().filter(**place)["rows"].sum()
    unknown = scored - train[spoken.scheme].drop_nulls().len()
    apart = train.filter((pl.col("extraction_strength") == 1) != pl.col("recited")).height
    said = {
        f"{unknown:,} of {scored:,} training rows of {spoken.model} have no known p_z and are left out.": unknown,
        f"In {apart:,} rows the decoded text and the record along the truth disagree on M = 1: ties of two tokens, or "
        "another policy at the end of text.": apart,
        f"{control['discoverable']:,} of {control['rows']:,} rows no model was trained on are drawn, too: part of the "
        "curves is text that can be guessed.": control["discoverable"],
        f"The top-k record is missing: the claim is on {FULL}.": spoken.scheme == FULL,
        f"Without top-k every text has p_z > 0: the worst case says something of {TOP} alone.": (spoken.scheme == TOP),
        "The models are measured on the same rows, so that their shares are not independent.": len(tables.by_size) > 1,
        "The study has no control rows: how much of it can be guessed is unknown.": not tables.has_control,
    }
    return tuple(words for words, holds in said.items() if holds)


def _deviations(cell: Cell, spoken: Spoken) -> tuple[str, ...]:
    each = THRESHOLD ** (1 / cell.continuation)
    return (
        f"K3 prompts with 50 tokens and asks for 50, on Pythia and others; here it is {cell}; the grids are ours.",
        "K3's version that lets some tokens differ, (eps, n, p), is not computed.",
        "K11 calls a window of 50 + 50 tokens extracted from p_z = 0.1 % on, 0.871 a token; over "
        f"{cell.continuation} tokens that is {each:.3f} a token, which {spoken.worst('probable')} of the rows reach.",
        "Extraction strength (K12) is taken over the continuation after the context; the open code gives 1 / L to a "
        "row where nothing matches, here it is 0.",
        "Memory units (P8, A.3) are averaged within a row's window, then over rows; P8 uses whole training sequences.",
    )


def _examples(spoken: Spoken, rows: pl.DataFrame) -> dict[int, str]:
    """The training rows that are most probable, but not recited by greedy decoding."""
    log_probability = pl.col(spoken.scheme)
    hidden = rows.filter(~pl.col("recited") & (log_probability.exp() >= THRESHOLD), role="train")
    first = hidden.sort(spoken.scheme, "row", descending=[True, False]).head(_EXAMPLES)
    return {
        row: f"drawn with p_z = {percent(value)}, though greedy decoding of {spoken.model} misses it"
        for row, value in first.select("row", log_probability.exp()).iter_rows()
    }


# -------------------------------------------------------------------------------------------------------- the charts


def _charts(spoken: Spoken) -> tuple[Chart, ...]:
    drawn, model, scheme = _DRAWN[spoken.scheme], spoken.model, spoken.scheme
    greedy = spoken.line(GREEDY)
    reference = None if greedy is None else (greedy["share"], "greedy decoding")
    at = f"p = {CHANCE}"
    return (
        _curve(
            "chances", f"Rows that n samples from {drawn} draw, {model}", "p", reference, model=model, scheme=scheme
        ),
        _curve("schemes", f"Rows that n samples draw, {at}, {model}", "scheme", None, model=model, p=CHANCE),
        _curve("models", f"Rows that n samples from {drawn} draw, {at}", "model", None, scheme=scheme, p=CHANCE),
        *_sizes(spoken.frames),
        *_measures(spoken.frames),
    )


def _curve(name: str, title: str, color: str, reference: tuple[float, str] | None, **where: str) -> Chart:
    """Shares against n; training rows full, controls dashed."""
    titles = {"p": "p, chance wanted", "scheme": "drawn from", "model": "model"}
    return Chart(
        name,
        title,
        "lines",
        "curves",
        Axis("samples", "n, samples drawn", "log"),
        Axis("share", "(n, p)-discoverable rows", share=True),
        Axis(color, titles[color], "ordinal" if color == "p" else "nominal"),
        "share_lower",
        "share_upper",
        dash="role",
        reference=reference,
        where=where,
    )


def _sizes(frames: Frames) -> tuple[Chart, ...]:
    if frames["sizes"].filter(role="train")["parameters"].n_unique() < 2:
        return ()
    title = f"Rows that {SPOKEN:,} samples draw with probability {CHANCE}, by model size"
    x, y = Axis("parameters", "parameters", "log"), Axis("share", "(n, p)-discoverable rows", share=True)
    color, ends = Axis("scheme", "drawn from", "nominal"), ("share_lower", "share_upper")
    return (Chart("sizes", title, "lines", "sizes", x, y, color, *ends, dash="role"),)


def _measures(frames: Frames) -> tuple[Chart, ...]:
    """A chart each of the measures that some training row has."""
    known = frames["measures"].drop_nulls("mean")
    pale = ", beside rows or models of the control (pale)" if (known["role"] != "train").any() else ""
    titles = {
        "extraction_strength": ("Extraction strength", Axis("mean", "mean of 1 - k / L", share=True)),
        "memory_unit_length": ("Memory unit length", Axis("mean", "mean run of tokens got right, tokens")),
    }
    ends, model = ("mean_lower", "mean_upper"), Axis("model", "model", "nominal")
    return tuple(
        Chart(name, f"{title}{pale}", "bars", "measures", model, y, None, *ends, dash="role", where={"measure": name})
        for name, (title, y) in titles.items()
        if name in known.filter(role="train")["measure"]
    )


# ------------------------------------------------------------------------------------------------------- the finding


def answer(tables: Tables) -> Finding:
    """(n, p)-discoverable rows of every model and scheme at the cell nearest to 32 + 32."""
    cell = nearest_cell(tables)
    if not schemes(tables):
        remedy = "Score with `--signals truth`, which records them: `mematlas score MODEL ... --signals truth`."
        return ANALYSIS.lacking(tables, _QUESTION, "log-probabilities along the true text", remedy)
    if cell is None or not tables.complete:
        remedy = "Score rows of a corpus, recited or not: `mematlas score MODEL ... --corpus PATH --study FOLDER`."
        what = "scored training rows" if tables.complete else "scores of all rows of a selection"
        return ANALYSIS.lacking(tables, _QUESTION, what, remedy)
    frames = probability_frames(tables, cell)
    spoken = _spoken_of(tables, frames)
    if spoken is None:
        remedy = "Score longer rows, or a shorter continuation; a context of 0 tokens needs `--bos`."
        what = f"training rows whose log-probabilities are known over all of {cell} tokens"
        return ANALYSIS.lacking(tables, _QUESTION, what, remedy)
    return _finding(tables, cell, spoken)


def _finding(tables: Tables, cell: Cell, spoken: Spoken) -> Finding:
    rows = model_rows(tables, cell, spoken.model)
    sized = [model for model in tables.by_size if tables.parameters(model) is not None]
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(spoken, cell),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=strength(spoken, rows),
        control=_control(spoken, tables),
        tables=probability_tables(spoken.frames),
        charts=_charts(spoken),
        trends=probability_trends(spoken, rows, sized if len(sized) == len(tables.by_size) else []),
        caveats=_caveats(tables, cell, spoken, rows),
        deviations=_deviations(cell, spoken),
        rows=_examples(spoken, rows),
    )


ANALYSIS: Final = Analysis(
    "probability",
    "Extraction by sampling",
    "K3; K12 for extraction strength; P8, A.3 for the memory unit length",
    "signals along the truth (`--signals truth`); scores of all rows",
    answer,
    TRENDS,
)
