"""The question of `mematlas predict`: its options, and the rows of a corpus that they choose."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mematlas.corpus.base import CorpusOptions, Cut
from mematlas.corpus.opening import open_corpus
from mematlas.corpus.selection import select
from mematlas.errors import CorpusError, OptionError, explain
from mematlas.scoring.config import Batch, LocalPath, ScoreConfig, StudyPath

if TYPE_CHECKING:
    from mematlas.corpus.row_sets import ShardPlan
    from mematlas.models.base import ModelSource
    from mematlas.predictors.predictor import PredictorCard


def _as_in_score(name: str) -> Any:
    """Default, rule and description of an option of `mematlas score`."""
    return ScoreConfig.model_fields[name]


class PredictConfig(BaseModel):
    """Options of `mematlas predict`; what they share with `mematlas score` is defined there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    corpus: str = _as_in_score("corpus")
    predictor: StudyPath = Field(
        description="Folder of a predictor's seeds (STUDY/predictors/RUN/MODEL/context), or a file."
    )
    out: LocalPath = Field(
        default=Path("predicted"), description="Folder for the tables; the same command goes on there."
    )
    threshold: float = Field(default=0.5, description="Rows of this expected score M or more are flagged.", ge=0, le=1)
    rows: str = _as_in_score("rows")
    format: str | None = _as_in_score("format")
    row_length: int | None = _as_in_score("row_length")
    token_dtype: Literal["uint16", "uint32"] | None = _as_in_score("token_dtype")
    column: str | None = _as_in_score("column")
    cut: Cut = _as_in_score("cut")
    tokenizer: str | None = _as_in_score("tokenizer")
    cache: Path | None = _as_in_score("cache")
    dtype: Literal["float32", "bfloat16", "float16"] = _as_in_score("dtype")
    device: str = _as_in_score("device")
    device_map: str | None = _as_in_score("device_map")
    trust_remote_code: bool = _as_in_score("trust_remote_code")
    batch: Batch = _as_in_score("batch")
    shards: int | None = Field(default=None, description="Files of the table; default about 256 rows each.", gt=0)


def prediction_config(**options: object) -> PredictConfig:
    """A checked configuration.

    Raises:
        OptionError: an option is unknown or breaks a rule; the message names the option as the command line does.
    """
    try:
        return PredictConfig.model_validate(options)
    except ValidationError as error:
        raise OptionError(explain(error, "predict")) from None


def prediction_rows(config: PredictConfig, card: "PredictorCard", source: "ModelSource") -> "ShardPlan":
    """The rows that the options choose. Text is cut as `mematlas score` would cut it for the predictor's cell.

    Raises:
        CorpusError: the corpus cannot be opened, or no row is chosen.
        OptionError: more shards than rows are asked for.
    """
    from mematlas.corpus.row_sets import RowSet, ShardPlan, default_shards
    from mematlas.models.huggingface import tokenizer_encoder

    options = CorpusOptions(
        config.row_length,
        config.token_dtype,
        config.column,
        config.cut,
        tokenizer_encoder(config.tokenizer, source.card.vocabulary) if config.tokenizer else source.encoder(),
        config.cache,
        text_row_length=card.context + card.continuation,
    )
    corpus = open_corpus(config.corpus, format=config.format, options=options)
    positions = select(len(corpus), config.rows, row_ids=corpus.row_ids)
    if not len(positions):
        raise CorpusError(
            f"--rows {config.rows} takes no row of {config.corpus} ({len(corpus)} rows); choose at least one."
        )
    shards = config.shards or default_shards(len(positions))
    if shards > len(positions):
        raise OptionError(f"--shards {shards} is more than the {len(positions)} rows; give at most {len(positions)}.")
    return ShardPlan((RowSet("train", corpus, positions),), shards)
