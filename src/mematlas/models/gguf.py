"""A .gguf file: llama.cpp's container, dequantized to a plain transformers model when it is loaded."""

from pathlib import Path

from mematlas.errors import ModelError
from mematlas.models.base import LoadOptions, Model, ModelCard
from mematlas.models.folder import digest_files, folder_encoder
from mematlas.records import Encoder


class GgufSource:
    """The card is read from the file's header by the `gguf` package."""

    def __init__(self, path: Path, spec: str) -> None:
        from gguf import GGUFReader

        try:
            reader = GGUFReader(path)
        except (ValueError, OSError, IndexError) as error:
            raise ModelError(f"{path} is no readable GGUF file ({error}); fetch it again.") from None
        self.path = path
        fields = dict(reader.fields.items())
        architecture = str(fields["general.architecture"].contents())

        def number(name: str) -> int | None:
            return int(fields[name].contents()) if name in fields else None

        tokens = fields.get("tokenizer.ggml.tokens")
        fingerprint = digest_files([path])
        eos = number("tokenizer.ggml.eos_token_id")
        self.card = ModelCard(
            label=path.stem,
            spec=spec,
            fingerprint=fingerprint,
            vocabulary=number(f"{architecture}.vocab_size") or (len(tokens.data) if tokens else 0),
            parameters=sum(int(tensor.n_elements) for tensor in reader.tensors),
            tokenizer=None if tokens is None else fingerprint,
            max_length=number(f"{architecture}.context_length"),
            eos=() if eos is None else (eos,),
            bos=number("tokenizer.ggml.bos_token_id"),
        )

    def encoder(self) -> Encoder | None:
        return folder_encoder(self.path.parent, self.card, gguf_file=self.path.name)

    def load(self, options: LoadOptions) -> Model:
        from mematlas.models.causal import load_causal

        return load_causal(str(self.path.parent), self.card, options, gguf_file=self.path.name)


def resolve(rest: str) -> GgufSource:
    """The path of a .gguf file."""
    path = Path(rest).expanduser()
    if not path.is_file():
        raise ModelError(f"No GGUF file at {rest!r}; give the path of a .gguf file.")
    return GgufSource(path, rest)
