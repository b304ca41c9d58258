"""Every raw answer of an API in a folder, so that nothing is asked twice and a killed run goes on where it was.

Each process that asks writes a file of its own, a line of JSON for each reply: answers under the hash of their request,
and what was no answer (`fault`). A line that a killed process left unfinished is passed over, and asked for again.
"""

import errno
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from mematlas.errors import StudyError
from mematlas.io.paths import make_folder, translate_os_errors
from mematlas.models.endpoints.limits import Usage

_Place = tuple[Path, int, int]  # file, offset and length of a line


class AnswerStore:
    """The answers in a folder; without a folder they are kept in memory only. Threads may share it.

    Args:
        redact: applied to every text before it is stored: takes out the key, should a server repeat it.
    """

    def __init__(self, folder: Path | None, redact: Callable[[str], str] = lambda text: text) -> None:
        self._folder, self._redact = folder, redact
        self._places: dict[str, _Place] = {}
        self._memory: dict[str, dict[str, Any]] = {}
        self._file: BinaryIO | None = None
        self._path: Path | None = None
        self._lock = threading.Lock()
        self._spent = Usage()
        if folder is not None and folder.is_dir():
            for path in sorted(folder.glob("*.jsonl")):
                self._read(path)

    @property
    def spent(self) -> Usage:
        """What all replies in the folder took together."""
        return self._spent

    def __len__(self) -> int:
        return len(self._places) + len(self._memory)

    def __contains__(self, key: str) -> bool:
        return key in self._places or key in self._memory

    def get(self, key: str) -> dict[str, Any] | None:
        """The line of the answer to the request with this hash; None if it was not answered yet."""
        if key in self._memory:
            return self._memory[key]
        if key not in self._places:
            return None
        path, offset, length = self._places[key]
        with translate_os_errors(path.parent), path.open("rb") as file:
            file.seek(offset)
            record: dict[str, Any] = json.loads(file.read(length))
        return record

    def add(self, key: str, record: dict[str, Any], usage: Usage) -> None:
        """Keep an answer, or a fault, at once.

        Args:
            record: "answer" is the server's JSON; "fault" says why there is none, then it is asked for again.
        """
        line = {"key": key, "time": time.time(), **record}
        line["usage"] = [usage.requests, usage.tokens_in, usage.tokens_out]
        text = self._redact(json.dumps(line))
        with self._lock:
            self._spent += usage
            if self._folder is None:
                if "answer" in record:
                    self._memory.setdefault(key, json.loads(text))
                return
            place = self._append((text + "\n").encode())
            if "answer" in record:
                self._places.setdefault(key, place)

    def _append(self, line: bytes) -> _Place:
        assert self._folder is not None
        if self._file is None or self._path is None:
            make_folder(self._folder)
            started = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
            self._path = self._folder / f"{started}-{os.urandom(4).hex()}.jsonl"  # no other process writes to it
            with translate_os_errors(self._folder):
                self._file = self._path.open("ab", buffering=0)
        with translate_os_errors(self._folder):
            offset = self._file.tell()
            if self._file.write(line) != len(line):
                self._file = None  # what follows goes to another file
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._path, offset, len(line)

    def close(self) -> None:
        """Close the file; another `add` opens a file again."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _read(self, path: Path) -> None:
        """Note where each answer of a file is."""
        with translate_os_errors(path.parent):
            content = path.read_bytes()
        offset = 0
        for number, line in enumerate(content.splitlines(keepends=True), 1):
            if not line.endswith(b"\n"):
                break  # of a process that was killed while it wrote
            try:
                record = json.loads(line)
                key, usage = record["key"], Usage(*record["usage"])
            except (ValueError, KeyError, TypeError):
                raise StudyError(
                    f"Line {number} of {path} is no answer of an API; delete the line, and it is asked for again."
                ) from None
            self._spent += usage
            if "answer" in record:
                self._places.setdefault(key, (path, offset, len(line)))
            offset += len(line)
