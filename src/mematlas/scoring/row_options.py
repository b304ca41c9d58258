"""What commands on some rows of one corpus share with `mematlas score`: options, and how rows are selected."""

from pathlib import Path
from typing import Any, Literal, Protocol, TypedDict

from pydantic import BaseModel, ConfigDict

from mematlas.corpus.base import Corpus, CorpusOptions, Cut
from mematlas.corpus.opening import open_corpus
from mematlas.corpus.selection import Positions, select
from mematlas.errors import CorpusError
from mematlas.models.base import Dtype, ModelSource
from mematlas.models.huggingface import tokenizer_encoder
from mematlas.scoring.config import Device, Name, ScoreConfig
from mematlas.types import Encoder


def score_field(name: str) -> Any:
    """Default, rule and description of an option of `mematlas score`."""
    return ScoreConfig.model_fields[name]


class ReadingOptions(BaseModel):
    """How a corpus is read and a model is loaded, by commands on some of its rows.

    A base class: of several, pydantic puts the fields of the last first, so that a command's own options lead.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: str | None = score_field("format")
    row_length: int | None = score_field("row_length")
    token_dtype: Literal["uint16", "uint32"] | None = score_field("token_dtype")
    column: str | None = score_field("column")
    cut: Cut = score_field("cut")
    tokenizer: Name | None = score_field("tokenizer")
    cache: Path | None = score_field("cache")
    dtype: Dtype = score_field("dtype")
    device: Device = score_field("device")
    device_map: str | None = score_field("device_map")
    trust_remote_code: bool = score_field("trust_remote_code")


class ReadingKeywords(TypedDict, total=False):
    """The same as keywords of Python functions."""

    format: str | None
    row_length: int | None
    token_dtype: Literal["uint16", "uint32"] | None
    column: str | None
    cut: Cut
    tokenizer: str | Path | None
    cache: str | Path | None
    dtype: Dtype
    device: str
    device_map: str | None
    trust_remote_code: bool


class RowOptions(Protocol):
    """The options that say which rows are read, and how."""

    @property
    def corpus(self) -> str: ...
    @property
    def rows(self) -> str: ...
    @property
    def format(self) -> str | None: ...
    @property
    def row_length(self) -> int | None: ...
    @property
    def token_dtype(self) -> Literal["uint16", "uint32"] | None: ...
    @property
    def column(self) -> str | None: ...
    @property
    def cut(self) -> Cut: ...
    @property
    def tokenizer(self) -> str | None: ...
    @property
    def cache(self) -> Path | None: ...


def select_rows(
    options: RowOptions, source: ModelSource, context: int, continuation: int
) -> tuple[Corpus, Positions, Encoder | None]:
    """The opened corpus, the positions of the selected rows, and the tokenizer; text is cut as `mematlas score` would
    for rows of `context` + `continuation` tokens.

    Raises:
        CorpusError: the corpus cannot be opened, or no row is selected.
    """
    vocabulary = source.card.vocabulary
    encoder = tokenizer_encoder(options.tokenizer, vocabulary) if options.tokenizer else source.encoder()
    corpus_options = CorpusOptions(
        options.row_length,
        options.token_dtype,
        options.column,
        options.cut,
        encoder,
        options.cache,
        text_row_length=context + continuation,
        context=context,
    )
    corpus = open_corpus(options.corpus, format=options.format, options=corpus_options)
    positions = select(len(corpus), options.rows, row_ids=corpus.row_ids)
    if not len(positions):
        raise CorpusError(
            f"--rows {options.rows} selects no row of {options.corpus} ({len(corpus)} rows); select at least one."
        )
    return corpus, positions, encoder
