"""Distances between rows in a model's last layer while it generates, within and between score levels.

Source: P1, Fig. 5: Euclidean distance and cosine similarity between rows of score groups at each decoding step. The
numbers are computed in samples.py, distances.py and maps.py, the trends in trends.py.
"""

from typing import Final

from mematlas.analyses.base import Analysis
from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.phrasing import by_interval, format_bounds, format_count, shuffled_sentence
from mematlas.analyses.states.embedding.distances import HIGHEST, LOWEST, LOWEST_TO_HIGHEST, MIN_ROWS
from mematlas.analyses.states.embedding.maps import MAP_ROWS, PCA, UMAP
from mematlas.analyses.states.embedding.samples import CONTROL, MAX_ROWS, TEXT_KINDS
from mematlas.analyses.states.embedding.tables import (
    Frames,
    embedding_charts,
    embedding_frames,
    embedding_tables,
)
from mematlas.analyses.states.embedding.trends import (
    TRENDS,
    Record,
    distance_record,
    embedding_trends,
    separation_records,
)
from mematlas.findings.finding import Finding
from mematlas.stats.estimates.intervals import standard_error
from mematlas.stats.geometry.projections import umap_is_installed
from mematlas.stats.geometry.separation import PERMUTATIONS

_QUESTION: Final = "how far the hidden states of memorized and unmemorized rows lie from each other"
_UNSHUFFLED_ROLES: Final = ("train", "control model")
_LEVEL_PHRASES: Final = {LOWEST: "M < 0.2", HIGHEST: "M >= 0.8"}


# ----------------------------------------------------------------------------------------------------- the sentences


def _headline_model(tables: Tables, frames: Frames, kind: str) -> str:
    """The largest model among those with the best coverage: enough rows of the lowest and of the highest level."""

    def level_coverage(model: str) -> int:
        return sum(
            distance_record(frames, model, kind, name, 0, _UNSHUFFLED_ROLES) is not None for name in (LOWEST, HIGHEST)
        )

    return max([*reversed(tables.by_size), *reversed(tables.family)], key=level_coverage)


def _last_step(frames: Frames, model: str, kind: str) -> int:
    """The last step of the continuation, from the table separation, or else from the table map."""
    for name in ("separation", "map"):
        steps = frames[name].filter(model=model, kind=kind, state="last")["step"]
        if len(steps):
            return int(steps[0])
    return int(frames["distances"].filter(model=model, kind=kind)["step"].drop_nulls().max() or 0)  # type: ignore[arg-type]


def _format_distance(record: Record, measure: str = "scaled_distance") -> str:
    """ "0.982 (0.974 to 0.990)"."""
    lower, upper = record[f"{measure}_lower"], record[f"{measure}_upper"]
    interval = "no interval" if lower is None else f"{lower:.3f} to {upper:.3f}"
    return "an unknown distance" if record[measure] is None else f"{record[measure]:.3f} ({interval})"


def _level_distances(frames: Frames, model: str, kind: str, step: int, roles: tuple[str, ...]) -> list[Record]:
    """The records within the lowest level, within the highest, and between them, without those of too few rows."""
    records = (distance_record(frames, model, kind, name, step, roles) for name in (LOWEST, HIGHEST, LOWEST_TO_HIGHEST))
    return [record for record in records if record is not None]


def _claim(frames: Frames, model: str, kind: str) -> str:
    first = _level_distances(frames, model, kind, 0, _UNSHUFFLED_ROLES)
    if len(first) < 3:
        return _insufficient_claim(frames, model, kind, first)
    last = _last_step(frames, model, kind)
    low, high, between = map(_format_distance, first)
    text = (
        f"In {model} {first[1]['first_rows']:,} rows with M >= 0.8 lie {high} apart (scaled distance, 95 % intervals) "
        f"before anything is generated, {first[0]['first_rows']:,} with M < 0.2 {low}, and the two {between} from each "
        "other"
    )
    at_end = _level_distances(frames, model, kind, last, _UNSHUFFLED_ROLES) if last else []
    if len(at_end) == 3:
        low, high, between = map(_format_distance, at_end)
        text += f"; after {last} tokens {high}, {low} and {between}"
    return f"{text}."


def _insufficient_claim(frames: Frames, model: str, kind: str, records: list[Record]) -> str:
    """The claim of a study without enough rows of the lowest and the highest level."""
    known_text = "".join(
        f"; {record['first_rows']:,} rows with {_LEVEL_PHRASES[record['between']]} of {model} lie "
        f"{_format_distance(record)} apart before anything is generated (scaled distance, 95 % interval)"
        for record in records
    )
    return f"{_QUESTION[0].upper()}{_QUESTION[1:]} cannot be said: no model has {MIN_ROWS} rows of both{known_text}."


def _headline(separation: tuple[Record, Record] | None) -> str:
    """Whether score levels are apart before anything is generated, by the silhouettes of permuted levels."""
    if separation is None:
        return "Too few rows to say whether score levels lie apart"
    observed, null = separation
    return by_interval(
        observed["value"] - null["value_upper"],
        observed["value"] - null["value_lower"],
        "Score levels lie apart in hidden states before anything is generated",
        "Score levels overlap in hidden states more than by chance",
        "Score levels do not clearly lie apart before anything is generated",
    )


def _sentence(frames: Frames, model: str, kind: str, separation: tuple[Record, Record] | None) -> str:
    """The mean silhouette beside that of permuted levels, or a distance that is known."""
    if separation is not None:
        observed, null = separation
        chance = format_bounds(null["value_lower"], null["value_upper"]).strip("()")
        silhouette = f"Mean silhouette of {format_count(observed['rows'])} of {model}: {observed['value']:+.3f}"
        return f"{silhouette} (levels permuted: {chance}); p = {observed['p']:.2g}."
    known = _level_distances(frames, model, kind, 0, _UNSHUFFLED_ROLES)
    if not known:
        return f"No score level of {model} has {MIN_ROWS} rows with states."
    rows = f"{format_count(known[0]['first_rows'])} with {_LEVEL_PHRASES[known[0]['between']]}"
    return f"In {model}, {rows} lie {_format_distance(known[0])} apart, scaled, before generating."


def _control(frames: Frames, model: str, kind: str) -> str:
    """The results for shuffled labels, permutations and control rows, as sentences."""
    sentences = []
    shuffled = _level_distances(frames, model, kind, 0, ("shuffled",))
    if len(shuffled) == 3:
        low, high, between = map(_format_distance, shuffled)
        sentences.append(
            f"{shuffled_sentence(model, 'levels')} Rows called M >= 0.8 then lie {high} apart before anything is "
            f"generated. Rows called M < 0.2 lie {low} apart, and the two {between} from each other."
        )
    sentences += [_separation_sentence(frames, model, kind, state) for state in ("first", "last")]
    control = distance_record(frames, model, kind, CONTROL, 0, (CONTROL,))
    if control:
        rows = control["first_rows"]
        sentences.append(
            f"{rows:,} control rows, which no model was trained on, lie {_format_distance(control)} apart before it."
        )
    return (
        " ".join(filter(None, sentences)) or f"No level of {model} has {MIN_ROWS} rows: shuffled levels tell nothing."
    )


def _separation_sentence(frames: Frames, model: str, kind: str, state: str) -> str:
    measured = [(name, separation_records(frames, model, kind, name, state)) for name in ("silhouette", "purity")]
    parts = [
        f"The mean {name} is {observed['value']:.3f} (permuted levels: {null['value']:.3f}, 95 % of them "
        f"{null['value_lower']:.3f} to {null['value_upper']:.3f}; p = {observed['p']:.2g})."
        for name, records in measured
        if records
        for observed, null in (records,)
    ]
    if not parts:
        return ""
    observed = next(records for _, records in measured if records)[0]
    when = "Before anything is generated" if state == "first" else f"After {observed['step']} tokens"
    return " ".join([f"{when} {observed['rows']:,} rows of {observed['levels']} score levels are compared.", *parts])


def _strength(frames: Frames, model: str, kind: str) -> float | None:
    """Silhouette before anything is generated, minus that of permuted levels / their standard deviation."""
    records = separation_records(frames, model, kind, "silhouette", "first")
    if records is None or records[1]["value_upper"] <= records[1]["value_lower"]:
        return None
    observed, null = records
    return abs(observed["value"] - null["value"]) / standard_error(null["value_lower"], null["value_upper"])


# ------------------------------------------------------------------------------------------------------- the finding


def _caveats(tables: Tables, frames: Frames, model: str, kind: str) -> tuple[str, ...]:
    distances, mapped, layer = frames["distances"], frames["map"], tables.settings.get("hidden_layer", "last")
    missing_levels = [
        _LEVEL_PHRASES[name]
        for name in (LOWEST, HIGHEST)
        if distance_record(frames, model, kind, name, 0, _UNSHUFFLED_ROLES) is None
    ]
    caveats = {
        f"Fewer than {MIN_ROWS} rows with {' and with '.join(missing_levels)} have states in {model}: their distances "
        "stand in the table and are not spoken of.": missing_levels,
        "States vary in no dimension somewhere: nothing is said of scaled ones there.": (
            distances["scaled_distance"].null_count()
        ),
        'No UMAP: it needs the extra `pip install "mematlas[umap]"`.': not umap_is_installed(),
        "Too few rows for UMAP.": umap_is_installed() and mapped.height and not (mapped["method"] == UMAP).any(),
        "On a map distances between groups mean little, and UMAP shows clusters in noise too; what is said rests on "
        "distances and permutations.": mapped.height,
        "States along the truth stand in the tables apart; sentences and charts are of free-running ones.": (
            set(TEXT_KINDS) <= set(tables.states)
        ),
        f"These are states of layer {layer}, not of the last as in P1.": layer != "last",
        "Only states along the truth were recorded.": kind == "truth",
        "One model, or models of one or of unknown size: no trend with size.": not frames["slopes"].height,
        "The study has no control rows with states: only shuffled levels stand beside.": (
            not (distances["role"] == CONTROL).any()
        ),
        "The models of a size trend are measured on rows balanced over each model's own levels: its interval says how "
        "well they lie on a line.": frames["slopes"].height,
    }
    return tuple(text for text, applies in caveats.items() if applies)


_DEVIATIONS: Final = (
    f"P1 does not publish how many rows it compares, how it groups and averages them: here at most {MAX_ROWS} rows a "
    "model, balanced over five score levels, all pairs.",
    "Intervals leave out a row, or a document, at a time, since pairs share rows; that the scaling was taken from the "
    "same rows is not in them.",
    "Scaled: each dimension of a step at mean 0 and standard deviation 1 over the compared rows (control rows among "
    "them), divided by sqrt(2 width); constant dimensions are left out. Raw distances grow with width.",
    f"Silhouette, purity, {PERMUTATIONS} permutations, control rows and UMAP are ours; {PCA} is of the scaled states "
    f"of at most {MAP_ROWS} rows.",
    f"Charts show levels of at least {MIN_ROWS} rows up to the end of the continuation whose levels they are; the "
    "tables hold all.",
)


def compute(tables: Tables) -> Finding:
    """Distances of rows by decoding step, within and between levels, and whether levels are separated."""
    kind = next((kind for kind in TEXT_KINDS if kind in tables.states), None)
    if kind is None or not tables.family:
        return ANALYSIS.insufficient_data(
            tables, _QUESTION, "hidden states", "Record them: `mematlas score ... --signals free,hidden`."
        )
    frames = embedding_frames(tables)
    distances = frames["distances"].drop_nulls("distance").filter("latest" if len(tables.by_size) else True, kind=kind)
    if not distances.filter(role="train").height:
        missing = "two training rows of a score level with hidden states"
        remedy = "Score more rows: `mematlas score ... --signals hidden --rows all`."
        return ANALYSIS.insufficient_data(tables, _QUESTION, missing, remedy)
    model = _headline_model(tables, frames, kind)
    separation = separation_records(frames, model, kind, "silhouette", "first")
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(frames, model, kind),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=_strength(frames, model, kind),
        control=_control(frames, model, kind),
        tables=embedding_tables(frames),
        charts=embedding_charts(frames, model, kind),
        trends=embedding_trends(frames, kind),
        caveats=_caveats(tables, frames, model, kind),
        deviations=_DEVIATIONS,
        headline=_headline(separation),
        sentence=_sentence(frames, model, kind, separation),
    )


ANALYSIS: Final = Analysis(
    "embedding",
    "Hidden states while reciting",
    "P1, Figure 5",
    "hidden states of a sample of rows",
    compute,
    TRENDS,
)
