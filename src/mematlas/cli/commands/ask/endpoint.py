"""`mematlas endpoint`."""

from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from mematlas.cli.output import Json, print_json
from mematlas.cli.progress import Quiet, progress_display
from mematlas.models.endpoints.capabilities import Capabilities, find_capabilities, write_capabilities
from mematlas.models.endpoints.client import Endpoint
from mematlas.models.endpoints.options import EndpointOptions

_NOTHING: Final = EndpointOptions()
#: Field of Capabilities -> what it is, in words.
_LINES: Final = {
    "accepts_ids": "prompts of token ids",
    "returns_ids": "ids of generated tokens",
    "prompt_log_probabilities": "log-probabilities of the prompt",
    "deterministic": "one answer at temperature 0",
}


def endpoint(
    model: str,
    *,
    config: Annotated[EndpointOptions, Parameter(name="*")] = _NOTHING,
    out: Path | None = None,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Find out what a model behind an API gives, and so how it can be scored.

    Example: mematlas endpoint http://127.0.0.1:8000/v1#my-model
             mematlas endpoint https://api.example.com/v1#their-model --endpoint chat --key-variable EXAMPLE_KEY

    At most ten short requests are sent. That a server accepts a request proves nothing: what comes back is compared.

    Parameters
    ----------
    model
        URL#MODEL: the URL before /completions, and the model as the server calls it; with or without api: before it.
    out
        Folder for the result (capabilities.json) and for every raw answer; by default nothing is kept.
    """
    asked = Endpoint(model, config, out, progress_display(quiet).say)
    try:
        found = find_capabilities(asked)
    finally:
        asked.close()
    if out is not None:
        write_capabilities(out, found)
    scores = found.scores
    if json_:
        print_json({**found.as_json(), "scores": scores, "spent": asked.spent})
        return
    _print(found)
    print(f"mematlas score: {scores}.")


def _print(found: Capabilities) -> None:
    for name, text in _LINES.items():
        value = getattr(found, name)
        state = "not known" if value is None else "yes" if value else "no"
        reason = found.reasons.get(name)
        print(f"{text}: {state}{f' ({reason.rstrip(chr(46))})' if reason else ''}")
    print(f"most probable tokens beside each: {'-' if found.top is None else found.top} of 5 asked for")
    longest = "the server does not say" if found.max_context is None else f"{found.max_context:,} tokens"
    print(f"longest prompt with its answer: {longest}")
