"""What a long run reports while it works: the interface of a progress display, and one that shows nothing."""

from typing import Protocol


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
    """Shows nothing: the default of the Python API."""

    def start(self, label: str, total: int, done: int, unit: str = "rows") -> None: ...
    def advance(self, rows: int) -> None: ...
    def say(self, text: str) -> None: ...
    def stop(self) -> None: ...
