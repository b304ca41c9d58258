"""One fit: a predictor and its baselines on one split, and what they say of the rows held out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mematlas.predictors.baselines import baseline_logits
from mematlas.predictors.calibration import AS_THEY_ARE, Line, calibrated, fit_calibration
from mematlas.predictors.examples import Examples, Floats
from mematlas.predictors.options import PredictorConfig
from mematlas.predictors.scaling import Scaling, fit_scaling
from mematlas.predictors.splitting import Split, split
from mematlas.predictors.training import Trained, network_logits, train
from mematlas.study.schemas.predictions import BY_POSITION, MAJORITY, PREDICTIONS, PREDICTOR, SHUFFLED, Sees

Logits = Callable[[Examples], Floats]
_NAMES: Final = PREDICTIONS.names
_GUESSES: Final = (MAJORITY, BY_POSITION)  # shares of the corpus already


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """What one seed gave. methods: name -> (logits of examples, calibration); parts: which rows were fitted to."""

    seed: int

    trained: Trained
    scaling: Scaling
    parts: Split
    methods: dict[str, tuple[Logits, Line]]

    def probabilities(self, method: str, examples: Examples) -> Floats:
        """[n, L]."""
        logits, line = self.methods[method]
        return calibrated(logits(examples), line)

    def hits(self, method: str, examples: Examples) -> NDArray[np.int8]:
        """[n, L]: what the method is to tell: labels swapped among the rows for the negative control.

        Against the true labels that control would be right or wrong altogether, as chance has it: what tells most
        rows apart is what any labels are told by.
        """
        return _swapped(examples, self.seed) if method == SHUFFLED else examples.hits


def fit_once(examples: Examples, config: PredictorConfig, sees: Sees, seed: int, *, shuffled: bool) -> Fit:
    """Fit the predictor and its baselines to one split of documents.

    shuffled: also fit a predictor to labels that were swapped among the rows: the negative control.

    Raises:
        StudyError: the rows cannot be split, or nothing is to be told apart.
    """
    parts = split(examples, seed)
    fit, validation = examples.take(parts.fit), examples.take(parts.validation)
    seen = examples.context if sees == "context" else examples.states.shape[1]
    scaling = fit_scaling(fit, seen)
    trained = train(fit, validation, scaling, config, sees, seed)
    raw = {PREDICTOR: _logits(trained, scaling), **baseline_logits(fit, validation, scaling, sees, seed)}
    methods = {name: (logits, fit_calibration(logits(validation), validation)) for name, logits in raw.items()}
    methods |= {name: (raw[name], AS_THEY_ARE) for name in raw if name in _GUESSES}
    if shuffled:
        methods[SHUFFLED] = _shuffled(fit, validation, scaling, config, sees, seed)
    return Fit(seed, trained, scaling, parts, methods)


def _logits(trained: Trained, scaling: Scaling) -> Logits:
    return lambda examples: network_logits(trained.network, scaling, examples.states, examples.inputs)


def _shuffled(
    fit: Examples, validation: Examples, scaling: Scaling, config: PredictorConfig, sees: Sees, seed: int
) -> tuple[Logits, Line]:
    swapped = [replace(part, hits=_swapped(part, seed)) for part in (fit, validation)]
    alone = config.model_copy(update={"members": 1})
    logits = _logits(train(swapped[0], swapped[1], scaling, alone, sees, seed), scaling)
    return logits, fit_calibration(logits(swapped[1]), swapped[1])


def _swapped(examples: Examples, seed: int) -> NDArray[np.int8]:
    """The hits in random order, those of training rows and of control rows apart."""
    generator, hits = np.random.default_rng((4, seed, len(examples.rows))), examples.hits.copy()
    for places in (np.flatnonzero(examples.train), np.flatnonzero(~examples.train)):
        hits[places] = hits[generator.permutation(places)]
    return hits


def predicted(
    fit: Fit, examples: Examples, model: str, tested: str, sees: Sees, seed: int, only: tuple[str, ...] = ()
) -> Iterator[pa.Table]:
    """What the methods (`only` these, if any) say of `examples`, as `mematlas.study.schemas.predictions` has it."""
    count = len(examples.rows)
    for method in fit.methods:
        if count and (not only or method in only):
            columns = (
                *([value] * count for value in (model, tested, sees, method, seed)),
                np.where(examples.train, "train", "control"),
                examples.rows,
                examples.levels,
                examples.weights,
                list(fit.probabilities(method, examples)),
                [[None if hit < 0 else bool(hit) for hit in line] for line in fit.hits(method, examples).tolist()],
            )
            yield pa.table(dict(zip(_NAMES, columns, strict=True)), schema=PREDICTIONS)
