"""How a study behaves under faults, injected for real where possible; docs/reliability.md has a table of them.

Kills at random moments are in tests/pipeline/test_score.py; what `mematlas verify` finds is in
tests/verification/test_verify.py.
"""

import ast
import json
import multiprocessing
import os
import re
import resource
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

import mematlas
from mematlas.cli import run as command
from mematlas.errors import MematlasError, ModelError, OutOfMemory, StudyError
from mematlas.models.standins.parrot import Parrot
from mematlas.study import Run, digest, is_shard_done, marker_path, open_study, read_run, write_json, write_shard
from mematlas.study import shards as shards_module
from mematlas.verification.verify import verify
from tests import study_shelf as shelves

SOURCE = Path(mematlas.__file__).parent
#: Modules that run code from files.
UNSAFE = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}
TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "WANDB_API_KEY")


@pytest.fixture
def shelf(tmp_path):
    return shelves.fill(tmp_path)


def options(shelf, **changes):
    defaults = {
        "corpus": str(shelf / "rows.npy"),
        "study": str(shelf / "study"),
        "context": [8],
        "continuation": [4, 12],
    }
    return defaults | {"shards": 5, "signals": ["truth"], "batch": 4} | changes


def score(shelf, **changes):
    return mematlas.score(f"parrot:{shelf / 'half.npy'}", **options(shelf, **changes))


def undisturbed(shelf):
    """The study of the same command without any fault."""
    return score(shelf, study=str(shelf / "undisturbed"))


def expect_same_tables(study, expected):
    assert study.scores().equals(expected.scores())
    assert study.signals("truth").equals(expected.signals("truth"))
    assert study.rows().equals(expected.rows())
    assert verify(study.folder, rows=10).is_sound
    assert not list(study.folder.rglob(".*"))


# ---------------------------------------------------------------------------------------------------------- checksums


def test_every_marker_has_the_rows_bytes_and_checksum_of_its_file(shelf):
    study = score(shelf, signals=["truth", "free", "hidden"])
    markers = sorted(study.folder.rglob("*.done"))
    assert len(markers) == 5 * 6
    for marker in markers:
        path = next(path for path in marker.parent.glob(f"{marker.stem}.*") if path != marker)
        recorded = json.loads(marker.read_text())
        assert (recorded["bytes"], recorded["blake2b"]) == (path.stat().st_size, digest(path))
        assert recorded["rows"] > 0


def test_a_digest_changes_with_one_bit_and_is_standard_blake2b(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b").write_bytes(b"abb")
    # the output of coreutils' b2sum -l 128
    assert digest(tmp_path / "a") == "cf4ab791c62b8d2b2109c90275287816"
    assert digest(tmp_path / "b") != digest(tmp_path / "a")


def test_checking_whether_a_shard_is_done_does_not_read_it(tmp_path, monkeypatch):
    write_shard(tmp_path, "shard-00000-of-00001", pa.table({"row": [1, 2]}), {})
    monkeypatch.setattr(shards_module, "digest", lambda path: pytest.fail("it was read"))
    assert is_shard_done(tmp_path, "shard-00000-of-00001")


def test_a_marker_describes_the_current_file_even_if_another_process_replaced_it(tmp_path, monkeypatch):
    name, digests = "shard-00000-of-00001", []

    def digest_and_overwrite(path):
        digests.append(digest(path))
        if len(digests) == 1:
            shards_module.write_table(path, pa.table({"row": [1, 2], "margin": [0.25, 0.5]}))
        return digests[-1]

    monkeypatch.setattr(shards_module, "digest", digest_and_overwrite)
    write_shard(tmp_path, name, pa.table({"row": [1, 2]}), {})
    recorded = json.loads((tmp_path / f"{name}.done").read_text())
    assert recorded["blake2b"] == digest(tmp_path / f"{name}.parquet")
    assert is_shard_done(tmp_path, name)


# ------------------------------------------------------------------------------------------- disks, processes, clocks


def score_in_child(options, model, limit, messages):
    torch.set_num_threads(1)
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        mematlas.score(model, **options)
    except MematlasError as error:
        messages.put(str(error))
    except BaseException as error:
        messages.put(f"not one line: {error!r}")  # the parent process waits for a message
        raise
    else:
        messages.put("done")


@pytest.fixture(scope="module")
def processes():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.test_faults", "mematlas.models.causal", "mematlas.scoring.shards"])
    return context


def start(processes, shelf, limit=None):
    messages = processes.SimpleQueue()
    arguments = (options(shelf), f"parrot:{shelf / 'half.npy'}", limit, messages)
    process = processes.Process(target=score_in_child, args=arguments)
    process.start()
    return process, messages


def test_a_full_disk_is_reported_in_one_line_and_the_same_command_continues(shelf, processes):
    process, messages = start(processes, shelf, limit=3_000)
    process.join(60)
    assert messages.get().startswith(f"No space is left on the disk of {shelf / 'study'}")
    assert not (shelf / "study" / "manifest.json").exists()
    expect_same_tables(score(shelf), undisturbed(shelf))


def test_two_simultaneous_runs_on_one_study_become_one(shelf, processes):
    running = [start(processes, shelf) for _ in range(2)]
    for process, _ in running:
        process.join(60)
    assert [messages.get() for _, messages in running] == ["done", "done"]
    study = open_study(shelf / "study")
    assert len(study.runs()) == 1
    expect_same_tables(study, undisturbed(shelf))


def test_a_clock_set_back_changes_no_number_and_no_order_of_runs(shelf, monkeypatch):
    first = score(shelf)
    expected, now = first.scores(), time.time
    monkeypatch.setattr(time, "time", lambda: now() - 3e8)
    key = first.run().key
    written = {path: path.stat().st_mtime_ns for path in first.folder.rglob("*.parquet")}
    assert score(shelf).scores(key).equals(expected)
    assert {path: path.stat().st_mtime_ns for path in first.folder.rglob("*.parquet")} == written
    study = score(shelf, continuation=[3])
    new_key = next(run.key for run in study.runs() if run.key != key)
    assert set(study.scores(new_key)["continuation"]) == {3}
    assert study.run().key == new_key  # requested last
    assert study.scores(key).equals(expected)
    assert verify(shelf / "study", rows=5).is_sound


def test_a_truncated_shard_of_signals_is_not_ignored(shelf):
    study = score(shelf)
    path = sorted(study.folder.glob("signals/*/*/*/*.parquet"))[2]
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(
        StudyError, match=r"shard-00002-of-00005\.parquet of a finished run is missing or damaged; `mematlas"
    ):
        study.signals("truth")
    assert study.signals("truth", partial=True).height < study.scores()["row"].n_unique()
    assert study.scores()["row"].n_unique() == shelves.ROWS


def test_missing_rows_are_not_left_out_silently(shelf):
    study = score(shelf)
    next(study.folder.glob("rows/*/shard-00003-of-00005.parquet")).unlink()
    with pytest.raises(StudyError, match=r"of a finished run is missing or damaged; `mematlas verify .*` says how"):
        study.rows()


def test_a_file_without_its_marker_is_written_again(shelf):
    study = score(shelf)
    expected = study.scores()
    path = sorted(study.folder.glob("scores/*/*/*.parquet"))[1]
    path.write_bytes(b"half a shard")
    marker_path(path).unlink()
    with pytest.raises(StudyError, match=r"has 4 of 5 shards"):
        study.scores()
    assert score(shelf).scores().equals(expected)


# ------------------------------------------------------------------------------------------------- models and corpora


def corrupt_logits(monkeypatch, change):
    """Apply `change` to the logits of every parrot."""
    head = Parrot.head
    monkeypatch.setattr(Parrot, "head", lambda self, states: change(states, head(self, states)))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("signals", [[], ["free"], ["truth"]])
def test_logits_that_are_not_numbers_are_refused_and_finished_shards_stay(shelf, monkeypatch, value, signals):
    row = np.load(shelf / "rows.npy")[14]  # of the third shard of five

    def change(states, logits):
        affected = states[:, 0] == int(row[10])
        logits[affected, 3 if value != -float("inf") else slice(None)] = value
        return logits

    corrupt_logits(monkeypatch, change)
    with pytest.raises(
        ModelError,
        match=r"^parrot, row \d+: .* gave logits that are not numbers \(NaN or infinite\) at \d+ of \d+ positions",
    ):
        score(shelf, signals=signals)
    study = open_study(shelf / "study")
    assert study.done(study.run(), "parrot") < 5
    assert study.manifest() == {}
    monkeypatch.undo()
    assert score(shelf, signals=signals).scores()["margin"].null_count() == 0


def test_a_row_that_does_not_fit_into_memory_is_reported_in_one_line_and_other_shards_stay(shelf, monkeypatch):
    expected = undisturbed(shelf).scores()
    token = int(np.load(shelf / "rows.npy")[13, 12])  # predicted in the third shard of five

    def change(states, logits):
        if token in states[:, 0].long().tolist() and len(finished()) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return logits

    def finished():
        return list((shelf / "study").glob("scores/*/*/*.done"))

    corrupt_logits(monkeypatch, change)
    with pytest.raises(OutOfMemory, match=r"^One row of 20 tokens does not fit into memory with parrot; use [^\n]+$"):
        score(shelf)
    assert len(finished()) == 2
    monkeypatch.undo()
    assert score(shelf).scores().equals(expected)


def test_a_changed_corpus_starts_another_run_and_verify_refuses_it(shelf):
    study = score(shelf)
    key, expected = study.run().key, study.scores()
    rows = np.load(shelf / "rows.npy")
    rows[3, 9] ^= 1
    np.save(shelf / "rows.npy", rows)
    result = verify(shelf / "study", rows=5)
    assert result.is_sound
    assert re.search(r"rows\.npy is not the corpus that was scored: its fingerprint is", result.unchecked[0])
    again = score(shelf)
    assert len(again.runs()) == 2
    assert again.run().key != key
    assert not again.scores().equals(expected)
    assert again.scores(key).equals(expected)
    assert verify(shelf / "study", rows=5).unchecked == ()


# ------------------------------------------------------------------------------------------------------------- safety


@pytest.mark.parametrize("name", ["../../etc", "/etc", "..", "", "a/b", "a\\b", "a\0b", None, 3])
@pytest.mark.parametrize("field", ["key", "rows_key", "models"])
def test_a_run_that_names_folders_outside_the_study_is_refused_in_one_line(tmp_path, field, name):
    valid = {"key": "k", "rows_key": "r", "shards": 1, "models": {"m": "m"}, "question": {}, "asked": 0.0}
    write_json(tmp_path / "runs" / "k.json", valid)
    assert open_study(tmp_path).run() == Run.from_json(valid)
    write_json(tmp_path / "runs" / "k.json", valid | {field: {"m": name} if field == "models" else name})
    for read in (lambda: read_run(tmp_path / "runs" / "k.json"), open_study(tmp_path).runs):
        with pytest.raises(StudyError, match=r"^[^\n]*k\.json is damaged \([^\n]* is not the name of a folder[^\n]*$"):
            read()
    assert command(["verify", str(tmp_path)]) == 1


@pytest.mark.parametrize("text", ["[", "[]", "3", "null"])
def test_a_damaged_manifest_is_one_line_with_a_remedy(shelf, text):
    study = score(shelf)
    (shelf / "study" / "manifest.json").write_text(text)
    with pytest.raises(StudyError, match=r"manifest\.json is damaged \(.*\); delete it and run the same command again"):
        study.manifest()


def unsafe_statements(source):
    """Imports of modules that unpickle, and calls that unpickle or run code."""
    unsafe = []
    for path in sorted(source.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name.partition(".")[0] for alias in node.names} | {getattr(node, "module", "") or ""}
                unsafe += [f"{path.name}: import {name}" for name in names & UNSAFE]
            elif isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                keywords = {word.arg: ast.unparse(word.value) for word in node.keywords}
                is_unsafe = name in ("eval", "exec", "compile", "__import__", "os.system")
                is_unsafe |= name == "np.load" and keywords.get("allow_pickle") != "False"
                is_unsafe |= name == "torch.load" and keywords.get("weights_only") != "True"
                is_unsafe |= name.endswith(("read_pickle", "yaml.load", "yaml.unsafe_load"))
                unsafe += [f"{path.name}: {name}"] * is_unsafe
    return unsafe


def test_no_code_unpickles_or_runs_the_content_of_files():
    assert unsafe_statements(SOURCE) == []


def test_the_check_for_unpickling_finds_planted_cases(tmp_path):
    lines = ["import pickle", "from joblib import load", "np.load(x)", "np.load(x, allow_pickle=True)", "eval(x)"]
    lines += ["torch.load(x)", "torch.load(x, weights_only=False)", "pd.read_pickle(x)", "yaml.load(x)"]
    (tmp_path / "bad.py").write_text("\n".join(lines))
    (tmp_path / "good.py").write_text(
        "np.load(x, allow_pickle=False)\nframe.eval(x)\nnetwork.eval()\nyaml.safe_load(x)"
    )
    assert len(unsafe_statements(tmp_path)) == len(lines)


def test_no_token_of_the_environment_is_written_to_a_study_or_a_log(shelf, monkeypatch, capfd):
    secret = "hf_" + "Qz7" * 11
    for name in TOKENS:
        monkeypatch.setenv(name, secret)
    score_arguments = [
        "score",
        f"parrot:{shelf / 'half.npy'}",
        "--corpus",
        str(shelf / "rows.npy"),
        "--study",
        str(shelf / "study"),
    ]
    assert command([*score_arguments, "--context", "8", "--continuation", "4", "--signals", "free"]) == 0
    assert command(["analyze", str(shelf / "study")]) == 0
    assert command(["verify", str(shelf / "study")]) == 0
    written = [path for path in (shelf / "study").rglob("*") if path.is_file()]
    assert len(written) > 10
    assert [path.name for path in written if secret.encode() in path.read_bytes()] == []
    output = capfd.readouterr()
    assert secret not in output.out + output.err
    assert os.environ["HF_TOKEN"] == secret
