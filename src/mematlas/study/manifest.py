"""The manifest, assembled from one file per finished run, so that runs that finish at the same moment all stay in it.

    STUDY/manifests/<run>.json    the run's settings, versions and duration
    STUDY/manifest.json           {"current": the run that was finished last, "runs": all of them, by key}

No lock is needed: a process writes its own run's file, then the manifest, and the manifest again if another run's file
has appeared meanwhile.
"""

import time
from typing import Any

from mematlas.study import Study, read_json, write_json

_REMEDY = "delete it and run the same command again"


def record_run(study: Study, key: str, entry: dict[str, Any]) -> None:
    """Record that a run is finished; runs that only an older manifest.json contains stay in it.

    Raises:
        StudyError: the disk is full, or an earlier entry is damaged.
    """
    latest = max((recorded["noted"] for recorded in _read_entries(study).values()), default=0)
    noted = max(time.time_ns(), latest + 1)  # a clock that was set back does not reorder runs
    write_json(study.folder / "manifests" / f"{key}.json", {"noted": noted, **entry})
    written: dict[str, dict[str, Any]] = {}
    while (entries := _read_entries(study)) != written:
        _write_manifest(study, entries)
        written = entries


def _read_entries(study: Study) -> dict[str, dict[str, Any]]:
    """Run key -> content of its file, in the order in which the runs were recorded."""
    files = sorted((study.folder / "manifests").glob("*.json"))
    contents = {path.stem: read_json(path, _REMEDY) or {} for path in files}
    recorded = [(key, content) for key, content in contents.items() if "noted" in content]
    return dict(sorted(recorded, key=lambda item: item[1]["noted"]))


def _write_manifest(study: Study, recorded: dict[str, dict[str, Any]]) -> None:
    entries = {
        key: {name: value for name, value in content.items() if name != "noted"} for key, content in recorded.items()
    }
    runs = study.manifest().get("runs", {}) | entries
    write_json(study.folder / "manifest.json", {"current": list(recorded)[-1], "runs": runs})
