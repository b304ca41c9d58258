"""What an analysis declares beside its function."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from mematlas.analyses.frames.study_tables import Tables
from mematlas.findings.finding import Finding, Granularity, Retrievability, Taxonomy, Trend


@dataclass(frozen=True, slots=True)
class Analysis:
    """A perspective.

    name: as on the command line; source: paper and section; trends: names in `mematlas.literature.published.TRENDS`
    on which each of its findings says a word; needs: what a study must hold, in words; answer: the pure function.
    """

    name: str
    title: str
    source: str
    needs: str
    answer: Callable[[Tables], Finding]
    trends: tuple[str, ...] = ()
    granularity: Granularity = "verbatim"
    retrievability: Retrievability = "k-discoverable"

    def find(self, tables: Tables) -> Finding:
        """`answer`, held back where the family's tokenizers differ: the same ids may then stand for other texts, so
        that models are not compared on the same rows. The numbers stay, no trend is decided, no claim is picked."""
        finding = self.answer(tables)
        if len(tables.tokenizers) < 2:
            return finding
        why = f"the models have {len(tables.tokenizers)} different tokenizers"
        caveat = (
            f"{why[0].upper()}{why[1:]}: what is said across models holds only if they give these ids the same text."
        )
        return replace(
            finding,
            strength=None,
            caveats=(caveat, *finding.caveats),
            trends=tuple(Trend(trend.trend, "cannot tell", f"{why}; {trend.test}") for trend in finding.trends),
        )

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

    def lacking_rows(self, tables: Tables, question: str) -> Finding:
        """The finding about a study that holds no scores, or those of recited rows alone."""
        remedy = "Score rows of a corpus, recited or not: `mematlas score MODEL ... --corpus PATH --study FOLDER`."
        return self.lacking(tables, question, "scores of all rows of a selection", remedy)

    def lacking_counts(self, tables: Tables, question: str) -> Finding:
        """The finding about a study without row features."""
        return self.lacking(
            tables, question, "row features (corpus counts of its tokens)", "Make them: `mematlas features STUDY`."
        )
