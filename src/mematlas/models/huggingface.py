"""Hugging Face model folders and hub ids, read without loading a weight: card, fingerprint and tokenizer."""

import hashlib
import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from mematlas.errors import ModelError
from mematlas.models.base import LoadOptions, Model, ModelCard, first_line
from mematlas.types import Encoder

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "merges.txt", "vocab.txt")
_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_WIDTH_KEYS = ("hidden_size", "n_embd", "d_model", "n_embed")  # names of a hidden state's width in configurations
_STEP_NAME = re.compile(r"(?:^|[-_/@])(?:step|checkpoint|global_step)[-_]?(\d+)$")


def digest_files(paths: list[Path], *, first: str = "") -> str:
    """A blake2b hash of the names and contents of `paths`, in their order."""
    digest = hashlib.blake2b(first.encode(), digest_size=16)
    for path in paths:
        digest.update(f"{path.name}:{path.stat().st_size};".encode())
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`, {} if there is no such file."""
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON ({error}); fetch or save the model again.") from None
    return value if isinstance(value, dict) else {}


def _ids(value: object) -> tuple[int, ...]:
    if isinstance(value, int):
        return (value,)
    return tuple(value) if isinstance(value, list) else ()


def _weight_files(folder: Path) -> list[Path]:
    """The safetensors files of `folder`.

    Raises:
        ModelError: there are none, they are pickled, or a file that the index names is missing.
    """
    index = read_json(folder / "model.safetensors.index.json")
    names = sorted(set(index.get("weight_map", {}).values()))
    paths = [folder / name for name in names] or sorted(folder.glob("*.safetensors"))
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise ModelError(f"{folder} lacks {missing[0]}, which its index names; fetch the model again.")
    if not paths:
        if any((folder / name).is_file() for name in _PICKLED):
            raise ModelError(
                f"{folder} contains only pickled weights; mematlas reads safetensors. "
                "Load it once with transformers and save it with save_pretrained."
            )
        raise ModelError(f"{folder} contains no *.safetensors weights; give a folder made by save_pretrained.")
    return paths


def count_parameters(paths: list[Path]) -> int:
    """Number of weights in safetensors files, from their headers alone.

    Raises:
        ModelError: a file is truncated.
    """
    total = 0
    for path in paths:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > path.stat().st_size - 8:
                raise ModelError(f"{path} is truncated: its header says {size:,} bytes; fetch the model again.")
            header = json.loads(file.read(size))
        tensors = [entry for name, entry in header.items() if name != "__metadata__"]
        end = max((entry["data_offsets"][1] for entry in tensors), default=0)
        if 8 + size + end > path.stat().st_size:
            raise ModelError(
                f"{path} is truncated: {path.stat().st_size:,} bytes of {8 + size + end:,}; fetch the model again."
            )
        for entry in tensors:
            count = 1
            for extent in entry["shape"]:
                count *= extent
            total += count
    return total


def training_step(folder: Path, spec: str) -> int | None:
    """Optimizer steps of a checkpoint: from mematlas.json, trainer_state.json, or a name such as step1000."""
    for name, key in (("mematlas.json", "training_step"), ("trainer_state.json", "global_step")):
        step = read_json(folder / name).get(key)
        if isinstance(step, int):
            return step
    match = _STEP_NAME.search(spec.rstrip("/"))
    return int(match[1]) if match else None


class FolderSource:
    """A causal model in a folder that `save_pretrained` wrote."""

    def __init__(self, folder: Path, spec: str, label: str) -> None:
        self.folder = folder
        config = read_json(folder / "config.json")
        if not config:
            raise ModelError(f"{folder} has no config.json; give a folder made by save_pretrained, or a hub id.")
        text = config.get("text_config") or config
        vocabulary = text.get("vocab_size")
        if not isinstance(vocabulary, int):
            raise ModelError(f"{folder}/config.json states no vocab_size; mematlas scores causal language models.")
        generation = read_json(folder / "generation_config.json")
        weights = _weight_files(folder)
        self.card = ModelCard(
            label=label,
            spec=spec,
            fingerprint=digest_files([folder / "config.json", *weights]),
            vocabulary=vocabulary,
            parameters=count_parameters(weights),
            training_step=training_step(folder, spec),
            tokenizer=_tokenizer_fingerprint(folder),
            max_length=text.get("max_position_embeddings") or text.get("n_positions"),
            eos=_ids(generation.get("eos_token_id")) or _ids(text.get("eos_token_id")),
            bos=next(iter(_ids(text.get("bos_token_id"))), None),
            width=next((text[name] for name in _WIDTH_KEYS if isinstance(text.get(name), int)), None),
        )

    def encoder(self) -> Encoder | None:
        return folder_encoder(self.folder, self.card)

    def load(self, options: LoadOptions) -> Model:
        from mematlas.models.causal import load_causal

        return load_causal(str(self.folder), self.card, options)


def _tokenizer_fingerprint(folder: Path) -> str | None:
    present = [folder / name for name in _TOKENIZER_FILES if (folder / name).is_file()]
    # tokenizer.json is complete by itself; the other files only repeat it
    return (
        digest_files(present[:1] if present and present[0].name == "tokenizer.json" else present) if present else None
    )


def folder_encoder(folder: Path, card: ModelCard) -> Encoder | None:
    """The tokenizer in `folder`, loaded at its first use; None if the folder has none."""
    return lazy_encoder(card, partial(load_tokenizer, str(folder)))


def lazy_encoder(card: ModelCard, load: Callable[[], Any]) -> Encoder | None:
    """The tokenizer that `load` returns, loaded at its first use; None if the card states none."""
    if card.tokenizer is None:
        return None
    tokenizer = _LazyTokenizer(card, load)
    return Encoder(card.label, card.tokenizer, card.vocabulary, tokenizer, tokenizer.decode)


def load_tokenizer(folder: str, **extra: str) -> Any:
    """The tokenizer in `folder`, loaded by AutoTokenizer."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, **extra)


def tokenizer_encoder(name: str, vocabulary: int | None) -> Encoder:
    """The tokenizer in the folder or hub repository `name`.

    Args:
        vocabulary: number of token ids that the models accept; None without a model: the tokenizer's own number then.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        folder = path
    else:
        repository, _, revision = name.partition("@")
        folder = _download(repository, revision or None)
    fingerprint = _tokenizer_fingerprint(folder)
    if fingerprint is None:
        raise ModelError(
            f"{name!r} contains no tokenizer (tokenizer.json or tokenizer.model); name a folder that does."
        )
    if vocabulary is None:
        vocabulary = max(load_tokenizer(str(folder)).get_vocab().values(), default=-1) + 1
    encoder = folder_encoder(folder, ModelCard(folder.name, name, "", vocabulary, tokenizer=fingerprint))
    assert encoder is not None
    return encoder


class _LazyTokenizer:
    def __init__(self, card: ModelCard, load: Callable[[], Any]) -> None:
        self._card, self._load_tokenizer = card, load
        self._encode: Callable[[list[str]], list[list[int]]] | None = None

    def __call__(self, texts: list[str]) -> list[list[int]]:
        if self._encode is None:
            self._encode = self._load_encode()
        return self._encode(texts)

    def decode(self, ids: list[int]) -> list[str]:
        """The text of each id by itself, decoded after another token, as some lose their space at a text's start."""
        prefix = self(["a"])[0][-1:]
        start = len(self._text(prefix))
        return [self._text([*prefix, token])[start:] for token in ids]

    def _text(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _load_encode(self) -> Callable[[list[str]], list[list[int]]]:
        try:
            tokenizer = self._load_tokenizer()
        except Exception as error:  # the tokenizers library raises no narrower type
            raise ModelError(
                f"The tokenizer of {self._card.spec!r} cannot be loaded ({first_line(error)}); fetch the model again, "
                "or name another tokenizer with --tokenizer."
            ) from error
        largest = max(tokenizer.get_vocab().values(), default=-1)
        if largest >= self._card.vocabulary:
            raise ModelError(
                f"The tokenizer of {self._card.label} has ids up to {largest}, but the model's vocabulary has only "
                f"{self._card.vocabulary}: they do not belong together. Put the model's own tokenizer into the folder, "
                "or name one with --tokenizer."
            )
        self._tokenizer = tokenizer
        fast = getattr(tokenizer, "backend_tokenizer", None)
        if fast is not None:
            fast.no_truncation()
            fast.no_padding()
            return lambda texts: [encoding.ids for encoding in fast.encode_batch(texts, add_special_tokens=False)]
        return lambda texts: tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]


def _download(repository: str, revision: str | None) -> Path:
    """The local snapshot of a hub repository: config, tokenizer and safetensors only."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patterns = ["*.json", "*.safetensors", "*.model", "*.txt", "*.py"]
    name = f"{repository}@{revision}" if revision else repository
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=patterns))
    except HFValidationError:
        raise ModelError(
            f"{name!r} is neither a folder on this machine nor a hub id (owner/name[@revision])."
        ) from None
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"There is no folder {name!r} on this machine, and the hub has no model with this id ({reason}). "
            "Check the spelling, the network and your access, or give a local folder."
        ) from None


def _label(folder: Path) -> str:
    """The folder's name, prefixed with its parent's if it only names a checkpoint, such as step1000."""
    return f"{folder.parent.name}-{folder.name}" if _STEP_NAME.search(folder.name) else folder.name


def resolve(rest: str) -> FolderSource:
    """Resolve a local folder, or a hub id with an optional @revision."""
    folder = Path(rest).expanduser()
    if folder.is_dir():
        return FolderSource(folder, rest, _label(folder.resolve()))
    if folder.exists():
        raise ModelError(f"{rest!r} is a file; give the model's folder, a hub id, or a .gguf file.")
    repository, _, revision = rest.partition("@")
    label = repository.split("/")[-1] + (f"@{revision}" if revision else "")
    return FolderSource(_download(repository, revision or None), rest, label)
