"""What predictors learn from: hidden states, what stands beside them, and which tokens were recited."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mematlas.errors import StudyError
from mematlas.predictors.groups import document_groups
from mematlas.scoring.options import nearest
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
    """Rows of one model. n rows, P = context + L - 1 positions; position p is that after its p-th token was read.

    rows [n]: ids; train [n]: whether the row is of the training corpus, not of the control; groups [n]: rows that must
    not be torn apart; levels [n]: score level, 0 to 4; weights [n]: scored rows of the run that the row stands for;
    states [n, P, width] float16; inputs [n, P, F]: `names`, NaN where not known; hits [n, L]: 1 recited, 0 not, -1 no
    such token; context: its length, in tokens; layer: that the states are of.
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

    def take(self, pick: NDArray[Any]) -> "Examples":
        """The examples at `pick`, indices or a mask."""
        fields = ("rows", "train", "groups", "levels", "weights", "states", "inputs", "hits")
        return replace(self, **{name: getattr(self, name)[pick] for name in fields})

    @property
    def known(self) -> Mask:
        """[n, L]: whether there is a token to predict."""
        return self.hits >= 0


def read_examples(study: "Study", model: str, inputs: Sequence[str], run: str | None = None) -> Examples:
    """The examples that a study holds of a model, along its own text.

    Args:
        inputs: of "entropy", "frequency" (PredictorConfig.inputs).

    Raises:
        StudyError: the run kept no hidden states of the model, or lacks what an input is made from.
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
    )


def _roles(study: "Study", states: "HiddenStates", run: str | None) -> dict[int, str]:
    """Row id -> role, of the rows that have states."""
    known = study.scan_rows(run).join(_chosen(states), on="row", how="semi")
    return dict(known.select("row", "role").collect().iter_rows())


def _chosen(states: "HiddenStates") -> "pl.LazyFrame":
    import polars as pl

    return pl.LazyFrame({"row": states.rows})


def _columns(
    study: "Study", model: str, states: "HiddenStates", inputs: Sequence[str], run: str | None
) -> dict[str, Floats]:
    found: dict[str, Floats] = {}
    if "entropy" in inputs:
        found["entropy"] = _entropies(study, model, states, run)
    if "frequency" in inputs:
        found |= _frequencies(study, states, run)
    return found


def _entropies(study: "Study", model: str, states: "HiddenStates", run: str | None) -> Floats:
    """[n, P] nats, of the distribution read from each state: the context's from the teacher-forced record, later ones
    from the free-running one; NaN where a record was not asked for."""
    import polars as pl

    context = states.context
    found = np.full(states.states.shape[:2], np.nan, np.float32)
    recorded = [kind for kind in ("truth", "free") if kind in study.run(run).question["signals"]]
    if not recorded:
        raise StudyError(
            f"{study.folder} holds no entropies; score with --signals hidden --signals free (and truth for those of "
            "the context), or fit with --inputs none."
        )
    for kind in recorded:
        lines = study.scan_signals(kind, run, context=context, continuation=1 if kind == "truth" else None)
        own = lines.filter(pl.col("model") == model, pl.col("context") == context)
        record = dict(own.join(_chosen(states), on="row", how="semi").select("row", "entropy").collect().iter_rows())
        for place, row in enumerate(states.rows.tolist()):
            values = np.array(record.get(row, ()), np.float32)
            if kind == "truth":
                values = values[1 : context + 1]  # that of the row's first token is not known
                found[place, : len(values)] = values
            else:
                found[place, context - 1 : context - 1 + len(values)] = values
    return found


def _frequencies(study: "Study", states: "HiddenStates", run: str | None) -> dict[str, Floats]:
    """[n, P] each: log10(1 + corpus count) of the 1-, 2- and 3-gram that ends at each token of the context; NaN behind
    it, where the true tokens are not known to whoever predicts."""
    counted = study.scan_features("counts", run).join(_chosen(states), on="row", how="semi")
    lines = counted.select("row", *_NGRAMS).collect()
    found = {}
    for name in _NGRAMS:
        counts = dict(lines.select("row", name).iter_rows())
        values = np.full(states.states.shape[:2], np.nan, np.float32)
        for place, row in enumerate(states.rows.tolist()):
            seen = np.array(counts[row][: states.context], np.float32)
            values[place, : len(seen)] = np.log10(1 + seen)
        found[name] = values
    return found


def _weights(
    study: "Study", model: str, states: "HiddenStates", roles: dict[int, str], run: str | None
) -> NDArray[np.float64]:
    """[n]: scored rows of the row's role and level, divided by the rows of them in the sample."""
    import polars as pl

    length = nearest(tuple(study.run(run).question["continuation"]))
    scored = (
        study.scan_scores(run)
        .filter(model=model, context=states.context, continuation=length)
        .filter(pl.col("matches").is_not_null())
        .join(study.scan_rows(run).select("row", "role"), on="row")
        .group_by("role", pl.min_horizontal(LEVELS * pl.col("matches") // length, LEVELS - 1).alias("level"))
        .agg(pl.len())
        .collect()
    )
    rows = {(role, level): count for role, level, count in scored.iter_rows()}
    keys = [(roles[row], level) for row, level in zip(states.rows.tolist(), states.levels.tolist(), strict=True)]
    sampled = {key: keys.count(key) for key in set(keys)}
    return np.array([rows.get(key, sampled[key]) / sampled[key] for key in keys])
