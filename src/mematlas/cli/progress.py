"""A progress bar on standard error, with speed and remaining time; without a terminal, a line from time to time."""

import sys
import time
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from mematlas.progress import Progress, Silent

#: The option of every command that shows progress.
Quiet = Annotated[
    bool,
    Parameter(name="--quiet", negative=(), help="Show no progress and no remarks; errors and results are still shown."),
]

_LINE_INTERVAL = 30.0  # seconds between lines if there is no terminal


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.1f} {task.fields['unit']}/s" if task.speed else "")


class Bar:
    """Progress of one task after another, on the terminal (implements `mematlas.progress.Progress`)."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bar: RichProgress | None = None
        self._label, self._unit, self._total, self._done, self._initial = "", "rows", 0, 0, 0
        self._start_time = self._last_line_time = 0.0

    def start(self, label: str, total: int, done: int, unit: str = "rows") -> None:
        self.stop()
        self._label, self._unit, self._total, self._done, self._initial = label, unit, total, done, done
        self._start_time = self._last_line_time = time.monotonic()
        if done == total:
            self.say(f"{label}: all {total:,} {unit} are done already.")
        elif self._console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                _Speed(),
                TimeRemainingColumn(),
            )
            self._bar = RichProgress(*columns, console=self._console, transient=False)
            self._task = self._bar.add_task(label, total=total, completed=done, unit=unit)
            self._bar.start()
        else:  # loading and the first batch can take minutes: announce the task immediately
            self.say(f"{label}: {total:,} {unit}, {done:,} of them done")

    def advance(self, rows: int) -> None:
        self._done += rows
        if self._bar is not None:
            self._bar.advance(self._task, rows)
            return
        now = time.monotonic()
        if now - self._last_line_time >= _LINE_INTERVAL or self._done == self._total:
            self._last_line_time = now
            speed = (self._done - self._initial) / max(now - self._start_time, 1e-9)
            remaining = (self._total - self._done) / max(speed, 1e-9)
            state = f"{self._done:,} of {self._total:,} {self._unit}"
            self.say(f"{self._label}: {state}, {speed:,.1f} {self._unit}/s, {remaining:,.0f} s left")

    def say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(text)
        else:
            print(text, file=sys.stderr, flush=True)

    def stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def progress_display(quiet: bool) -> Progress:
    """What a command shows while it works: a bar, or nothing."""
    return Silent() if quiet else Bar()
