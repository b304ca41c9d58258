"""What the looks of an audit share: the models and texts that they examine, and the form of their results."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final, Literal

import polars as pl

from mematlas.analyses.extraction.membership.row_scores import membership_rows_of
from mematlas.analyses.frames.study_tables import Tables, read_tables
from mematlas.auditing.config import AuditConfig
from mematlas.auditing.control import ControlCheck, check_control
from mematlas.errors import ModelError
from mematlas.models.base import LoadOptions, Model, ModelSource
from mematlas.progress import Progress, Silent
from mematlas.stats.estimates.mean_scores import mean_score_of_rows
from mematlas.study import Study
from mematlas.types import Encoder

#: What a look has shown if chance does not explain it.
Severity = Literal["recites", "membership"]
Document = tuple[str, str]
COPIED: Final = 0.5
"""Share of a text's pieces of 13 tokens that make it a copy of another (our choice): tickets and mails of one form have
set sentences in common, and are still independent texts."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A number beside its comparison: name, of whom (model, base, control ...), value, 95 % interval, n and unit."""

    name: str
    of: str
    value: float | None
    lower: float | None = None
    upper: float | None = None
    n: int | None = None
    unit: str = "documents"
    share: bool = True


@dataclass(frozen=True, slots=True)
class Example:
    """A text that leaked: where it is from, the prompt, and the text with the spans (start, stop) that are copied."""

    source: str
    prompt: str
    text: str
    spans: tuple[tuple[int, int], ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """The result of one look.

    p: of nothing having leaked, None where it cannot be judged, with the reason; severity: what a small p shows; share:
    for `--fail-on`; power: smallest share of documents that would have been found with 95 %, None if unknown.
    """

    name: str
    title: str
    sentence: str
    p: float | None
    severity: Severity
    reason: str = ""
    measures: tuple[Measure, ...] = ()
    examples: tuple[Example, ...] = ()
    caveats: tuple[str, ...] = ()
    share: float | None = None
    power: float | None = None
    table: pl.DataFrame | None = None


@dataclass
class Material:
    """What is examined. documents, control_documents: (name, text)."""

    config: AuditConfig
    study: Study
    model: ModelSource
    base: ModelSource | None
    encoder: Encoder
    documents: list[Document]
    control_documents: list[Document]
    progress: Progress = field(default_factory=Silent)
    _loaded: tuple[str, Model] | None = None

    @cached_property
    def tables(self) -> Tables:
        """The study's tables; texts count as copies of each other if COPIED of the shorter stands in the other."""
        return replace(read_tables(self.study), shared=COPIED)

    @cached_property
    def rows(self) -> pl.DataFrame:
        """The scored rows of the model with their scores of membership; see `membership_rows`."""
        return membership_rows_of(self.tables).filter(model=self.model_label)

    @cached_property
    def control_check(self) -> ControlCheck:
        """Whether the control can be compared with; three looks ask, and it is computed once."""
        return check_control(self.rows)

    def load(self, source: ModelSource) -> Model:
        """The loaded model; only one is in memory at a time."""
        if self._loaded is None or self._loaded[0] != source.card.fingerprint:
            self._loaded = None
            options = LoadOptions(device=self.config.device, dtype=self.config.dtype)
            self._loaded = source.card.fingerprint, source.load(options)
        return self._loaded[1]

    def decode(self, windows: list[list[int]]) -> list[str]:
        """The text of each list of tokens."""
        if self.encoder.decode_windows is None:
            raise ModelError(f"The tokenizer of {self.model.card.spec} cannot turn tokens into text.")
        return self.encoder.decode_windows(windows)

    @property
    def model_label(self) -> str:
        """The audited model's name in the study."""
        return self.model.card.label

    @property
    def base_label(self) -> str | None:
        """The base model's name in the study."""
        return None if self.base is None else self.base.card.label


def mean_M(scores: pl.Series, of: str, clusters: pl.Series | None = None, unit: str = "documents") -> Measure:  # noqa: N802
    """The mean M of rows with its interval, over clusters where rows come in these."""
    mean = mean_score_of_rows(scores.to_numpy(), None if clusters is None else clusters.to_numpy())
    return Measure("tokens right (M)", of, mean.estimate, mean.lower, mean.upper, mean.clusters, unit)


def could_not_be_judged(name: str, title: str, reason: str) -> Look:
    """The look that could not be taken, with the reason in a sentence."""
    return Look(name, title, f"Not judged: {reason}", None, "membership", reason=reason)
