"""The options of `mematlas probe compress`."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from mematlas.probes.rows.config import RowProbeConfig, RowProbeKeywords

Search = Literal["gcg", "random"]
Start = Literal["random", "true"]


class CompressConfig(RowProbeConfig):
    """Options of `mematlas probe compress`; most are those of all probes of rows."""

    strings: Path | None = Field(
        default=None, description="A file with further strings, one a line: texts, or lists of token ids as in [5, 7]."
    )
    each: int = Field(
        default=5, description="Strings of each class: recited rows, other rows, control rows, random tokens.", gt=0
    )
    search: Search = Field(
        default="gcg", description="How prompts are changed: along gradients of their tokens (gcg), or at random."
    )
    start: Start = Field(
        default="random",
        description="Where the search starts: at random tokens, or at the true ones before the string.",
    )
    budget: float = Field(default=60.0, description="Seconds for one string at most.", gt=0, le=86_400)
    steps: int = Field(
        default=200, description="Steps at the first length of a prompt, and a fifth more after each failure.", gt=0
    )
    total_steps: int | None = Field(
        default=None, description="Steps for one string at most, at all lengths together.", gt=0
    )
    candidates: int = Field(default=100, description="Prompts that are tried in each step.", gt=0)
    top_k: int = Field(default=250, description="Tokens a position that gcg draws candidates from.", gt=0)
    longest: int | None = Field(
        default=None, description="Tokens of the longest prompt that is tried; 5 times the string's by default.", gt=0
    )


class CompressKeywords(RowProbeKeywords, total=False):
    """The keywords of `mematlas.probe_compress` with their types, for editors."""

    strings: str | Path | None
    each: int
    search: Search
    start: Start
    budget: float
    steps: int
    total_steps: int | None
    candidates: int
    top_k: int
    longest: int | None
