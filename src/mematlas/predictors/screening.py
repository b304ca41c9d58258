"""Rows of a corpus at risk of being recited, by one forward pass over each context: what `mematlas predict` does.

OUT/<model>-<key>/shard-00000-of-00004.parquet + .done   one record per row; see `PREDICTED`
OUT/<model>-<key>/flagged.npy                            ids of the flagged rows, for `mematlas score --rows ids:FILE`
OUT/<model>-<key>/facts.json                             the settings and the totals; written last

The key is a hash of everything that can change a number: the same command resumes in its folder, a different one uses
another folder.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Unpack

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mematlas.corpus.left_out import left_out_line, read_left_out
from mematlas.errors import CorpusError, ModelError, OptionError
from mematlas.errors.configurations import resolve_options
from mematlas.errors.functions import public_function
from mematlas.models.base import LoadOptions
from mematlas.models.resolve import find_model
from mematlas.predictors.ensemble import Ensemble, check_compatible, check_layer, open_ensemble
from mematlas.predictors.keywords import PredictKeywords
from mematlas.predictors.screening_config import PredictConfig, prediction_rows
from mematlas.progress import Progress, Silent
from mematlas.scoring.job import digest_positions
from mematlas.scoring.model_names import model_names
from mematlas.scoring.options import ScoringOptions
from mematlas.study import (
    fingerprint,
    missing_shards,
    shard_name,
    translate_os_errors,
    write_atomically,
    write_json,
    write_shard,
)
from mematlas.study.versions import versions
from mematlas.types import Grid, TokenRows

if TYPE_CHECKING:
    import polars as pl

    from mematlas.corpus.row_sets import ShardPlan
    from mematlas.models.base import ModelSource
    from mematlas.scoring.engines.causal import Engine
    from mematlas.scoring.engines.results import ContextResult

#: Part of every key; raised when a change of the code can change a number.
VERSION: Final = 1

#: Schema of the shards.
PREDICTED: Final = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("document", pa.int64()),
        pa.field("source", pa.string()),
        pa.field("expected", pa.float64(), nullable=False, metadata={"is": "expected memorization score M"}),
        pa.field("recited_tokens", pa.float64(), nullable=False, metadata={"is": "expected number of recited tokens"}),
        pa.field("first", pa.float64(), nullable=False, metadata={"is": "probability that the first is recited"}),
        pa.field("flagged", pa.bool_(), nullable=False, metadata={"is": "expected >= threshold"}),
        pa.field(
            "probability", pa.list_(pa.float32()), nullable=False, metadata={"is": "of each token; mean of seeds"}
        ),
    ]
)


@dataclass(frozen=True, slots=True)
class PredictedRows:
    """The predictions for a corpus.

    folder: of the tables; model: label; context, continuation: in tokens; rows: number of rows with a prediction, of
    which `flagged` have an expected score of `threshold` or more; short: rows left out because they are shorter than
    the context; expected: mean over the rows of their expected memorization score M; bos: whether contexts began with
    the model's BOS token.
    """

    folder: Path
    model: str
    context: int
    continuation: int
    rows: int
    flagged: int
    short: int
    threshold: float
    expected: float
    bos: bool

    def scan(self) -> "pl.LazyFrame":
        """One record per row, as a lazy frame; see `PREDICTED`."""
        import polars as pl

        return pl.scan_parquet(sorted(self.folder.glob("shard-*.parquet")))

    def table(self) -> "pl.DataFrame":
        """One record per row; see `PREDICTED`."""
        return self.scan().collect()


@public_function(PredictConfig)
def predict_rows(
    model: str | Path, *, progress: Progress | None = None, **options: Unpack[PredictKeywords]
) -> PredictedRows:
    """Predict how much of each row a model recites, without decoding, as `mematlas predict` does.

    Args:
        model: folder, hub id, .gguf file or stand-in.
        progress: shows the progress; silent by default.
        options: see `PredictConfig`: corpus, predictor, out, threshold, rows ...

    Raises:
        MematlasError: one line with value, rule and remedy; finished shards are kept.
    """
    name, *_ = model_names([model])
    return run_prediction(name, resolve_options(PredictConfig, "predict", options), progress or Silent())


def run_prediction(model: str, config: PredictConfig, progress: Progress) -> PredictedRows:
    """`predict_rows` with a validated configuration."""

    ensemble = open_ensemble(config.predictor)
    source = find_model(model)
    for remark in (*source.card.remarks, *check_compatible(ensemble, source.card)):
        progress.say(remark)
    job = PredictionJob(config, ensemble, source, prediction_rows(config, ensemble.card, source))
    corpus = job.plan.sets[0].corpus
    left_out = left_out_line(read_left_out(corpus.details, len(corpus)))
    if left_out is not None:
        progress.say(left_out)
    beyond = source.card.beyond_trained_length(job.options.grid.width + job.options.bos)
    if beyond is not None:
        progress.say(beyond)
    try:
        job.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(f"--out {config.out} cannot be written ({error.strerror}); name another folder.") from None
    missing = missing_shards(job.folder, job.plan.count)
    try:
        progress.start(source.card.label, job.plan.total, job.plan.total - sum(map(job.plan.size, missing)))
        if missing:
            engine = job.engine(progress.say)
            with translate_os_errors(config.out):
                for index in missing:
                    job.predict_shard(index, engine, progress.advance)
    finally:
        progress.stop()
    return job.finish()


@dataclass(frozen=True, slots=True)
class PredictionJob:
    """One model's predictions for the rows of a corpus, shard by shard."""

    config: PredictConfig
    ensemble: Ensemble
    source: "ModelSource"
    plan: "ShardPlan"

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that can change a number of the table."""
        rows = self.plan.sets[0]
        return {
            "model": self.source.card.fingerprint,
            "corpus": rows.corpus.fingerprint,
            "rows": digest_positions(rows.positions),
            "predictor": self.ensemble.digest,
            "bos": self.options.bos,
            "eos": self.options.eos,
            "signals": self.options.signals,
            "dtype": self.config.dtype,
            "threshold": self.config.threshold,
            "shards": self.plan.count,
            "version": VERSION,
        }

    @property
    def folder(self) -> Path:
        return self.config.out / f"{self.source.card.label.replace('/', '_')}-{fingerprint(self.settings)}"

    @property
    def options(self) -> "ScoringOptions":
        """The states and entropies to record, as the study recorded them.

        The continuation is one token, chosen from the context's last state, so that nothing is decoded.
        """
        card, origin = self.ensemble.card, self.ensemble.origin
        entropies: Literal["truth", "free"] = "truth" if origin is None or origin.truth else "free"
        return ScoringOptions(
            Grid((card.context,), (1,)),
            signals=("hidden", entropies) if card.inputs else ("hidden",),
            eos="ignore" if origin is None else origin.eos,
            bos=origin is not None and origin.bos,
            batch=self.config.batch,
            hidden_layer=card.layer,
        )

    def engine(self, say: Callable[[str], None]) -> "Engine":
        """Load the model into an engine."""
        from mematlas.scoring.engines.causal import Engine

        model = self.source.load(LoadOptions.of(self.config))
        check_layer(self.ensemble, model, self.source.card.label)
        return Engine(model, self.source.card, self.options, say, self.plan.largest)

    def predict_shard(self, index: int, engine: "Engine", on_rows: Callable[[int], None]) -> None:
        """Predict the rows of shard `index` that are as long as the context, and write them with their marker."""
        context = self.ensemble.card.context
        tokens, ids = self.plan.read(index, context)
        long_enough = np.flatnonzero(tokens.lengths >= context)
        on_rows(len(ids) - len(long_enough))
        # the engine needs one token after the context; no state that is read here depends on it
        padded = TokenRows(np.pad(tokens.ids, ((0, 0), (0, 1))), tokens.lengths + 1)
        probabilities = np.zeros((len(long_enough), self.ensemble.card.continuation), np.float32)
        start = 0
        while start < len(long_enough):  # the states of a complete shard may not fit into memory
            batch = slice(start, start + engine.batch)
            indices = long_enough[batch]
            rows = TokenRows(padded.ids[indices], padded.lengths[indices])
            for result in engine.score(rows, ids[indices], on_rows):
                probabilities[batch][result.rows] = self.probabilities(result)
            start += len(indices)
        metadata = {"context": context, "batch": engine.batch, **self.settings}
        table = _table(self.plan.rows_table(index).take(pa.array(long_enough)), probabilities, self.config.threshold)
        write_shard(self.folder, shard_name(index, self.plan.count), table, {k: str(v) for k, v in metadata.items()})

    def probabilities(self, result: "ContextResult") -> NDArray[np.float32]:
        """The predicted probabilities [n, continuation] of the rows of `result`.

        Raises:
            ModelError: states are NaN, which the predictor would treat as unknown.
        """
        from mematlas.predictors.predictor import mean_probabilities

        if np.isnan(result.states["free"]).any():
            raise ModelError(
                f"{self.source.card.label} gives hidden states that are NaN with --dtype "
                f"{self.config.dtype}; use --dtype float32, or bfloat16, or check the model's weights."
            )
        card = self.ensemble.card
        entropies = np.full((len(result.rows), card.context, len(card.inputs)), np.nan, np.float32)
        if result.truth:
            first = 1 - result.truth_from  # with a BOS, the record begins at the BOS's state
            entropies[:, :, 0] = result.truth["entropy"][:, first : first + card.context]
        elif card.inputs:
            entropies[:, -1, 0] = result.free["entropy"][:, 0]
        return mean_probabilities(self.ensemble.predictors, result.states["free"], entropies)

    def finish(self) -> PredictedRows:
        """Count the rows, and write the ids of flagged rows and facts.json.

        Raises:
            CorpusError: every row is shorter than the context.
        """
        import polars as pl

        card = self.ensemble.card
        predictions = pl.scan_parquet(sorted(self.folder.glob("shard-*.parquet")))
        rows, expected = predictions.select(pl.len(), pl.col("expected").mean().alias("mean")).collect().row(0)
        if not rows:
            raise CorpusError(
                f"None of the {self.plan.total:,} rows of {self.config.corpus} has the {card.context} tokens that this "
                "predictor reads; use longer rows, or fit a predictor to a shorter context."
            )
        flagged = predictions.filter("flagged").select("row").collect()["row"].to_numpy()
        if len(flagged):
            write_atomically(self.folder / "flagged.npy", lambda temporary: _save(temporary, flagged))
        predicted = PredictedRows(
            self.folder,
            self.source.card.label,
            card.context,
            card.continuation,
            rows,
            len(flagged),
            self.plan.total - rows,
            self.config.threshold,
            expected,
            self.options.bos,
        )
        facts = {**asdict(predicted), "question": self.settings, "configuration": self.config.model_dump(mode="json")}
        write_json(self.folder / "facts.json", {**facts, "folder": str(self.folder), "versions": versions()})
        return predicted


def _save(path: Path, values: NDArray[np.int64]) -> None:
    with path.open("wb") as file:  # given a path, np.save would append .npy
        np.save(file, values)


def _table(rows: pa.Table, probability: NDArray[np.float32], threshold: float) -> pa.Table:
    """The PREDICTED table, from rows of `ShardPlan.rows_table` and probabilities [n, continuation]."""
    expected = probability.mean(1, dtype=np.float64)
    columns = [rows["row"], rows["document"], rows["source"], expected, probability.sum(1, dtype=np.float64)]
    lists = pa.FixedSizeListArray.from_arrays(pa.array(probability.reshape(-1)), probability.shape[1])
    columns += [probability[:, 0].astype(np.float64), expected >= threshold, lists.cast(pa.list_(pa.float32()))]
    return pa.table(dict(zip(PREDICTED.names, columns, strict=True)), schema=PREDICTED)
