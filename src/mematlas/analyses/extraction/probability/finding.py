"""Extraction by sampling: (n, p)-discoverable rows, compared with greedy decoding and rows no model was trained on.

Source: K3 (a): a row counts as extracted if n samples draw its whole continuation at least once with probability p.
Computed in closed form from the signals along the truth, in row_probabilities.py and counts.py.
"""

from typing import Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.extraction.probability.row_probabilities import (
    EXTRACTION_THRESHOLD,
    FULL_DISTRIBUTION,
    GREEDY,
    TOP_K,
    model_rows,
    schemes,
)
from mematlas.analyses.extraction.probability.tables import (
    HEADLINE_CHANCE,
    HEADLINE_SAMPLES,
    probability_frames,
    probability_tables,
)
from mematlas.analyses.extraction.probability.trends import TRENDS, Headline, probability_trends, strength
from mematlas.analyses.frames.memorized_shares import nearest_cell
from mematlas.analyses.frames.proportions import format_percent, format_share
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.analyses.phrasing import by_verdict, format_count
from mematlas.findings.finding import Axis, Chart, Finding

_QUESTION: Final = "which rows sampling brings out"
_MAX_EXAMPLES: Final = 6  # rows worth looking at
_SCHEME_PHRASES: Final = {TOP_K: "the 40 most probable tokens", FULL_DISTRIBUTION: "all tokens"}
Frames = dict[str, pl.DataFrame]


# ----------------------------------------------------------------------------------------------------- the sentences


def _headline_of(tables: Tables, frames: Frames) -> Headline | None:
    """The largest model of the family with training rows of known p_z, with the top-k scheme if that is known."""
    curves = frames["curves"].filter(role="train")
    for model in reversed(tables.by_size):
        known_schemes = set(curves.filter(model=model)["scheme"])
        scheme = next((candidate for candidate in (TOP_K, FULL_DISTRIBUTION) if candidate in known_schemes), None)
        if scheme is not None:
            return Headline(frames, model, scheme)
    return None


def _claim(headline: Headline, cell: Cell) -> str:
    train, control = headline.record(), headline.record(role="control")
    control_text = (
        ""
        if control is None
        else f", and {format_share(control, 'share')} of {control['rows']:,} rows never trained on"
    )
    return (
        f"In {headline.model} at {cell} tokens greedy decoding recites {headline.share(GREEDY)} of "
        f"{train['rows'] if train else 0:,} training rows; {HEADLINE_SAMPLES:,} samples from "
        f"{_SCHEME_PHRASES[headline.scheme]} draw {headline.share()} with probability {HEADLINE_CHANCE}{control_text}."
    )


def _sentence(headline: Headline) -> str:
    """The shares of rows that greedy decoding recites and that sampling draws."""
    train = headline.record()
    rows = format_count(train["rows"] if train else 0)
    greedy = f"{headline.model} recites {headline.share(GREEDY)} of {rows} greedily"
    return f"{greedy}; {HEADLINE_SAMPLES:,} samples draw {headline.share()} with probability {HEADLINE_CHANCE}."


def _control(headline: Headline, tables: Tables) -> str | None:
    """Sampling results for rows no model was trained on, and for models that never saw the corpus, as sentences."""
    sentences, control = [], headline.record(role="control")
    if control is not None:
        sentences.append(
            f"Of {control['rows']:,} rows no model was trained on, {HEADLINE_SAMPLES:,} samples of {headline.model} "
            f"draw {format_share(control, 'share')} with probability {HEADLINE_CHANCE}. Greedy decoding recites "
            f"{headline.share(GREEDY, 'control')}. {headline.worst_case_share('probable', 'control')} have p_z >= 0.1 "
            f"%. {headline.worst_case_share('possible', 'control')} have p_z > 0."
        )
    for model in tables.control_models:
        record = headline.record(model=model, role="control model")
        if record is not None:
            sentences.append(
                f"The control model {model} draws {format_share(record, 'share')} of {record['rows']:,} rows."
            )
    return " ".join(sentences) or None


def _caveats(tables: Tables, cell: Cell, headline: Headline, rows: pl.DataFrame) -> tuple[str, ...]:
    train = rows.filter(role="train")
    control = headline.record(role="control") or {"discoverable": 0, "rows": 0}
    filters = {"model": headline.model, "role": "train", "context": cell.context, "continuation": cell.continuation}
    scored = tables.counts().filter(**filters)["rows"].sum()
    unknown = scored - train[headline.scheme].drop_nulls().len()
    disagreeing = train.filter((pl.col("extraction_strength") == 1) != pl.col("recited")).height
    caveats = {
        f"{unknown:,} of {scored:,} training rows of {headline.model} have no known p_z and are left out.": unknown,
        f"In {disagreeing:,} rows the decoded text and the record along the truth disagree on M = 1: ties of two "
        "tokens, or another policy at the end of text.": disagreeing,
        f"{control['discoverable']:,} of {control['rows']:,} rows no model was trained on are drawn, too: part of the "
        "curves is text that can be guessed.": control["discoverable"],
        f"The top-k record is missing: the claim is on {FULL_DISTRIBUTION}.": headline.scheme == FULL_DISTRIBUTION,
        f"Without top-k every text has p_z > 0: the worst case says something of {TOP_K} alone.": (
            headline.scheme == TOP_K
        ),
        "The models are measured on the same rows, so that their shares are not independent.": len(tables.by_size) > 1,
        "The study has no control rows: how much of it can be guessed is unknown.": not tables.has_control,
    }
    return tuple(text for text, applies in caveats.items() if applies)


def _deviations(cell: Cell, headline: Headline) -> tuple[str, ...]:
    per_token = EXTRACTION_THRESHOLD ** (1 / cell.continuation)
    return (
        f"K3 prompts with 50 tokens and asks for 50, on Pythia and others; here it is {cell}; the grids are ours.",
        "K3's version that lets some tokens differ, (eps, n, p), is not computed.",
        "K11 calls a window of 50 + 50 tokens extracted from p_z = 0.1 % on, 0.871 a token; over "
        f"{cell.continuation} tokens that is {per_token:.3f} a token, which {headline.worst_case_share('probable')} of "
        "the rows reach.",
        "Extraction strength (K12) is taken over the continuation after the context; the open code gives 1 / L to a "
        "row where nothing matches, here it is 0.",
        "Memory units (P8, A.3) are averaged within a row's window, then over rows; P8 uses whole training sequences.",
    )


def _examples(tables: Tables, headline: Headline, rows: pl.DataFrame) -> dict[int, str]:
    """The most probable training rows that greedy decoding does not recite."""
    log_probability = pl.col(headline.scheme)
    not_recited = rows.filter(~pl.col("recited") & (log_probability.exp() >= EXTRACTION_THRESHOLD), role="train")
    most_probable = not_recited.sort(headline.scheme, "row", descending=[True, False])
    examples = tables.one_per_text(most_probable).head(_MAX_EXAMPLES)
    return {
        row: f"drawn with p_z = {format_percent(value)}, though greedy decoding of {headline.model} misses it"
        for row, value in examples.select("row", log_probability.exp()).iter_rows()
    }


# -------------------------------------------------------------------------------------------------------- the charts


def _charts(headline: Headline) -> tuple[Chart, ...]:
    phrase, model, scheme = _SCHEME_PHRASES[headline.scheme], headline.model, headline.scheme
    greedy = headline.record(GREEDY)
    reference = None if greedy is None else (greedy["share"], "greedy decoding")
    chance_text = f"p = {HEADLINE_CHANCE}"
    return (
        _curve_chart(
            "chances", f"Rows that n samples from {phrase} draw, {model}", "p", reference, model=model, scheme=scheme
        ),
        _curve_chart(
            "schemes",
            f"Rows that n samples draw, {chance_text}, {model}",
            "scheme",
            None,
            model=model,
            p=HEADLINE_CHANCE,
        ),
        _curve_chart(
            "models",
            f"Rows that n samples from {phrase} draw, {chance_text}",
            "model",
            None,
            scheme=scheme,
            p=HEADLINE_CHANCE,
        ),
        *_size_chart(headline.frames),
        *_measure_charts(headline.frames),
    )


def _curve_chart(name: str, title: str, color: str, reference: tuple[float, str] | None, **where: str) -> Chart:
    """Shares against n: solid lines for training rows, dashed ones for controls."""
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


def _size_chart(frames: Frames) -> tuple[Chart, ...]:
    if frames["sizes"].filter(role="train")["parameters"].n_unique() < 2:
        return ()
    title = f"Rows that {HEADLINE_SAMPLES:,} samples draw with probability {HEADLINE_CHANCE}, by model size"
    x, y = Axis("parameters", "parameters", "log"), Axis("share", "(n, p)-discoverable rows", share=True)
    color, interval = Axis("scheme", "drawn from", "nominal"), ("share_lower", "share_upper")
    return (Chart("sizes", title, "lines", "sizes", x, y, color, *interval, dash="role"),)


def _measure_charts(frames: Frames) -> tuple[Chart, ...]:
    """One chart per measure that any training row has."""
    measures = frames["measures"].drop_nulls("mean")
    control_text = ", beside rows or models of the control (pale)" if (measures["role"] != "train").any() else ""
    titles = {
        "extraction_strength": ("Extraction strength", Axis("mean", "mean of 1 - k / L", share=True)),
        "memory_unit_length": (
            "Memory unit length",
            Axis("mean", "mean run of tokens got right, tokens", bounds=(0, None)),
        ),
    }
    interval, model = ("mean_lower", "mean_upper"), Axis("model", "model", "nominal")
    return tuple(
        Chart(
            name,
            f"{title}{control_text}",
            "bars",
            "measures",
            model,
            y,
            None,
            *interval,
            dash="role",
            where={"measure": name},
        )
        for name, (title, y) in titles.items()
        if name in measures.filter(role="train")["measure"]
    )


# ------------------------------------------------------------------------------------------------------- the finding


def compute(tables: Tables) -> Finding:
    """(n, p)-discoverable rows of every model and scheme at the cell nearest to 32 + 32."""
    cell = nearest_cell(tables)
    if not schemes(tables):
        remedy = "Score with `--signals truth`, which records them: `mematlas score MODEL ... --signals truth`."
        return ANALYSIS.insufficient_data(tables, _QUESTION, "log-probabilities along the true text", remedy)
    if cell is None or not tables.complete:
        remedy = "Score rows of a corpus, recited or not: `mematlas score MODEL ... --corpus PATH --study FOLDER`."
        missing = "scored training rows" if tables.complete else "scores of all rows of a selection"
        return ANALYSIS.insufficient_data(tables, _QUESTION, missing, remedy)
    frames = probability_frames(tables, cell)
    headline = _headline_of(tables, frames)
    if headline is None:
        remedy = "Score longer rows, or less: `mematlas score ... --continuation 16`; context 0 needs `--bos`."
        missing = f"training rows whose log-probabilities are known over all of {cell} tokens"
        return ANALYSIS.insufficient_data(tables, _QUESTION, missing, remedy)
    return _finding(tables, cell, headline)


def _finding(tables: Tables, cell: Cell, headline: Headline) -> Finding:
    rows = model_rows(tables, cell, headline.model)
    known_sizes = [model for model in tables.by_size if tables.parameters(model) is not None]
    by_size = known_sizes if len(known_sizes) == len(tables.by_size) else []
    trends = probability_trends(headline, rows, by_size)
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(headline, cell),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=strength(headline, rows),
        control=_control(headline, tables),
        tables=probability_tables(headline.frames),
        charts=_charts(headline),
        trends=trends,
        caveats=_caveats(tables, cell, headline, rows),
        deviations=_deviations(cell, headline),
        rows=_examples(tables, headline, rows),
        headline=by_verdict(
            trends[0].verdict,
            "Many samples bring out more rows than greedy decoding",
            "Many samples bring out fewer rows than greedy decoding",
            "Sampling and greedy decoding do not clearly differ",
        ),
        sentence=_sentence(headline),
    )


ANALYSIS: Final = Analysis(
    "probability",
    "Extraction by sampling",
    "K3; K12 for extraction strength; P8, A.3 for the memory unit length",
    "signals along the truth (`--signals truth`); scores of all rows",
    compute,
    TRENDS,
)
