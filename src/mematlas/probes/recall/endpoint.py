"""A model behind an API as `mematlas probe recall` asks it: what it is refused, and what its answers will take."""

from collections.abc import Sequence
from typing import Final

from mematlas.errors import OptionError
from mematlas.models.endpoints.limits import Usage
from mematlas.models.endpoints.options import EndpointKind, api_key
from mematlas.models.endpoints.requests import text_request
from mematlas.probes.items.answering import Text
from mematlas.probes.recall.config import RecallConfig
from mematlas.scoring.endpoint_options import check_options_of_server

#: Options that say how a model is loaded and run, which its server does.
_OF_THE_SERVER: Final = ("dtype", "device", "device_map", "trust_remote_code")


def check_options_of_endpoint(config: RecallConfig, spec: str) -> None:
    """Refuse what a model behind an API cannot give: it is asked for texts alone.

    Args:
        spec: the model's name, for the message.

    Raises:
        OptionError: an option asks for it, or names a variable for the key that is not set.
    """
    api_key(config)  # where a variable is named that is not set
    if config.candidates not in (0, RecallConfig.model_fields["candidates"].default):
        raise OptionError(
            f"{spec} is a model behind an API: --candidates {config.candidates} ranks answers by their "
            "log-probabilities, and an API is asked for texts alone: leave it out."
        )
    check_options_of_server(config, _OF_THE_SERVER, spec, "ask other models by a command of their own")


class RequestCounter:
    """A `TextModel` that sends nothing and answers with nothing: it counts what an API would be asked."""

    def __init__(self, kind: EndpointKind) -> None:
        self._kind, self.most = kind, Usage()

    def complete(
        self, prompts: Sequence[str], *, max_tokens: int, temperature: float = 0.0, seed: int = 0, n: int = 1
    ) -> list[list[Text]]:
        """See `TextModel`; what the requests take at most is added to `most`."""
        for prompt in prompts:
            for sample in range(n):
                self.most += text_request(self._kind, prompt, max_tokens, temperature, seed, sample).most
        return [[Text("")] * n for _ in prompts]
