"""Size, training step and training data of Pythia models, from their names.

Numbers of weights, embeddings included: table of the EleutherAI/pythia README (published; each agrees with the
architecture: 18,915,328 + 2 * 50,304 * 512 = 70,426,624 for 70m, and so on).
"""

import re
from typing import Final

PARAMETERS: Final = {
    "70m": 70_426_624,
    "160m": 162_322_944,
    "410m": 405_334_016,
    "1b": 1_011_781_632,
    "1.4b": 1_414_647_808,
    "2.8b": 2_775_208_960,
    "6.9b": 6_857_302_016,
    "12b": 11_846_072_320,
}
LAST_STEP: Final = 143_000

_SIZES = "|".join(re.escape(size) for size in PARAMETERS)
_SIZE = re.compile(rf"(?<!\d)(?<!\d\.)({_SIZES})(?![a-z0-9])", re.IGNORECASE)
_STEP = re.compile(r"(?:\.|step)(\d{1,6})$")
#: A split of pythia-memorized-evals: deduped.12b, duped.12b.23000, deduped.1b.new.
SPLIT: Final = re.compile(rf"(?:de)?duped\.(?:{_SIZES})(?:\.\w+)?")


def parameters(label: str) -> int | None:
    """Number of weights of the model that `label` names (deduped.12b, pythia-1.4b-deduped, 70M); None for others."""
    match = _SIZE.search(label)
    return PARAMETERS[match[1].lower()] if match else None


def training_step(label: str) -> int | None:
    """The step in `label` (deduped.12b.103000), the last one (143000) if it names none; None for other models."""
    if parameters(label) is None:
        return None
    match = _STEP.search(label)
    return int(match[1]) if match else LAST_STEP


def training_data(path: str) -> str | None:
    """The last "deduped" or "duped" in `path`; None if it contains neither."""
    names = re.findall(r"(?:de)?duped", path)
    return names[-1] if names else None
