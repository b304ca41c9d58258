"""The options of `mematlas predict`, and the rows of a corpus that they select."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mematlas.corpus.base import CorpusOptions, Cut
from mematlas.corpus.opening import open_corpus
from mematlas.corpus.selection import select
from mematlas.errors import CorpusError, OptionError, explain
from mematlas.models.huggingface import tokenizer_encoder
from mematlas.scoring.config import Batch, Device, LocalPath, Name, ScoreConfig, StudyPath

if TYPE_CHECKING:
    from mematlas.corpus.row_sets import ShardPlan
    from mematlas.models.base import ModelSource
    from mematlas.predictors.predictor import PredictorCard


def _score_field(name: str) -> Any:
    """Default, rule and description of an option of `mematlas score`."""
    return ScoreConfig.model_fields[name]


class PredictConfig(BaseModel):
    """Options of `mematlas predict`; those shared with `mematlas score` are defined there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    corpus: Name = _score_field("corpus")
    predictor: StudyPath = Field(
        description="Folder with a predictor's seeds (STUDY/predictors/RUN/MODEL/context), or the file of one seed."
    )
    out: LocalPath = Field(
        default=Path("predicted"), description="Folder for the tables; running the same command again continues there."
    )
    threshold: float = Field(
        default=0.5, description="Rows with an expected score M of at least this are flagged.", ge=0, le=1
    )
    rows: str = _score_field("rows")
    format: str | None = _score_field("format")
    row_length: int | None = _score_field("row_length")
    token_dtype: Literal["uint16", "uint32"] | None = _score_field("token_dtype")
    column: str | None = _score_field("column")
    cut: Cut = _score_field("cut")
    tokenizer: Name | None = _score_field("tokenizer")
    cache: Path | None = _score_field("cache")
    dtype: Literal["float32", "bfloat16", "float16"] = _score_field("dtype")
    device: Device = _score_field("device")
    device_map: str | None = _score_field("device_map")
    trust_remote_code: bool = _score_field("trust_remote_code")
    batch: Batch = _score_field("batch")
    shards: int | None = Field(
        default=None, description="Number of files of the table; by default about 256 rows each.", gt=0
    )


def prediction_config(**options: object) -> PredictConfig:
    """Validate a configuration.

    Raises:
        OptionError: an option is unknown or breaks a rule; the message names the option as the command line does.
    """
    try:
        return PredictConfig.model_validate(options)
    except ValidationError as error:
        raise OptionError(explain(error, "predict", PredictConfig.model_fields)) from None


def prediction_rows(config: PredictConfig, card: "PredictorCard", source: "ModelSource") -> "ShardPlan":
    """The rows that the options select, in shards; text is cut as `mematlas score` would for the predictor's lengths.

    Raises:
        CorpusError: the corpus cannot be opened, or no row is selected.
        OptionError: there are more shards than rows.
    """
    from mematlas.corpus.row_sets import RowSet, ShardPlan, default_shard_count

    options = CorpusOptions(
        config.row_length,
        config.token_dtype,
        config.column,
        config.cut,
        tokenizer_encoder(config.tokenizer, source.card.vocabulary) if config.tokenizer else source.encoder(),
        config.cache,
        text_row_length=card.context + card.continuation,
        context=card.context,
    )
    corpus = open_corpus(config.corpus, format=config.format, options=options)
    positions = select(len(corpus), config.rows, row_ids=corpus.row_ids)
    if not len(positions):
        raise CorpusError(
            f"--rows {config.rows} selects no row of {config.corpus} ({len(corpus)} rows); select at least one."
        )
    shards = config.shards or default_shard_count(len(positions))
    if shards > len(positions):
        raise OptionError(f"--shards {shards} is more than the {len(positions)} rows; give at most {len(positions)}.")
    return ShardPlan((RowSet("train", corpus, positions),), shards)
