"""A blind baseline for membership inference: a classifier of the tokens of each text, which uses no language model.

Source: K6 (WikiMIA members can be recognized by their dates: "always report a blind baseline"). Our choice: logistic
regression on which tokens occur, with the penalty |b|^2 / 2 and both classes weighted equally; each row is scored by a
classifier that was not fitted to it (cross-validation).
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.special import expit

FOLDS: Final = 5
MIN_ROWS_PER_CLASS: Final = 20  # our choice: with fewer rows of either class nothing is fitted
Floats = NDArray[np.float64]


def blind_log_odds(
    rows: ArrayLike, tokens: ArrayLike, member: ArrayLike, groups: ArrayLike, *, seed: int = 0
) -> Floats:
    """Cross-validated log-odds that each row is a member, from the tokens that occur in it.

    Rows of one group (a document, copies of one text) are in one fold, so that a row is never scored by a model fitted
    to its document or to a copy of it.

    Args:
        rows, tokens: shape (t,): row `rows[i]` (numbered from 0) contains token `tokens[i]`.
        member: shape (n,), Boolean. groups: shape (n,), any numbers.
        seed: of the random assignment to folds.

    Returns:
        shape (n,); all NaN if either class has fewer than 20 rows; NaN in a fold if the other folds lack a class.

    Raises:
        ValueError: shapes differ.
    """
    y, row_index = np.asarray(member, bool), np.asarray(rows)
    if np.shape(tokens) != row_index.shape or np.shape(groups) != y.shape:
        raise ValueError("rows and tokens must have the same shape, and so must member and groups")
    log_odds = np.full(len(y), np.nan)
    if min(y.sum(), (~y).sum()) < MIN_ROWS_PER_CLASS:
        return log_odds
    x = _token_indicators(row_index, np.asarray(tokens), len(y))
    folds = _assign_folds(y, np.asarray(groups), seed)
    for fold in range(FOLDS):
        test, train = folds == fold, folds != fold
        if test.any() and y[train].any() and not y[train].all():
            log_odds[test] = x[test] @ _fit(x[train], y[train])
    return log_odds


def _token_indicators(rows: NDArray[np.int64], tokens: NDArray[np.int64], count: int) -> csr_matrix:
    """Sparse matrix [rows, distinct tokens + 1]: 1 where a token occurs in a row; the last column is the intercept."""
    vocabulary, columns = np.unique(tokens, return_inverse=True)
    row_numbers = np.arange(count)
    indices = np.concatenate([rows, row_numbers]), np.concatenate([columns, np.full(count, len(vocabulary))])
    matrix = csr_matrix((np.ones(len(indices[0])), indices), shape=(count, len(vocabulary) + 1))
    matrix.data = np.minimum(matrix.data, 1.0)
    return matrix


def _assign_folds(member: NDArray[np.bool_], groups: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """The fold of each row: shuffled groups, stratified by whether they hold members, are assigned to folds in turn."""
    _, first_row, group_of_row = np.unique(groups, return_index=True, return_inverse=True)
    shuffled = np.random.default_rng(seed).permutation(len(first_row))
    order = shuffled[np.argsort(member[first_row][shuffled], kind="stable")]
    folds = np.empty(len(first_row), np.int64)
    folds[order] = np.arange(len(order)) % FOLDS
    return folds[group_of_row]


def _fit(x: csr_matrix, member: NDArray[np.bool_]) -> Floats:
    """Coefficients of the regression; the intercept is the last one and is not penalized."""
    sign = np.where(member, 1.0, -1.0)
    weights = np.where(member, 0.5 / member.mean(), 0.5 / (~member).mean())
    penalized = np.append(np.ones(x.shape[1] - 1), 0.0)

    def loss(coefficients: Floats) -> tuple[float, Floats]:
        margins = sign * (x @ coefficients)
        gradient = x.T @ (-weights * sign * expit(-margins)) + penalized * coefficients
        return float(weights @ np.logaddexp(0, -margins) + penalized @ coefficients**2 / 2), gradient

    result = minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 500})
    return np.asarray(result.x, float)
