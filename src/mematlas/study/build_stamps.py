"""What of a study was made from what: features, predictions, findings ... are made again only if that is newer.

STUDY/made.json: name -> [fingerprint of what it was made from, when]. An entry is written after the thing itself. Two
commands on one study that write at the same moment may lose an entry, or bring an older one back: the thing is then
made again, or is still what its fingerprint says.
"""

import json
import time
from collections.abc import Iterable
from pathlib import Path

from mematlas.io.local_copies import read_bytes
from mematlas.io.paths import write_json
from mematlas.study import Run, fingerprint
from mematlas.version import __version__


def run_fingerprint(study: Path, run: Run) -> str:
    """A fingerprint of a run with its models, in their order, its features and predictions, and of this version."""
    controls = run.question.get("control_models", [])
    entries = _entries(study)
    names = (features_name(run), places_name(run), predictions_name(run))
    features = [entries[name] for name in names if name in entries]
    return fingerprint([run.key, list(run.models.items()), controls, __version__, *features])


def features_name(run: Run) -> str:
    """The name of a run's row features in made.json."""
    return f"features/{run.key}"


def places_name(run: Run) -> str:
    """The name of the table of places in made.json: it depends on the scores, too."""
    return f"features/{run.key}/places"


def predictions_name(run: Run) -> str:
    """The name in made.json of what predictors said of a run's rows."""
    return f"predictions/{run.key}"


def is_current(study: Path, name: str, source: str) -> bool:
    """Whether `name` was last made from what `source` is the fingerprint of."""
    return _entries(study).get(name, [None])[0] == source


def record(study: Path, name: str, source: str) -> None:
    """Note that `name` was made just now."""
    write_json(study / "made.json", _entries(study) | {name: [source, time.time_ns()]})


def forget(study: Path, name: str) -> None:
    """Note that `name` is not there any more."""
    entries = _entries(study)
    if entries.pop(name, None) is not None:
        write_json(study / "made.json", entries)


def combined_fingerprint(study: Path, names: Iterable[str]) -> str:
    """A fingerprint of what was made under these names, and when."""
    entries = _entries(study)
    return fingerprint([__version__, *(entries.get(name) for name in names)])


def _entries(study: Path) -> dict[str, list[object]]:
    """The entries; {} where the file is absent or damaged, for then all is made again."""
    try:
        found = json.loads(read_bytes(study / "made.json"))
    except (FileNotFoundError, ValueError):
        return {}
    return {name: entry for name, entry in found.items() if isinstance(entry, list) and entry}
