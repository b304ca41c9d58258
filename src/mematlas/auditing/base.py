"""What the looks of an audit share: the models and texts that they examine, and the form of their results."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import polars as pl

from mematlas.analyses.extraction.membership.row_scores import membership_rows
from mematlas.auditing.config import AuditConfig
from mematlas.auditing.control import ControlCheck, check_control
from mematlas.errors import ModelError
from mematlas.models.base import LoadOptions, Model, ModelSource
from mematlas.progress import Progress, Silent
from mematlas.study import Study
from mematlas.types import Encoder

#: What a look has shown if chance does not explain it.
Severity = Literal["recites", "membership"]
Document = tuple[str, str]


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
    def rows(self) -> pl.DataFrame:
        """The scored rows of the model with their scores of membership; see `membership_rows`."""
        return membership_rows(self.study).filter(model=self.model_label)

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


def could_not_be_judged(name: str, title: str, reason: str) -> Look:
    """The look that could not be taken, with the reason in a sentence."""
    return Look(name, title, f"Not judged: {reason}", None, "membership", reason=reason)
