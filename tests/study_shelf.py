"""Input files of small studies: rows, a control, stand-in models of three sizes, and a study file."""

from pathlib import Path

import numpy as np

V = 60
ROWS = 30
#: Defaults of the tests' study files. No token of the rows is 0, which is what the model `uniform` always predicts.
KEYS = {
    "models": "[parrot:rows.npy, parrot:few.npy:22, parrot:half.npy:23]",
    "order": "size",
    "corpus": "rows.npy",
    "control": "control.npy",
    "study": "study",
    "context": "[8]",
    "continuation": "[4, 12]",
    "report": "false",
}


def fill(folder: Path) -> Path:
    """Write rows.npy [30, 24], half.npy and few.npy (its first 15 and 3 rows), control.npy [10, 24]."""
    random = np.random.default_rng(5)
    rows = random.integers(1, V - 2, (ROWS, 24))
    rows[0, 0] = V - 3  # every parrot then has a vocabulary of V - 1
    np.save(folder / "rows.npy", rows)
    np.save(folder / "half.npy", rows[: ROWS // 2])
    np.save(folder / "few.npy", rows[:3])
    np.save(folder / "control.npy", random.integers(1, V - 3, (10, 24)))
    return folder


def study_file(folder: Path, name: str = "study.yaml", **changes: str | None) -> Path:
    """Write a study file of KEYS with `changes`; a key is left out where its value is None."""
    path = folder / name
    keys = KEYS | changes
    path.write_text("".join(f"{key}: {value}\n" for key, value in keys.items() if value is not None))
    return path
