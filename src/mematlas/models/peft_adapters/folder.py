"""What the folder of a PEFT adapter says of it, read without torch: its kind, its base model, if it is complete."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mematlas.errors import ModelError
from mematlas.models.weight_files import count_parameters, read_json, tensor_shapes

ADAPTER_CONFIG: Final = "adapter_config.json"
ADAPTER_WEIGHTS: Final = "adapter_model.safetensors"
#: Kinds that add tokens of their own to the input instead of changing weights (peft's `peft_type`).
_PROMPTS: Final = (
    *("PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "ADAPTION_PROMPT", "CPT", "CARTRIDGE"),
)
#: Kinds whose weights depend on the input or on a task beside it.
_INPUT_DEPENDENT: Final = ("XLORA", "POLY")
#: How architectures call the matrices with one row per token.
_EMBEDDINGS: Final = (
    "embed_tokens",
    "embed_in",
    "embed_out",
    "wte",
    "lm_head",
    "word_embeddings",
    "embeddings",
    "output",
)


@dataclass(frozen=True, slots=True)
class AdapterFolder:
    """A complete adapter. base: name of its base model, None if it states none; revision: of the base on the hub."""

    folder: Path
    kind: str
    base: str | None
    revision: str | None

    @property
    def files(self) -> list[Path]:
        """The files that decide what it does."""
        return [self.folder / ADAPTER_CONFIG, self.folder / ADAPTER_WEIGHTS]

    def vocabulary(self, width: int | None) -> int | None:
        """The rows of the embeddings that it replaces by its own; None if it keeps the base model's.

        Args:
            width: numbers in a hidden state.
        """
        shapes = tensor_shapes(self.folder / ADAPTER_WEIGHTS).items()
        return max((shape[0] for name, shape in shapes if _is_embedding(name, shape, width)), default=None)


def _is_embedding(tensor: str, shape: list[int], width: int | None) -> bool:
    """Whether this is the name and shape of a matrix with one row per token: base_model.model.lm_head.weight."""
    parts = [part for part in tensor.split(".") if part != "base_layer"]
    named = len(parts) > 1 and parts[-1] == "weight" and parts[-2] in _EMBEDDINGS
    return named and len(shape) == 2 and shape[1] == width


def is_adapter(folder: Path) -> bool:
    """Whether there is an adapter in the folder."""
    return (folder / ADAPTER_CONFIG).is_file()


def read_adapter(folder: Path) -> AdapterFolder:
    """The adapter in `folder`, whose weights' headers alone are read.

    Raises:
        ModelError: it is incomplete, beside a whole model, or of a kind that cannot be scored.
    """
    config = read_json(folder / ADAPTER_CONFIG)
    kind, base = str(config.get("peft_type") or "PEFT"), config.get("base_model_name_or_path")
    _check_kind(folder, kind, config)
    _check_files(folder, kind)
    revision = config.get("revision")
    return AdapterFolder(folder, kind, str(base) if base else None, str(revision) if revision else None)


def _check_kind(folder: Path, kind: str, config: dict[str, Any]) -> None:
    task, reason = config.get("task_type"), None
    if kind in _PROMPTS:
        reason = "puts tokens of its own before every prompt, so that the model cannot be asked alone"
    elif kind in _INPUT_DEPENDENT or config.get("alora_invocation_tokens") is not None:
        reason = "changes other weights for other inputs, so that there is no one model to score"
    elif task not in (None, "CAUSAL_LM"):
        reason = f"is for the task {task}, not for a causal language model (CAUSAL_LM)"
    if reason is not None:
        raise ModelError(f"{folder} is an adapter ({kind}) that {reason}; score its base model, or another adapter.")


def _check_files(folder: Path, kind: str) -> None:
    whole = [path.name for path in sorted(folder.glob("*.safetensors")) if path.name != ADAPTER_WEIGHTS]
    if whole:
        raise ModelError(
            f"{folder} has an adapter ({kind}) beside a whole model ({whole[0]}), so that it is not clear which is "
            f"meant; move {ADAPTER_CONFIG} and {ADAPTER_WEIGHTS} into a folder of their own, and name the one to score."
        )
    if not (folder / ADAPTER_WEIGHTS).is_file():
        pickled = " only pickled weights;" if (folder / "adapter_model.bin").is_file() else f" no {ADAPTER_WEIGHTS};"
        raise ModelError(
            f"{folder} is an adapter ({kind}) with{pickled} mematlas reads safetensors: save the adapter again with a "
            "current peft (save_pretrained)."
        )
    count_parameters([folder / ADAPTER_WEIGHTS])


def added_parameters(base_weights: list[Path], vocabulary: int, width: int | None) -> int:
    """How many weights more a base model has when its embeddings get `vocabulary` rows.

    Matrices that it stores once, as input and output share them, are counted once.
    """
    shapes = [(name, shape) for path in base_weights for name, shape in tensor_shapes(path).items()]
    return sum((vocabulary - shape[0]) * shape[1] for name, shape in shapes if _is_embedding(name, shape, width))
