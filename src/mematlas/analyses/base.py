"""The plug-in interface of an analysis: its metadata and the function that computes its finding."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Final

from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.phrasing import capitalized
from mematlas.findings.finding import Finding, Granularity, Retrievability, Taxonomy, Trend
from mematlas.study.clusters import PIECE_TOKENS

Compute = Callable[[Tables], Finding]

#: Remedies of several analyses; each, as every other one, names a command that was tried.
LONGER_ROWS: Final = (
    "Score rows that are long enough, or shorter lengths: `mematlas score ... --context 16 --continuation 16`."
)
MORE_RECITED_ROWS: Final = (
    "Score larger models, rows that occur more often, or shorter continuations: `mematlas score ... --continuation 16`."
)

#: Analyses whose intervals of shares and tests take the cluster as their unit where rows come in clusters.
CLUSTERED: Final = frozenset(
    {
        "approximate",
        "bits",
        "boundary_input",
        "context",
        "continuation",
        "did",
        "distribution",
        "embedding",
        "entropy",
        "forecast",
        "frequency_strata",
        "inference",
        "overlap",
        "probability",
        "provenance",
        "repetition",
        "scaling",
        "size",
        "taxonomy",
        "transitions",
    }
)

#: Analyses that need no more than M of every row, so that they can be made of masked models, too.
OF_MASKED_MODELS: Final = frozenset({"distribution", "dynamics", "scaling", "size", "transitions"})
#: Analyses whose intervals and tests are over models, each trained on rows drawn at random, or over rows that were
#: divided at random: clusters do not matter.
RANDOMIZED: Final = frozenset({"counterfactual", "insertions"})


@dataclass(frozen=True, slots=True, init=False)
class Analysis:
    """One analysis of a study.

    name: as on the command line; source: paper and section; needs: what a study must contain, in words; compute: the
    pure function from tables to a finding; trends: names in `mematlas.literature.published.TRENDS`, each of which every
    finding of the analysis must report on.
    """

    name: str
    title: str
    source: str
    needs: str
    compute: Compute
    trends: tuple[str, ...] = ()
    granularity: Granularity = "verbatim"
    retrievability: Retrievability = "k-discoverable"

    def __init__(
        self,
        name: str,
        title: str,
        source: str,
        needs: str,
        compute: Compute | None = None,
        trends: tuple[str, ...] = (),
        granularity: Granularity = "verbatim",
        retrievability: Retrievability = "k-discoverable",
        *,
        answer: Compute | None = None,
    ) -> None:
        """`answer` is the former name of `compute`; if it is given, it takes precedence."""
        if answer is None and compute is None:
            raise TypeError(f"analysis {name!r}: `compute` is missing; pass the function from Tables to a Finding")
        values = (name, title, source, needs, answer or compute, trends, granularity, retrievability)
        for field, value in zip(fields(self), values, strict=True):
            object.__setattr__(self, field.name, value)

    @property
    def answer(self) -> Compute:
        """The former name of `compute`."""
        return self.compute

    def find(self, tables: Tables) -> Finding:
        """Compute the finding, and withhold its verdicts where the family's tokenizers differ.

        The same ids may then stand for different texts, so the models are not compared on the same rows: the numbers
        stay, but no trend is decided and the summary does not pick the claim. A caveat names models that read longer
        rows than they were trained for. Of masked models only what M alone says is computed, and no trend is decided.
        """
        if "masking" in tables.settings and self.name not in OF_MASKED_MODELS:
            return self._needs_causal_models(tables)
        finding = self._with_cluster_caveat(self.compute(tables), tables)
        if tables.beyond_trained_length:
            finding = replace(finding, caveats=(_length_caveat(tables.beyond_trained_length), *finding.caveats))
        if "masking" in tables.settings:
            finding = _of_masked_models(finding, tables)
        if len(tables.tokenizers) < 2:
            return finding
        reason = f"the models have {len(tables.tokenizers)} different tokenizers"
        caveat = (
            f"{reason[0].upper()}{reason[1:]}: what is said across models holds only if they give these ids the same "
            "text."
        )
        return _without_trends(replace(finding, strength=None, caveats=(caveat, *finding.caveats)), reason)

    def _needs_causal_models(self, tables: Tables) -> Finding:
        """The finding of a study of masked models, if the analysis is about recited text."""
        remedy = "Score causal models into another study: `mematlas score MODEL ... --corpus PATH --study FOLDER`."
        missing = "what causal models recite (its objective is masked)"
        return self.insufficient_data(tables, f"what {self.name!r} measures", missing, remedy)

    def _with_cluster_caveat(self, finding: Finding, tables: Tables) -> Finding:
        """State whether intervals allow for rows of one document, which are not independent."""
        if not finding.tables or self.name in RANDOMIZED or tables.clusters is None:
            return finding
        rows, clusters = tables.clusters.height, tables.clusters["cluster"].n_unique()
        documents = "1 document" if clusters == 1 else f"{clusters:,} documents"
        or_near = " or are near-copies" if "near" in tables.features else ""
        origin = f"the {rows:,} rows come from {documents} (joined where they share {PIECE_TOKENS} tokens{or_near})"
        if self.name in CLUSTERED:
            caveat = f"Intervals and tests allow for rows of one document: {origin}."
        else:
            caveat = f"Intervals and tests take rows as independent, but {origin}: the intervals are too narrow."
        return replace(finding, caveats=(*finding.caveats, caveat))

    def taxonomy(self, tables: Tables) -> Taxonomy:
        return Taxonomy(self.granularity, self.retrievability, tables.contexts)

    def insufficient_data(self, tables: Tables, question: str, missing: str, remedy: str) -> Finding:
        """The finding of a study that lacks the data for this analysis.

        Args:
            question: what cannot be answered, as a clause ("whether memorization grows with size").
            missing: what the study lacks.
            remedy: how to add it, as a sentence that names a command, or an option of `mematlas score`, in backticks.
        """
        return Finding(
            self.name,
            self.title,
            f"{question[0].upper()}{question[1:]} cannot be said: the study lacks {missing}.",
            self.source,
            self.taxonomy(tables),
            missing=remedy,
            trends=tuple(Trend(name, "cannot tell", f"the study lacks {missing}") for name in self.trends),
            headline=f"No data on this yet: {self.title[0].lower()}{self.title[1:]}",
            sentence=f"The study lacks {missing}.",
        )

    def lacking(self, tables: Tables, question: str, what: str, remedy: str) -> Finding:
        """The former name of `insufficient_data`."""
        return self.insufficient_data(tables, question, what, remedy)

    def without_scores(self, tables: Tables, question: str) -> Finding:
        """The finding of a study without scores, or with scores of recited rows only."""
        remedy = "Score rows of a corpus, recited or not: `mematlas score MODEL ... --corpus PATH --study FOLDER`."
        return self.insufficient_data(tables, question, "scores of all rows of a selection", remedy)

    def without_features(self, tables: Tables, question: str) -> Finding:
        """The finding of a study without row features."""
        return self.insufficient_data(
            tables, question, "row features (corpus counts of its tokens)", "Make them: `mematlas features STUDY`."
        )


def _without_trends(finding: Finding, reason: str) -> Finding:
    """The finding with its trends undecided."""
    trends = (Trend(trend.trend, "cannot tell", f"{reason}. {capitalized(trend.test)}") for trend in finding.trends)
    return replace(finding, trends=tuple(trends))


def _of_masked_models(finding: Finding, tables: Tables) -> Finding:
    """The finding with what M, and a recited row, mean of masked models; published trends are of causal ones."""
    masking, (asked,) = tables.settings["masking"], tables.continuations
    caveat = (
        f"Masked models: M is the share of {asked} hidden tokens of a row (of {masking['share']:.0%} of its positions "
        f"at a time, over {masking['masks']} masks) that a model names from the tokens on both sides. Where it says "
        "recited, all of them are named. It cannot be compared with M of causal models."
    )
    finding = replace(finding, caveats=(caveat, *finding.caveats))
    return _without_trends(finding, "the published trend is of causal models")


def _length_caveat(trained: Mapping[str, int]) -> str:
    """The caveat on models, with the length they were trained for, that read longer rows."""
    models = ", ".join(f"{model} ({length} tokens)" for model, length in trained.items())
    return (
        f"Rows are longer than these models were trained for: {models}. Their positions beyond are extrapolated (RoPE "
        "scaling), so that low scores there may come from the length."
    )
