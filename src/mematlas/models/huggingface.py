"""Hugging Face model folders and hub ids, read without loading a weight: card, fingerprint and tokenizer."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mematlas.errors import ModelError
from mematlas.models.base import LoadOptions, Model, ModelCard, first_line
from mematlas.models.checkpoints import check_complete
from mematlas.models.quantization import check_library, quantization
from mematlas.models.rope import supported_lengths
from mematlas.models.tokenizer_rules import rules_of, tokenizer_rules
from mematlas.models.weight_files import (
    count_parameters,
    digest_files,
    read_json,
    training_step,
    weight_files,
)
from mematlas.types import ChatTemplate, Encoder, Message

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "merges.txt", "vocab.txt")
_WIDTH_KEYS = ("hidden_size", "n_embd", "d_model", "n_embed")  # names of a hidden state's width in configurations


def _ids(value: object) -> tuple[int, ...]:
    if isinstance(value, int):
        return (value,)
    return tuple(value) if isinstance(value, list) else ()


def configured(text: Mapping[str, Any], generation: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a model's card that its configuration states.

    Args:
        text: content of config.json, or of its `text_config`; generation: of generation_config.json, {} without one.
    """
    max_length, trained_length = supported_lengths(text)
    return {
        "max_length": max_length,
        "trained_length": trained_length,
        "eos": _ids(generation.get("eos_token_id")) or _ids(text.get("eos_token_id")),
        "bos": next(iter(_ids(text.get("bos_token_id"))), None),
        "width": next((text[name] for name in _WIDTH_KEYS if isinstance(text.get(name), int)), None),
    }


class FolderSource:
    """A causal model in a folder that `save_pretrained` wrote. remarks: for the user, on how `spec` was understood."""

    def __init__(self, folder: Path, spec: str, label: str, remarks: tuple[str, ...] = ()) -> None:
        self.folder = folder
        check_complete(folder)
        config = read_json(folder / "config.json")
        text = config.get("text_config") or config
        vocabulary = text.get("vocab_size")
        if not isinstance(vocabulary, int):
            raise ModelError(f"{folder}/config.json states no vocab_size; mematlas scores causal language models.")
        generation = read_json(folder / "generation_config.json")
        weights = weight_files(folder)
        check_library(config, spec)
        quantized = quantization(config)
        if quantized is not None:
            remarks = (*remarks, f"{label} is quantized ({quantized}): scores are those of its quantized weights")
        tokenizer = tokenizer_fingerprint(folder)
        self.card = ModelCard(
            label=label,
            spec=spec,
            fingerprint=digest_files([folder / "config.json", *weights]),
            vocabulary=vocabulary,
            parameters=None if quantized else count_parameters(weights),  # several weights share a number
            training_step=training_step(folder, spec),
            tokenizer=tokenizer,
            tokenizer_rules=tokenizer_rules(folder, tokenizer),
            remarks=remarks,
            quantization=quantized,
            **configured(text, generation),
        )

    def encoder(self) -> Encoder | None:
        return folder_encoder(self.folder, self.card)

    def load(self, options: LoadOptions) -> Model:
        from mematlas.models.causal import load_causal

        return load_causal(str(self.folder), self.card, options)


def tokenizer_fingerprint(folder: Path) -> str | None:
    """A hash of the tokenizer's files in `folder`; None if it has none."""
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
    functions = (tokenizer, tokenizer.decode, tokenizer.decode_windows, tokenizer.chat_template, tokenizer.rules)
    return Encoder(card.label, card.tokenizer, card.vocabulary, *functions, locate=tokenizer.locate)


def load_tokenizer(folder: str, **extra: str) -> Any:
    """The tokenizer in `folder`, loaded by AutoTokenizer."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, **extra)


def _loaded(load: Callable[[], Any], spec: str) -> Any:
    """The tokenizer that `load` returns, of a model that is called `spec`.

    Raises:
        ModelError: its files are damaged.
    """
    try:
        return load()
    except ModuleNotFoundError:  # of transformers or a library that it needs
        raise
    except Exception as error:  # the tokenizers library raises no narrower type
        raise ModelError(
            f"The tokenizer of {spec!r} cannot be loaded ({first_line(error)}); fetch the model again, or name another "
            "tokenizer with --tokenizer."
        ) from error


def tokenizer_encoder(name: str, vocabulary: int | None) -> Encoder:
    """The tokenizer in the folder or hub repository `name`.

    Args:
        vocabulary: number of token ids that the models accept; None without a model: the tokenizer's own number then.
    """
    folder, fingerprint = find_tokenizer(name)
    if vocabulary is None:
        tokenizer = _loaded(partial(load_tokenizer, str(folder)), name)
        vocabulary = max(tokenizer.get_vocab().values(), default=-1) + 1
    encoder = folder_encoder(folder, ModelCard(folder.name, name, "", vocabulary, tokenizer=fingerprint))
    assert encoder is not None
    return encoder


def decoding_encoder(name: str, vocabulary: int) -> Encoder:
    """The tokenizer in the folder or hub repository `name`, to decode with: nothing is downloaded, no weight is read,
    and a tokenizer.json needs neither transformers nor torch.

    Raises:
        ModelError: there is none on this machine.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        folder = _downloaded(name)
    folder, fingerprint = find_tokenizer(str(folder))
    card = ModelCard(folder.name, name, "", vocabulary, tokenizer=fingerprint)
    file = folder / "tokenizer.json"
    encoder = lazy_encoder(card, partial(_TokenizerFile, file)) if file.is_file() else folder_encoder(folder, card)
    assert encoder is not None
    return encoder


def _downloaded(name: str) -> Path:
    """The snapshot of a hub repository that is on this machine already."""
    from huggingface_hub import snapshot_download

    repository, _, revision = name.partition("@")
    try:
        return Path(snapshot_download(repository, revision=revision or None, local_files_only=True))
    except (ValueError, OSError) as error:
        raise ModelError(f"The tokenizer of {name!r} is not on this machine ({first_line(error)}).") from None


class _TokenizerFile:
    """A tokenizer.json, with as much of the interface of transformers' tokenizers as decoding needs."""

    def __init__(self, file: Path) -> None:
        from tokenizers import Tokenizer

        self.backend_tokenizer = Tokenizer.from_file(str(file))

    def get_vocab(self) -> dict[str, int]:
        vocabulary: dict[str, int] = self.backend_tokenizer.get_vocab()
        return vocabulary

    def decode(self, ids: list[int], *, skip_special_tokens: bool, **_: bool) -> str:
        return str(self.backend_tokenizer.decode(ids, skip_special_tokens=skip_special_tokens))


def find_tokenizer(name: str) -> tuple[Path, str]:
    """The folder of the tokenizer in the folder or hub repository `name`, and the fingerprint of its files.

    Raises:
        ModelError: there is none.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        folder = path
    else:
        repository, _, revision = name.partition("@")
        folder = download(repository, revision or None)
    fingerprint = tokenizer_fingerprint(folder)
    if fingerprint is None:
        raise ModelError(
            f"{name!r} contains no tokenizer (tokenizer.json or tokenizer.model); name a folder that does."
        )
    return folder, fingerprint


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

    def decode_windows(self, windows: list[list[int]]) -> list[str]:
        """The text of each list of ids, decoded at once, after another token as in `decode`."""
        prefix = self(["a"])[0][-1:]
        prefixed = [prefix, *([*prefix, *window] for window in windows)]
        fast = getattr(self._tokenizer, "backend_tokenizer", None)
        if fast is None:
            texts = [self._text(ids) for ids in prefixed]
        else:
            texts = fast.decode_batch(prefixed, skip_special_tokens=False)  # in threads
        return [text[len(texts[0]) :] for text in texts[1:]]

    def rules(self) -> str | None:
        """See tokenizer_rules.rules_of."""
        if self._encode is None:
            self._encode = self._load_encode()
        return rules_of(self._tokenizer)

    def chat_template(self) -> ChatTemplate | None:
        """The tokenizer's template for chats; None if it has none."""
        if self._encode is None:
            self._encode = self._load_encode()
        if not self._tokenizer.chat_template:
            return None
        template = self._tokenizer.get_chat_template()
        stated = f"{template}\n{sorted(self._tokenizer.special_tokens_map.items(), key=str)}"
        return ChatTemplate(hashlib.blake2b(stated.encode(), digest_size=16).hexdigest(), self._render)

    def _render(self, messages: Sequence[Message], begins_answer: bool) -> str:
        """See ChatTemplate."""
        try:
            return str(
                self._tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=begins_answer)
            )
        except ImportError:  # of jinja2
            raise
        except Exception as error:  # a template is a program, which may raise anything
            raise ValueError(first_line(error)) from error

    def locate(self, text: str) -> tuple[list[int], list[int]]:
        """The ids of a text, and the character after each; tokens that share a character all end after it.

        Raises:
            ModelError: the tokenizer is one of Python code, which does not know this.
        """
        self([""])  # loads it
        fast = getattr(self._tokenizer, "backend_tokenizer", None)
        if fast is None:
            raise ModelError(
                f"The tokenizer of {self._card.spec!r} does not say where its tokens stand in a text; save a fast one "
                "(tokenizer.json) beside the weights."
            )
        encoding = fast.encode(text, add_special_tokens=False)
        ends, last = [], 0
        for _, end in encoding.offsets:
            last = max(last, end)
            ends.append(last)
        return list(encoding.ids), ends

    def _text(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _load_encode(self) -> Callable[[list[str]], list[list[int]]]:
        tokenizer = _loaded(self._load_tokenizer, self._card.spec)
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


def download(repository: str, revision: str | None) -> Path:
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
