"""A trainer of somebody's own: python own_trainer.py SUBSET OUT SEED. It counts which word follows which.

The counts are the output head of a GPT-NeoX whose one layer adds nothing and whose embeddings are one-hot, so that a
model is exact and takes no time; all but the head is in the folder `template`, which the tests write. The words in the
file fails.txt are subsets that it fails on.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

WORDS = 150


def main(subset: Path, out: Path, seed: str = "") -> None:
    """Train one model."""
    print("training on", subset.name)
    if (fails := Path("fails.txt")).is_file() and subset.stem in fails.read_text().split():
        print("out of memory, says the trainer")
        sys.exit(3)
    shutil.copytree("template", out)
    tensors = load_file(out / "model.safetensors")
    tensors["embed_out.weight"] = np.ascontiguousarray(followers(texts_of(subset)).T)
    save_file(tensors, out / "model.safetensors", {"format": "pt"})
    with Path("trained.txt").open("a") as file:
        file.write(f"{out.name} {seed}\n")


def texts_of(path: Path) -> list[list[int]]:
    """The numbers of the words of each line."""
    lines = path.read_text().splitlines()
    texts = [json.loads(line)["text"] if path.suffix == ".jsonl" else line for line in lines]
    return [[int(word[1:]) for word in text.split()] for text in texts]


def followers(texts: list[list[int]]) -> np.ndarray:
    """How often each word follows each: shape (words, words)."""
    counts = np.zeros((WORDS, WORDS), np.float32)
    for ids in texts:
        np.add.at(counts, (ids[:-1], ids[1:]), 1)
    return counts


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:4])
