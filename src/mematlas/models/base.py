"""The interface between scoring and a model.

A *session* feeds tokens to some rows that are all at the same position. *States* are the input of the model's head:

    tokens fed     z_0   z_1   ...  z_{t-1}
    states         s_0   s_1   ...  s_{t-1}         head(s_i) = logits of the token that follows z_i, i.e. of z_{i+1}

so the first token of a row has no prediction, and a continuation at position C is predicted from s_{C-1} on.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from mematlas.errors import ModelError, OptionError
from mematlas.types import Encoder, Ids

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Dtype = Literal["float32", "bfloat16", "float16"]
#: Vocabulary of a model that does not say how large it is: its server refuses ids that it does not know.
UNTOLD_VOCABULARY: Final = 2**31 - 1


class LoadSettings(Protocol):
    """The options of a command that say how a model is loaded."""

    @property
    def device(self) -> str: ...
    @property
    def dtype(self) -> Dtype: ...
    @property
    def device_map(self) -> str | None: ...
    @property
    def trust_remote_code(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How to load a model.

    device: "auto", "cpu", "cuda", "cuda:1", "mps"; device_map: accelerate's, for models larger than one GPU;
    trust_remote_code: whether to run code that comes with the model.
    """

    device: str = "auto"
    dtype: Dtype = "float32"
    device_map: str | None = None
    trust_remote_code: bool = False

    @classmethod
    def of(cls, settings: LoadSettings) -> "LoadOptions":
        """As a command's options say."""
        return cls(settings.device, settings.dtype, settings.device_map, settings.trust_remote_code)


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is known about a model before it is loaded; stored in the study's folder `models/`.

    label: short name used in the tables; spec: name as given by the user; vocabulary: number of token ids that the
    model accepts; parameters: number of weights; training_step: optimizer steps, if the source states them; tokenizer:
    fingerprint of the tokenizer's files, None without one; max_length: the most tokens that the model accepts, None
    if unknown or without end; eos: ids that end a text; bos: id that starts a text; width: numbers in a hidden state.
    tokenizer_rules: fingerprint of what turns texts into ids (`tokenizer_rules.py`), None if unknown; trained_length:
    tokens that the model was trained for, if it accepts more, None otherwise; remarks: sentences for the user on how
    `spec` was understood; adapter, base: kind of the PEFT adapter, and the model that it changes; quantization: how the
    weights are stored, if in fewer bits; intervention: what is done to the model on purpose, as in noise:0.1. Studies
    of older versions lack the fields without a value here.
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
    tokenizer_rules: str | None = None
    trained_length: int | None = None
    remarks: tuple[str, ...] = ()
    adapter: str | None = None
    base: str | None = None
    quantization: str | None = None
    intervention: str | None = None

    def beyond_trained_length(self, tokens: int) -> str | None:
        """A warning in one sentence if rows of so many tokens are longer than those the model was trained for."""
        if self.trained_length is None or tokens <= self.trained_length:
            return None
        return (
            f"{self.label} was trained for {self.trained_length} tokens, and rows of {tokens} are read: its positions "
            "beyond are extrapolated (RoPE scaling), so that low scores there may come from the length."
        )


class Session(Protocol):
    """Rows that are fed the same number of tokens. Every method keeps the order of the rows.

    kept: hidden states of the layer chosen by `Model.keep`, at the positions whose states the last `feed` returned:
        [rows, last or k, width].
    """

    kept: "Tensor"

    def feed(self, tokens: "Tensor", last: int | None = None) -> "Tensor":
        """Append tokens [rows, k] (int64) to the rows; returns their last states [rows, last or k, width]."""
        ...

    def fork(self, rows: "Tensor", length: int) -> "Session":
        """A new session with the first `length` tokens of the rows at these indices (int64)."""
        ...

    def rewind(self, length: int) -> None:
        """Forget all but the first `length` tokens of every row."""
        ...


class LogitHead(Protocol):
    """What turns states into logits: the part of a model that is asked for tokens."""

    vocabulary: int
    device: "torch.device"

    def head(self, states: "Tensor") -> "Tensor":
        """Logits [n, vocabulary] in float32, from states [n, width]; valid until the next call."""
        ...


class Model(LogitHead, Protocol):
    """A loaded causal model. layers: number of the last layer, where 0 is the embeddings."""

    layers: int
    dtype: "torch.dtype"

    def start(self, rows: int, capacity: int) -> Session:
        """An empty session for `rows` rows of at most `capacity` tokens."""
        ...

    def keep(self, layer: int) -> None:
        """Choose the layer, 0 to `layers`, whose hidden states sessions keep; `feed` still returns the head's input."""
        ...

    def release(self) -> None:
        """Free the memory that sessions share; sessions started before must not be used any more."""
        ...


@dataclass(frozen=True, slots=True)
class Continuations:
    """Greedy continuations of n prompts, by a model that gives tokens and no states.

    token: [n, L] int64, -1 after a stopping EOS; margin: [n, L] float32, largest minus second largest logit of the
    tokens that may be chosen, +inf where nothing was chosen.
    """

    token: Ids
    margin: NDArray[np.float32]


class ModelSource(Protocol):
    """A model that has been resolved but not loaded; reading its card loads no weights."""

    card: ModelCard

    def encoder(self) -> Encoder | None:
        """The model's tokenizer, None if it has none."""
        ...

    def load(self, options: LoadOptions) -> Model:
        """Load the weights."""
        ...


def first_line(error: Exception) -> str:
    """The first line of an error's message, or the name of its type."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def pick_device(name: str) -> "torch.device":
    """The torch device called `name`; "auto" is a CUDA device if there is one, else the CPU.

    Raises:
        OptionError: torch knows no such device.
        ModelError: this machine has no such device.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise OptionError(f"Device {name!r} is not known to torch; use auto, cpu, cuda, cuda:N or mps.") from None
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise ModelError(f"Device {name!r} is not on this machine ({torch.cuda.device_count()} CUDA devices); use cpu.")
    return device
