"""What a long run reports while it works: the interface of a progress display, and one that shows nothing."""

import logging
from typing import Final, Protocol

#: All messages of the library. It adds no handler and sets no level: that is for the program that uses it.
LOGGER: Final = logging.getLogger("mematlas")


class Progress(Protocol):
    """A display of progress, such as the command line's bar."""

    def start(self, label: str, total: int, done: int, unit: str = "rows") -> None:
        """Begin a stage of `total` units of work, `done` of which are finished already."""

    def advance(self, rows: int) -> None:
        """Count `rows` more units as finished."""

    def say(self, text: str) -> None:
        """Show a message of one line."""

    def stop(self) -> None:
        """End the current stage, finished or not."""


class Silent:
    """Shows nothing: the default of the Python API, and of commands with --quiet.

    What it would say goes to the logger "mematlas" at level INFO, which Python shows if a program asks for it:
    `logging.basicConfig(level=logging.INFO)`.
    """

    def start(self, label: str, total: int, done: int, unit: str = "rows") -> None:
        LOGGER.info("%s: %d %s, %d of them done", label, total, unit, done)

    def advance(self, rows: int) -> None: ...

    def say(self, text: str) -> None:
        LOGGER.info("%s", text)

    def stop(self) -> None: ...
