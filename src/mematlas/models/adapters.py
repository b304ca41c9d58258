"""Recognize PEFT adapters (LoRA and others), which mematlas does not read yet: they are changes to another model."""

from pathlib import Path
from typing import Final

from mematlas.errors import ModelError
from mematlas.models.weight_files import read_json

ADAPTER_CONFIG: Final = "adapter_config.json"
#: Kinds that change the input instead of weights, so that they cannot be merged (peft's `peft_type`).
_PROMPTS: Final = ("PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "ADAPTION_PROMPT", "CPT")


def check_no_adapter(folder: Path) -> None:
    """Refuse a folder with an adapter, even beside a whole model: transformers would add it to that model's weights.

    Raises:
        ModelError: it has one; the message names its base model and the remedy.
    """
    if not (folder / ADAPTER_CONFIG).is_file():
        return
    config = read_json(folder / ADAPTER_CONFIG)
    kind = str(config.get("peft_type") or "PEFT")
    base = config.get("base_model_name_or_path")
    name = f"the base model {base!r}" if base else "a base model that it does not name"
    if kind in _PROMPTS:
        raise ModelError(
            f"{folder} is an adapter ({kind}) for {name}, not a whole model, and adapters of this kind cannot be "
            "merged into one; score the base model."
        )
    raise ModelError(
        f"{folder} is an adapter ({kind}) for {name}, not a whole model, and mematlas does not read adapters yet; "
        f"merge it with peft: PeftModel.from_pretrained(base, {str(folder)!r}).merge_and_unload()"
        ".save_pretrained('merged'), save the tokenizer there too, and give that folder."
    )
