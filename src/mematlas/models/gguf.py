"""GGUF files, the model format of llama.cpp, dequantized to a plain transformers model when they are loaded."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from gguf import GGUFReader

from mematlas.errors import ModelError
from mematlas.models.base import LoadOptions, Model, ModelCard
from mematlas.models.huggingface import lazy_encoder, load_tokenizer
from mematlas.models.weight_files import digest_files
from mematlas.types import Encoder

#: Fields that name special tokens and say whether they are added at a text's ends.
_SPECIAL_TOKENS: Final = re.compile(r"tokenizer\.ggml\.(add_(bos|eos|sep)_token|\w+_token_id)$")


class GgufSource:
    """A model in a .gguf file, whose card is read from the file's header by the `gguf` package."""

    def __init__(self, path: Path, spec: str) -> None:
        # absolute, since transformers would prefer a file of the same name in the working directory
        self.path = path.absolute()
        try:
            reader = GGUFReader(self.path)
            self.card = _card(reader, self.path, spec)
            self._tokens = _token_count(reader)
        except (ValueError, TypeError, OSError, IndexError, KeyError, OverflowError) as error:
            raise ModelError(
                f"{path} cannot be read as a GGUF file: its {path.stat().st_size:,} bytes are cut off or damaged "
                f"({error}); fetch it again."
            ) from error

    def encoder(self) -> Encoder | None:
        return lazy_encoder(self.card, self._tokenizer)

    def _tokenizer(self) -> Any:
        with TemporaryDirectory() as empty:  # else a tokenizer.json beside the file would be used
            return _drop_added_tokens(load_tokenizer(empty, gguf_file=str(self.path)), self._tokens)

    def load(self, options: LoadOptions) -> Model:
        from mematlas.models.causal import load_causal

        with TemporaryDirectory() as empty, _no_progress_bar():
            return load_causal(empty, self.card, options, gguf_file=str(self.path), **_dequantize_options())


def _card(reader: GGUFReader, path: Path, spec: str) -> ModelCard:
    """The model card, from the file's header.

    Raises:
        ModelError: the header states no architecture or no vocabulary.
    """
    fields = reader.fields
    if "general.architecture" not in fields:
        raise ModelError(f"{path} states no general.architecture, which GGUF requires; convert or fetch it again.")
    architecture = str(fields["general.architecture"].contents())

    def number(name: str) -> int | None:
        return int(fields[name].contents()) if name in fields else None

    tokens = _token_count(reader)
    vocabulary = number(f"{architecture}.vocab_size") or tokens
    if not vocabulary:
        raise ModelError(
            f"{path} states neither {architecture}.vocab_size nor tokenizer.ggml.tokens, so its vocabulary is not "
            "known; convert it again, with its tokenizer."
        )
    eos = number("tokenizer.ggml.eos_token_id")
    return ModelCard(
        label=path.stem,
        spec=spec,
        fingerprint=digest_files([path]),
        vocabulary=vocabulary,
        parameters=sum(int(tensor.n_elements) for tensor in reader.tensors),
        tokenizer=_tokenizer_fingerprint(reader, architecture) if tokens else None,
        tokenizer_rules=_tokenizer_fingerprint(reader, architecture, rules=True) if tokens else None,
        max_length=number(f"{architecture}.context_length"),
        eos=() if eos is None else (eos,),
        bos=number("tokenizer.ggml.bos_token_id"),
        width=number(f"{architecture}.embedding_length"),
    )


def _token_count(reader: GGUFReader) -> int:
    tokens = reader.fields.get("tokenizer.ggml.tokens")
    return 0 if tokens is None else len(tokens.data)


def _tokenizer_fingerprint(reader: GGUFReader, architecture: str, *, rules: bool = False) -> str:
    """A blake2b hash of the tokenizer's fields only, so that all precisions of one model have the same tokenizer.

    Args:
        rules: leave out fields that do not affect the ids of a text without added special tokens.
    """
    digest = hashlib.blake2b(architecture.encode(), digest_size=16)
    for name in sorted(reader.fields):
        if name.startswith("tokenizer.ggml.") and not (rules and _SPECIAL_TOKENS.match(name)):
            field = reader.fields[name]
            size = sum(int(part.nbytes) for part in field.parts)
            digest.update(reader.data[field.offset : field.offset + size])
    return digest.hexdigest()


def _drop_added_tokens(tokenizer: Any, count: int) -> Any:
    """The tokenizer without ids from `count` on: transformers adds GPT-2's <|endoftext|> to vocabularies without it."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    if len(tokenizer) <= count:
        return tokenizer
    settings = json.loads(tokenizer.backend_tokenizer.to_str())
    settings["added_tokens"] = [token for token in settings["added_tokens"] if token["id"] < count]
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(settings)))


def _dequantize_options() -> dict[str, Any]:
    """Loading options for plain matrices: newer transformers releases keep quantized blocks if they have a kernel."""
    import transformers

    config = getattr(transformers, "GgufConfig", None)
    return {} if config is None else {"quantization_config": config(dequantize=True)}


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """Replace the tqdm of transformers' GGUF reader by the one that respects the library's progress bar switch."""
    from transformers import modeling_gguf_pytorch_utils as conversion
    from transformers.utils import logging

    original = conversion.tqdm
    conversion.tqdm = logging.tqdm
    try:
        yield
    finally:
        conversion.tqdm = original


def resolve(rest: str) -> GgufSource:
    """Resolve the path of a .gguf file."""
    path = Path(rest).expanduser()
    if not path.is_file():
        raise ModelError(f"There is no GGUF file {rest!r}; give the path of a .gguf file.")
    return GgufSource(path, rest)
