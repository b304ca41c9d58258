"""The manifest, put together from one file a finished run, so that runs that finish at the same moment all stay in it.

    STUDY/manifests/<run>.json    what was asked, by which versions, how long it took
    STUDY/manifest.json           {"current": the run that was finished last, "runs": all of them, by key}

No lock is needed: a process writes its own run's file, then the manifest, and again if meanwhile another one came.
"""

import time
from typing import Any

from mematlas.study import Study, read_facts, write_json

_REMEDY = "delete it and run the same command again"


def record_run(study: Study, key: str, entry: dict[str, Any]) -> None:
    """Note that a run is finished; runs that only an older manifest.json names stay in it.

    Raises:
        StudyError: no room, or what was noted is damaged.
    """
    latest = max((other["noted"] for other in _noted(study).values()), default=0)
    noted = max(time.time_ns(), latest + 1)  # a clock that was set back does not reorder runs
    write_json(study.folder / "manifests" / f"{key}.json", {"noted": noted, **entry})
    written: dict[str, dict[str, Any]] = {}
    while (found := _noted(study)) != written:
        _write(study, found)
        written = found


def _noted(study: Study) -> dict[str, dict[str, Any]]:
    """The files of runs, the last noted last."""
    files = sorted((study.folder / "manifests").glob("*.json"))
    found = {path.stem: read_facts(path, _REMEDY) or {} for path in files}
    return dict(sorted(((k, of) for k, of in found.items() if "noted" in of), key=lambda item: item[1]["noted"]))


def _write(study: Study, found: dict[str, dict[str, Any]]) -> None:
    entries = {key: {name: value for name, value in of.items() if name != "noted"} for key, of in found.items()}
    runs = study.manifest().get("runs", {}) | entries
    write_json(study.folder / "manifest.json", {"current": list(found)[-1], "runs": runs})
