"""Progress lines of a run without a terminal."""

import numpy as np
import pytest

from mematlas.cli import run
from mematlas.cli.progress import Bar


def stderr_lines(capsys) -> list[str]:
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("total", "done", "line"),
    [
        (2000, 0, "neox-0.14m: 2,000 rows, 0 of them done"),
        (2000, 1500, "neox-0.14m: 2,000 rows, 1,500 of them done"),
        (2000, 2000, "neox-0.14m: all 2,000 rows are done already."),
    ],
)
def test_each_model_starts_with_one_line(capsys, total, done, line):
    Bar().start("neox-0.14m", total, done)
    assert stderr_lines(capsys) == [line]


def test_the_last_row_is_reported_with_the_speed_and_earlier_rows_are_not(capsys):
    bar = Bar()
    bar.start("tiny", 20, 5)
    bar.advance(10)
    assert stderr_lines(capsys) == ["tiny: 20 rows, 5 of them done"]
    bar.advance(5)
    (line,) = stderr_lines(capsys)
    assert line.startswith("tiny: 20 of 20 rows, ")
    assert line.endswith(" rows/s, 0 s left")


@pytest.fixture
def command(tmp_path):
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).integers(0, 50, (20, 24)))
    words = [
        "score",
        "uniform:50",
        "uniform:60",
        "--corpus",
        str(tmp_path / "rows.npy"),
        "--study",
        str(tmp_path / "s"),
    ]
    return [*words, "--context", "8", "--continuation", "16", "--shards", "2"]


def test_a_model_is_announced_before_it_is_loaded(command, capsys, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("mematlas.models.standins.standin.StandInSource.load", stopped)
    assert run(command) == 130
    assert stderr_lines(capsys)[0] == "uniform-50: 20 rows, 0 of them done"


def test_every_model_is_announced_and_a_resumed_run_reports_finished_rows(command, capsys, monkeypatch):
    from mematlas.scoring import shards

    assert run([*command, "--rows", "first:99"]) == 0
    lines = [line for line in stderr_lines(capsys) if "of them done" in line]
    assert lines == ["uniform-50: 20 rows, 0 of them done", "uniform-60: 20 rows, 0 of them done"]

    write, calls = shards.write_shard, []

    def stopped(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return write(*arguments)

    monkeypatch.setattr(shards, "write_shard", stopped)
    assert run([*command, "--depth", "verbatim"]) == 130
    stderr_lines(capsys)
    monkeypatch.undo()
    assert run([*command, "--depth", "verbatim"]) == 0
    lines = [line for line in stderr_lines(capsys) if "of them done" in line]
    assert lines == ["uniform-50: 20 rows, 10 of them done", "uniform-60: 20 rows, 0 of them done"]


def test_other_units_than_rows_are_named(capsys):
    bar = Bar()
    bar.start("counting n-grams", 4000, 1000, "tokens")
    bar.advance(3000)
    first, last = stderr_lines(capsys)
    assert first == "counting n-grams: 4,000 tokens, 1,000 of them done"
    assert last.startswith("counting n-grams: 4,000 of 4,000 tokens, ")
    assert last.endswith(" tokens/s, 0 s left")
    bar.start("tiny", 20, 20)
    assert stderr_lines(capsys) == ["tiny: all 20 rows are done already."]
