import pytest

from mematlas.errors import OptionError
from mematlas.experiments import PlantingConfig, Size, TrainingConfig


def test_rates_rise_then_fall_to_a_tenth() -> None:
    config = TrainingConfig()
    schedule = config.schedule(peak=1.0)
    rates = [schedule.rate(step, config.steps) for step in range(1, config.steps + 1)]
    assert rates[config.warm_up - 1] == max(rates) == 1.0
    assert rates[0] == pytest.approx(1 / config.warm_up)
    assert rates[-1] == pytest.approx(config.final_rate)
    assert rates[config.warm_up :] == sorted(rates[config.warm_up :], reverse=True)


def test_checkpoints_ascend_and_end_with_the_last_step() -> None:
    config = TrainingConfig()
    assert len(config.checkpoint_steps) >= 4
    assert list(config.checkpoint_steps) == sorted(set(config.checkpoint_steps))
    assert config.checkpoint_steps[-1] == config.steps


def test_the_built_in_sizes_are_named_by_their_parameters() -> None:
    config = TrainingConfig()
    assert len(config.sizes) >= 4
    assert Size(hidden=32, layers=2, heads=2, peak_rate=1e-3).parameters(4096) == 287_616
    assert Size(hidden=32, layers=2, heads=2, peak_rate=1e-3).label(4096) == "neox-0.29m"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Size(hidden=10, layers=1, heads=3, peak_rate=1e-3), "the heads divide the hidden size"),
        (lambda: TrainingConfig(sizes=()), "at least one size"),
        (lambda: TrainingConfig(sizes=(Size(8, 1, 1, 1e-3), Size(8, 1, 2, 1e-3))), "no two of the same name"),
        (lambda: TrainingConfig(batch=0), "batch is positive"),
        (lambda: TrainingConfig(checkpoints=(0.5, 1.5)), "between 0 and 1"),
        (lambda: PlantingConfig(repetitions=(1, 1)), "positive and distinct"),
        (lambda: PlantingConfig(vocabulary=100), "not 100"),
        (lambda: PlantingConfig(rows_per_level=0), "at least one row"),
        (lambda: PlantingConfig(row_length=16), "not 32"),
        (lambda: PlantingConfig(held_out_share=1.0), "not 1.0"),
    ],
)
def test_a_value_that_breaks_a_rule_is_named(make: object, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        make()  # type: ignore[operator]
