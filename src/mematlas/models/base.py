"""What scoring asks of a model, and no more.

A *session* holds some rows that stand at the same position; states are whatever the model's head needs:

    tokens fed     z_0   z_1   ...  z_{t-1}
    states         s_0   s_1   ...  s_{t-1}         head(s_i) = logits of the token that follows z_i, i.e. of z_{i+1}

so the first token of a row has no prediction, and a continuation that starts at position C is read from s_{C-1} on.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from mematlas.errors import ModelError
from mematlas.types import Encoder

Dtype = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How to load. device: "auto", "cpu", "cuda", "cuda:1", "mps"; device_map: accelerate's, for models larger than one
    GPU; trust_remote_code runs code that comes with the model."""

    device: str = "auto"
    dtype: Dtype = "float32"
    device_map: str | None = None
    trust_remote_code: bool = False


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is known of a model before it is loaded; one line of the study's `models/` table.

    label: short name used in the tables; parameters: number of weights; training_step: optimizer steps, where the
    source says; tokenizer: fingerprint of the tokenizer, None without one; vocabulary: number of token ids the model
    takes; max_length: tokens it was built for; eos: ids that end a text; bos: id that starts one; width: numbers in a
    hidden state.
    """

    label: str
    spec: str
    fingerprint: str
    vocabulary: int
    parameters: int | None = None
    training_step: int | None = None
    tokenizer: str | None = None
    max_length: int | None = None
    eos: tuple[int, ...] = ()
    bos: int | None = None
    width: int | None = None


class Session(Protocol):
    """Rows in step. Every method keeps the rows' order.

    kept: states of the model's kept layer at the positions that the last `feed` returned, [rows, last or k, width].
    """

    kept: Tensor

    def feed(self, tokens: Tensor, last: int | None = None) -> Tensor:
        """Append tokens [rows, k] (int64) to every row; returns the last states [rows, last or k, width]."""
        ...

    def fork(self, rows: Tensor, length: int) -> "Session":
        """A new session holding the first `length` tokens of the chosen rows (int64 indices)."""
        ...

    def rewind(self, length: int) -> None:
        """Forget all but the first `length` tokens of every row."""
        ...


class Model(Protocol):
    """A causal model ready to be asked. layers: number of the last layer; 0 are the embeddings, if there are others."""

    layers: int
    vocabulary: int
    device: torch.device
    dtype: torch.dtype

    def start(self, rows: int, capacity: int) -> Session:
        """An empty session for `rows` rows of at most `capacity` tokens."""
        ...

    def keep(self, layer: int) -> None:
        """From now on sessions keep the hidden states of `layer`, 0 to `layers`; the head reads the last as before."""
        ...

    def release(self) -> None:
        """Give back the memory that is kept from session to session; those that there were are at their end."""
        ...

    def head(self, states: Tensor) -> Tensor:
        """Logits [n, vocabulary] in float32, from states [n, width]; valid until the next call."""
        ...


class ModelSource(Protocol):
    """A model that has been found but not loaded: its card costs no weights in memory."""

    card: ModelCard

    def encoder(self) -> Encoder | None:
        """The model's tokenizer, None where it has none."""
        ...

    def load(self, options: LoadOptions) -> Model: ...


def pick_device(name: str) -> torch.device:
    """The torch device called `name`; "auto" takes a CUDA device, else the CPU.

    Raises:
        ModelError: no such device on this machine.
    """

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ModelError(f"Device {name!r} is not known to torch; use auto, cpu, cuda, cuda:N or mps.") from None
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise ModelError(f"Device {name!r} is not on this machine ({torch.cuda.device_count()} CUDA devices); use cpu.")
    return device
