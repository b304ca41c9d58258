"""Models that a command of the user's own trains: one process a model, never two for the same one.

FOLDER/subsets/<label>.jsonl   the lines that a model is trained on
       models/<label>/         what the command saves
       models/<label>.json     that it is finished, and of which lines and command; written last
       logs/<label>.log        what the command printed
"""

import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from mematlas.errors import MematlasError, ModelError
from mematlas.experiments.data.line_file import write_if_changed
from mematlas.experiments.folders import read_json
from mematlas.models.resolve import find_model
from mematlas.study import fingerprint, translate_os_errors, write_json

PLACEHOLDERS: Final = ("subset", "out", "seed")
_NEEDED: Final = ("subset", "out")
_POLL: Final = 0.05  # seconds
_LAST_WORDS: Final = 200  # characters of the log's last line that an error repeats


def check_command(command: str) -> str:
    """Return `command`, which must be one that a shell can split, with all needed placeholders.

    Raises:
        ValueError: it is not.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ValueError(f"{command!r} cannot be split into words ({error}); check its quotes") from None
    for name in _NEEDED:
        if not any(f"{{{name}}}" in word for word in words):
            raise ValueError(
                f"{command!r} has no {{{name}}}; write it where the command takes the file with the lines of a model "
                "({subset}) and the folder it saves the model to ({out})"
            )
    return command


def filled(command: str, values: Mapping[str, object]) -> list[str]:
    """The words of `command`, with the placeholders in each replaced; what is filled in is never split or replaced."""
    pattern = re.compile("|".join(f"{{{name}}}" for name in PLACEHOLDERS))
    return [pattern.sub(lambda match: str(values[match[0][1:-1]]), word) for word in shlex.split(command)]


@dataclass(frozen=True, slots=True)
class CommandRun:
    """The training of one model.

    command: with its placeholders; subset: a function that returns the content of the file of lines; digest: its hash;
    suffix: of that file; lines: their number; home: the folder in which the command runs; folder: for all results.
    """

    label: str
    command: str
    subset: Callable[[], bytes]
    digest: str
    suffix: str
    lines: int
    seed: int
    home: Path
    folder: Path

    @property
    def model(self) -> Path:
        """The folder that the command saves the model to."""
        return self.folder / "models" / self.label

    @property
    def log(self) -> Path:
        """What the command prints."""
        return self.folder / "logs" / f"{self.label}.log"

    @property
    def words(self) -> list[str]:
        """The command's words, with absolute paths."""
        subset = self.folder / "subsets" / f"{self.label}{self.suffix}"
        return filled(self.command, {"subset": subset.resolve(), "out": self.model.resolve(), "seed": self.seed})

    def is_finished(self) -> bool:
        """Whether the model was trained by this command on these lines, and is still there."""
        return read_json(self._marker) == self._facts() and self.model.is_dir() and any(self.model.iterdir())

    def prepare(self) -> None:
        """Write the lines, and remove what a command that did not finish, or another one, left behind."""
        write_if_changed(self.folder / "subsets" / f"{self.label}{self.suffix}", self.subset())
        with translate_os_errors(self.model):
            self._marker.unlink(missing_ok=True)
            if self.model.exists():
                shutil.rmtree(self.model)
            self.model.parent.mkdir(parents=True, exist_ok=True)
            self.log.parent.mkdir(parents=True, exist_ok=True)

    def finish(self, code: int) -> str | None:
        """Mark the model as finished; or say in a clause why it is not."""
        if code:
            return f"`{shlex.join(self.words)}` ended with exit code {code}{self._last_words()}"
        try:
            find_model(str(self.model.resolve()))
        except MematlasError as error:
            return f"`{shlex.join(self.words)}` ended well, but left no model in {self.model} ({error})"
        write_json(self._marker, self._facts())
        return None

    @property
    def _marker(self) -> Path:
        return self.folder / "models" / f"{self.label}.json"

    def _facts(self) -> dict[str, Any]:
        """What the marker says: the hash of all that decides about the model, as far as it is known."""
        seed = self.seed if "{seed}" in self.command else None
        return {"fingerprint": fingerprint({"lines": self.digest, "command": self.command, "seed": seed})}

    def _last_words(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n") if self.log.is_file() else []
        said = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f" ({said[-_LAST_WORDS:]})" if said else ""


def train_models(
    runs: Sequence[CommandRun], at_once: int, say: Callable[[str], None], check: Callable[[CommandRun, int], None]
) -> None:
    """Train the models that are missing, `at_once` at the same time.

    The first model of all is trained alone: if its command fails, no other is started; once it is there, the others'
    room and how they will be scored are known. Later, a command that fails does not stop the others.

    Args:
        check: called as check(run, missing) with a finished model and the number of those to come, before them.

    Raises:
        ModelError: a command failed, or left no model; what is finished is kept.
    """
    missing = [run for run in runs if not run.is_finished()]
    if missing and len(missing) == len(runs):
        _raise_failed(_train(missing[:1], 1, say, len(runs)), 0)
        missing = missing[1:]
    if missing:
        check(next(run for run in runs if run not in missing), len(missing))
    _raise_failed(failed := _train(missing, at_once, say, len(runs)), len(runs) - len(failed))


def _train(runs: Sequence[CommandRun], at_once: int, say: Callable[[str], None], total: int) -> dict[str, str]:
    """Run the commands; label -> why there is no model, and where its log is."""
    waiting, running = list(runs), dict[str, tuple[CommandRun, subprocess.Popen[bytes], IO[bytes]]]()
    failed: dict[str, str] = {}
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                run = waiting.pop(0)
                say(f"training {run.label}, {total} models in all: {shlex.join(run.words)}")
                running[run.label] = run, *_start(run)
            time.sleep(_POLL)
            for label, (run, process, log) in [*running.items()]:
                if (code := process.poll()) is not None:
                    log.close()
                    del running[label]
                    if reason := run.finish(code):
                        failed[label] = f"{reason}; its output is in {run.log}"
                        say(f"{label} was not trained: {failed[label]}")
    finally:
        _stop(process for _, process, _ in running.values())
    return failed


def _start(run: CommandRun) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
    run.prepare()
    with translate_os_errors(run.log):
        log = run.log.open("wb")
    try:
        process = subprocess.Popen(
            run.words, cwd=run.home, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
    except OSError as error:
        log.close()
        raise ModelError(
            f"trainer: {run.words[0]!r} cannot be started in {run.home.resolve()} ({error.strerror}); check the "
            "command's first word."
        ) from None
    return process, log


def _stop(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """End what still runs: the user stopped the experiment."""
    for process in [*processes]:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _raise_failed(failed: Mapping[str, str], kept: int) -> None:
    if not failed:
        return
    label, reason = next(iter(failed.items()))
    others = f" Nor were {', '.join(list(failed)[1:])}." if len(failed) > 1 else ""
    rest = f" and keeps the {kept} finished ones" if kept else ""
    raise ModelError(
        f"{label} was not trained: {reason}.{others} Mend it and run the same command again: it trains the missing "
        f"models{rest}."
    )
