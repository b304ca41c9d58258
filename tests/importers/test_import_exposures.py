"""Exposures of models that exist already: read from a file, checked against the study, and analysed."""

import numpy as np
import polars as pl
import pytest

import mematlas
from mematlas.cli import run
from mematlas.errors import MematlasError
from mematlas.findings.finding import read_findings
from tests import study_shelf as shelves
from tests import tiny_networks as networks

MODELS = ("rows", "half", "few")


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """Three stand-ins that recite 30, 15 and 3 of 30 rows, scored with a control."""
    shelves.fill(tmp_path)
    monkeypatch.chdir(tmp_path)
    mematlas.score(
        *(f"parrot:{name}.npy" for name in MODELS),
        corpus="rows.npy", control="control.npy", study="study", context=[8], continuation=[12],
    )  # fmt: skip
    return tmp_path


def labels():
    return mematlas.open_study("study").models()["model"].to_list()


def memberships() -> pl.DataFrame:
    sizes = dict(zip(labels(), (30, 15, 3), strict=True))
    return pl.concat([pl.DataFrame({"model": model, "row": range(size)}) for model, size in sizes.items()])


def write(frame: pl.DataFrame, path) -> None:
    {".csv": frame.write_csv, ".parquet": frame.write_parquet, ".jsonl": frame.write_ndjson}[path.suffix](path)


@pytest.mark.parametrize("name", ["who.csv", "who.parquet", "who.jsonl"])
def test_memberships_are_read_from_every_kind_of_file(shelf, name):
    write(memberships(), shelf / name)
    exposures = mematlas.import_exposures(shelf / name, study="study").scan_exposures().collect()
    assert exposures.select("model", "row").sort("model", "row").equals(memberships().sort("model", "row"))
    assert exposures["times"].unique().to_list() == [1]
    assert exposures["first_step"].null_count() == exposures.height


def test_times_and_steps_are_kept_and_a_second_import_replaces_the_first(shelf):
    model = labels()[0]
    frame = pl.DataFrame(
        {"model": model, "row": [3, 4], "times": [2, 0], "first_step": [5, None], "last_step": [9, None]}
    )
    write(frame, shelf / "who.csv")
    for _ in range(2):
        study = mematlas.import_exposures("who.csv", study="study")
    assert study.scan_exposures().collect().rows() == [(model, 3, 2, 5, 9), (model, 4, 0, None, None)]
    write(frame, shelf / "again.csv")
    with pytest.raises(MematlasError, match=r"who\.parquet says already what .* was trained on; delete it, or leave"):
        mematlas.import_exposures("again.csv", study="study")


def test_rows_that_were_not_scored_are_left_out_and_a_model_shown_none_of_them_is_known_all_the_same(shelf):
    first, second, _ = labels()
    write(pl.DataFrame({"model": [first, second], "row": [0, 999]}), shelf / "who.csv")
    exposures = mematlas.import_exposures("who.csv", study="study").scan_exposures().collect()
    assert exposures.select("model", "row", "times").rows() == [(first, 0, 1), (second, 0, 0)]


def test_the_order_of_a_training_gives_every_checkpoint_its_showings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", np.random.default_rng(0).integers(0, 400, (6, 24)))
    for step in (10, 20):
        networks.save_network(networks.neox(seed=step), tmp_path / "run" / f"checkpoint-{step}")
    mematlas.score(
        "run/checkpoint-10", "run/checkpoint-20", corpus="rows.npy", study="s", context=[8], continuation=[8]
    )
    write(pl.DataFrame({"row": [0, 1, 0, 2, 0, 77], "step": [1, 10, 10, 11, 20, 3]}), tmp_path / "order.parquet")
    exposures = mematlas.import_exposures("order.parquet", study="s").scan_exposures().collect()
    assert exposures.sort("model", "row").rows() == [
        ("run-checkpoint-10", 0, 2, 1, 10), ("run-checkpoint-10", 1, 1, 10, 10),
        ("run-checkpoint-20", 0, 3, 1, 20), ("run-checkpoint-20", 1, 1, 10, 10), ("run-checkpoint-20", 2, 1, 11, 11),
    ]  # fmt: skip
    write(pl.DataFrame({"row": [0], "step": [0]}), tmp_path / "zero.csv")
    with pytest.raises(MematlasError, match="has the step 0; steps of the optimizer count from 1; if yours"):
        mematlas.import_exposures("zero.csv", study="s")


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"model": ["parot"], "row": [0]}, r"names the model 'parot', which is not in study\..*rename it, or leave"),
        ({"model": ["MODEL"], "row": [999]}, "names no row that study has scored; rows are named as in its table"),
        ({"model": ["MODEL"], "row": ["a"]}, "the column 'row' is String; it holds whole numbers"),
        ({"model": ["MODEL"], "row": [1], "times": [-1]}, "show row 1 -1 times to"),
        ({"model": ["MODEL"] * 2, "row": [1, 1]}, "have row 1 of .* twice; add up"),
        ({"name": ["a"], "row": [1]}, "has the columns name, row; exposures need either model and row"),
        ({"row": [1], "step": [1]}, "of no model in study the training step is known; name the folders like"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(shelf, frame, message):
    write(pl.DataFrame(frame).with_columns(pl.col(pl.String).replace("MODEL", labels()[0])), shelf / "who.csv")
    with pytest.raises(MematlasError, match=message) as raised:
        mematlas.import_exposures("who.csv", study="study")
    assert "\n" not in str(raised.value)
    assert not mematlas.open_study("study").has_exposures()


def test_a_file_that_is_absent_or_of_another_kind_is_refused(shelf):
    with pytest.raises(MematlasError, match=r"There is no file no\.csv; name a \.csv, \.parquet or \.jsonl file"):
        mematlas.import_exposures("no.csv", study="study")
    (shelf / "who.txt").write_text("model,row\n")
    with pytest.raises(MematlasError, match=r"ends in \.txt; exposures are .csv, .parquet"):
        mematlas.import_exposures("who.txt", study="study")
    (shelf / "who.parquet").write_bytes(b"PAR1 not at all")
    with pytest.raises(MematlasError, match=r"who\.parquet cannot be read"):
        mematlas.import_exposures("who.parquet", study="study")


def test_the_command_says_what_is_known_and_the_analysis_follows(shelf, capsys):
    write(memberships(), shelf / "who.csv")
    assert run(["import", "exposures", "who.csv", "--study", "study"]) == 0
    out = capsys.readouterr().out
    assert "Of 3 of 3 models it is known what they were trained on: 30 of the scored rows." in out
    assert "Analyse them: mematlas analyze study" in out
    assert run(["analyze", "study", "--only", "counterfactual"]) == 0
    opened = mematlas.open_study("study")
    assert any(found.name == "counterfactual" for found in read_findings(opened.folder, opened.run().key))
    assert run(["import", "exposures", "--study", "study"]) == 2
    assert "Exposures are in one file, and 0 were given: mematlas import exposures FILE" in capsys.readouterr().err
