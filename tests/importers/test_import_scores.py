"""Published scores become a study with the published numbers, or an error of one line says what is wrong."""

import json

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

import mematlas
from mematlas.analyses.frames.study_tables import read_tables
from mematlas.cli import run
from mematlas.errors import CorpusError, MematlasError, OptionError, UnknownName
from mematlas.importers import LAYOUTS, pythia
from mematlas.importers import import_scores as import_module
from mematlas.study.schemas.rows import ROWS
from mematlas.study.schemas.scores import SCORES
from tests.analyses.published_files import write_memorized_evals, write_memorized_flags, write_random_sampled

SIZES = ("70M", "160M", "410M", "1B", "1.4B", "2.8B", "6.9B", "12B")


def model_scores(study, label):
    return study.scores().filter(model=label).sort("row")


# ---------------------------------------------------------------------------------------------------- memorized-evals


def test_memorized_evals_have_recited_rows_only(tmp_path):
    write_memorized_evals(tmp_path / "deduped.70m.parquet", [900, 7])
    write_memorized_evals(tmp_path / "deduped.12b.parquet", [7, 12, 900])
    study = mematlas.import_scores(tmp_path, study=tmp_path / "s")
    settings = study.run().settings
    assert settings["complete"] is False
    assert (settings["context"], settings["continuation"], settings["depth"], settings["align"]) == (
        [32],
        [32],
        "graded",
        "start",
    )
    assert settings["row_counts"] == {"train": 3}
    assert study.rows()["row"].to_list() == [7, 12, 900]
    assert study.rows()["role"].unique().to_list() == ["train"]
    small = model_scores(study, "deduped.70m")
    assert small["row"].to_list() == [7, 900]
    assert small["matches"].to_list() == small["verbatim"].to_list() == [32, 32]
    assert model_scores(study, "deduped.12b")["row"].to_list() == [7, 12, 900]
    tables = read_tables(study)
    assert not tables.graded
    wide = tables.side_by_side(tables.family, tables.reference, "recited")
    assert wide.rows() == [(7, True, True), (12, False, True), (900, True, True)]


def test_models_are_sorted_by_size_and_step_which_their_names_contain(tmp_path):
    for name in ("deduped.12b", "deduped.12b.103000", "deduped.1b.new", "deduped.70m"):
        write_memorized_evals(tmp_path / f"{name}.parquet", [1, 2])
    models = mematlas.import_scores(tmp_path, study=tmp_path / "s").models()
    assert models.select("model", "parameters", "training_step").rows() == [
        ("deduped.70m", 70_426_624, 143_000),
        ("deduped.1b.new", 1_011_781_632, 143_000),
        ("deduped.12b.103000", 11_846_072_320, 103_000),
        ("deduped.12b", 11_846_072_320, 143_000),
    ]


def test_a_folder_of_pieces_is_one_model_and_a_label_may_be_given(tmp_path):
    for number, rows in enumerate([[3, 1], [2]]):
        write_memorized_evals(tmp_path / "deduped.70m" / f"{number:04}.parquet", rows)
        write_memorized_evals(tmp_path / "data" / f"deduped.410m-{number:05}-of-00002-a1b2c{number}.parquet", rows)
    write_memorized_evals(tmp_path / "x.parquet", [5])
    paths = [tmp_path / "deduped.70m", tmp_path / "data", f"mine={tmp_path / 'x.parquet'}"]
    study = mematlas.import_scores(*paths, study=tmp_path / "s")
    assert model_scores(study, "deduped.70m")["row"].to_list() == [1, 2, 3]
    assert model_scores(study, "deduped.410m")["row"].to_list() == [1, 2, 3]
    assert model_scores(study, "mine")["row"].to_list() == [5]
    assert study.models().filter(model="mine").select("parameters", "training_step").row(0) == (None, None)


# ----------------------------------------------------------------------------------------------------- random-sampled


def test_random_sampled_scores_are_exact_counts(tmp_path):
    file = write_random_sampled(
        tmp_path / "s.parquet", {"70M": [0, 1 / 32, None, 1], "12B": [31 / 32, 1, 0.5, 1]}, [40, 7, 9, 8]
    )
    study = mematlas.import_scores(file, study=tmp_path / "s")
    assert study.run().settings["complete"] is True
    assert study.rows()["row"].to_list() == [40, 7, 9, 8]
    small = model_scores(study, "70m")
    assert small.select("row", "matches", "verbatim", "reason").rows() == [
        (7, 1, None, "not published"),
        (8, 32, None, "not published"),
        (9, None, None, "the published score is null"),
        (40, 0, None, "not published"),
    ]
    assert model_scores(study, "12b")["matches"].to_list() == [32, 32, 16, 31]
    assert study.models()["parameters"].to_list() == [70_426_624, 11_846_072_320]
    counts = read_tables(study).counts().filter(model="70m")
    assert dict(counts.select("matches", "rows").iter_rows()) == {0: 1, 1: 1, 32: 1}


def test_every_multiple_of_a_32nd_survives_and_labels_tell_the_training(tmp_path):
    scores = [k / 32 for k in range(33)]
    folder = tmp_path / "pile-duped-pythia-random-sampled"
    write_random_sampled(folder / "train-00000-of-00001.parquet", dict.fromkeys(SIZES, scores), range(33))
    study = mematlas.import_scores(folder, study=tmp_path / "s")
    assert study.models()["model"].to_list() == [f"duped.{size.lower()}" for size in SIZES]
    for size in SIZES:
        assert model_scores(study, f"duped.{size.lower()}")["matches"].to_list() == list(range(33))


def test_pieces_of_the_table_are_read_in_order_and_in_shards(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    ids, matches = rng.permutation(1000)[:50], rng.integers(0, 33, 50)
    for number, part in enumerate(np.split(np.arange(50), [13, 30])):
        file = tmp_path / "data" / f"train-0000{number}-of-00003-ab.parquet"
        write_random_sampled(file, {"1B": matches[part] / 32, "12B": matches[part[::-1]] / 32}, ids[part])
    monkeypatch.setattr(import_module, "SHARD_ROWS", 7)
    study = mematlas.import_scores(tmp_path / "data", study=tmp_path / "s")
    assert study.run().shards == 8
    scores = model_scores(study, "1b")
    assert dict(scores.select("row", "matches").iter_rows()) == dict(zip(ids.tolist(), matches.tolist(), strict=True))
    reversed_parts = np.concatenate([part[::-1] for part in np.split(matches, [13, 30])])
    larger = dict(model_scores(study, "12b").select("row", "matches").iter_rows())
    assert larger == dict(zip(ids.tolist(), reversed_parts.tolist(), strict=True))


def test_recited_rows_in_any_order_are_distributed_over_shards(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    recited = {f"deduped.{size}": rng.permutation(100)[:count] for size, count in (("70m", 9), ("1b", 40))}
    for label, rows in recited.items():
        write_memorized_evals(tmp_path / "in" / f"{label}.parquet", rows.tolist())
    monkeypatch.setattr(import_module, "SHARD_ROWS", 7)
    study = mematlas.import_scores(tmp_path / "in", study=tmp_path / "s")
    assert study.run().shards > 5
    for label, rows in recited.items():
        assert model_scores(study, label)["row"].to_list() == sorted(rows.tolist())
    assert study.rows()["row"].to_list() == sorted(set().union(*map(np.ndarray.tolist, recited.values())))
    for shard in (tmp_path / "s" / "rows").rglob("*.parquet"):
        rows = set(pl.read_parquet(shard)["row"])
        for scores in (tmp_path / "s" / "scores").rglob(shard.name):
            assert set(pl.read_parquet(scores)["row"]) <= rows


def test_the_older_revision_flags_rows_of_a_model_that_the_user_names(tmp_path):
    file = write_memorized_flags(tmp_path / "old.parquet", [True, False, True], [5, 6, 4])
    study = mematlas.import_scores(f"deduped.6.9b={file}", study=tmp_path / "s")
    assert study.run().settings["complete"] is False
    assert study.rows()["row"].to_list() == [4, 5, 6]
    assert model_scores(study, "deduped.6.9b")["row"].to_list() == [4, 5]
    with pytest.raises(CorpusError, match="is not that of a model"):
        mematlas.import_scores(file, study=tmp_path / "t")


# -------------------------------------------------------------------------------------------------- the resulting study


def test_the_study_has_the_tables_that_scoring_writes(tmp_path):
    rows = tmp_path / "rows.npy"
    np.save(rows, np.zeros((4, 64), np.int64))
    mematlas.score("uniform:50", corpus=str(rows), study=tmp_path / "scored")
    file = write_random_sampled(tmp_path / "s.parquet", {"70M": [0, None, 1]}, [1, 2, 3])
    study = mematlas.import_scores(file, study=tmp_path / "s")

    def columns(folder):
        return [(field.name, field.type) for field in pq.read_schema(next(folder.rglob("*.parquet")))]

    for kind in ("models", "rows", "scores"):
        assert columns(tmp_path / "s" / kind) == columns(tmp_path / "scored" / kind)
    assert columns(tmp_path / "s" / "scores") == [(field.name, field.type) for field in SCORES]
    assert columns(tmp_path / "s" / "rows") == [(field.name, field.type) for field in ROWS]
    unknown = {"control_models", "left_out"}  # nothing of them is published
    assert set(study.run().settings) >= set(mematlas.open_study(tmp_path / "scored").run().settings) - unknown
    assert study.manifest()["current"] == study.run().key


def test_the_settings_contain_layout_files_and_fingerprints(tmp_path):
    file = write_memorized_evals(tmp_path / "deduped.70m.parquet", [1])
    imported = mematlas.import_scores(file, study=tmp_path / "s").run().settings["imported"]
    assert imported["layout"] == "memorized-evals"
    model = imported["models"]["deduped.70m"]
    assert model["files"] == [str(file)]
    write_memorized_evals(file, [2])
    again = mematlas.import_scores(file, study=tmp_path / "s").run().settings["imported"]
    assert again["models"]["deduped.70m"]["fingerprint"] != model["fingerprint"]
    assert mematlas.open_study(tmp_path / "s").rows()["row"].to_list() == [2]


def test_the_same_import_again_writes_nothing_and_a_stopped_one_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(import_module, "SHARD_ROWS", 2)
    file = write_random_sampled(tmp_path / "s.parquet", {"70M": [0, 0.5, 1], "1B": [0, 0, 1]}, [1, 2, 3])
    study = mematlas.import_scores(file, study=tmp_path / "s")

    def times():
        return {path: path.stat().st_mtime_ns for path in (tmp_path / "s").rglob("shard-*")}

    before, scores = times(), study.scores()
    mematlas.import_scores(file, study=tmp_path / "s")
    assert times() == before
    marker = next(path for path in before if path.suffix == ".done" and "00001-of" in path.name)
    marker.unlink()
    assert mematlas.import_scores(file, study=tmp_path / "s").scores().equals(scores)


def test_the_tokens_of_a_row_can_be_read_with_the_settings(tmp_path):
    file = write_random_sampled(tmp_path / "s.parquet", {"70M": [0.5, 1]}, [700, 20])
    settings = mematlas.import_scores(file, study=tmp_path / "s").run().settings
    corpus = mematlas.open_corpus(settings["corpus"], format=settings["corpus_format"])
    assert corpus.details == settings["corpus_details"]
    assert corpus.row_ids(np.array([0, 1])).tolist() == [700, 20]
    assert corpus.read(np.array([1]), 64).ids.tolist() == [[20] * 64]


def test_source_files_are_not_changed(tmp_path):
    file = write_memorized_evals(tmp_path / "deduped.70m.parquet", [3, 1])
    before = file.read_bytes()
    mematlas.import_scores(file, study=tmp_path / "s")
    assert file.read_bytes() == before


# ------------------------------------------------------------------------------------------------------- wrong inputs


def truncated(folder):
    file = write_random_sampled(folder / "s.parquet", {"70M": [0.5] * 100}, range(100))
    file.write_bytes(file.read_bytes()[:-50])
    return [file]


def overwritten(folder):
    file = write_random_sampled(folder / "s.parquet", {"70M": [k % 33 / 32 for k in range(5000)]}, range(5000))
    content = bytearray(file.read_bytes())
    content[4:2000] = bytes(1996)
    file.write_bytes(content)
    return [file]


def git_pointer(folder):
    file = folder / "deduped.70m.parquet"
    file.write_text("version https://git-lfs.github.com/spec/v1\n")
    return [file]


def changed(**columns):
    """A random-sampled table with some columns replaced (None: left out)."""

    def make(folder):
        frame = pl.read_parquet(write_random_sampled(folder / "s.parquet", {"70M": [0.5, 1]}, [1, 2]))
        frame = frame.with_columns(pl.Series(name, values) for name, values in columns.items() if values is not None)
        frame = frame.drop(name for name, values in columns.items() if values is None)
        frame.write_parquet(folder / "s.parquet")
        return [folder / "s.parquet"]

    return make


def pieces(*names, rows=(1,)):
    def make(folder):
        return [write_memorized_evals(folder / name, list(rows)) for name in names]

    return make


DAMAGED_INPUTS = {
    "truncated": (truncated, None, "cannot be read as Parquet"),
    "overwritten": (overwritten, None, "cannot be read as Parquet"),
    "a git pointer": (git_pointer, None, "cannot be read as Parquet"),
    "no index": (changed(Index=None), "random-sampled", "has no column 'Index', which the layout random-sampled needs"),
    "no score column": (changed(**{"70M": None}), "random-sampled", "has the score columns none, not 70M, 160M"),
    "unknown columns": (changed(**{"70M": None, "Index": None}), None, "has no known layout: its columns are"),
    "score above 1": (changed(**{"70M": [0.5, 1.03125]}), None, "column 70M has the score 1.03125; a score at 32"),
    "score below 0": (changed(**{"70M": [-0.5, 1.0]}), None, "has the score -0.5"),
    "no multiple of 1/32": (
        changed(**{"70M": [0.51, 1.0]}),
        None,
        "has the score 0.51; a score at 32 tokens is a mult",
    ),
    "infinite": (changed(**{"70M": [0.5, float("inf")]}), None, "has the score inf"),
    "scores as text": (changed(**{"70M": ["a", "b"]}), None, "the column '70M' is String; scores are numbers"),
    "index as text": (changed(Index=["1", "2"]), None, "the column 'Index' is String; row indexes are integers"),
    "index null": (changed(Index=[1, None]), None, "1 of the row indexes are null"),
    "index negative": (changed(Index=[1, -2]), None, "has the row index -2; an index is 0 or more"),
    "index twice": (changed(Index=[2, 2]), None, "has the row index 2 twice (1 duplicates)"),
    "empty": (lambda folder: [write_random_sampled(folder / "s.parquet", {"70M": []}, [])], None, "has no row"),
    "memorized index twice": (pieces("deduped.70m.parquet", rows=(4, 4)), None, "deduped.70m ("),
    "no rows memorized": (pieces("deduped.70m.parquet", rows=()), None, "has no row"),
    "two files for one model": (
        pieces("a/deduped.70m.parquet", "b/deduped.70m.parquet"),
        None,
        "both contain deduped.70m; give one, or distinguish them with LABEL=PATH",
    ),
    "the same file twice": (
        lambda folder: pieces("deduped.70m.parquet")(folder) * 2,
        None,
        "both contain deduped.70m",
    ),
    "a piece twice": (
        pieces("deduped.70m-00000-of-00002-aa.parquet", "deduped.70m-00000-of-00002-bb.parquet"),
        None,
        "both contain deduped.70m",
    ),
    "a piece missing": (
        pieces("deduped.70m-00001-of-00003.parquet", "deduped.70m-00002-of-00003.parquet"),
        None,
        "is one of 3 files of deduped.70m; number 0 is missing",
    ),
    "no model in the name": (pieces("mine.parquet"), None, "is not that of a model"),
    "duped beside deduped": (
        pieces("deduped.70m.parquet", "duped.70m.parquet"),
        None,
        "duped and deduped models were trained on different rows",
    ),
    "nothing there": (lambda folder: [folder / "no.parquet"], None, "There is no file or folder"),
    "folder without files": (lambda folder: [folder], None, "has no Parquet file"),
}


@pytest.mark.parametrize("name", DAMAGED_INPUTS)
def test_a_wrong_input_is_reported_in_one_line_and_nothing_is_written(tmp_path, capsys, name):
    make, layout, message = DAMAGED_INPUTS[name]
    (tmp_path / "in").mkdir()
    paths = make(tmp_path / "in")
    with pytest.raises(CorpusError) as error:
        mematlas.import_scores(*paths, study=tmp_path / "s", layout=layout)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "s").exists()
    code = run(["import", *([layout] if layout else []), *map(str, paths), "--study", str(tmp_path / "s")])
    output = capsys.readouterr().err
    assert (code, output.count("\n")) == (1, 1)
    assert output == f"mematlas: {error.value}\n"


def test_a_label_given_twice_and_an_empty_one_are_refused(tmp_path):
    first, second = (
        write_memorized_evals(tmp_path / "a.parquet", [1]),
        write_memorized_evals(tmp_path / "b.parquet", [2]),
    )
    with pytest.raises(CorpusError, match=r"The model mine was given twice, again as .*b\.parquet"):
        mematlas.import_scores(f"mine={first}", f"mine={second}", study=tmp_path / "s")
    with pytest.raises(CorpusError, match="no label before '='"):
        mematlas.import_scores(f"={first}", study=tmp_path / "s")


def test_tables_of_different_rows_are_not_mixed(tmp_path):
    first = write_random_sampled(tmp_path / "a.parquet", {"70M": [0.5]}, [1])
    second = write_random_sampled(tmp_path / "b.parquet", {"70M": [0.5]}, [2])
    with pytest.raises(CorpusError, match="contain different tables"):
        mematlas.import_scores(first, second, study=tmp_path / "s")


def test_a_layout_is_checked_against_the_columns(tmp_path):
    file = write_memorized_evals(tmp_path / "deduped.70m.parquet", [1])
    with pytest.raises(OptionError, match="has the layout memorized-evals by its columns, not random-sampled"):
        mematlas.import_scores(file, study=tmp_path / "s", layout="random-sampled")
    with pytest.raises(UnknownName, match="Did you mean 'memorized-evals'"):
        mematlas.import_scores(file, study=tmp_path / "s", layout="memorised-evals")
    with pytest.raises(MematlasError, match="No file was given"):
        mematlas.import_scores(study=tmp_path / "s")


def test_the_command_prints_what_was_imported(tmp_path, capsys):
    file = write_memorized_evals(tmp_path / "deduped.70m.parquet", [1, 2])
    assert run(["import", "memorized-evals", str(file), "--study", str(tmp_path / "s")]) == 0
    output = capsys.readouterr().out
    assert "2 rows of 1 model are in" in output
    assert "Only recited rows were published, so the recited share of the corpus is unknown." in output
    assert run(["import", "memorised-evals", str(file), "--study", str(tmp_path / "s")]) == 2
    assert "Did you mean 'memorized-evals'?" in capsys.readouterr().err
    assert run(["list", "layouts"]) == 0
    assert capsys.readouterr().out.count("\n") == len(LAYOUTS)


# ------------------------------------------------------------------------------------------------------- names, layouts


def test_each_layout_detects_only_its_own_files(tmp_path):
    files = {
        "memorized-evals": write_memorized_evals(tmp_path / "m.parquet", [1]),
        "random-sampled": write_random_sampled(tmp_path / "r.parquet", {"12B": [1.0]}, [1]),
        "memorized-flags": write_memorized_flags(tmp_path / "f.parquet", [True], [1]),
    }
    assert set(files) == set(LAYOUTS)
    for name in LAYOUTS:
        layout = LAYOUTS.load(name)
        assert layout.name == name
        detected = {
            candidate for candidate, file in files.items() if layout.detect(pl.read_parquet_schema(file).keys())
        }
        assert detected == {name}


@pytest.mark.parametrize(
    ("label", "parameters", "step"),
    [
        ("deduped.70m", 70_426_624, 143_000),
        ("duped.12b.23000", 11_846_072_320, 23_000),
        ("EleutherAI/pythia-1.4b-deduped", 1_414_647_808, 143_000),
        ("pythia-2.8b-step1000", 2_775_208_960, 1000),
        ("6.9B", 6_857_302_016, 143_000),
        ("my-model-170m", None, None),
        ("11b", None, None),
        ("gpt", None, None),
    ],
)
def test_names_contain_size_and_step(label, parameters, step):
    assert (pythia.parameters(label), pythia.training_step(label)) == (parameters, step)


def test_numbers_of_weights_agree_with_the_architecture():
    shapes = {"70m": (512, 6, 50_304), "1b": (2048, 16, 50_304), "12b": (5120, 36, 50_688)}
    for size, (width, layers, vocabulary) in shapes.items():
        block = 12 * width * width + 13 * width
        assert pythia.PARAMETERS[size] == layers * block + 2 * width + 2 * vocabulary * width


def test_the_manifest_is_plain_json(tmp_path):
    file = write_memorized_evals(tmp_path / "deduped.70m.parquet", [1])
    mematlas.import_scores(file, study=tmp_path / "s")
    manifest = json.loads((tmp_path / "s" / "manifest.json").read_text())
    entry = manifest["runs"][manifest["current"]]
    assert {"question", "shards", "models", "versions", "started", "finished"} <= set(entry)
