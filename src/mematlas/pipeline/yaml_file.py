"""YAML files whose keys are the fields of a pydantic model; errors name the file, the line and the key."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel, ValidationError

from mematlas.errors import OptionError, StudyError, abbreviate
from mematlas.registry import did_you_mean

#: What PyYAML raises, besides its own errors, for a value that does not fit its tag, and for deeply nested brackets.
_INVALID_VALUE: Final = (ValueError, ArithmeticError, LookupError, AttributeError, TypeError, RecursionError)


def read_mapping(text: str, path: Path, example: str) -> tuple[dict[str, Any], dict[object, int]]:
    """The file's keys and values, and the line of every key (and of every item: (key, number)).

    Args:
        text: of the file at `path`; example: what lines such a file has, for the message if it has none.

    Raises:
        StudyError: the text is not YAML, or has no keys.
        OptionError: a key is there twice, or is not text.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise StudyError(f"{path}, line {mark.line + 1 if mark else 1}: not valid YAML: {error.problem}.") from None
    except (yaml.YAMLError, *_INVALID_VALUE) as error:
        raise StudyError(f"{path} is not valid YAML ({' '.join(str(error).split())}).") from None
    if values is None:
        return {}, {}
    if not isinstance(values, dict):
        raise StudyError(f"{path} has no keys; {example}.")
    lines: dict[object, int] = {}
    for key, value in node.value:
        if key.tag != "tag:yaml.org,2002:str":
            raise OptionError(
                f"{path}, line {key.start_mark.line + 1}: the key {key.value} is not text; put it in quotes."
            )
        if key.value in lines:
            raise OptionError(
                f"{path}, line {key.start_mark.line + 1}: {key.value} is already in line {lines[key.value]}; "
                "keep one of them."
            )
        lines[key.value] = key.start_mark.line + 1
        if isinstance(value, yaml.SequenceNode):
            lines |= {(key.value, at): item.start_mark.line + 1 for at, item in enumerate(value.value)}
    return values, lines


def describe_error(
    error: ValidationError, path: Path, lines: dict[object, int], keys: Iterable[str], kind: str, remedy: str
) -> str:
    """The first broken rule in one line: file, line, key, rule, value, and the remedy.

    Args:
        lines: of every key; keys: all that a file of this kind has.
    """
    # a misspelt key is reported before the key that is missing because of it
    first = min(error.errors(), key=lambda details: details["type"] != "extra_forbidden")
    key = str(first["loc"][0]) if first["loc"] else ""
    line = lines.get(first["loc"][:2], lines.get(key))
    place = f"{path}, line {line}" if line else f"{path}"
    if len(first["loc"]) > 1 and first["type"] in ("extra_forbidden", "missing"):  # of a mapping in a list
        what = "has no key" if first["type"] == "extra_forbidden" else "lacks the key"
        return f"{place}: an entry of {key} {what} {str(first['loc'][-1])!r}. {remedy}"
    if first["type"] == "extra_forbidden":
        return f"{place}: a {kind} file has no key {key!r}.{did_you_mean(key, list(keys))} {remedy}"
    if first["type"] == "missing":
        return f"{place}: the key {key} is missing; add a line `{key}: ...`. {remedy}"
    message = first["msg"].removeprefix("Value error, ")
    if not key:  # a rule between several keys
        return f"{place}: {message.rstrip('.')}. {remedy}"
    return f"{place}: {key}: {message.rstrip('.')} (given: {abbreviate(first['input'])}). {remedy}"


def editor_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of files whose keys are the fields of `model`, by which editors check and complete them.

    It accepts what the files may have: where a list is meant, a single value, or several with commas between them.
    """
    schema = model.model_json_schema()
    for name, value in schema["properties"].items():
        if value.get("type") == "array":
            described = {key: value.pop(key) for key in ("description", "title", "default") if key in value}
            several = {"type": "string", "pattern": ","}
            schema["properties"][name] = described | {"anyOf": [value, value["items"], several]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_line(schema: Path) -> str:
    """The first line of a file that names its schema, as the YAML extensions of editors read it."""
    return f"# yaml-language-server: $schema={schema.name}\n"
