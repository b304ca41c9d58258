"""What all public functions have in common: missing libraries and misspelt keywords end as one line.

The functions take the fields of a configuration as keywords. Editors complete them from a TypedDict; `public_function`
shows them to `help` and to notebooks, which look at the function itself, and checks them.
"""

from collections.abc import Callable, Iterator
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from mematlas.errors import OptionError, did_you_mean
from mematlas.errors.libraries import missing_libraries

if TYPE_CHECKING:
    from pydantic import BaseModel

P = ParamSpec("P")
T = TypeVar("T")


def public_function(*configurations: "type[BaseModel]") -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A decorator of public functions.

    Args:
        configurations: models of pydantic whose fields the function takes as its `**options`.

    Raises:
        MissingExtra: by the function, if a library is missing.
        OptionError: by the function, if a keyword is misspelt.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        complete = _complete_signature(signature(function), configurations)

        @wraps(function)
        def guarded(*args: P.args, **options: P.kwargs) -> T:
            for name in options:
                if name not in complete.parameters:
                    suggestion = did_you_mean(name, complete.parameters)
                    raise OptionError(
                        f"mematlas.{function.__name__}() has no option {name!r}.{suggestion} "
                        f"help(mematlas.{function.__name__}) lists them all."
                    )
            with missing_libraries(f"mematlas.{function.__name__}()"):
                return function(*args, **options)

        guarded.__signature__ = complete  # type: ignore[attr-defined]
        return guarded

    return decorate


def _complete_signature(own: Signature, configurations: "tuple[type[BaseModel], ...]") -> Signature:
    """The signature with the configurations' fields in the place of `**options`."""
    named = [parameter for parameter in own.parameters.values() if parameter.kind != Parameter.VAR_KEYWORD]
    keywords = [parameter for configuration in configurations for parameter in _keywords(configuration)]
    required = [parameter for parameter in keywords if parameter.default is Parameter.empty]
    optional = [parameter for parameter in keywords if parameter.default is not Parameter.empty]
    return own.replace(parameters=[*named, *required, *optional])


def _keywords(configuration: "type[BaseModel]") -> Iterator[Parameter]:
    for name, field in configuration.model_fields.items():
        default = Parameter.empty if field.is_required() else field.default
        yield Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=field.annotation)
