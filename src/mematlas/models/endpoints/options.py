"""The options of models behind an API: how they are asked, how fast, and what may be spent."""

import os
import re
from typing import Final, Literal, TypedDict

from pydantic import BaseModel, ConfigDict, Field

from mematlas.errors import OptionError
from mematlas.errors.configurations import resolve_options

EndpointKind = Literal["completions", "chat"]
#: Variable of the environment that has the key, if no other is named.
KEY_VARIABLE: Final = "MEMATLAS_API_KEY"


class EndpointOptions(BaseModel):
    """Options of every command that asks models behind an API; other models have no use for them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoint: EndpointKind = Field(
        default="completions",
        description="api: models: which interface of the server is asked; chat gives and takes text only.",
    )
    concurrency: int = Field(default=8, description="api: models: requests that are sent at a time.", gt=0)
    timeout: float = Field(default=120, description="api: models: seconds to wait for an answer.", gt=0)
    retries: int = Field(
        default=6,
        description="api: models: how often a request is sent again after a fault of server or network.",
        ge=0,
    )
    requests_per_minute: float | None = Field(
        default=None, description="api: models: most requests a minute; no limit by default.", gt=0
    )
    tokens_per_minute: float | None = Field(
        default=None, description="api: models: most tokens a minute, prompts and answers together.", gt=0
    )
    max_requests: int | None = Field(
        default=None,
        description="api: models: most requests in all, repeated ones and those of earlier runs too.",
        ge=0,
    )
    max_total_tokens: int | None = Field(
        default=None, description="api: models: most tokens in all, those of earlier runs too.", ge=0
    )
    max_cost: float | None = Field(
        default=None, description="api: models: most to spend in all, in the currency of the prices.", ge=0
    )
    price_input: float | None = Field(default=None, description="api: models: price of a million prompt tokens.", ge=0)
    price_output: float | None = Field(default=None, description="api: models: price of a million answer tokens.", ge=0)
    key_variable: str = Field(
        default=KEY_VARIABLE,
        description="api: models: environment variable that has the key; the key itself is never stored.",
    )


class EndpointKeywords(TypedDict, total=False):
    """The options as keywords of public functions, for editors and type checkers."""

    endpoint: EndpointKind
    concurrency: int
    timeout: float
    retries: int
    requests_per_minute: float | None
    tokens_per_minute: float | None
    max_requests: int | None
    max_total_tokens: int | None
    max_cost: float | None
    price_input: float | None
    price_output: float | None
    key_variable: str


def check_endpoint_options(options: EndpointOptions) -> None:
    """Refuse a cap on costs without prices, and a key where its variable should be named.

    Raises:
        OptionError: the message does not repeat what may be a key.
    """
    if not re.fullmatch("[A-Z_][A-Z0-9_]*", options.key_variable):
        raise OptionError(
            "--key-variable takes the name of an environment variable in capitals, such as MY_API_KEY, and not the key "
            "itself, which must not get into a study."
        )
    if options.max_cost is not None and None in (options.price_input, options.price_output):
        raise OptionError(
            f"--max-cost {options.max_cost:g} needs the prices of a million tokens: add --price-input and "
            "--price-output, or cap tokens with --max-total-tokens."
        )


def resolve_endpoint_options(command: str, /, **options: object) -> EndpointOptions:
    """Check the options of models behind an API.

    Raises:
        OptionError: an option is unknown or breaks a rule; the message names the option as the command line does.
    """
    checked = resolve_options(EndpointOptions, command, options)
    check_endpoint_options(checked)
    return checked


def api_key(options: EndpointOptions) -> str | None:
    """The key in the environment; None if there is none, as local servers need none.

    Raises:
        OptionError: a variable other than the default is named and is not set.
    """
    key = os.environ.get(options.key_variable, "").strip()
    if not key and options.key_variable != KEY_VARIABLE:
        raise OptionError(
            f"--key-variable {options.key_variable}: the environment has no such variable; set it to the API key."
        )
    return key or None
