"""Build stamps: what each result in a study was computed from. It is computed again only if that has changed.

STUDY/made.json: name -> [fingerprint of the source, time]. An entry is written after the result itself. Two commands on
one study that write at the same moment may lose an entry, or restore an older one: the result is then computed again,
or is still what its fingerprint says.
"""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from mematlas.io.local_copies import read_bytes
from mematlas.io.paths import write_json
from mematlas.study import Run, fingerprint
from mematlas.version import __version__

#: The names in made.json of the tables of exposures and of measurements in training, which belong to all runs.
EXPOSURES_NAME: Final = "exposures"
PROBES_NAME: Final = "probes"


def run_fingerprint(study: Path, run: Run) -> str:
    """A fingerprint of a run: models in their order, features, predictions, exposures, probes, and this version."""
    controls = run.settings.get("control_models", [])
    stamps = _read_stamps(study)
    names = (
        features_name(run),
        tags_name(run),
        near_name(run),
        occurrences_name(run),
        predictions_name(run),
        EXPOSURES_NAME,
        PROBES_NAME,
    )
    features = [stamps[name] for name in names if name in stamps]
    return fingerprint([run.key, list(run.models.items()), controls, __version__, *features])


def features_name(run: Run) -> str:
    """The name in made.json of a run's row features."""
    return f"features/{run.key}"


def tags_name(run: Run) -> str:
    """The name in made.json of the parts of speech of a run's rows."""
    return f"features/{run.key}/tags"


def near_name(run: Run) -> str:
    """The name in made.json of the near-copies among a run's rows."""
    return f"features/{run.key}/near"


def occurrences_name(run: Run) -> str:
    """The name in made.json of the table of other occurrences, which depends on the scores, too."""
    return f"features/{run.key}/places"


def predictions_name(run: Run) -> str:
    """The name in made.json of the predictions on a run's rows."""
    return f"predictions/{run.key}"


def is_current(study: Path, name: str, source: str) -> bool:
    """Whether `name` was last computed from inputs with the fingerprint `source`."""
    return _read_stamps(study).get(name, [None])[0] == source


def record(study: Path, name: str, source: str) -> None:
    """Record that `name` was computed now, from inputs with the fingerprint `source`."""
    write_json(study / "made.json", _read_stamps(study) | {name: [source, time.time_ns()]})


def forget(study: Path, name: str) -> None:
    """Remove the stamp of `name`, which no longer exists."""
    stamps = _read_stamps(study)
    if stamps.pop(name, None) is not None:
        write_json(study / "made.json", stamps)


def combined_fingerprint(study: Path, names: Iterable[str]) -> str:
    """A fingerprint of what the results with these names were computed from, and when."""
    stamps = _read_stamps(study)
    return fingerprint([__version__, *(stamps.get(name) for name in names)])


def _read_stamps(study: Path) -> dict[str, list[object]]:
    """Name -> stamp; {} if the file is absent or damaged: everything is computed again then."""
    try:
        content = json.loads(read_bytes(study / "made.json"))
    except (FileNotFoundError, ValueError):
        return {}
    return {name: stamp for name, stamp in content.items() if isinstance(stamp, list) and stamp}
