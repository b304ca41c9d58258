"""A plugin for axolotl, which adds `MemorizationCallback` to its trainer.

plugins:
  - mematlas.integrations.axolotl.MemorizationPlugin
memorization:          # arguments of MemorizationCallback
  control: eval
  study: leak
"""

from inspect import signature
from typing import Any

from axolotl.integrations.base import BasePlugin
from pydantic import BaseModel

from mematlas.errors import OptionError, did_you_mean
from mematlas.integrations.transformers import MemorizationCallback


class MemorizationArgs(BaseModel):
    """What the plugin adds to axolotl's configuration: arguments of `MemorizationCallback`, by name."""

    memorization: dict[str, Any] | None = None


class MemorizationPlugin(BasePlugin):
    """Measures memorization during a training of axolotl."""

    def get_input_args(self) -> str:
        """The class whose fields axolotl adds to its configuration."""
        return f"{MemorizationArgs.__module__}.{MemorizationArgs.__qualname__}"

    def add_callbacks_post_trainer(self, cfg: Any, trainer: Any) -> list[MemorizationCallback]:
        """The callback, for a trainer that exists already.

        Raises:
            OptionError: `memorization:` has a key that is no argument of the callback.
        """
        given = dict(cfg.get("memorization") or {})
        known = [name for name in signature(MemorizationCallback).parameters if name != "trainer"]
        for name in given:
            if name not in known:
                suggestion = did_you_mean(name, known)
                raise OptionError(f"memorization: has no key {name!r}.{suggestion} It has: {', '.join(known)}.")
        return [MemorizationCallback(trainer, **given)]
