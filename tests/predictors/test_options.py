"""The options of predictors, and the messages of their errors."""

import pytest

from mematlas.errors import OptionError
from mematlas.predictors.options import predictor_config


def test_duplicates_and_order_of_values_do_not_matter():
    config = predictor_config(sees=["generated", "context"], inputs=["frequency", "entropy", "entropy"])
    assert config == predictor_config(sees=["context", "generated"], inputs=["entropy", "frequency"])
    assert predictor_config(inputs=[]).inputs == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 3, "width": 64}, "--heads 3 does not divide --width 64; use 1 or 2 or 4 or 8."),
        ({"seeds": 0}, "--seeds: Input should be greater than 0 (given: 0). See `mematlas fit --help`."),
        ({"dropout": 1.0}, "--dropout: Input should be less than 1 (given: 1.0). See `mematlas fit --help`."),
        ({"learning_rate": -1}, "--learning-rate: Input should be greater than 0 (given: -1). See `mematlas fit --hel"),
        ({"sees": []}, "--sees: name context, generated, or both (given: []). See `mematlas fit --help`."),
        ({"sees": ["all"]}, "--sees: Input should be 'context' or 'generated' (given: 'all'). See `mematlas fit --hel"),
        ({"width_of": 3}, "There is no option 'width_of'. `mematlas fit --help` shows them all."),
    ],
)
def test_an_option_that_breaks_a_rule_is_named(options, message):
    with pytest.raises(OptionError) as error:
        predictor_config(**options)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("width", [6, 9, 10, 64])
def test_the_heads_that_are_offered_divide_the_width(width):
    with pytest.raises(OptionError) as error:
        predictor_config(width=width, heads=7)
    offered = [int(word) for word in str(error.value).partition("use ")[2].rstrip(".").split() if word.isdigit()]
    assert offered
    assert all(width % heads == 0 for heads in offered)
