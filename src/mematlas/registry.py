"""Tables name -> "module:attribute"; a module is imported only when its name is loaded.

Other packages can add members through the entry point group ``mematlas.<table>``.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from mematlas.errors import MissingExtra, UnknownName, did_you_mean
from mematlas.errors.libraries import is_own_module, missing_library


def import_target(target: str) -> Any:
    """What `target`, a "module:attribute", names; its module is imported now."""
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


class Registry(Mapping[str, str]):
    """A table of names, each with its ``module:attribute``; `load` imports it.

    Args:
        kind: the singular noun for members ("format", "model"), used in messages.
        members: name -> (target, extra that installs its libraries or None, one line for `mematlas list`).
        plural: of the noun, if it is not formed with an s.
    """

    def __init__(
        self, kind: str, members: Mapping[str, tuple[str, str | None, str]], plural: str | None = None
    ) -> None:
        self.kind = kind
        self.plural = plural or f"{kind}s"
        self._members = dict(members)
        self._has_loaded_plugins = False

    def _load_plugins(self) -> None:
        if not self._has_loaded_plugins:
            self._has_loaded_plugins = True
            for point in entry_points(group=f"mematlas.{self.plural}"):
                self._members.setdefault(point.name, (point.value, None, f"from {point.value.split('.')[0]}"))

    def __getitem__(self, name: str) -> str:
        return self._members[name][0]

    def __iter__(self) -> Iterator[str]:
        self._load_plugins()
        return iter(self._members)

    def __len__(self) -> int:
        self._load_plugins()
        return len(self._members)

    def summary(self, name: str) -> str:
        """The description that `mematlas list` prints for `name`."""
        return self._members[name][2]

    def load(self, name: str) -> Any:
        """Import and return the member called `name`.

        Raises:
            UnknownName: no member has this name.
            MissingExtra: a library that the member needs is not installed.
        """
        if name not in self._members:
            self._load_plugins()
        if name not in self._members:
            raise UnknownName(
                f"No {self.kind} is called {name!r}.{did_you_mean(name, list(self._members))} "
                f"`mematlas list {self.plural}` shows them all."
            )
        target, extra, _ = self._members[name]
        try:
            return import_target(target)
        except ImportError as error:
            if extra is None or is_own_module(error):
                raise
            raise MissingExtra(f"The {self.kind} {name!r} {missing_library(error, extra)}") from error
