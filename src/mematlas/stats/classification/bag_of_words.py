"""A classifier that sees which words a text holds and no model: what membership inference has to beat.

Source: K6 (WikiMIA is told by its dates: "always report a blind baseline"). Our choice: logistic regression on which
tokens occur, with the penalty |b|^2 / 2 and both classes weighted alike, each row by a classifier that did not see it.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.special import expit

FOLDS: Final = 5
FEWEST: Final = 20  # our choice: rows of each class below which nothing is fitted
Floats = NDArray[np.float64]


def blind_log_odds(
    rows: ArrayLike, tokens: ArrayLike, member: ArrayLike, groups: ArrayLike, *, seed: int = 0
) -> Floats:
    """Log-odds that each row is a member, from the tokens that occur in it, by a model of the other folds.

    Rows of one group (a document) are in one fold, so that no document helps to tell its own rows.

    Args:
        rows, tokens: shape (t,): row `rows[i]` (numbered from 0) holds token `tokens[i]`.
        member: shape (n,), Boolean. groups: shape (n,), any numbers.
        seed: of the folds.

    Returns:
        shape (n,); NaN for all where either class has fewer than 20 rows, or for a fold whose others lack a class.

    Raises:
        ValueError: shapes differ.
    """
    y, place = np.asarray(member, bool), np.asarray(rows)
    if np.shape(tokens) != place.shape or np.shape(groups) != y.shape:
        raise ValueError("rows and tokens must be of one shape, and so must member and groups")
    found = np.full(len(y), np.nan)
    if min(y.sum(), (~y).sum()) < FEWEST:
        return found
    x = _occurring(place, np.asarray(tokens), len(y))
    fold = _folds(y, np.asarray(groups), seed)
    for held in range(FOLDS):
        test, others = fold == held, fold != held
        if test.any() and y[others].any() and not y[others].all():
            found[test] = x[test] @ _fitted(x[others], y[others])
    return found


def _occurring(rows: NDArray[np.int64], tokens: NDArray[np.int64], count: int) -> csr_matrix:
    """1 where a token occurs in a row, and a last column of 1 for the intercept."""
    words, word = np.unique(tokens, return_inverse=True)
    every = np.arange(count)
    place = np.concatenate([rows, every]), np.concatenate([word, np.full(count, len(words))])
    found = csr_matrix((np.ones(len(place[0])), place), shape=(count, len(words) + 1))
    found.data = np.minimum(found.data, 1.0)
    return found


def _folds(member: NDArray[np.bool_], groups: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """The fold of each row: groups in drawn order, those with members apart, dealt out in turn."""
    _, first, number = np.unique(groups, return_index=True, return_inverse=True)
    drawn = np.random.default_rng(seed).permutation(len(first))
    order = drawn[np.argsort(member[first][drawn], kind="stable")]
    fold = np.empty(len(first), np.int64)
    fold[order] = np.arange(len(order)) % FOLDS
    return fold[number]


def _fitted(x: csr_matrix, member: NDArray[np.bool_]) -> Floats:
    """Coefficients, the intercept last and free of penalty."""
    sign = np.where(member, 1.0, -1.0)
    weight = np.where(member, 0.5 / member.mean(), 0.5 / (~member).mean())
    penalised = np.append(np.ones(x.shape[1] - 1), 0.0)

    def loss(at: Floats) -> tuple[float, Floats]:
        odds = sign * (x @ at)
        slope = x.T @ (-weight * sign * expit(-odds)) + penalised * at
        return float(weight @ np.logaddexp(0, -odds) + penalised @ at**2 / 2), slope

    found = minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 500})
    return np.asarray(found.x, float)
