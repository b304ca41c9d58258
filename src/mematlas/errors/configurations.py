"""Options checked by their pydantic model; a wrong one is a user's error in one line."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from mematlas.errors import OptionError, explain

if TYPE_CHECKING:
    from pydantic import BaseModel

Configuration = TypeVar("Configuration", bound="BaseModel")


def resolve_options(model: type[Configuration], command: str, options: Mapping[str, object]) -> Configuration:
    """The configuration that these options make.

    Args:
        command: without "mematlas", whose help explains the options.

    Raises:
        OptionError: an option is unknown or breaks a rule; the message names it as the command line does.
    """
    from pydantic import ValidationError

    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        raise OptionError(explain(error, command, model.model_fields)) from None
