"""How far rows lie from each other in a model's last layer while it writes, within and between score levels.

Source: P1, Fig. 5: Euclidean distance and cosine similarity between rows of score groups at each decoding step. The
numbers are made in state_samples.py, state_distances.py and state_maps.py, the words on trends in embedding_trends.py.
"""

from typing import Final

from mematlas.analyses.base import Analysis
from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.phrasing import listed
from mematlas.analyses.states.embedding.distances import BETWEEN, FEW, HIGHEST, LOWEST
from mematlas.analyses.states.embedding.maps import MAP_ROWS, PCA, UMAP
from mematlas.analyses.states.embedding.samples import CONTROL, KINDS, ROWS
from mematlas.analyses.states.embedding.tables import (
    Frames,
    embedding_charts,
    embedding_frames,
    embedding_tables,
)
from mematlas.analyses.states.embedding.trends import TRENDS, Line, embedding_trends, line_of, separation_of
from mematlas.findings.finding import Finding
from mematlas.stats.estimates.intervals import standard_error
from mematlas.stats.geometry.projections import umap_is_installed
from mematlas.stats.geometry.separation import PERMUTATIONS

_QUESTION: Final = "how far the hidden states of memorized and unmemorized rows lie from each other"
_OWN: Final = ("train", "control model")
_NAMES: Final = {LOWEST: "M < 0.2", HIGHEST: "M >= 0.8"}


# --------------------------------------------------------------------------------------------------------- the words


def _spoken_of(tables: Tables, frames: Frames, kind: str) -> str:
    """The largest model of those that have most of: the lowest and the highest level, with rows enough."""

    def held(model: str) -> int:
        return sum(line_of(frames, model, kind, name, 0, _OWN) is not None for name in (LOWEST, HIGHEST))

    return max([*reversed(tables.by_size), *reversed(tables.family)], key=held)


def _last_step(frames: Frames, model: str, kind: str) -> int:
    """The last step of the continuation whose levels were balanced; that of the map where no levels are apart."""
    for name in ("separation", "map"):
        found = frames[name].filter(model=model, kind=kind, state="last")["step"]
        if len(found):
            return int(found[0])
    return int(frames["distances"].filter(model=model, kind=kind)["step"].drop_nulls().max() or 0)  # type: ignore[arg-type]


def _apart(line: Line, measure: str = "scaled_distance") -> str:
    """ "0.982 (0.974 to 0.990)"."""
    lower, upper = line[f"{measure}_lower"], line[f"{measure}_upper"]
    ends = "no interval" if lower is None else f"{lower:.3f} to {upper:.3f}"
    return "an unknown distance" if line[measure] is None else f"{line[measure]:.3f} ({ends})"


def _three(frames: Frames, model: str, kind: str, step: int, roles: tuple[str, ...]) -> list[Line]:
    """Within the lowest level, within the highest, and between them; fewer where rows are few."""
    lines = (line_of(frames, model, kind, name, step, roles) for name in (LOWEST, HIGHEST, BETWEEN))
    return [line for line in lines if line is not None]


def _claim(frames: Frames, model: str, kind: str) -> str:
    first = _three(frames, model, kind, 0, _OWN)
    if len(first) < 3:
        return _unsaid(frames, model, kind, first)
    last = _last_step(frames, model, kind)
    low, high, between = map(_apart, first)
    said = (
        f"In {model} {first[1]['first_rows']:,} rows with M >= 0.8 lie {high} apart (scaled distance, 95 % intervals) "
        f"before anything is generated, {first[0]['first_rows']:,} with M < 0.2 {low}, and the two {between} from each "
        "other"
    )
    end = _three(frames, model, kind, last, _OWN) if last else []
    if len(end) == 3:
        low, high, between = map(_apart, end)
        said += f"; after {last} tokens {high}, {low} and {between}"
    return f"{said}."


def _unsaid(frames: Frames, model: str, kind: str, lines: list[Line]) -> str:
    """Of a study without rows enough at both ends."""
    also = "".join(
        f"; {line['first_rows']:,} rows with {_NAMES[line['between']]} of {model} lie {_apart(line)} apart before "
        "anything is generated (scaled distance, 95 % interval)"
        for line in lines
    )
    return f"{_QUESTION[0].upper()}{_QUESTION[1:]} cannot be said: no model has {FEW} rows of both{also}."


def _control(frames: Frames, model: str, kind: str) -> str:
    """What shuffled labels, permutations and control rows give, in words."""
    said = []
    shuffled = _three(frames, model, kind, 0, ("shuffled",))
    if len(shuffled) == 3:
        low, high, between = map(_apart, shuffled)
        said.append(
            f"With the levels shuffled among the training rows of {model}, rows called M >= 0.8 lie {high} apart "
            f"before anything is generated, rows called M < 0.2 {low}, and the two {between} from each other."
        )
    said += [_separated(frames, model, kind, state) for state in ("first", "last")]
    beside = line_of(frames, model, kind, CONTROL, 0, (CONTROL,))
    if beside:
        rows = beside["first_rows"]
        said.append(f"{rows:,} control rows, which no model was trained on, lie {_apart(beside)} apart before it.")
    return " ".join(filter(None, said)) or f"No level of {model} has {FEW} rows: shuffled levels tell nothing."


def _separated(frames: Frames, model: str, kind: str, state: str) -> str:
    found = [(name, separation_of(frames, model, kind, name, state)) for name in ("silhouette", "purity")]
    parts = [
        f"a mean {name} of {own['value']:.3f} (permuted levels: {null['value']:.3f}, 95 % of them "
        f"{null['value_lower']:.3f} to {null['value_upper']:.3f}; p = {own['p']:.2g})"
        for name, pair in found
        if pair
        for own, null in (pair,)
    ]
    if not parts:
        return ""
    own = next(pair for _, pair in found if pair)[0]
    when = "Before anything is generated" if state == "first" else f"After {own['step']} tokens"
    return f"{when} {own['rows']:,} rows of {own['levels']} score levels have {listed(parts)}."


def _strength(frames: Frames, model: str, kind: str) -> float | None:
    """Silhouette before anything is generated above that of permuted levels / their standard deviation."""
    pair = separation_of(frames, model, kind, "silhouette", "first")
    if pair is None or pair[1]["value_upper"] <= pair[1]["value_lower"]:
        return None
    own, null = pair
    return abs(own["value"] - null["value"]) / standard_error(null["value_lower"], null["value_upper"])


# ------------------------------------------------------------------------------------------------------- the finding


def _caveats(tables: Tables, frames: Frames, model: str, kind: str) -> tuple[str, ...]:
    distances, mapped, layer = frames["distances"], frames["map"], tables.question.get("hidden_layer", "last")
    lacking = [_NAMES[name] for name in (LOWEST, HIGHEST) if line_of(frames, model, kind, name, 0, _OWN) is None]
    said = {
        f"Fewer than {FEW} rows with {' and with '.join(lacking)} have states in {model}: their distances stand in the "
        "table and are not spoken of.": lacking,
        "States vary in no dimension somewhere: nothing is said of scaled ones there.": (
            distances["scaled_distance"].null_count()
        ),
        'No UMAP: it needs the extra `pip install "mematlas[umap]"`.': not umap_is_installed(),
        "Too few rows for UMAP.": umap_is_installed() and mapped.height and not (mapped["method"] == UMAP).any(),
        "On a map distances between groups mean little, and UMAP shows clusters in noise too; what is said rests on "
        "distances and permutations.": mapped.height,
        "States along the truth stand in the tables apart; sentences and charts are of free-running ones.": (
            set(KINDS) <= set(tables.states)
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
    return tuple(words for words, holds in said.items() if holds)


_DEVIATIONS: Final = (
    f"P1 does not publish how many rows it compares, how it groups and averages them: here at most {ROWS} rows a "
    "model, balanced over five score levels, all pairs.",
    "Intervals leave out a row at a time, since pairs share rows; that the scaling was taken from the same rows is not "
    "in them.",
    "Scaled: each dimension of a step at mean 0 and standard deviation 1 over the compared rows (control rows among "
    "them), divided by sqrt(2 width); constant dimensions are left out. Raw distances grow with width.",
    f"Silhouette, purity, {PERMUTATIONS} permutations, control rows and UMAP are ours; {PCA} is of the scaled states "
    f"of at most {MAP_ROWS} rows.",
    f"Charts show levels of at least {FEW} rows up to the end of the continuation whose levels they are; the tables "
    "hold all.",
)


def answer(tables: Tables) -> Finding:
    """Distances of rows by decoding step, within and between levels, and whether levels are apart."""
    kind = next((kind for kind in KINDS if kind in tables.states), None)
    if kind is None or not tables.family:
        return ANALYSIS.lacking(
            tables, _QUESTION, "hidden states", "Record them: `mematlas score ... --signals free --signals hidden`."
        )
    frames = embedding_frames(tables)
    known = frames["distances"].drop_nulls("distance").filter("latest" if len(tables.by_size) else True, kind=kind)
    if not known.filter(role="train").height:
        what = "two training rows of a score level with hidden states"
        return ANALYSIS.lacking(tables, _QUESTION, what, "Score more rows with `--signals hidden`.")
    model = _spoken_of(tables, frames, kind)
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
    )


ANALYSIS: Final = Analysis(
    "embedding",
    "Hidden states while reciting",
    "P1, Figure 5",
    "hidden states of a sample of rows",
    answer,
    TRENDS,
)
