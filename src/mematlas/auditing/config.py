"""The options of `mematlas audit`: one pydantic model for the command line and the Python API."""

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from mematlas.auditing.thresholds import parse_threshold
from mematlas.errors import OptionError, StudyError
from mematlas.errors.configurations import resolve_options
from mematlas.errors.remedies import command_line
from mematlas.models.base import Dtype
from mematlas.scoring.config import Device, Name
from mematlas.types import as_list

_SHARED: Final = ("control", "base", "out", "context", "continuation", "fail_on", "device", "dtype", "column")
_FOR_TRAIN: Final = (
    "secrets",
    "canaries",
    "rows",
    "prompts",
    "new_tokens",
    "paraphrase_model",
    "alternatives",
    "max_secrets",
    "show_secrets",
    "seed",
)
#: Subject of an audit -> the options that it reads, besides its own.
_READ_BY: Final[dict[Literal["train", "work", "benchmark"], tuple[str, ...]]] = {
    "train": (*_SHARED, *_FOR_TRAIN),
    "work": (*_SHARED, "stride", "show_secrets"),
    "benchmark": ("control", "base", "out", "fail_on", "device", "dtype", "prompts", "seed"),
}


class AuditConfig(BaseModel):
    """Options of `mematlas audit`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    train: Name | None = Field(default=None, description="The file or folder that the model was fine-tuned on.")
    work: Name | None = Field(
        default=None, description="Instead of --train: a book, or a folder of source files, as one text."
    )
    benchmark: Name | None = Field(
        default=None,
        description="Instead of --train: a JSON Lines file of test questions, with their choices or answers.",
    )
    control: Name | None = Field(
        default=None, description="Texts of the same kind that it was not trained on, such as a held-out file."
    )
    base: Name | None = Field(
        default=None, description="The model before fine-tuning; of an adapter it is known without being asked for."
    )
    secrets: Name = Field(
        default="patterns",
        description="patterns: look for e-mail addresses, phone and card numbers, IBANs, keys ...; none; or a file "
        "with one secret a line.",
    )
    canaries: Name | None = Field(
        default=None, description="The key.parquet of canaries that were put into the training file."
    )
    out: Path = Field(default=Path("audit"), description="Folder for the verdict and the study; continued if there.")
    rows: int = Field(default=1000, description="Maximum number of rows that are scored of each file.", gt=0)
    prompts: int = Field(default=200, description="Maximum number of texts whose beginnings prompt the model.", ge=0)
    new_tokens: int = Field(
        default=100,
        description="Most tokens that the model writes after such a beginning; no more than a text has left.",
        gt=0,
    )
    paraphrase_model: Path | None = Field(
        default=None,
        description="Folder of a model that says whether two sentences are paraphrases; grades copies in other words.",
    )
    alternatives: int = Field(
        default=99, description="Never-seen values of the same format, among which a secret is ranked.", ge=19
    )
    max_secrets: int = Field(default=200, description="Maximum number of distinct secrets that are examined.", gt=0)
    context: int | None = Field(default=None, description="Tokens that prompt the model; chosen from the texts.", gt=0)
    continuation: int | None = Field(
        default=None, description="Tokens that it should recite; chosen from the texts.", gt=0
    )
    stride: int | None = Field(
        default=None, description="Characters from one window of --work to the next; chosen by its length.", gt=0
    )
    column: str | None = Field(default=None, description="Name of the column with the texts.")
    seed: int = Field(default=0, description="Seed of what is drawn at random: rows, prompts, alternatives.", ge=0)
    show_secrets: bool = Field(default=False, description="Show secrets in full; by default most of each is masked.")
    fail_on: Annotated[list[str], BeforeValidator(as_list)] = Field(
        default=[],
        description="Exit with 3 if this holds: leak, recites, or a limit such as recitation>0.5%; or several of them.",
    )
    device: Device = Field(default="auto", description="auto, cpu, cuda, cuda:N or mps.")
    dtype: Dtype = Field(default="float32", description="Precision of the models.")

    @property
    def subject(self) -> Literal["train", "work", "benchmark"]:
        """Which of the three audits is asked for.

        Raises:
            OptionError: none or several, or an option that it would ignore.
        """
        given = [name for name in _READ_BY if getattr(self, name) is not None]
        if len(given) != 1:
            have = " and ".join(f"--{name}" for name in given) or "none"
            raise OptionError(
                f"An audit takes one of --train, --work and --benchmark (given: {have}). See `mematlas audit --help`."
            )
        subject = given[0]
        for name, value in self:
            if value != AuditConfig.model_fields[name].default and name not in (subject, *_READ_BY[subject]):
                option = f"--{name.replace('_', '-')}"
                raise OptionError(f"{option} is not used with --{subject}; leave it out. See `mematlas audit --help`.")
        for text in self.fail_on if subject != "train" else ():
            if parse_threshold(text).measure not in ("leak", "recites", "recitation"):
                raise OptionError(
                    f"--fail-on {text} is not measured with --{subject}; give leak, recites, or recitation>0.5%."
                )
        return subject

    @field_validator("fail_on")
    @classmethod
    def _are_thresholds(cls, values: list[str]) -> list[str]:
        for value in values:
            parse_threshold(value)
        return values

    def listed_secrets(self) -> list[str]:
        """The secrets in the file that `secrets` names, one a line; none if it names no file.

        Raises:
            StudyError: the file cannot be read, or has no secret.
        """
        if self.secrets in ("patterns", "none"):
            return []
        path = Path(self.secrets)
        try:
            values = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise StudyError(
                f"{path} cannot be read ({error}); --secrets names a file with one secret a line."
            ) from None
        if not values:
            raise StudyError(
                f"{path} has no secret; write one a line, or leave out --secrets for those of known formats."
            )
        return values


def resolve_audit(**options: object) -> AuditConfig:
    """Check the options of an audit.

    Raises:
        OptionError: an option is unknown or breaks a rule; the message names it as the command line does.
    """
    return resolve_options(AuditConfig, "audit", options)


def audit_command(model: str, config: AuditConfig) -> str:
    """The command that makes an audit again, with what was chosen."""
    given = {name: value for name, value in config if value != AuditConfig.model_fields[name].default}
    words = [word for name, value in given.items() for word in _words(f"--{name.replace('_', '-')}", value)]
    return command_line("audit", model, *words)


def _words(option: str, value: object) -> list[str]:
    if isinstance(value, bool):
        return [option]
    return [word for part in (value if isinstance(value, list) else [value]) for word in (option, str(part))]
