"""The cost of scoring: the formula checked by hand, and the hours of the published family."""

import pytest

from mematlas.cli import run
from mematlas.models.base import ModelCard
from mematlas.scoring.cost import (
    PYTHIA_SHAPES,
    ModelShape,
    fed_tokens_per_row,
    model_shape,
    predictions_per_row,
    scoring_cost,
)
from mematlas.scoring.options import ScoringOptions
from mematlas.types import Grid

ROWS = 146_432_000


def options(contexts=(32,), continuations=(32,), **fields):
    return ScoringOptions(Grid(contexts, continuations, fields.pop("align", "start")), **fields)


def test_a_row_by_hand():
    shape = ModelShape("m", parameters=1_000, width=7, vocabulary=11)
    assert (shape.head_parameters, shape.body_parameters) == (77, 846)
    assert ModelShape("m", 1_000, 7, 11, tied=True).body_parameters == 923
    total = scoring_cost(shape, 5, options((4,), (3,)), rate=1_000.0)
    row = 2 * (846 * 6 + 77 * 3)  # four tokens of context and two of three columns fed, three columns predicted
    assert total.flop == 5 * row
    assert total.rows_per_second == pytest.approx(1_000 / row)
    assert total.hours == pytest.approx(5 * row / 1_000 / 3_600)


@pytest.mark.parametrize(
    ("scoring_options", "fed", "predicted"),
    [
        (options((32,), (16, 32)), 63, 32),
        (options((16, 32), (16, 32)), 32 + 2 * 31, 64),
        (options((32,), (32,), signals=("truth",)), 63 + 31, 32 + 63),
        (options((16, 32), (32,), align="end"), 16 + 31 + 32 + 31, 64),
        (options((16, 32), (32,), align="end", signals=("truth",)), 16 + 62 + 32 + 62, 64 + 2 * 63),
        (options((32,), (32,), bos=True), 64, 32),
    ],
)
def test_tokens_per_row(scoring_options, fed, predicted):
    assert (fed_tokens_per_row(scoring_options), predictions_per_row(scoring_options)) == (fed, predicted)


@pytest.mark.parametrize(("name", "hours"), [("70m", 0.41), ("410m", 4.2), ("1b", 11), ("6.9b", 84), ("12b", 147)])
def test_the_paper_s_rows_in_hours_of_a_device_of_400_tflops(name, hours):
    shape = next(shape for shape in PYTHIA_SHAPES if shape.label == f"pythia-{name}")
    assert scoring_cost(shape, ROWS, options()).hours == pytest.approx(hours, rel=0.02)


def test_a_card_gives_its_shape_or_none():
    card = ModelCard("m", "m", "f", vocabulary=11, parameters=1_000, width=7)
    assert model_shape(card) == ModelShape("m", 1_000, 7, 11)
    assert model_shape(ModelCard("m", "m", "f", vocabulary=100, parameters=1_000, width=7)).tied
    assert model_shape(ModelCard("m", "m", "f", vocabulary=11, parameters=1_000)) is None
    assert model_shape(ModelCard("m", "m", "f", vocabulary=11, width=7)) is None


def test_the_cost_of_no_rows_is_undefined():
    with pytest.raises(ValueError, match="rows and rate must be positive, not 0 and 1"):
        scoring_cost(PYTHIA_SHAPES[0], 0, options(), 1.0)


def test_the_command_prints_hours_and_what_it_assumes(capsys):
    assert run(["plan", "--devices", "64", "--tflops", "200"]) == 0
    output = capsys.readouterr().out
    assert "146,432,000 rows, contexts [32] x continuations [32]: 63 tokens fed per row" in output
    assert [line.split()[0] for line in output.splitlines() if line.startswith("pythia-")][-1] == "pythia-12b"
    assert "all: 594 device hours, 9.3 hours on 64; 32.8 GB of tables at most" in output
    assert "Assumed, not measured: 200 TFLOP/s effective per device" in output


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--rows", "0"], 2, "--rows must be positive (given: 0)."),
        (["--tflops", "-1"], 2, "--tflops must be positive (given: -1)."),
        (["--context", "16,0"], 2, "--context must be positive (given: 0)."),
        (["uniform:50"], 1, "'uniform:50' does not state its number of weights"),
    ],
)
def test_what_cannot_be_planned_is_one_line(arguments, code, message, capsys):
    assert run(["plan", *arguments]) == code
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error
