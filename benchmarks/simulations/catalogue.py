"""Every simulated interval and test, and the designs in which each is simulated."""

from typing import Final

from simulations.classifiers import CLASSIFIERS
from simulations.designs import CLUSTERED, EXTREME, INDEPENDENT, Design
from simulations.estimates import ESTIMATES, Sampler
from simulations.hypotheses import CLUSTERED_TESTS, INDEPENDENT_TESTS, Tester

INTERVALS: Final[dict[str, Sampler]] = ESTIMATES | CLASSIFIERS
TESTS: Final[dict[str, Tester]] = CLUSTERED_TESTS | INDEPENDENT_TESTS
#: What is promised, and 10 rows.
PROMISED: Final = (*INDEPENDENT, *CLUSTERED)
DESIGNS: Final = (*PROMISED, *EXTREME)


def designs_of(name: str) -> tuple[Design, ...]:
    """The designs in which a quantity is simulated; slow ones are left out where nothing is promised."""
    if name in INDEPENDENT_TESTS:
        return INDEPENDENT[:2] if name.endswith("of two groups") else INDEPENDENT
    if name == "difference of shares within documents":
        return (*CLUSTERED, *EXTREME)
    return PROMISED if name == "average precision" else DESIGNS
