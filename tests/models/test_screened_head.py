"""The screened output head against all logits in float64, on matrices that are hard for it."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mematlas.models.output_head.screened import ScreenedHead, _bound, screened_head
from mematlas.scoring.engines.readout import Readout

pytestmark = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="this processor has no arithmetic in bfloat16"
)
VOCABULARY, WIDTH, ROWS = 1000, 96, 40


def matrices() -> dict[str, torch.Tensor]:
    """Output matrices, named by what makes them hard."""
    generator = torch.Generator().manual_seed(1)
    plain = torch.randn(VOCABULARY, WIDTH, generator=generator)
    one_long = plain.clone()
    one_long[17] *= 300
    almost_equal = plain[:1].repeat(VOCABULARY, 1) + 1e-4 * plain
    cancelling = plain.clone()
    cancelling[:, 0], cancelling[:, 1] = 3e4, -3e4
    between_roundings = (plain * 128).round() / 128 + 2.0**-9
    tiny, huge = plain * 1e-30, plain * 1e15
    return {
        "plain": plain, "one long row": one_long, "almost equal rows": almost_equal, "cancelling": cancelling,
        "halfway between two roundings": between_roundings, "tiny": tiny, "huge": huge, "zero": plain * 0,
    }  # fmt: skip


def states(matrix: torch.Tensor) -> torch.Tensor:
    """States of which half point to a row of the matrix, so that logits are far apart there and close elsewhere."""
    generator = torch.Generator().manual_seed(2)
    random = torch.randn(ROWS, WIDTH, generator=generator)
    towards = matrix[torch.randint(len(matrix), (ROWS // 2,), generator=generator)]
    scale = towards.norm(dim=1, keepdim=True).clamp(min=1e-30)
    random[: ROWS // 2] += 9 * towards / scale
    random[:, 1] = random[:, 0]
    return random


def two_largest(matrix: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token, largest and second largest logit [n] in float64."""
    logits = state.double() @ matrix.double().T
    top = logits.topk(2, dim=1)
    return logits.argmax(1), top.values[:, 0], top.values[:, 1]


@pytest.mark.parametrize("name", matrices())
def test_the_two_largest_are_those_of_all_logits_in_float64(name: str) -> None:
    matrix = matrices()[name]
    state = states(matrix)
    token, first, second = two_largest(matrix, state)
    found = ScreenedHead(matrix, VOCABULARY).top_two(state)
    if found is None:  # so many logits are alike that all are computed
        assert name in ("zero", "cancelling", "almost equal rows")
        return
    scale = state.double().norm(dim=1) * matrix.double().norm(dim=1).max()
    tolerance = (2.0**-23 * (first.abs() + second.abs())).clamp(min=1e-300)
    assert ((first - second - found.margin.double()).abs() <= tolerance).all()
    is_tie = first - second <= 1e-7 * scale
    assert (found.token[~is_tie] == token[~is_tie]).all()


@pytest.mark.parametrize("name", matrices())
def test_no_screened_logit_is_further_from_the_true_one_than_its_bound(name: str) -> None:
    matrix = matrices()[name]
    state, head = states(matrix), ScreenedHead(matrix, VOCABULARY)
    with torch.inference_mode():
        screened = head._screen(state, None)[:VOCABULARY].T.double()
        bound = _bound(head._lengths(state)[:, None, None], head._norm, head._error).flatten(1)[:, :VOCABULARY].double()
    error = (screened - state.double() @ matrix.double().T).abs()
    assert (error <= bound + screened.abs() * 2.0**-8 * (1 + 2.0**-8)).all()


def test_the_bound_is_not_idle() -> None:
    """A screen that kept every token would pass the tests above."""
    matrix = matrices()["plain"]
    found = ScreenedHead(matrix, VOCABULARY).top_two(states(matrix))
    assert found is not None
    assert found.candidates < 10 * ROWS


def test_of_equal_logits_the_lowest_token_is_chosen() -> None:
    matrix = matrices()["plain"].clone()
    state = states(matrix)[:20]
    best = two_largest(matrix, state)[0]
    matrix = torch.cat([matrix, matrix[best]])  # each best row a second time, behind all others
    found = ScreenedHead(matrix, len(matrix)).top_two(state)
    assert found is not None
    assert found.token.tolist() == best.tolist()
    assert found.margin.tolist() == [0.0] * 20


def test_excluded_tokens_and_rows_beyond_the_vocabulary_are_not_chosen() -> None:
    matrix = matrices()["plain"]
    state = states(matrix)[:20]
    best = two_largest(matrix, state)[0].unique()
    rest = matrix.clone()
    rest[best] = 0  # far below the largest logits
    token, first, second = two_largest(rest, state)
    found = ScreenedHead(matrix, VOCABULARY).top_two(state, excluded=best)
    assert found is not None
    assert found.token.tolist() == token.tolist()
    assert found.margin.numpy() == pytest.approx((first - second).numpy(), abs=1e-4)
    kept = VOCABULARY - 333
    token, _, _ = two_largest(matrix[:kept], state)
    found = ScreenedHead(matrix, kept).top_two(state)
    assert found is not None
    assert found.token.tolist() == token.tolist()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_state_that_is_not_finite_is_left_to_the_full_head(bad: float) -> None:
    matrix = matrices()["plain"]
    state = states(matrix)
    state[3, 5] = bad
    assert ScreenedHead(matrix, VOCABULARY).top_two(state) is None


def test_a_matrix_that_is_not_finite_in_16_bits_is_not_screened() -> None:
    matrix = matrices()["plain"].clone()
    matrix[3, 5] = 3.4e38  # rounds to infinity
    head = ScreenedHead(matrix, VOCABULARY)
    assert not head.is_usable
    assert not head.is_faster(torch.zeros(32, WIDTH), lambda: time.sleep(1))


def test_training_makes_the_head_outdated() -> None:
    matrix = torch.nn.Parameter(matrices()["plain"].clone())
    head = ScreenedHead(matrix, VOCABULARY)
    assert head.is_current
    with torch.no_grad():
        matrix[3] += 1
    assert not head.is_current


def test_small_matrices_and_16_bit_ones_keep_the_full_head() -> None:
    assert screened_head(torch.randn(1000, 96), 1000) is None
    assert screened_head(torch.randn(70_000, 64).bfloat16(), 70_000) is None
    assert screened_head(None, 70_000) is None
    assert screened_head(torch.randn(70_000, 64), 70_000) is not None


def test_a_readout_chooses_as_the_full_head_does(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(5)
    matrix, state = torch.randn(70_000, 64, generator=generator), torch.randn(50, 64, generator=generator)
    head = screened_head(matrix, 70_000)
    assert head is not None
    monkeypatch.setattr(head, "is_faster", lambda states, full, excluded: True)
    plain = SimpleNamespace(vocabulary=70_000, device=torch.device("cpu"), head=lambda states: states @ matrix.T)
    screened = SimpleNamespace(**vars(plain), screened=head)
    for suppressed in ((), (7, 8, 69_999)):
        expected = Readout(plain, suppressed).choose(state)  # type: ignore[arg-type]
        found = Readout(screened, suppressed).choose(state)  # type: ignore[arg-type]
        assert found["token"].tolist() == expected["token"].tolist()
        assert np.allclose(found["margin"], expected["margin"], atol=1e-4)


def test_the_measurement_is_made_once_for_each_size() -> None:
    matrix = torch.randn(70_000, 64)
    head = screened_head(matrix, 70_000)
    assert head is not None
    calls = []
    for _ in range(2):
        head.is_faster(torch.randn(32, 64), lambda: calls.append(1))
    assert len(calls) == 3
    assert not head.is_faster(torch.randn(8, 64), lambda: calls.append(1))
    assert len(calls) == 3
