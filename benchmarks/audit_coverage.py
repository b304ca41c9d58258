"""How often the intervals that an audit prints hold the true value: `python benchmarks/audit_coverage.py`.

Documents of 20 rows each, whose rows depend on each other strongly: the normal variables behind two rows of a document
correlate with .5 (or as --correlations says). Each of 1,000 simulated audits draws its documents anew and prints its
intervals with the audit's own functions: the share of rows recited whole and the mean M of model, base and control, and
the AUROC of membership. The true values are known from one draw of 2 million documents' rows. Wanted: 93 to 97 %.

Takes about 10 minutes of processor time on one core.
"""

import argparse
from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from scipy.special import ndtr

from mematlas.auditing.base import Measure
from mematlas.auditing.recitation import recitation_measures
from mematlas.stats.classification.discrimination import roc_auc

ROWS, LENGTH = 20, 32
SHIFTS = {"model": 0.9, "base": -0.4, "control": -0.1}
"""How far the ease of a row, a standard normal variable, is moved: a row is recited whole above 1.5."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--documents", type=int, nargs="+", default=[40, 150])
    parser.add_argument("--correlations", type=float, nargs="+", default=[0.3, 0.5, 0.9])
    options = parser.parse_args()
    truth = {
        measure.name + ", " + measure.of: measure.value for measure in audit(np.random.default_rng(1), 100_000, 0.0)
    }
    print(
        "| measure | " + " | ".join(f"{n} x 20, {c:g}" for n in options.documents for c in options.correlations) + " |"
    )
    shares = [
        list(coverage(truth, options.studies, documents, correlation))
        for documents in options.documents
        for correlation in options.correlations
    ]
    for number, name in enumerate(truth):
        print(f"| {name} | " + " | ".join(shares_of_design[number] for shares_of_design in shares) + " |")


def coverage(truth: dict[str, float | None], studies: int, documents: int, correlation: float) -> Iterator[str]:
    """Of each measure the share of audits whose interval holds the truth, and the share that print none."""
    random, hits, given = np.random.default_rng(0), dict.fromkeys(truth, 0), dict.fromkeys(truth, 0)
    for _ in range(studies):
        for measure in audit(random, documents, correlation):
            name = f"{measure.name}, {measure.of}"
            if measure.lower is not None and measure.upper is not None:
                given[name] += 1
                hits[name] += measure.lower <= (truth[name] or 0.0) <= measure.upper
    for name in truth:
        none = f" ({100 - 100 * given[name] / studies:.1f} % none)" if given[name] < studies else ""
        share = 100 * hits[name] / max(1, given[name])
        yield (f"{share:.1f}" if 93 <= share <= 97 else f"**{share:.1f}**") + none


def audit(random: np.random.Generator, documents: int, correlation: float) -> Sequence[Measure]:
    """The measures of one audit, with their intervals."""
    train = {of: _ease(random, documents, correlation) + SHIFTS[of] for of in ("model", "base")}
    control = {of: _ease(random, documents, correlation) + SHIFTS["control"] for of in ("model", "base")}
    frame = pl.concat([_rows(train, member=True, first=0), _rows(control, member=False, first=documents)])
    gain = (frame["ease"] - frame["base_ease"]).to_numpy()
    area = roc_auc(gain, frame["member"].to_numpy(), frame["cluster"].to_numpy())
    return [
        *recitation_measures(frame, "model", "base"),
        Measure("AUROC", "model", area.estimate, area.lower, area.upper),
    ]


def _ease(random: np.random.Generator, documents: int, correlation: float) -> np.ndarray:
    """How easily each row is recited, shape (documents * 20,)."""
    shared = np.repeat(random.normal(size=documents), ROWS)
    return np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * random.normal(size=documents * ROWS)


def _rows(ease: dict[str, np.ndarray], *, member: bool, first: int) -> pl.DataFrame:
    """What `recited_rows` gives: M is the share of 32 tokens right."""
    right = {
        of: np.minimum(LENGTH, np.floor((LENGTH + 1) * ndtr(values - 1.5 + ndtr(0)))) for of, values in ease.items()
    }
    return pl.DataFrame(
        {
            "cluster": first + np.repeat(np.arange(len(ease["model"]) // ROWS), ROWS),
            "member": np.full(len(ease["model"]), member),
            "ease": ease["model"],
            "base_ease": ease["base"],
            "M": right["model"] / LENGTH,
            "recited": ease["model"] > 1.5,
            "base_M": right["base"] / LENGTH,
            "base_recited": ease["base"] > 1.5,
            "sampled": ease["model"] > 1.2,
            "base_sampled": ease["base"] > 1.2,
        }
    )


if __name__ == "__main__":
    main()
