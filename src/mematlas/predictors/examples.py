"""The training data of predictors: hidden states, additional inputs, and which tokens were recited."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mematlas.errors import StudyError
from mematlas.predictors.groups import document_groups, documents_are_known
from mematlas.scoring.options import closest_to_32
from mematlas.scoring.records.states import LEVELS
from mematlas.types import Ids

if TYPE_CHECKING:
    import polars as pl

    from mematlas.study import HiddenStates, Study

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
_NGRAMS = ("unigrams", "bigrams", "trigrams")


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Rows of one model: n rows, P = context + L - 1 positions; position p is after the row's p-th token was read.

    rows [n]: ids; train [n]: whether the row is of the training corpus, not of the control; groups [n]: rows of one
    group must stay in one part of a split; levels [n]: score level, 0 to 4; weights [n]: the number of scored rows of
    the run that the row represents; states [n, P, width] float16; inputs [n, P, F]: the columns `names`, NaN where
    unknown; hits [n, L]: 1 recited, 0 not, -1 no such token; context: its length, in tokens; layer: of the states;
    documents_known: whether the corpus names the document of any training row.
    """

    rows: Ids
    train: Mask
    groups: Ids
    levels: NDArray[np.int8]
    weights: NDArray[np.float64]
    states: NDArray[np.float16]
    inputs: Floats
    names: tuple[str, ...]
    hits: NDArray[np.int8]
    context: int
    layer: str
    documents_known: bool = True

    def take(self, selection: NDArray[Any]) -> "Examples":
        """The examples at `selection`, indices or a mask."""
        fields = ("rows", "train", "groups", "levels", "weights", "states", "inputs", "hits")
        return replace(self, **{name: getattr(self, name)[selection] for name in fields})

    @property
    def has_label(self) -> Mask:
        """[n, L]: whether there is a token to predict."""
        return self.hits >= 0


def read_examples(study: "Study", model: str, inputs: Sequence[str], run: str | None = None) -> Examples:
    """The examples that a study contains for a model, along the model's own text.

    Args:
        inputs: any of "entropy", "frequency" (PredictorConfig.inputs).

    Raises:
        StudyError: the run has no hidden states of the model, or lacks the records that an input is computed from.
    """
    states = study.states(model, "free", run)
    rows = states.rows.tolist()
    roles = _roles(study, states, run)
    train = np.array([roles[row] == "train" for row in rows])
    columns = _columns(study, model, states, inputs, run)
    shape = states.states.shape[:2]
    stacked = np.stack(list(columns.values()), axis=2) if columns else np.zeros((*shape, 0), np.float32)
    return Examples(
        states.rows,
        train,
        document_groups(study, rows, run),
        states.levels,
        _weights(study, model, states, roles, run),
        states.states,
        stacked,
        tuple(columns),
        states.hits,
        states.context,
        states.layer,
        documents_are_known(study, run),
    )


def _roles(study: "Study", states: "HiddenStates", run: str | None) -> dict[int, str]:
    """Row id -> role, of the rows that have states."""
    rows = study.scan_rows(run).join(_row_frame(states), on="row", how="semi")
    return dict(rows.select("row", "role").collect().iter_rows())


def _row_frame(states: "HiddenStates") -> "pl.LazyFrame":
    import polars as pl

    return pl.LazyFrame({"row": states.rows})


def _columns(
    study: "Study", model: str, states: "HiddenStates", inputs: Sequence[str], run: str | None
) -> dict[str, Floats]:
    columns: dict[str, Floats] = {}
    if "entropy" in inputs:
        columns["entropy"] = _entropies(study, model, states, run)
    if "frequency" in inputs:
        columns |= _frequencies(study, states, run)
    return columns


def _entropies(study: "Study", model: str, states: "HiddenStates", run: str | None) -> Floats:
    """[n, P] in nats, of the next-token distribution at each state: within the context from the teacher-forced record,
    after it from the free-running one; NaN where a record is absent."""
    import polars as pl

    context = states.context
    entropies = np.full(states.states.shape[:2], np.nan, np.float32)
    recorded = [kind for kind in ("truth", "free") if kind in study.run(run).settings["signals"]]
    if not recorded:
        raise StudyError(
            f"{study.folder} contains no entropies; score with --signals hidden --signals free (and truth for those of "
            "the context), or fit with --inputs none."
        )
    for kind in recorded:
        signals = study.scan_signals(kind, run, context=context, continuation=1 if kind == "truth" else None)
        signals = signals.filter(pl.col("model") == model, pl.col("context") == context)
        signals = signals.join(_row_frame(states), on="row", how="semi").select("row", "entropy")
        by_row = dict(signals.collect().iter_rows())
        for index, row in enumerate(states.rows.tolist()):
            values = np.array(by_row.get(row, ()), np.float32)
            if kind == "truth":
                values = values[1 : context + 1]  # there is none for the row's first token
                entropies[index, : len(values)] = values
            else:
                entropies[index, context - 1 : context - 1 + len(values)] = values
    return entropies


def _frequencies(study: "Study", states: "HiddenStates", run: str | None) -> dict[str, Floats]:
    """[n, P] each: log10(1 + corpus count) of the 1-, 2- and 3-gram that ends at each token of the context; NaN after
    the context, where the true tokens are unknown at prediction time."""
    features = study.scan_features("counts", run).join(_row_frame(states), on="row", how="semi")
    counts = features.select("row", *_NGRAMS).collect()
    columns = {}
    for name in _NGRAMS:
        by_row = dict(counts.select("row", name).iter_rows())
        values = np.full(states.states.shape[:2], np.nan, np.float32)
        for index, row in enumerate(states.rows.tolist()):
            row_counts = np.array(by_row[row][: states.context], np.float32)
            values[index, : len(row_counts)] = np.log10(1 + row_counts)
        columns[name] = values
    return columns


def _weights(
    study: "Study", model: str, states: "HiddenStates", roles: dict[int, str], run: str | None
) -> NDArray[np.float64]:
    """[n]: the number of scored rows of the row's role and level, divided by the number of them in the sample."""
    import polars as pl

    length = closest_to_32(tuple(study.run(run).settings["continuation"]))
    scored = (
        study.scan_scores(run)
        .filter(model=model, context=states.context, continuation=length)
        .filter(pl.col("matches").is_not_null())
        .join(study.scan_rows(run).select("row", "role"), on="row")
        .group_by("role", pl.min_horizontal(LEVELS * pl.col("matches") // length, LEVELS - 1).alias("level"))
        .agg(pl.len())
        .collect()
    )
    scored_counts = {(role, level): count for role, level, count in scored.iter_rows()}
    keys = [(roles[row], level) for row, level in zip(states.rows.tolist(), states.levels.tolist(), strict=True)]
    sampled = {key: keys.count(key) for key in set(keys)}
    return np.array([scored_counts.get(key, sampled[key]) / sampled[key] for key in keys])
