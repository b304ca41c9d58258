"""What was measured in training is stored in the study once, and findings depend on it."""

import pyarrow as pa
import pytest

import mematlas
from mematlas.errors import StudyError
from mematlas.study import Run, write_json
from mematlas.study.build_stamps import run_fingerprint
from mematlas.study.probes import write_probes
from mematlas.study.schemas.probes import PROBES

RECORDS = [{"arm": "a", "step": step, "set": "train", "metric": "M", "value": step / 4, "n": 8} for step in (0, 2)]


def table(records=RECORDS) -> pa.Table:
    return pa.Table.from_pylist(records, schema=PROBES)


def test_what_is_written_is_read_and_changes_what_findings_are_made_from(tmp_path):
    run = Run("key", "rows", 1, {}, {}, 0.0)
    write_json(tmp_path / "runs" / "key.json", run.to_json())
    study, before = mematlas.open_study(tmp_path), run_fingerprint(tmp_path, run)
    assert not study.has_probes()
    with pytest.raises(
        StudyError, match=r"has no measurements taken in training; `mematlas experiment NAME FILE\.yaml` writes"
    ):
        study.scan_probes()
    write_probes(tmp_path, "one", table().select(["value", "n", "arm", "step", "set", "metric"]))
    assert study.scan_probes().collect().to_dicts() == RECORDS
    after = run_fingerprint(tmp_path, run)
    assert after != before
    write_probes(tmp_path, "one", table(RECORDS[:1]))
    assert run_fingerprint(tmp_path, run) != after


def test_a_missing_column_and_a_measurement_that_occurs_twice_are_refused(tmp_path):
    with pytest.raises(StudyError, match="Probes one lack value; each record needs arm, step"):
        write_probes(tmp_path, "one", table().drop_columns(["value"]))
    with pytest.raises(StudyError, match="have M of train at step 0 of a twice; keep one"):
        write_probes(tmp_path, "one", table(RECORDS + RECORDS[:1]))
    assert not (tmp_path / "probes").exists()
