"""The table of scores that `mematlas show` prints."""

import shutil
from dataclasses import replace

from mematlas.cli import run as command
from mematlas.study import open_study
from tests.analyses.frames.test_distinct_texts import mails
from tests.analyses.study_folders import write_study
from tests.analyses.synthetic_tables import tables

SETTINGS = {
    "corpus": "c",
    "corpus_format": "npy",
    "rows": "all",
    "eos": "ordinary",
    "dtype": "float32",
    "control": None,
}


def scores_shown(study, folder, capsys):
    """The cells of the last table behind those of the cell of the grid, header and first record, and what follows."""
    write_study(replace(study, settings=study.settings | SETTINGS), folder)
    command(["show", str(folder)])
    tables_shown = capsys.readouterr().out.split("\n\n")
    header, _, record, *rest = next(shown for shown in tables_shown if "continuation  " in shown).splitlines()
    return " ".join(header.split()[4:]), " ".join(record.split()[4:]), rest


def test_the_share_of_distinct_texts_comes_first_where_rows_are_copies(tmp_path, capsys):
    header, record, rest = scores_shown(mails(), tmp_path, capsys)
    assert header == "texts recited 95 % interval rows rows recited missing mean M verbatim"
    assert record.startswith("150 5.3 % 2.7 to 10.2 % 294 43.5 % 0 0.435 ")
    assert rest == ["A text: rows with the same prompt and continuation. Missing, mean M and verbatim are of rows."]


def test_a_study_in_which_models_are_not_begun_is_shown(tmp_path, capsys):
    study = tables({"m": {(32, 32): [32, 0]}, "later": {(32, 32): [0, 0]}})
    write_study(replace(study, settings=study.settings | SETTINGS), tmp_path)
    (tmp_path / "models" / "later.parquet").unlink()
    shutil.rmtree(tmp_path / "scores" / "k" / "later")
    assert command(["show", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "later: all 1 shards are missing" in shown
    assert "\nlater           -              -\n" in shown
    assert open_study(tmp_path).models()["model"].to_list() == ["m", "later"]


def test_without_copies_only_rows_are_shown(tmp_path, capsys):
    header, record, rest = scores_shown(tables({"m": {(32, 32): [32, 0]}}), tmp_path, capsys)
    assert header == "rows missing mean M verbatim recited 95 % interval"
    assert record == "2 0 0.500 16.0 50.0 % 9.5 to 90.5 %"
    assert rest == []
