"""`--batch auto`: the batch that memory allows, with a meter for which tests state what a row takes."""

import subprocess
import sys

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import torch

import mematlas
from mematlas.errors import OptionError
from mematlas.progress import Silent
from mematlas.scoring.engines import causal as engine_module
from mematlas.scoring.engines.batch_size import SAFE_SHARE, CudaMeter, ResidentMeter, largest_batch, memory_meter
from mematlas.scoring.options import ScoringOptions
from tests import tiny_networks as networks

CAPACITY = 100_000


class FakeMeter:
    """A device with `capacity` bytes, of which a batch of n rows takes `usage(n)`."""

    def __init__(self, usage, capacity=CAPACITY):
        self.usage, self.capacity, self.tried = usage, capacity, []

    def free(self):
        return self.capacity

    def peak(self, function):
        function()
        return self.usage(self.tried[-1])

    def score(self, rows):
        self.tried.append(rows)
        if self.usage(rows) > self.capacity:
            raise torch.OutOfMemoryError("CUDA out of memory")


def measure(usage, max_rows=4096, capacity=CAPACITY):
    meter = FakeMeter(usage, capacity)
    return largest_batch(meter.score, meter, max_rows), meter.tried


@pytest.mark.parametrize("constant", [0, 5_000, 40_000])
@pytest.mark.parametrize("per_row", [7, 100, 1_000])
def test_a_line_gives_the_largest_multiple_of_eight_that_fits_safely(constant, per_row):
    batch, tried = measure(lambda rows: constant + per_row * rows)
    fits = [rows for rows in range(8, 4097, 8) if constant + per_row * rows <= SAFE_SHARE * CAPACITY]
    assert batch == max(fits)
    assert tried[:3] == [1, 8, 16]
    assert len(tried) == 3 + (constant + per_row * batch > SAFE_SHARE * CAPACITY / 2)  # tried first


def test_nothing_is_tried_if_half_of_the_memory_is_enough():
    assert measure(lambda rows: 9 * rows) == (4096, [1, 8, 16])
    assert measure(lambda rows: 700, max_rows=100) == (100, [1, 8, 16])  # less than a meter can measure


@pytest.mark.parametrize("max_rows", [1, 3, 8, 13, 256])
def test_never_more_rows_than_there_are(max_rows):
    batch, tried = measure(lambda rows: rows, max_rows)
    assert batch == max_rows
    assert max(tried) <= max_rows


def test_a_wrong_line_is_corrected_by_a_trial():
    usage = lambda rows: 50 * rows + rows**2  # noqa: E731
    batch, tried = measure(usage)
    assert usage(batch) <= SAFE_SHARE * CAPACITY
    assert usage(4 * batch) > SAFE_SHARE * CAPACITY
    assert batch % 8 == 0
    assert tried[3] > batch


@pytest.mark.parametrize(("per_row", "batch"), [(CAPACITY / 12, 8), (CAPACITY / 5, 4), (CAPACITY * 2, 1)])
def test_memory_that_runs_out_while_probing_gives_the_last_batch_that_fitted(per_row, batch):
    assert measure(lambda rows: per_row * rows)[0] == batch


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    def broken(rows):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        largest_batch(broken, FakeMeter(lambda rows: rows), 8)


def pseudo_system(folder, *, available, group=None, limited=None):
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/self/status").write_text("Name:\tpython\nVmHWM:\t    300 kB\nVmRSS:\t    100 kB\n")
    (folder / "proc/meminfo").write_text(f"MemTotal:  9000 kB\nMemAvailable:  {available} kB\n")
    (folder / "group").mkdir()
    if group is not None:
        (folder / "group/memory.max").write_text(f"{group}\n")
        (folder / "group/memory.current").write_text(f"{limited}\n")
    return ResidentMeter(folder / "proc", folder / "group")


@pytest.mark.parametrize(
    ("group", "limited", "free"),
    [(None, None, 5000 << 10), ("max", 7, 5000 << 10), (3000 << 10, 1000 << 10, 2000 << 10), (10, 20, 0)],
)
def test_free_memory_is_the_machines_or_what_the_control_group_leaves(tmp_path, group, limited, free):
    meter = pseudo_system(tmp_path, available=5000, group=group, limited=limited)
    assert meter.free() == free
    assert meter.peak(lambda: None) == 200 << 10
    assert (tmp_path / "proc/self/clear_refs").read_text() == "5"


def test_a_system_without_measurements_is_recognized(tmp_path):
    assert not ResidentMeter(tmp_path).is_available()
    assert memory_meter(torch.device("meta")) is None


#: Run in a process of its own, where no earlier test can return memory to the system at the same moment.
MEASURING = """
import numpy as np
from mematlas.scoring.engines.batch_size import ResidentMeter

meter = ResidentMeter()
if meter.is_available():
    print(meter.peak(lambda: np.ones(40 << 20, dtype=np.uint8).sum()), meter.peak(lambda: None))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_resident_memory_counts_arrays_that_were_freed_again():
    done = subprocess.run([sys.executable, "-c", MEASURING], stdout=subprocess.PIPE, text=True, check=True)
    if not done.stdout:
        pytest.skip("this system does not let the highest resident size be reset")
    taken, nothing = map(int, done.stdout.split())
    assert 30 << 20 < taken < 120 << 20
    assert nothing < 20 << 20


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_memory_counts_arrays_that_were_freed_again():
    meter = CudaMeter()
    free = meter.free()
    assert meter.peak(lambda: torch.ones(40 << 20, dtype=torch.uint8, device="cuda").sum()) >= 40 << 20
    assert abs(free - meter.free()) < 64 << 20


class MessageRecorder(Silent):
    def __init__(self):
        self.messages = []

    def say(self, text):
        self.messages.append(text)


@pytest.fixture
def rows(tmp_path):
    grid = networks.grid([4], [8])
    np.save(tmp_path / "rows.npy", networks.partly_recited_rows(networks.neox(), grid, 40).astype(np.uint16))
    return {"corpus": str(tmp_path / "rows.npy"), "context": [4], "continuation": [8], "device": "cpu"}


@pytest.fixture
def metered(monkeypatch):
    """The batches scored, in their order, on a device on which a row takes three percent of the memory."""
    meter, batches = FakeMeter(lambda rows: 3_000 * rows + 1_000), []

    class BatchMeter(FakeMeter):
        def peak(self, function):
            function()
            return self.usage(batches[-1])

    score_rows = engine_module.Engine._score_rows

    def recording(self, rows, part, contexts):
        batches.append(len(part))
        return score_rows(self, rows, part, contexts)

    monkeypatch.setattr(engine_module, "memory_meter", lambda device: BatchMeter(meter.usage))
    monkeypatch.setattr(engine_module.Engine, "_score_rows", recording)
    return batches


@pytest.mark.parametrize("depth", ["graded", "verbatim"])
def test_a_run_with_batch_auto_gives_the_same_numbers_and_reports_its_batch(rows, tmp_path, metered, depth):
    model = str(networks.save_network(networks.neox(), tmp_path / "tiny"))
    fixed = mematlas.score(model, study=tmp_path / "study", depth=depth, shards=1, **rows)
    before, progress = fixed.run(), MessageRecorder()
    metered.clear()
    study = mematlas.score(
        model, study=tmp_path / "study", depth=depth, shards=1, batch="auto", progress=progress, **rows
    )
    run = study.run()
    assert metered == [1, 8, 16, 28, 24, 16]  # the third probe, then 24 and 16 of 40 rows
    assert progress.messages == ["tiny: 24 rows at a time, by --batch auto."]
    assert (before.settings["batch"], run.settings["batch"]) == (128, "auto")
    tables, files = [], []
    for each in (before, run):
        files.append(next((study.folder / "scores" / each.key).glob("*/*.parquet")))
        tables.append(pl.read_parquet(files[-1]))
    assert tables[0].drop("margin").equals(tables[1].drop("margin"))
    assert (tables[0]["margin"] - tables[1]["margin"]).abs().max() < 1e-4
    assert pq.read_schema(files[1]).metadata[b"mematlas.batch"] == b"24"


def test_where_memory_cannot_be_measured_the_default_is_taken_and_reported(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(engine_module, "memory_meter", lambda device: None)
    model, messages = networks.causal_model(networks.neox()), []
    options = ScoringOptions(networks.grid([4], [8]), batch="auto")
    assert engine_module.Engine(model, networks.card(), options, messages.append).batch == 128
    assert messages == ["m: 128 rows at a time; --batch auto cannot measure memory on this system."]


def test_new_options_leave_existing_keys_unchanged(rows, tmp_path):
    """Only the name "auto" is part of the key: machines with other GPUs share the run."""
    from mematlas.scoring.job import resolve_job

    keys = {
        name: resolve_job(["uniform:499"], mematlas.ScoreConfig(study=tmp_path / name, **rows, **more)).run.key
        for name, more in {
            "plain": {},
            "default": {"batch": 128, "graphs": "auto", "backend": "torch"},
            "graphs": {"graphs": "off"},
            "auto": {"batch": "auto"},
        }.items()
    }
    assert keys["plain"] == keys["default"] == keys["graphs"] != keys["auto"]


@pytest.mark.parametrize("batch", [0, -3, "most"])
def test_a_batch_is_a_number_of_rows_or_auto(rows, tmp_path, batch):
    with pytest.raises(OptionError, match=r"^--batch: must be a positive number of rows, or auto \(given: ") as error:
        mematlas.score("uniform:499", study=tmp_path / "study", batch=batch, **rows)
    assert "\n" not in str(error.value)


def test_a_run_with_batch_auto_can_be_verified(rows, tmp_path):
    from mematlas.verification.verify import verify

    study = tmp_path / "study"
    mematlas.score(str(networks.save_network(networks.neox(), tmp_path / "tiny")), study=study, batch="auto", **rows)
    verified = verify(study, rows=10)
    assert [agreement.differences for agreement in verified.agreements] == [()]
