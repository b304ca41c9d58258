"""What an analysis declares beside its function."""

from collections.abc import Callable
from dataclasses import dataclass

from mematlas.analyses.tables import Tables
from mematlas.findings import Finding, Granularity, Retrievability, Taxonomy, Trend


@dataclass(frozen=True, slots=True)
class Analysis:
    """A perspective.

    name: as on the command line; source: paper and section; trends: names in `mematlas.published.TRENDS` on which each
    of its findings says a word; needs: what a study must hold, in words; answer: the pure function.
    """

    name: str
    title: str
    source: str
    needs: str
    answer: Callable[[Tables], Finding]
    trends: tuple[str, ...] = ()
    granularity: Granularity = "verbatim"
    retrievability: Retrievability = "k-discoverable"

    def taxonomy(self, tables: Tables) -> Taxonomy:
        return Taxonomy(self.granularity, self.retrievability, tables.contexts)

    def lacking(self, tables: Tables, question: str, what: str, remedy: str) -> Finding:
        """The finding that says what cannot be said: `question` as a clause ("whether memorization grows with size"),
        `what` the study lacks, and the `remedy` as a sentence."""
        return Finding(
            self.name,
            self.title,
            f"{question[0].upper()}{question[1:]} cannot be said: the study lacks {what}.",
            self.source,
            self.taxonomy(tables),
            missing=remedy,
            trends=tuple(Trend(name, "cannot tell", f"the study lacks {what}") for name in self.trends),
        )
