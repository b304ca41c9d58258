"""The options of `mematlas score`: one pydantic model for the command line, the Python API and the study file."""

import re
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WrapValidator,
    field_validator,
)
from pydantic import ValidatorFunctionWrapHandler as Handler

from mematlas.corpus.base import Cut
from mematlas.errors import OptionError
from mematlas.errors.configurations import resolve_options
from mematlas.executors.options import check_ray_only_options
from mematlas.io.paths import is_url, study_path
from mematlas.models.endpoints.options import EndpointOptions, check_endpoint_options
from mematlas.models.masked_lm.masks import MASKING
from mematlas.types import Align, Depth, EosPolicy, Grid, Objective, as_list

Order = Literal["given", "size", "step", "both"]


def _to_study_path(value: object, validate_path: Handler) -> Path:
    """Turn a URL into a path of its object store; leave everything else to pydantic's own path validation."""
    return study_path(value) if is_url(value) else validate_path(value)  # type: ignore[arg-type]


def _require_local(value: object) -> object:
    if is_url(value):
        raise ValueError("this must be a folder on this machine; only the study (--study) can be in an object store")
    return value


#: A folder on this machine, or the URL of one in an object store.
StudyPath = Annotated[Path, WrapValidator(_to_study_path), PlainSerializer(str, when_used="json")]
LocalPath = Annotated[Path, BeforeValidator(_require_local)]


def _check_batch(value: object) -> object:
    if value != "auto" and not re.fullmatch("0*[1-9][0-9]*", str(value)):
        raise ValueError("must be a positive number of rows, or auto")
    return value


Batch = Annotated[int | Literal["auto"], BeforeValidator(_check_batch)]


def _check_device(value: object) -> object:
    if not re.fullmatch(r"auto|cpu|mps|(cuda|xpu|npu|hpu|xla)(:[0-9]+)?", str(value)):
        raise ValueError("must be auto, cpu, cuda, cuda:N, mps, or another device of torch")
    return value


Device = Annotated[str, BeforeValidator(_check_device)]


def _path_to_text(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


def _names_to_list(value: object) -> object:
    """A list of names or paths, in which a comma separates nothing: it may be part of a path."""
    values = value if isinstance(value, (list, tuple)) else [value]
    return [_path_to_text(item) for item in values]


#: The name of a corpus, model or tokenizer, which may be a path.
Name = Annotated[str, BeforeValidator(_path_to_text)]
Names = Annotated[list[Name], BeforeValidator(_names_to_list)]
Lengths = Annotated[list[int], BeforeValidator(as_list)]


class _ScoringFields(BaseModel):
    """The options of `mematlas score` but for those of models behind an API."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    corpus: Name = Field(description="Corpus: file, folder, prefix, or hub dataset.")
    study: StudyPath = Field(
        description="Study folder, or URL such as s3://bucket/study; running the same command again continues there."
    )
    context: Lengths = Field(default=[32], description="Tokens that prompt the model; several values form a grid.")
    continuation: Lengths = Field(
        default=[32], description="Tokens the model should recite; several values form a grid."
    )
    rows: str = Field(
        default="all",
        description="all, first:N (all if there are fewer than N), slice:A:B, sample:N[:SEED] or ids:FILE.",
    )
    control: Name | None = Field(default=None, description="Control corpus: text that no model was trained on.")
    control_rows: str = Field(default="all", description="Which rows of the control, in the same notation as --rows.")
    control_models: Names = Field(default=[], description="Models not trained on the corpus, scored as controls.")
    order: Order = Field(
        default="given", description="Order of the models: as given, by size, by training step, or both."
    )
    objective: Objective = Field(
        default="causal",
        description="causal: tokens after a context; masked: hidden tokens of a row of context + continuation tokens.",
    )
    depth: Depth = Field(
        default="graded", description="graded decodes every row; verbatim stops at a row's first miss (fast)."
    )
    signals: Annotated[list[Literal["truth", "free", "hidden"]], BeforeValidator(as_list)] = Field(
        default=[],
        description="Per-token records: truth (teacher-forced), free (greedy text), hidden (states of some rows).",
    )
    hidden_rows: int = Field(
        default=2000, description="Maximum number of rows per model whose hidden states are stored.", gt=0
    )
    hidden_layer: str = Field(
        default="last",
        description="Layer of these states: last, a number (0: embeddings; negative: from the end), "
        "or a share of the depth such as 0.5.",
    )
    temperature: Annotated[list[float], BeforeValidator(as_list)] = Field(
        default=[], description="Extra temperatures for the true tokens' log-probability; needs --signals truth."
    )
    align: Align = Field(
        default="start",
        description="start: all contexts begin with the row; end: all continuations begin after the longest context.",
    )
    eos: EosPolicy = Field(
        default="ignore",
        description="End-of-text token: ignore (an ordinary token), suppress (never chosen) or stop (ends the text).",
    )
    bos: bool = Field(default=False, description="Put the model's BOS token before every prompt.")
    format: str | None = Field(default=None, description="Corpus format; see `mematlas list formats`.")
    row_length: int | None = Field(default=None, description="Tokens per row, for headerless files and text.", gt=0)
    token_dtype: Literal["uint16", "uint32"] | None = Field(default=None, description="Token type of headerless files.")
    column: str | None = Field(default=None, description="Name of the text or token column.")
    cut: Cut = Field(
        default="auto",
        description="Text: rows (consecutive, of a document), window (one of each) or answers (one row for each answer "
        "of chats, of prompts with completions ...); auto: answers where there are any, else rows.",
    )
    allow_short: bool = Field(
        default=False,
        description="Score even if over half of the documents or rows are too short and so left out.",
    )
    tokenizer: Name | None = Field(default=None, description="Folder or hub id of a tokenizer, instead of the model's.")
    cache: LocalPath | None = Field(default=None, description="Folder for tokenized text.")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32", description="Number type that the model is loaded in."
    )
    device: Device = Field(default="auto", description="auto, cpu, cuda, cuda:N or mps.")
    device_map: str | None = Field(
        default=None, description="accelerate's device map, for models larger than one GPU: auto, balanced, ..."
    )
    trust_remote_code: bool = Field(default=False, description="Run code that comes with the model.")
    settle: bool = Field(default=False, description="Score rows with small 16-bit margins again in float32.")
    batch: Batch = Field(
        default=128, description="Rows per batch, or auto: as many as fit into memory; halved when memory runs out."
    )
    graphs: Literal["auto", "on", "off"] = Field(
        default="auto", description="CUDA graphs for decoding; auto: for small models on a GPU, where they are faster."
    )
    backend: Literal["torch", "vllm"] = Field(
        default="torch",
        description="Library that runs the model; vllm suits long contexts, but its numbers may differ slightly.",
    )
    shards: int | None = Field(default=None, description="Shards per model; by default about 256 rows each.", gt=0)
    executor: Literal["local", "ray"] = Field(
        default="local", description="Where workers run: processes on this machine, or a Ray cluster."
    )
    workers: int = Field(
        default=1, description="Worker processes that share the shards; each loads its own copy of the model.", gt=0
    )
    address: str | None = Field(
        default=None, description="Address of the Ray cluster, or auto; by default a new cluster on this machine alone."
    )
    gpus_per_worker: float | None = Field(
        default=None, description="GPUs per Ray worker, such as 0.5 or 2; by default one if the cluster has any.", ge=0
    )

    @field_validator("context", "continuation")
    @classmethod
    def _sort_lengths(cls, values: list[int]) -> list[int]:
        if not values or min(values) < 1:
            raise ValueError("numbers of tokens must be positive")
        return sorted(set(values))

    @field_validator("hidden_layer", mode="before")
    @classmethod
    def _check_layer(cls, value: object) -> object:
        text = str(value)
        if not re.fullmatch(r"last|-?\d+|0?\.\d+|1\.0*|0\.", text):
            raise ValueError("a layer is last, a whole number, or a share from 0.0 to 1.0")
        return text

    @field_validator("gpus_per_worker")
    @classmethod
    def _check_gpus(cls, value: float | None) -> float | None:
        if value is not None and value > 1 and value != int(value):
            raise ValueError("a fraction of one GPU, or a whole number of GPUs")
        return value

    @field_validator("signals", "temperature")
    @classmethod
    def _sort_distinct(cls, values: list[object]) -> list[object]:
        if any(isinstance(value, float) and value <= 0 for value in values):
            raise ValueError("temperatures must be positive")
        return sorted(set(values), key=str)


class ScoreConfig(EndpointOptions, _ScoringFields):  # of several bases, pydantic puts the fields of the last first
    """Options of `mematlas score`; each is one option of the command line and one argument of `mematlas.score`."""


def resolve_config(**options: object) -> ScoreConfig:
    """Check options and return them as a configuration.

    Raises:
        OptionError: an option is unknown or breaks a rule; the message names the option as the command line does.
    """
    config = resolve_options(ScoreConfig, "score", options)
    if config.temperature and "truth" not in config.signals:
        raise OptionError("--temperature needs the teacher-forced record: add --signals truth.")
    if "hidden" in config.signals and config.depth != "graded":
        raise OptionError(
            "--signals hidden stores the states of generated tokens, but --depth verbatim generates none: "
            "use --depth graded."
        )
    if config.hidden_layer != "last" and "hidden" not in config.signals:
        raise OptionError("--hidden-layer names the layer of hidden states: add --signals hidden, or leave it out.")
    if config.settle and config.dtype == "float32":
        raise OptionError("--settle scores 16-bit rows again in float32, but --dtype is already float32: leave it out.")
    if config.objective == "masked":
        _check_masked_options(config)
    if config.backend == "vllm":
        _check_vllm_options(config)
    check_endpoint_options(config)
    check_ray_only_options(config.executor, address=config.address, gpus_per_worker=config.gpus_per_worker)
    return config


def grid_of(config: ScoreConfig) -> Grid:
    """The cells of the score table.

    Of the objective `masked` there is one: its context are the tokens of a row, all of which the model reads but for
    those hidden, its continuation is the number of tokens that it is asked for, over all masks.
    """
    if config.objective == "causal":
        return Grid(tuple(config.context), tuple(config.continuation), config.align)
    length = config.context[0] + config.continuation[0]
    return Grid((length,), (MASKING.asked(length),), "masked")


#: Options that ask for what only a causal model gives.
_CAUSAL_OPTIONS: Final = ("depth", "signals", "align", "eos", "bos", "graphs", "backend")


def _check_masked_options(config: ScoreConfig) -> None:
    """Refuse options that have no meaning where tokens are hidden instead of recited."""
    for name in ("context", "continuation"):
        if len(getattr(config, name)) > 1:
            raise OptionError(
                f"--objective masked reads rows of one length, --context plus --continuation, but --{name} has "
                f"{len(getattr(config, name))} values; give one, and score other lengths into studies of their own."
            )
    for name in _CAUSAL_OPTIONS:
        value = getattr(config, name)
        if value != ScoreConfig.model_fields[name].default:
            shown = f"--{name}" if value is True else f"--{name} {value[0] if isinstance(value, list) else value}"
            raise OptionError(
                f"{shown} asks what a causal model recites, but --objective masked asks for hidden tokens; leave one "
                "of them out."
            )
    if config.batch == "auto":
        raise OptionError("--batch auto is for causal models only; give --objective masked a number of rows per batch.")


def _check_vllm_options(config: ScoreConfig) -> None:
    """Refuse options that vLLM cannot fulfil: it returns tokens and the largest log-probabilities, but no states."""
    if config.signals:
        raise OptionError(
            f"--backend vllm gives scores and margins but no --signals {config.signals[0]}; leave the signals out, or "
            "score with --backend torch."
        )
    if config.settle:
        raise OptionError("--settle loads the model a second time, for which vLLM leaves no memory; leave it out.")
    if config.device != "auto":
        raise OptionError(
            f"--device {config.device} is for --backend torch only; vLLM uses all visible GPUs: leave it out."
        )
    if config.batch != ScoreConfig.model_fields["batch"].default:
        raise OptionError(
            f"--batch {config.batch} is for --backend torch only; vLLM chooses its own batches: leave it out."
        )
    if config.graphs != "auto":
        raise OptionError(
            f"--graphs {config.graphs} is for --backend torch only; vLLM captures its own graphs: leave it out."
        )
