"""`mematlas verify`: it finds what is wrong with a study, says what mends it, and the remedy does."""

import json
import re
import shutil

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

import mematlas
from mematlas.cli.commands import run as command
from mematlas.findings.finding import Finding, Table, Taxonomy, write_finding
from mematlas.study import marker_of, open_study, write_json, write_shard
from mematlas.verification.rescore import _compared
from mematlas.verification.verify import verify
from tests import study_shelf as shelves
from tests.importers.test_import_scores import sampled

CELLS = 2
ROWS = shelves.ROWS + 10


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Two parrots scored with every kind of signal."""
    shelf = shelves.fill(tmp_path_factory.mktemp("verified"))
    scored(shelf)
    return shelf


@pytest.fixture
def shelf(template, tmp_path, monkeypatch):
    shutil.copytree(template, tmp_path / "shelf")
    monkeypatch.chdir(tmp_path / "shelf")
    return tmp_path / "shelf"


def scored(shelf, *models, **options):
    """The study of a shelf, asked for by paths that are seen from there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(shelf)
        given = {"corpus": "rows.npy", "control": "control.npy", "context": [8], "continuation": [4, 12], "shards": 3}
        given |= {"signals": ["free", "truth", "hidden"]} | options
        mematlas.score(*(models or ("parrot:rows.npy", "parrot:half.npy:14")), study="study", **given)
    return open_study(shelf / "study")


def shard(shelf, room, number=1):
    found = sorted((shelf / "study" / room).rglob(f"shard-0000{number}-of-*"))
    return next(path for path in found if path.suffix != ".done")


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def mend(shelf, fault):
    """Do what the fault says, to the letter."""
    path = shelf / "study" / fault.file
    if re.search(r"delete it\b(?!s)", fault.remedy):
        path.unlink()
    if "its marker" in fault.remedy:
        marker_of(path).unlink()
    for name in re.findall(r"delete (scores/\S+\.done)", fault.remedy):
        (shelf / "study" / name).unlink()
    assert "run the same command again" in fault.remedy
    return scored(shelf)


def lose(path):
    path.unlink()
    marker_of(path).unlink()


def miscounted(path):
    marker_of(path).write_text(json.dumps(json.loads(marker_of(path).read_text()) | {"rows": 5}))


FAULTS = {
    "checksum": flip,
    "it is cut or changed": lambda path: path.write_bytes(path.read_bytes()[:-7]),
    "its marker stands without it": lambda path: path.unlink(),
    "it stands without its marker": lambda path: marker_of(path).unlink(),
    "its marker is damaged": lambda path: marker_of(path).write_text("{ no"),
    "it is lost, and its marker": lose,
    "but its marker says 5": miscounted,
}


def test_a_sound_study_is_found_sound_and_nothing_in_it_changes(shelf):
    before = {path: path.stat().st_mtime_ns for path in shelf.rglob("*")}
    verdict = verify("study", rows=12)
    assert verdict.is_sound
    assert (verdict.faults, verdict.unchecked, verdict.unsummed, verdict.unfinished) == ((), (), 0, 0)
    assert verdict.files == 3 * (1 + 2 * (1 + 2 + 2))
    assert [(found.model, found.rows, found.cells) for found in verdict.agreements] == [
        ("parrot", 12, 12 * CELLS),
        ("parrot-14", 12, 12 * CELLS),
    ]
    assert [found.apart for found in verdict.agreements] == [0, 0]
    assert {path: path.stat().st_mtime_ns for path in shelf.rglob("*")} == before


@pytest.mark.parametrize("room", ["scores", "signals", "states", "rows"])
@pytest.mark.parametrize("wrong", FAULTS)
def test_a_fault_is_named_with_a_remedy_that_mends_it(shelf, room, wrong):
    study = open_study("study")
    expected = (
        study.scores(),
        study.signals("free"),
        study.signals("truth"),
        study.rows(),
        study.states("parrot").states,
    )
    path = shard(shelf, room)
    FAULTS[wrong](path)
    verdict = verify("study", rescore=False)
    assert [fault.file for fault in verdict.faults] == [str(path.relative_to(shelf / "study"))]
    assert wrong in verdict.faults[0].wrong
    assert not verdict.is_sound
    mended = mend(shelf, verdict.faults[0])
    assert verify("study", rescore=False).is_sound
    found = mended.scores(), mended.signals("free"), mended.signals("truth"), mended.rows()
    assert all(ours.equals(theirs) for ours, theirs in zip(found, expected, strict=False))
    assert np.array_equal(mended.states("parrot").states, expected[-1], equal_nan=True)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda lines: pl.concat([lines, lines.head(1)]), "1 lines stand twice, or belong to no row of the shard"),
        (lambda lines: lines.slice(3), "3 lines are lost: rows of the shard without a score at a context"),
        (lambda lines: lines.with_columns(model=pl.lit("other")), "lines are of another model than parrot"),
        (
            lambda lines: lines.with_columns(margin=pl.lit(None, pl.Float32)),
            "the model gave logits that are not numbers",
        ),
    ],
)
def test_keys_that_stand_twice_or_are_lost_and_scores_of_no_numbers_are_found(shelf, change, wrong):
    path = shard(shelf, "scores")
    lines = pl.read_parquet(path)
    label = lines["model"][0]
    write_shard(path.parent, path.stem, change(lines).to_arrow(), {})
    faults = verify("study", rescore=False).faults
    assert len(faults) == 1
    assert wrong.replace("parrot", label) in faults[0].wrong
    mend(shelf, faults[0])
    assert verify("study", rescore=False).is_sound


def test_a_shard_that_stands_in_another_ones_place_is_found(shelf):
    first, second = shard(shelf, "rows", 0), shard(shelf, "rows", 1)
    shutil.copy(first, second)
    shutil.copy(marker_of(first), marker_of(second))
    wrong = [fault.wrong for fault in verify("study", rescore=False).faults]
    assert any("row ids stand more than once" in text or "rows, but 40 were asked about" in text for text in wrong)
    assert any("lines are lost" in text for text in wrong)


def test_older_markers_without_a_checksum_stay_valid_and_are_counted(shelf):
    study = open_study("study")
    for marker in (shelf / "study").rglob("*.done"):
        told = json.loads(marker.read_text())
        assert len(told.pop("blake2b")) == 32
        marker.write_text(json.dumps(told))
    assert study.scores().height == 2 * ROWS * CELLS
    verdict = verify("study", rescore=False)
    assert verdict.is_sound
    assert verdict.unsummed == verdict.files == 33


def test_a_flipped_byte_under_an_older_marker_is_found_if_it_cannot_be_read_and_is_no_crash(shelf):
    path = shard(shelf, "scores")
    told = json.loads(marker_of(path).read_text())
    told.pop("blake2b")
    marker_of(path).write_text(json.dumps(told))
    content = bytearray(path.read_bytes())
    content[4:400] = bytes(396)
    path.write_bytes(content)
    faults = verify("study").faults
    assert [fault.file for fault in faults] == [str(path.relative_to(shelf / "study"))]
    assert "it cannot be read" in faults[0].wrong


# -------------------------------------------------------------------------------------------- what is not in shards


def test_damaged_manifests_runs_models_findings_and_predictions_are_each_one_fault(shelf):
    study = open_study("study")
    key, place = study.run().key, shelf / "study"
    frame = pl.DataFrame({"x": [1]})
    finding = Finding("size", "t", "c", "s", Taxonomy(), tables=(Table("numbers", "t", frame, {"x": "a number"}),))
    write_finding(place / "findings" / key / "size", finding)
    write_finding(place / "findings" / key / "lines", finding)
    write_json(place / "findings" / key / "index.json", ["size", "lines"])
    (place / "predictions" / key / "parrot").mkdir(parents=True)
    frame.write_parquet(place / "predictions" / key / "parrot" / "context-seed-0.parquet")
    assert verify("study", rescore=False).is_sound
    (place / "manifest.json").write_text("[")
    write_json(place / "runs" / "other.json", {"key": "no"})
    next((place / "models").glob("parrot-14*")).unlink()
    (place / "findings" / key / "size" / "numbers.parquet").write_bytes(b"PAR1")
    shutil.rmtree(place / "findings" / key / "lines")
    (place / "predictions" / key / "parrot" / "context-seed-0.parquet").write_bytes(b"PAR1")
    found = {fault.file: str(fault) for fault in verify("study", rescore=False).faults}
    assert len(found) == 6
    assert "cannot be read" in found["manifest.json"]
    assert "delete it, and run the same command again" in found["runs/other.json"]
    assert "`mematlas analyze` writes it again" in found[f"findings/{key}/size/finding.json"]
    assert "it is lost, though index.json names it" in found[f"findings/{key}/lines/finding.json"]
    assert "`mematlas fit study` makes it again" in found[f"predictions/{key}/parrot/context-seed-0.parquet"]
    assert all("\n" not in text for text in found.values())


def test_findings_that_name_files_outside_their_folder_are_not_followed(shelf):
    place = shelf / "study" / "findings" / open_study("study").run().key
    write_json(place / "index.json", ["../../../../secret"])
    faults = verify("study", rescore=False).faults
    assert [fault.wrong for fault in faults] == ["it names '../../../../secret', which is no name of a file here"]


def test_row_features_are_checked_once_they_are_complete(shelf):
    study = open_study("study")
    folder = study.features_folder()
    table = pq.read_table(shard(shelf, "rows"))
    for kind in ("counts", "copies"):
        for number in range(2):
            write_shard(folder / kind, f"shard-0000{number}-of-00002", table, {})
    flip(folder / "counts" / "shard-00000-of-00002.parquet")
    lose(folder / "copies" / "shard-00001-of-00002.parquet")
    assert verify("study", rescore=False).is_sound  # they were begun only
    write_json(folder / "facts.json", {})
    faults = verify("study", rescore=False).faults
    assert [fault.wrong.partition(" (")[0] for fault in faults] == [
        "it is lost, and its marker",
        "its bytes are not those that were written",
    ]
    assert "run `mematlas features study` again" in faults[0].remedy


# ---------------------------------------------------------------------------------------------------- scored again


def rewrite(path, **columns):
    """The shard with other values, and a marker that agrees with them."""
    write_shard(path.parent, path.stem, pl.read_parquet(path).with_columns(**columns).to_arrow(), {})


def test_scores_that_do_not_come_out_again_are_found_and_a_small_margin_explains_them(shelf, capsys):
    path = shard(shelf, "scores")
    lines = pl.read_parquet(path)
    first, second = lines["row"].unique(maintain_order=True)[:2]
    wrong = pl.col("row").is_in([first, second]) & (pl.col("continuation") == 12)
    close = (pl.col("row") == second) & (pl.col("continuation") == 12)
    rewrite(
        path,
        matches=pl.when(wrong).then(1).otherwise("matches").cast(pl.Int32),
        margin=pl.when(close).then(1.5e-4).otherwise("margin").cast(pl.Float32),
    )
    verdict = verify("study", rows=1000)
    assert verdict.faults == ()
    found = next(agreement for agreement in verdict.agreements if agreement.differences)
    assert (found.rows, found.cells) == (ROWS, ROWS * CELLS)
    assert [(cell.row, cell.explained) for cell in found.differences] == [(first, False), (second, True)]
    assert found.differences[0].before[0] == 1
    assert found.differences[0].now[0] != 1
    assert found.differences[1].margin == pytest.approx(1.5e-4)
    assert not verdict.is_sound
    assert command(["verify", "study", "--rows", "1000"]) == 1
    said = capsys.readouterr()
    assert f"{ROWS * CELLS} cells compared, {ROWS * CELLS - 2} equal, 2 different" in said.out
    assert f"row {first}, context 8, continuation 12: matches 1 -> " in said.out
    assert "(explained: under 0.0002 rounding decides)" in said.out
    assert said.err.splitlines()[-1].endswith(
        "has 0 faults in its files and 1 scores that do not come out again; the lines above name each with its remedy."
    )
    rewrite(path, matches=pl.when(pl.col("row") == first).then(lines["matches"]).otherwise("matches").cast(pl.Int32))
    assert command(["verify", "study", "--rows", "1000"]) == 0
    assert command(["verify", "study", "--no-rescore"]) == 0


def test_the_threshold_is_that_of_the_runs_precision_and_lines_are_matched_by_key():
    key = {"model": ["m", "m"], "row": [7, 3], "context": [8, 8], "continuation": [4, 4]}
    before = pl.DataFrame(key | {"matches": [1, 4], "verbatim": [1, 4], "margin": [0.2, 0.5], "reason": [None, None]})
    now = before.reverse().with_columns(matches=pl.Series([4, 2]), margin=pl.Series([0.4, 0.9]))
    rough, exact = (_compared("m", before, now.to_arrow(), threshold) for threshold in (0.25, 2e-4))
    assert [cell.row for cell in rough.differences] == [7]
    assert (len(rough.unexplained), len(exact.unexplained)) == (0, 1)
    assert rough.apart == pytest.approx(0.1)
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
    ("harm", "told"),
    [
        (lambda shelf: (shelf / "rows.npy").unlink(), r"No row of run \w+ was scored again: .*rows\.npy"),
        (
            lambda shelf: np.save(shelf / "control.npy", np.ones((10, 24), np.int64)),
            r"No row of run \w+ was scored again: control\.npy is not the corpus that was scored",
        ),
        (lambda shelf: (shelf / "half.npy").unlink(), r"parrot-14 scored no row again: .*found no file 'half\.npy'"),
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
def test_what_is_not_there_any_more_is_said_not_to_be_checked_and_is_no_fault(shelf, harm, told, capsys):
    harm(shelf)
    verdict = verify("study", rows=5)
    assert verdict.is_sound
    assert len(verdict.unchecked) == 1
    assert re.match(told, verdict.unchecked[0])
    assert len(verdict.agreements) == (1 if "parrot-14" in told else 0)
    assert command(["verify", "study", "--rows", "5"]) == 0
    assert f"not checked: {verdict.unchecked[0]}" in capsys.readouterr().out


def test_a_model_that_joined_and_is_not_finished_is_no_fault(shelf):
    run = open_study("study").run()
    path = shelf / "study" / "runs" / f"{run.key}.json"
    write_json(path, json.loads(path.read_text()) | {"models": run.models | {"new": "new-12345678"}})
    shutil.copy(next((shelf / "study" / "models").glob("*")), shelf / "study" / "models" / "new-12345678.parquet")
    verdict = verify("study", rows=5)
    assert verdict.is_sound
    assert verdict.unfinished == 3
    assert "new is not finished; run the same command again" in verdict.unchecked[0]


def test_published_scores_are_checked_without_margins_and_without_a_corpus(tmp_path):
    file = sampled(tmp_path / "s.parquet", {"70M": [0, 1 / 32, None], "12B": [31 / 32, 1, 0.5]}, [40, 7, 9])
    mematlas.import_scores(file, study=tmp_path / "s")
    verdict = verify(tmp_path / "s")
    assert verdict.is_sound
    assert verdict.files == 3
    assert "holds published scores" in verdict.unchecked[0]
    flip(next((tmp_path / "s").rglob("scores/*/*/*.parquet")))
    assert "checksum" in verify(tmp_path / "s").faults[0].wrong


def test_no_study_and_no_such_run_are_one_line(shelf, capsys):
    assert command(["verify", "nowhere"]) == 1
    assert command(["verify", "study", "--run", "zz"]) == 1
    assert command(["verify", "study", "--rows", "0"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3
    assert "nowhere is no study" in said[0]
    assert "study holds no run zz; `mematlas show` prints those it has." in said[1]
