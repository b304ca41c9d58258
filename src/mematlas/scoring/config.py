"""The options of `mematlas score`: one model of them serves the command line, the Python API and the study file."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    WrapValidator,
    field_validator,
)
from pydantic import ValidatorFunctionWrapHandler as Handler

from mematlas.corpus.base import Cut
from mematlas.errors import OptionError, explain
from mematlas.executors.options import check_said_to_ray
from mematlas.io.paths import is_url, study_path
from mematlas.types import Align, Depth, EosPolicy

Order = Literal["given", "size", "step", "both"]


def _placed(value: object, as_path: Handler) -> Path:
    """A URL as a path of its object store; all else is pathlib's."""
    return study_path(value) if is_url(value) else as_path(value)  # type: ignore[arg-type]


def _of_this_machine(value: object) -> object:
    if is_url(value):
        raise ValueError("this is a folder of this machine; an object store can hold a study alone (--study)")
    return value


#: A folder of this machine, or the URL of one in an object store.
StudyPath = Annotated[Path, WrapValidator(_placed), PlainSerializer(str, when_used="json")]
LocalPath = Annotated[Path, BeforeValidator(_of_this_machine)]


def _rows_or_auto(value: object) -> object:
    if value != "auto" and not re.fullmatch("0*[1-9][0-9]*", str(value)):
        raise ValueError("a number of rows from 1 on, or auto")
    return value


Batch = Annotated[int | Literal["auto"], BeforeValidator(_rows_or_auto)]


class ScoreConfig(BaseModel):
    """Options of `mematlas score`; each is one option of the command line and one argument of `mematlas.score`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    corpus: str = Field(description="Corpus: file, folder, prefix, or hub dataset.")
    study: StudyPath = Field(
        description="Folder, or URL such as s3://bucket/study, that keeps the study; run again, it goes on there."
    )
    context: list[int] = Field(default=[32], description="Tokens that prompt the model; several make a grid.")
    continuation: list[int] = Field(default=[32], description="Tokens it should recite; several make a grid.")
    rows: str = Field(
        default="all",
        description="all, first:N (all if there are fewer than N), slice:A:B, sample:N[:SEED] or ids:FILE.",
    )
    control: str | None = Field(default=None, description="A corpus that no model was trained on, as control.")
    control_rows: str = Field(default="all", description="Which rows of the control; as for the corpus.")
    control_models: list[str] = Field(default=[], description="Models that never saw the corpus, scored beside.")
    order: Order = Field(default="given", description="Of the models: as given, by size, by step, or by both.")
    depth: Depth = Field(default="graded", description="graded decodes; verbatim only checks the truth (fast).")
    signals: list[Literal["truth", "free", "hidden"]] = Field(
        default=[],
        description="Per-token records: truth (teacher-forced), free (greedy text), hidden (states of some rows).",
    )
    hidden_rows: int = Field(default=2000, description="Rows whose hidden states are kept at most, a model.", gt=0)
    hidden_layer: str = Field(
        default="last",
        description="Their layer: last, a number (0: embeddings; negative: from the end), or a share such as 0.5.",
    )
    temperature: list[float] = Field(
        default=[], description="Extra temperatures for the true tokens' log-probability; needs the signals truth."
    )
    align: Align = Field(default="start", description="start: contexts begin with the row; end: continuations fixed.")
    eos: EosPolicy = Field(default="ignore", description="End-of-text: ordinary token, forbidden, or end of the text.")
    bos: bool = Field(default=False, description="Put the model's BOS token before every prompt.")
    format: str | None = Field(default=None, description="Corpus format; see `mematlas list formats`.")
    row_length: int | None = Field(default=None, description="Tokens a row, for headerless files and text.", gt=0)
    token_dtype: Literal["uint16", "uint32"] | None = Field(default=None, description="Of headerless token files.")
    column: str | None = Field(default=None, description="Name of the text or token column.")
    cut: Cut = Field(default="rows", description="Text: consecutive rows of a document, or one window each.")
    tokenizer: str | None = Field(default=None, description="Folder or hub id of a tokenizer, instead of the model's.")
    cache: LocalPath | None = Field(default=None, description="Folder for tokenized text.")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(default="float32", description="Of the model's numbers.")
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:N or mps.")
    device_map: str | None = Field(default=None, description="For models larger than one GPU: auto, balanced, ...")
    trust_remote_code: bool = Field(default=False, description="Run code that comes with the model.")
    settle: bool = Field(default=False, description="Run doubtful 16-bit rows again in float32.")
    batch: Batch = Field(
        default=128, description="Rows in step, or auto: as many as fit into memory; halved when memory runs out."
    )
    graphs: Literal["auto", "on", "off"] = Field(
        default="auto", description="CUDA graphs for decoding; auto: for small models on a GPU, where they are faster."
    )
    backend: Literal["torch", "vllm"] = Field(
        default="torch", description="What runs the model; vllm for long contexts, with the deviations that it names."
    )
    shards: int | None = Field(default=None, description="Shards a model; default about 256 rows each.", gt=0)
    executor: Literal["local", "ray"] = Field(
        default="local", description="Where workers run: processes of this machine, or a Ray cluster."
    )
    workers: int = Field(default=1, description="Workers, each with a model of its own; they share the shards.", gt=0)
    address: str | None = Field(
        default=None, description="Of the Ray cluster, or auto; default a cluster of this machine alone."
    )
    gpus_per_worker: float | None = Field(
        default=None, description="GPUs of a Ray worker, such as 0.5 or 2; default one where there are any.", ge=0
    )

    @field_validator("context", "continuation")
    @classmethod
    def _ascending(cls, values: list[int]) -> list[int]:
        if not values or min(values) < 1:
            raise ValueError("numbers of tokens must be positive")
        return sorted(set(values))

    @field_validator("hidden_layer", mode="before")
    @classmethod
    def _names_a_layer(cls, value: object) -> object:
        text = str(value)
        if not re.fullmatch(r"last|-?\d+|0?\.\d+|1\.0*|0\.", text):
            raise ValueError("a layer is last, a whole number, or a share from 0.0 to 1.0")
        return text

    @field_validator("gpus_per_worker")
    @classmethod
    def _whole_beyond_one(cls, value: float | None) -> float | None:
        if value is not None and value > 1 and value != int(value):
            raise ValueError("a part of one GPU, or a whole number of them")
        return value

    @field_validator("signals", "temperature")
    @classmethod
    def _distinct(cls, values: list[object]) -> list[object]:
        if any(isinstance(value, float) and value <= 0 for value in values):
            raise ValueError("temperatures must be positive")
        return sorted(set(values), key=str)


def resolve_config(**options: object) -> ScoreConfig:
    """A checked configuration.

    Raises:
        OptionError: an option is unknown or breaks a rule; the message names the option as the command line does.
    """
    try:
        config = ScoreConfig.model_validate(options)
    except ValidationError as error:
        raise OptionError(explain(error)) from None
    if config.temperature and "truth" not in config.signals:
        raise OptionError("--temperature is read from the teacher-forced record: add --signals truth.")
    if "hidden" in config.signals and config.depth != "graded":
        raise OptionError(
            "--signals hidden keeps the states of generated tokens, which --depth verbatim does not make."
        )
    if config.hidden_layer != "last" and "hidden" not in config.signals:
        raise OptionError("--hidden-layer names the layer of hidden states: add --signals hidden, or leave it out.")
    if config.settle and config.dtype == "float32":
        raise OptionError("--settle re-runs 16-bit rows in float32, but --dtype is float32 already: leave it out.")
    if config.backend == "vllm":
        _check_served(config)
    check_said_to_ray(config.executor, address=config.address, gpus_per_worker=config.gpus_per_worker)
    return config


def _check_served(config: ScoreConfig) -> None:
    """What a serving engine cannot give: it answers with tokens and the largest log-probabilities, no states."""
    if config.signals:
        raise OptionError(
            f"--backend vllm gives scores and margins, and no --signals {config.signals[0]}; leave them out, or score "
            "with --backend torch."
        )
    if config.settle:
        raise OptionError("--settle loads the model a second time, for which vLLM leaves no memory; leave it out.")
    if config.device != "auto":
        raise OptionError(f"--device {config.device} is said to torch; vLLM takes the GPUs that it sees: leave it out.")
    if config.batch != ScoreConfig.model_fields["batch"].default:
        raise OptionError(f"--batch {config.batch} is said to torch; vLLM chooses its batches itself: leave it out.")
    if config.graphs != "auto":
        raise OptionError(f"--graphs {config.graphs} is said to torch; vLLM captures graphs of its own: leave it out.")
