"""`mematlas verify` finds the faults of a study and names remedies that repair them."""

import json
import re
import shutil

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

import mematlas
from mematlas.cli import run as command
from mematlas.findings.finding import Finding, Table, Taxonomy, write_finding
from mematlas.study import marker_path, open_study, write_json, write_shard
from mematlas.verification.rescore import _compare
from mematlas.verification.verify import verify
from tests import study_shelf as shelves
from tests.analyses.published_files import write_random_sampled

CELLS = 2
ROWS = shelves.ROWS + 10


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Two parrots scored with every kind of signal."""
    shelf = shelves.fill(tmp_path_factory.mktemp("verified"))
    score_shelf(shelf)
    return shelf


@pytest.fixture
def shelf(template, tmp_path, monkeypatch):
    shutil.copytree(template, tmp_path / "shelf")
    monkeypatch.chdir(tmp_path / "shelf")
    return tmp_path / "shelf"


def score_shelf(shelf, *models, **options):
    """Score the rows of a shelf, named by paths relative to it; returns the study."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(shelf)
        arguments = {
            "corpus": "rows.npy",
            "control": "control.npy",
            "context": [8],
            "continuation": [4, 12],
            "shards": 3,
        }
        arguments |= {"signals": ["free", "truth", "hidden"]} | options
        mematlas.score(*(models or ("parrot:rows.npy", "parrot:half.npy:14")), study="study", **arguments)
    return open_study(shelf / "study")


def shard(shelf, table, number=1):
    """The path of a shard of "scores", "rows" ..."""
    paths = sorted((shelf / "study" / table).rglob(f"shard-0000{number}-of-*"))
    return next(path for path in paths if path.suffix != ".done")


def flip_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def apply_remedy(shelf, fault):
    """Do exactly what the fault's remedy says; returns the study."""
    path = shelf / "study" / fault.file
    if re.search(r"delete it\b(?!s)", fault.remedy):
        path.unlink()
    if "its marker" in fault.remedy:
        marker_path(path).unlink()
    for name in re.findall(r"delete (scores/\S+\.done)", fault.remedy):
        (shelf / "study" / name).unlink()
    assert "run the same command again" in fault.remedy
    return score_shelf(shelf)


def delete_with_marker(path):
    path.unlink()
    marker_path(path).unlink()


def change_row_count(path):
    marker_path(path).write_text(json.dumps(json.loads(marker_path(path).read_text()) | {"rows": 5}))


FAULTS = {
    "checksum": flip_bit,
    "it is truncated or changed": lambda path: path.write_bytes(path.read_bytes()[:-7]),
    "it is missing, but its marker exists": lambda path: path.unlink(),
    "it has no marker": lambda path: marker_path(path).unlink(),
    "its marker is damaged": lambda path: marker_path(path).write_text("{ no"),
    "it and its marker are missing": delete_with_marker,
    "but its marker says 5": change_row_count,
}


def test_a_sound_study_is_found_sound_and_nothing_in_it_changes(shelf):
    before = {path: path.stat().st_mtime_ns for path in shelf.rglob("*")}
    result = verify("study", rows=12)
    assert result.is_sound
    assert (result.faults, result.unchecked, result.without_checksum, result.unfinished) == ((), (), 0, 0)
    assert result.files == 3 * (1 + 2 * (1 + 2 + 2))
    assert [(agreement.model, agreement.rows, agreement.cells) for agreement in result.agreements] == [
        ("parrot", 12, 12 * CELLS),
        ("parrot-14", 12, 12 * CELLS),
    ]
    assert [agreement.margin_difference for agreement in result.agreements] == [0, 0]
    assert {path: path.stat().st_mtime_ns for path in shelf.rglob("*")} == before


@pytest.mark.parametrize("table", ["scores", "signals", "states", "rows"])
@pytest.mark.parametrize("problem", FAULTS)
def test_a_fault_is_named_with_a_remedy_that_mends_it(shelf, table, problem):
    study = open_study("study")
    expected = (
        study.scores(),
        study.signals("free"),
        study.signals("truth"),
        study.rows(),
        study.states("parrot").states,
    )
    path = shard(shelf, table)
    FAULTS[problem](path)
    result = verify("study", rescore=False)
    assert [fault.file for fault in result.faults] == [str(path.relative_to(shelf / "study"))]
    assert problem in result.faults[0].problem
    assert not result.is_sound
    repaired = apply_remedy(shelf, result.faults[0])
    assert verify("study", rescore=False).is_sound
    tables = repaired.scores(), repaired.signals("free"), repaired.signals("truth"), repaired.rows()
    assert all(table.equals(before) for table, before in zip(tables, expected, strict=False))
    assert np.array_equal(repaired.states("parrot").states, expected[-1], equal_nan=True)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda scores: pl.concat([scores, scores.head(1)]), "1 scores are duplicates, or belong to no row"),
        (lambda scores: scores.slice(3), "3 scores are missing: rows of the shard have none at a context"),
        (lambda scores: scores.with_columns(model=pl.lit("other")), "scores are of another model than parrot"),
        (
            lambda scores: scores.with_columns(margin=pl.lit(None, pl.Float32)),
            "the model's logits were not numbers",
        ),
    ],
)
def test_duplicate_and_missing_keys_and_scores_without_a_margin_are_found(shelf, change, problem):
    path = shard(shelf, "scores")
    scores = pl.read_parquet(path)
    label = scores["model"][0]
    write_shard(path.parent, path.stem, change(scores).to_arrow(), {})
    faults = verify("study", rescore=False).faults
    assert len(faults) == 1
    assert problem.replace("parrot", label) in faults[0].problem
    apply_remedy(shelf, faults[0])
    assert verify("study", rescore=False).is_sound


def test_a_shard_copied_over_another_one_is_found(shelf):
    first, second = shard(shelf, "rows", 0), shard(shelf, "rows", 1)
    shutil.copy(first, second)
    shutil.copy(marker_path(first), marker_path(second))
    problems = [fault.problem for fault in verify("study", rescore=False).faults]
    assert any("row ids are duplicates" in text or "rows, but the run has 40" in text for text in problems)
    assert any("scores are missing" in text for text in problems)


def test_older_markers_without_a_checksum_stay_valid_and_are_counted(shelf):
    study = open_study("study")
    for marker in (shelf / "study").rglob("*.done"):
        recorded = json.loads(marker.read_text())
        assert len(recorded.pop("blake2b")) == 32
        marker.write_text(json.dumps(recorded))
    assert study.scores().height == 2 * ROWS * CELLS
    result = verify("study", rescore=False)
    assert result.is_sound
    assert result.without_checksum == result.files == 33


def test_a_flipped_byte_under_an_older_marker_is_found_if_it_cannot_be_read_and_is_no_crash(shelf):
    path = shard(shelf, "scores")
    recorded = json.loads(marker_path(path).read_text())
    recorded.pop("blake2b")
    marker_path(path).write_text(json.dumps(recorded))
    content = bytearray(path.read_bytes())
    content[4:400] = bytes(396)
    path.write_bytes(content)
    faults = verify("study").faults
    assert [fault.file for fault in faults] == [str(path.relative_to(shelf / "study"))]
    assert "it cannot be read" in faults[0].problem


# -------------------------------------------------------------------------------------------- files other than shards


def test_damaged_manifests_runs_models_findings_and_predictions_are_each_one_fault(shelf):
    study = open_study("study")
    key, folder = study.run().key, shelf / "study"
    frame = pl.DataFrame({"x": [1]})
    finding = Finding("size", "t", "c", "s", Taxonomy(), tables=(Table("numbers", "t", frame, {"x": "a number"}),))
    write_finding(folder / "findings" / key / "size", finding)
    write_finding(folder / "findings" / key / "lines", finding)
    write_json(folder / "findings" / key / "index.json", ["size", "lines"])
    (folder / "predictions" / key / "parrot").mkdir(parents=True)
    frame.write_parquet(folder / "predictions" / key / "parrot" / "context-seed-0.parquet")
    assert verify("study", rescore=False).is_sound
    (folder / "manifest.json").write_text("[")
    write_json(folder / "runs" / "other.json", {"key": "no"})
    next((folder / "models").glob("parrot-14*")).unlink()
    (folder / "findings" / key / "size" / "numbers.parquet").write_bytes(b"PAR1")
    shutil.rmtree(folder / "findings" / key / "lines")
    (folder / "predictions" / key / "parrot" / "context-seed-0.parquet").write_bytes(b"PAR1")
    faults = {fault.file: str(fault) for fault in verify("study", rescore=False).faults}
    assert len(faults) == 6
    assert "cannot be read" in faults["manifest.json"]
    assert "delete it, and run the same command again" in faults["runs/other.json"]
    assert "`mematlas analyze study` writes it again" in faults[f"findings/{key}/size/finding.json"]
    assert "it is missing, though index.json names it" in faults[f"findings/{key}/lines/finding.json"]
    assert "`mematlas fit study` writes it again" in faults[f"predictions/{key}/parrot/context-seed-0.parquet"]
    assert all("\n" not in text for text in faults.values())


def test_findings_that_name_files_outside_their_folder_are_not_followed(shelf):
    folder = shelf / "study" / "findings" / open_study("study").run().key
    write_json(folder / "index.json", ["../../../../secret"])
    faults = verify("study", rescore=False).faults
    assert [fault.problem for fault in faults] == ["it names '../../../../secret', which is not a file name"]


def test_row_features_are_checked_once_they_are_complete(shelf):
    study = open_study("study")
    folder = study.features_folder()
    table = pq.read_table(shard(shelf, "rows"))
    for kind in ("counts", "copies"):
        for number in range(2):
            write_shard(folder / kind, f"shard-0000{number}-of-00002", table, {})
    flip_bit(folder / "counts" / "shard-00000-of-00002.parquet")
    delete_with_marker(folder / "copies" / "shard-00001-of-00002.parquet")
    assert verify("study", rescore=False).is_sound  # the features are not complete yet
    write_json(folder / "facts.json", {})
    faults = verify("study", rescore=False).faults
    assert [fault.problem.partition(" (")[0] for fault in faults] == [
        "it and its marker are missing",
        "its content is not what was written",
    ]
    assert "run `mematlas features study` again" in faults[0].remedy


# ---------------------------------------------------------------------------------------------------- scored again


def rewrite(path, **columns):
    """Write the shard with other values, and a marker that agrees with them."""
    write_shard(path.parent, path.stem, pl.read_parquet(path).with_columns(**columns).to_arrow(), {})


def test_scores_that_are_not_reproduced_are_found_and_a_small_margin_explains_them(shelf, capsys):
    path = shard(shelf, "scores")
    scores = pl.read_parquet(path)
    first, second = scores["row"].unique(maintain_order=True)[:2]
    changed = pl.col("row").is_in([first, second]) & (pl.col("continuation") == 12)
    close = (pl.col("row") == second) & (pl.col("continuation") == 12)
    rewrite(
        path,
        matches=pl.when(changed).then(1).otherwise("matches").cast(pl.Int32),
        margin=pl.when(close).then(1.5e-4).otherwise("margin").cast(pl.Float32),
    )
    result = verify("study", rows=1000)
    assert result.faults == ()
    agreement = next(agreement for agreement in result.agreements if agreement.differences)
    assert (agreement.rows, agreement.cells) == (ROWS, ROWS * CELLS)
    assert [(cell.row, cell.explained) for cell in agreement.differences] == [(first, False), (second, True)]
    assert agreement.differences[0].before[0] == 1
    assert agreement.differences[0].now[0] != 1
    assert agreement.differences[1].margin == pytest.approx(1.5e-4)
    assert not result.is_sound
    assert command(["verify", "study", "--rows", "1000"]) == 1
    output = capsys.readouterr()
    assert f"{ROWS * CELLS} cells compared, {ROWS * CELLS - 2} equal, 2 different" in output.out
    assert f"row {first}, context 8, continuation 12: matches 1 -> " in output.out
    assert "(explained: rounding decides margins under 0.0002)" in output.out
    assert output.err.splitlines()[-1].endswith(
        "has 0 faults in its files and 1 scores that could not be reproduced; the lines above name each with its "
        "remedy."
    )
    rewrite(path, matches=pl.when(pl.col("row") == first).then(scores["matches"]).otherwise("matches").cast(pl.Int32))
    assert command(["verify", "study", "--rows", "1000"]) == 0
    assert command(["verify", "study", "--no-rescore"]) == 0


def test_the_threshold_is_that_of_the_runs_precision_and_scores_are_matched_by_key():
    key = {"model": ["m", "m"], "row": [7, 3], "context": [8, 8], "continuation": [4, 4]}
    before = pl.DataFrame(key | {"matches": [1, 4], "verbatim": [1, 4], "margin": [0.2, 0.5], "reason": [None, None]})
    now = before.reverse().with_columns(matches=pl.Series([4, 2]), margin=pl.Series([0.4, 0.9]))
    rough, exact = (_compare("m", before, now.to_arrow(), threshold) for threshold in (0.25, 2e-4))
    assert [cell.row for cell in rough.differences] == [7]
    assert (len(rough.unexplained), len(exact.unexplained)) == (0, 1)
    assert rough.margin_difference == pytest.approx(0.1)
    assert (rough.rows, rough.cells) == (2, 2)


def test_the_sample_is_seeded_and_of_all_rows(shelf):
    path = shard(shelf, "scores")
    rewrite(path, matches=pl.lit(2, pl.Int32))

    def differing(seed):
        return [
            cell.row for agreement in verify("study", rows=9, seed=seed).agreements for cell in agreement.differences
        ]

    assert differing(0) == differing(0)
    assert differing(0) != differing(1)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda shelf: (shelf / "rows.npy").unlink(), r"No row of run \w+ was scored again: .*rows\.npy"),
        (
            lambda shelf: np.save(shelf / "control.npy", np.ones((10, 24), np.int64)),
            r"No row of run \w+ was scored again: control\.npy is not the corpus that was scored",
        ),
        (lambda shelf: (shelf / "half.npy").unlink(), r"parrot-14 scored no row again: There is no file 'half\.npy'"),
        (
            lambda shelf: np.save(shelf / "half.npy", np.load(shelf / "rows.npy")[:9]),
            r"parrot-14 scored no row again: parrot:half\.npy:14 is not the model that was scored",
        ),
        (
            lambda shelf: write_json(shelf / "study" / "manifest.json", {}),
            r"No row of run \w+ was scored again: .* is not finished",
        ),
    ],
)
def test_inputs_that_are_missing_or_changed_are_reported_as_unchecked_and_no_fault(shelf, damage, message, capsys):
    damage(shelf)
    result = verify("study", rows=5)
    assert result.is_sound
    assert len(result.unchecked) == 1
    assert re.match(message, result.unchecked[0])
    assert len(result.agreements) == (1 if "parrot-14" in message else 0)
    assert command(["verify", "study", "--rows", "5"]) == 0
    assert f"not checked: {result.unchecked[0]}" in capsys.readouterr().out


def test_a_model_that_joined_and_is_not_finished_is_no_fault(shelf):
    run = open_study("study").run()
    path = shelf / "study" / "runs" / f"{run.key}.json"
    write_json(path, json.loads(path.read_text()) | {"models": run.models | {"new": "new-12345678"}})
    shutil.copy(next((shelf / "study" / "models").glob("*")), shelf / "study" / "models" / "new-12345678.parquet")
    result = verify("study", rows=5)
    assert result.is_sound
    assert result.unfinished == 3
    assert "new is not finished; run the same command again" in result.unchecked[0]


def test_published_scores_are_checked_without_margins_and_without_a_corpus(tmp_path):
    file = write_random_sampled(
        tmp_path / "s.parquet", {"70M": [0, 1 / 32, None], "12B": [31 / 32, 1, 0.5]}, [40, 7, 9]
    )
    mematlas.import_scores(file, study=tmp_path / "s")
    result = verify(tmp_path / "s")
    assert result.is_sound
    assert result.files == 3
    assert "contains published scores" in result.unchecked[0]
    flip_bit(next((tmp_path / "s").rglob("scores/*/*/*.parquet")))
    assert "checksum" in verify(tmp_path / "s").faults[0].problem


def test_a_missing_study_and_a_missing_run_are_one_line(shelf, capsys):
    assert command(["verify", "nowhere"]) == 1
    assert command(["verify", "study", "--run", "zz"]) == 1
    assert command(["verify", "study", "--rows", "0"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 3
    assert "nowhere is not a study" in errors[0]
    assert "study has no run zz; `mematlas show study` prints those it has." in errors[1]
