"""Lines that commands print while models train."""

from time import monotonic

from mematlas.progress import Progress


class TrainingLines:
    """Prints a line every 15 seconds, and at the last step of every model."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._last_line_time, self._start_time = progress, 0.0, monotonic()

    def __call__(self, step: int, steps: int, loss: float | None, label: str) -> None:
        now = monotonic()
        if loss is None:
            if step == 0:
                self._progress.say("Reading the standard library and planting repetitions ...")
        elif step == steps or now - self._last_line_time > 15:
            self._last_line_time = now
            elapsed = now - self._start_time
            self._progress.say(f"training {label}: step {step:,} of {steps:,}, loss {loss:.2f}, {elapsed:.0f} s")
