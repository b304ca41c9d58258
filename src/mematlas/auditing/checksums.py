"""Checksums of what an audit wrote, so that a document that was handed over can be checked later."""

from pathlib import Path
from typing import Final

from mematlas.io.local_copies import digest
from mematlas.study import read_json, write_json

VERDICT: Final = "verdict.json"
_KEY: Final = "blake2b"


def write_checked(out: Path, content: dict[str, object], names: list[str]) -> None:
    """Write `content` to verdict.json with the checksums of the files `names` beside it, which are there already."""
    write_json(out / VERDICT, content | {_KEY: {name: digest(out / name) for name in names}})


def is_audit(folder: Path) -> bool:
    """Whether the folder has a verdict."""
    return (folder / VERDICT).is_file()


def changed_files(folder: Path) -> list[str]:
    """What is wrong with the files of an audit: one line each, none if all are as they were written."""
    recorded = (read_json(folder / VERDICT, "run the audit again") or {}).get(_KEY) or {}
    faults = []
    for name, checksum in sorted(recorded.items()):
        if not (folder / name).is_file():
            faults.append(f"{folder / name} is missing; run the audit again.")
        elif digest(folder / name) != checksum:
            faults.append(f"{folder / name} was changed after the audit; run the audit again, or ask who made it.")
    return faults if recorded else [f"{folder / VERDICT} has no checksums; run the audit again."]
