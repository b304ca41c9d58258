"""Records which files of a corpus folder are not read, so that none is passed over in silence."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeVar

from mematlas.corpus.base import Corpus

NAMES_SHOWN: Final = 20
AnyCorpus = TypeVar("AnyCorpus", bound=Corpus)


def record_skipped(corpus: AnyCorpus, folder: Path, read: Iterable[Path]) -> AnyCorpus:
    """`corpus`, with the files of `folder` that are not among those `read` in its details.

    skipped_files: their number; skipped_names: the first names, None if there is none. Hidden files count, too; a
    hidden folder, such as ``.git``, counts as one file. Without effect where the corpus is a single file.
    """
    if folder.is_dir():
        names = sorted(_names_below(folder) - {path.relative_to(folder).as_posix() for path in read})
        corpus.details.update(skipped_files=len(names), skipped_names=first_of(names) or None)
    return corpus


def first_of(names: list[str], shown: int = NAMES_SHOWN) -> str:
    """The first `shown` names, and how many follow."""
    following = len(names) - shown
    return ", ".join([*names[:shown], *([f"{following} more"] if following > 0 else [])])


def _names_below(folder: Path) -> set[str]:
    names: set[str] = set()
    for parent, folders, files in os.walk(folder):
        hidden = {name for name in folders if name.startswith(".")}
        folders[:] = [name for name in folders if name not in hidden]
        below = Path(parent).relative_to(folder)
        names |= {(below / name).as_posix() for name in files} | {(below / name).as_posix() + "/" for name in hidden}
    return names
