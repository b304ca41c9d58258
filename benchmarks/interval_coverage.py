"""Coverage of every kind of printed interval, and how often tests and verdicts speak without an effect, by simulation.

    python benchmarks/interval_coverage.py [--studies 1000] [--seed 0] [--only TEXT] [--log results.json]
    python benchmarks/interval_coverage.py --picture docs/pictures/certainty-intervals.svg

A sample of a known truth is drawn again and again; the tables of what is drawn are in benchmarks/simulations. Wanted:
intervals contain the true value in 93 to 97 % of studies of 48 or more independent rows and in 92 to 97 % of studies
whose rows come in documents; verdicts, and p < 0.05, without an effect in at most 6 %. Figures outside are bold. A
figure is out of the studies in which an interval or a test is given; how many have none is said beside it.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic

import numpy as np
import polars as pl
from simulations.catalogue import DESIGNS, INTERVALS, PROMISED, TESTS, designs_of
from simulations.designs import EXTREME, INDEPENDENT, Design
from simulations.studies import simulated_study, verdicts

from mematlas.stats.estimates.clustered import ClusteredShares, cluster_sums, clustered_shares
from mematlas.stats.estimates.intervals import wilson

INTERVAL, TEST = "interval", "test"


@dataclass(frozen=True, slots=True)
class Cell:
    """Of `studies` studies of a design, how many gave an interval or a p, and in what share of these the interval
    contained the truth (kind interval) or the test spoke (kind test); None where none gave any."""

    kind: str
    name: str
    design: str
    studies: int
    given: int
    share: float | None

    def outside(self, design: Design) -> bool:
        """Whether the share is not as wanted; nothing is promised for 10 rows, nor for nearly equal rows."""
        if self.share is None or design == INDEPENDENT[0] or design in EXTREME:
            return False
        if self.kind == TEST:
            return self.share > 0.06
        return not (0.92 if design.clustered else 0.93) <= self.share <= 0.97

    def text(self, design: Design) -> str:
        if self.share is None:
            return "none"
        missing = 1 - self.given / self.studies
        text = f"{100 * self.share:.1f}" + (f" ({100 * missing:.0f} % none)" if missing >= 0.005 else "")
        return f"**{text}**" if self.outside(design) else text


def cells(studies: int, seed: int, only: str) -> Iterator[Cell]:
    """Every quantity in every design, in the order of the tables."""
    for name, sampler in INTERVALS.items():
        for design in designs_of(name) if only in name else ():
            lower, upper, truth = sampler(np.random.default_rng(seed), design, studies)
            hits = ((lower <= truth) & (truth <= upper))[np.isfinite(lower)]
            yield _cell(INTERVAL, name, design, studies, hits)
    for name, tester in TESTS.items():
        for design in designs_of(name) if only in name else ():
            p = tester(np.random.default_rng(seed), design, studies)
            yield _cell(TEST, name, design, studies, p[np.isfinite(p)] < 0.05)
    if only in "verdicts":
        yield from _verdict_cells(studies, seed)


def _verdict_cells(studies: int, seed: int) -> Iterator[Cell]:
    for design in PROMISED[1:]:
        random, results = np.random.default_rng(seed), dict[str, list[bool]]()
        for _ in range(studies):
            for name, speaks in verdicts(simulated_study(random, design)).items():
                results.setdefault(name, []).extend([] if speaks is None else [speaks])
        for name, spoken in results.items():
            yield _cell(TEST, name, design, studies, np.array(spoken))


def _cell(kind: str, name: str, design: Design, studies: int, hits: np.ndarray) -> Cell:
    share = float(hits.mean()) if len(hits) else None
    return Cell(kind, name, str(design), studies, len(hits), share)


def markdown(found: Sequence[Cell], kind: str) -> str:
    """The table of one kind: a line for each quantity, a column for each design."""
    by_place = {(cell.name, cell.design): cell for cell in found if cell.kind == kind}
    title = (
        "interval: contains the true value, %" if kind == INTERVAL else "test or verdict: speaks without an effect, %"
    )
    lines = [f"| {title} | " + " | ".join(map(str, DESIGNS)) + " |", "|---|" + "--:|" * len(DESIGNS)]
    for name in dict.fromkeys(name for name, _ in by_place):
        texts = [
            by_place[name, str(design)].text(design) if (name, str(design)) in by_place else "" for design in DESIGNS
        ]
        lines.append(f"| {name} | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def draw_picture(path: Path) -> None:
    """The intervals of 30 studies of 40 documents x 10 rows, by rows and by documents, beside the true share."""
    import altair as alt
    import vl_convert

    random, records = np.random.default_rng(5), []
    for study in range(1, 31):
        hits = random.binomial(10, random.beta(0.3 * 7 / 3, 0.7 * 7 / 3, 40))  # intra-document correlation 0.3
        rows, documents = wilson(int(hits.sum()), 400), clustered_shares(cluster_sums(hits, np.full(40, 10)))
        bounds = (("rows as independent", rows.lower, rows.upper), ("documents as the unit", *_bounds(documents)))
        for unit, lower, upper in bounds:
            result = "contains" if lower <= 0.3 <= upper else "misses"
            interval = {"share": hits.sum() / 400, "lower": lower, "upper": upper}
            records.append({"study": study, "unit": unit, **interval, "interval": result})
    color = alt.Color("interval:N", title="interval and true share").scale(
        domain=["contains", "misses"], range=["#7a8794", "#c8452e"]
    )
    base = alt.Chart(pl.DataFrame(records))
    share = alt.X("lower:Q", title="share of rows recited", axis=alt.Axis(format="%"))
    study_axis = alt.Y("study:O", title="simulated study", axis=alt.Axis(labels=False, ticks=False))
    chart = alt.layer(
        base.mark_rule(strokeWidth=2).encode(x=share, x2="upper:Q", y=study_axis, color=color),
        base.mark_point(filled=True, size=18).encode(x="share:Q", y="study:O", color=color),
        base.mark_rule(strokeDash=[4, 3], color="#1f2a33").encode(x=alt.datum(0.3)),
    ).properties(width=270, height=300)
    units = alt.Column("unit:N", title=None, sort=["rows as independent", "documents as the unit"])
    facets = chart.facet(column=units).configure(font="DejaVu Sans").configure_legend(orient="bottom")
    path.write_text(vl_convert.vegalite_to_svg(facets.to_dict()))


def _bounds(shares: ClusteredShares) -> tuple[float, float]:
    return float(shares.lower[0]), float(shares.upper[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", metavar="TEXT", help="only quantities whose name contains this")
    parser.add_argument("--log", type=Path, metavar="FILE", help="also write all figures to this JSON file")
    parser.add_argument("--picture", type=Path, help="only draw the picture of docs/certainty.md into this file")
    options = parser.parse_args()
    if options.picture:
        draw_picture(options.picture)
        return
    start, found = monotonic(), []
    for cell in cells(options.studies, options.seed, options.only):
        found.append(cell)
        share = "none" if cell.share is None else f"{100 * cell.share:5.1f} %"
        print(f"{monotonic() - start:6.0f} s  {cell.name:52} {cell.design:18} {share}", flush=True)
    print("\n" + "\n\n".join(markdown(found, kind) for kind in (INTERVAL, TEST)))
    if options.log:
        options.log.write_text(json.dumps([asdict(cell) for cell in found], indent=1))


if __name__ == "__main__":
    main()
