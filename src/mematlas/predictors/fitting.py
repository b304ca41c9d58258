"""One fit: a predictor and its baselines on one split, and their predictions for the rows held out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mematlas.predictors.baselines import baseline_logits
from mematlas.predictors.calibration import IDENTITY, Calibration, calibrate, fit_calibration
from mematlas.predictors.examples import Examples, Floats
from mematlas.predictors.options import PredictorConfig
from mematlas.predictors.scaling import Scaling, fit_scaling
from mematlas.predictors.splitting import Split, split
from mematlas.predictors.training import TrainedNetwork, network_logits, train
from mematlas.study.schemas.predictions import BY_POSITION, MAJORITY, PREDICTIONS, PREDICTOR, SHUFFLED, Sees

Logits = Callable[[Examples], Floats]
_NAMES: Final = PREDICTIONS.names
_CALIBRATED: Final = (MAJORITY, BY_POSITION)  # their logits are calibrated already


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """The result for one seed. methods: name -> (logits of examples, calibration); parts: the split of the rows."""

    seed: int
    trained: TrainedNetwork
    scaling: Scaling
    parts: Split
    methods: dict[str, tuple[Logits, Calibration]]

    def probabilities(self, method: str, examples: Examples) -> Floats:
        """[n, L]: the method's probability that each token is recited."""
        logits, calibration = self.methods[method]
        return calibrate(logits(examples), calibration)

    def hits(self, method: str, examples: Examples) -> NDArray[np.int8]:
        """[n, L]: the labels that the method should predict; for the negative control, shuffled among the rows.

        Compared with the true labels, the control would by chance be right or wrong on most rows at once: what
        distinguishes most rows also predicts arbitrary labels.
        """
        return _shuffle_hits(examples, self.seed) if method == SHUFFLED else examples.hits


def fit_once(examples: Examples, config: PredictorConfig, sees: Sees, seed: int, *, shuffled: bool) -> Fit:
    """Fit the predictor and its baselines to one split of documents.

    Args:
        shuffled: also fit a predictor to labels that are shuffled among the rows: the negative control.

    Raises:
        StudyError: the rows cannot be split, or have labels of one class only.
    """
    parts = split(examples, seed)
    fit, validation = examples.take(parts.fit), examples.take(parts.validation)
    positions = examples.context if sees == "context" else examples.states.shape[1]
    scaling = fit_scaling(fit, positions)
    trained = train(fit, validation, scaling, config, sees, seed)
    uncalibrated = {PREDICTOR: _logits(trained, scaling), **baseline_logits(fit, validation, scaling, sees, seed)}
    methods = {name: (logits, fit_calibration(logits(validation), validation)) for name, logits in uncalibrated.items()}
    methods |= {name: (uncalibrated[name], IDENTITY) for name in uncalibrated if name in _CALIBRATED}
    if shuffled:
        methods[SHUFFLED] = _fit_shuffled(fit, validation, scaling, config, sees, seed)
    return Fit(seed, trained, scaling, parts, methods)


def _logits(trained: TrainedNetwork, scaling: Scaling) -> Logits:
    return lambda examples: network_logits(trained.network, scaling, examples.states, examples.inputs)


def _fit_shuffled(
    fit: Examples, validation: Examples, scaling: Scaling, config: PredictorConfig, sees: Sees, seed: int
) -> tuple[Logits, Calibration]:
    fit, validation = (replace(part, hits=_shuffle_hits(part, seed)) for part in (fit, validation))
    single_member = config.model_copy(update={"members": 1})
    logits = _logits(train(fit, validation, scaling, single_member, sees, seed), scaling)
    return logits, fit_calibration(logits(validation), validation)


def _shuffle_hits(examples: Examples, seed: int) -> NDArray[np.int8]:
    """The hits in random order, shuffled separately among training rows and among control rows."""
    generator, hits = np.random.default_rng((4, seed, len(examples.rows))), examples.hits.copy()
    for indices in (np.flatnonzero(examples.train), np.flatnonzero(~examples.train)):
        hits[indices] = hits[generator.permutation(indices)]
    return hits


def prediction_tables(
    fit: Fit, examples: Examples, model: str, tested: str, sees: Sees, seed: int, only: tuple[str, ...] = ()
) -> Iterator[pa.Table]:
    """The predictions for `examples`, one table per method (`only` these, if given), with schema PREDICTIONS."""
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
                [[None if hit < 0 else bool(hit) for hit in hits] for hits in fit.hits(method, examples).tolist()],
            )
            yield pa.table(dict(zip(_NAMES, columns, strict=True)), schema=PREDICTIONS)
