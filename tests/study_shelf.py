"""A small shelf for whole studies: rows, a control, stand-ins of three sizes, and a study file beside them."""

from pathlib import Path

import numpy as np

V = 60
ROWS = 30
#: What the tests' study files say, unless they say otherwise; no token of the rows is 0, which is what uniform says.
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
    """rows.npy [30, 24], half.npy and few.npy (the first 15 and 3 of them), control.npy [10, 24]."""
    random = np.random.default_rng(5)
    rows = random.integers(1, V - 2, (ROWS, 24))
    rows[0, 0] = V - 3  # every parrot then has a vocabulary of V - 1
    np.save(folder / "rows.npy", rows)
    np.save(folder / "half.npy", rows[: ROWS // 2])
    np.save(folder / "few.npy", rows[:3])
    np.save(folder / "control.npy", random.integers(1, V - 3, (10, 24)))
    return folder


def study_file(folder: Path, name: str = "study.yaml", **changed: str | None) -> Path:
    """A study file of KEYS with some of them changed, or left out where None."""
    path = folder / name
    keys = KEYS | changed
    path.write_text("".join(f"{key}: {value}\n" for key, value in keys.items() if value is not None))
    return path
