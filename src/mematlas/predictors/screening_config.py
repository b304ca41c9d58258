"""The options of `mematlas predict`, and the rows of a corpus that they select."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from mematlas.corpus.base import Cut
from mematlas.errors import OptionError
from mematlas.scoring.config import Batch, Device, LocalPath, Name, StudyPath
from mematlas.scoring.row_options import score_field, select_rows

if TYPE_CHECKING:
    from mematlas.corpus.row_sets import ShardPlan
    from mematlas.models.base import ModelSource
    from mematlas.predictors.predictor import PredictorCard


class PredictConfig(BaseModel):
    """Options of `mematlas predict`; those shared with `mematlas score` are defined there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    corpus: Name = score_field("corpus")
    predictor: StudyPath = Field(
        description="Folder with a predictor's seeds (STUDY/predictors/RUN/MODEL/context), or the file of one seed."
    )
    out: LocalPath = Field(
        default=Path("predicted"), description="Folder for the tables; running the same command again continues there."
    )
    threshold: float = Field(
        default=0.5, description="Rows with an expected score M of at least this are flagged.", ge=0, le=1
    )
    rows: str = score_field("rows")
    format: str | None = score_field("format")
    row_length: int | None = score_field("row_length")
    token_dtype: Literal["uint16", "uint32"] | None = score_field("token_dtype")
    column: str | None = score_field("column")
    cut: Cut = score_field("cut")
    tokenizer: Name | None = score_field("tokenizer")
    cache: Path | None = score_field("cache")
    dtype: Literal["float32", "bfloat16", "float16"] = score_field("dtype")
    device: Device = score_field("device")
    device_map: str | None = score_field("device_map")
    trust_remote_code: bool = score_field("trust_remote_code")
    batch: Batch = score_field("batch")
    shards: int | None = Field(
        default=None, description="Number of files of the table; by default about 256 rows each.", gt=0
    )


def prediction_rows(config: PredictConfig, card: "PredictorCard", source: "ModelSource") -> "ShardPlan":
    """The rows that the options select, in shards; text is cut as `mematlas score` would for the predictor's lengths.

    Raises:
        CorpusError: the corpus cannot be opened, or no row is selected.
        OptionError: there are more shards than rows.
    """
    from mematlas.corpus.row_sets import RowSet, ShardPlan, default_shard_count

    corpus, positions, _ = select_rows(config, source, card.context, card.continuation)
    shards = config.shards or default_shard_count(len(positions))
    if shards > len(positions):
        raise OptionError(f"--shards {shards} is more than the {len(positions)} rows; give at most {len(positions)}.")
    return ShardPlan((RowSet("train", corpus, positions),), shards)
