"""An arm of an experiment: one model in training, described completely before it starts.

Arms of one experiment share everything but their plan's events (or their size, or their seed).
"""

import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from mematlas.errors import OptionError
from mematlas.experiments.design.plan import Plan
from mematlas.experiments.design.schedule import Schedule
from mematlas.experiments.training.probe_sets import ProbeSet
from mematlas.models.masked_lm.masks import MASKING
from mematlas.models.masked_lm.model import SpecialTokens, special_tokens
from mematlas.models.weight_files import digest_files, weight_files
from mematlas.study import fingerprint, is_folder_name

Objective = Literal["causal", "masked"]
Precision = Literal["float32", "bfloat16"]

OPTIMIZER_FILE = "optimizer.safetensors"
RECIPE = 2
"""Increased when a change of the trainer gives other weights for the same arm."""


@dataclass(frozen=True, slots=True)
class Lora:
    """A low-rank adapter (Hu et al. 2022), trained by peft while all other weights stay; no dropout.

    targets: names of the layers that get one, as in peft's `target_modules`.
    """

    rank: int = 8
    alpha: int = 16
    targets: str | tuple[str, ...] = "all-linear"


@dataclass(frozen=True, slots=True, eq=False)
class Arm:
    """A model in training.

    label: the name of its folder and of its models; start: a configuration of transformers, for new weights that depend
    on `seed` only, or the folder of a model in the Hugging Face layout; plan: what it is shown; schedule: how it
    learns; checkpoints: steps after which a model is saved, besides the last; objective: causal, or masked for
    bidirectional encoders; mask_token: the id that hides a token (masked only); lora: None to train all weights;
    precision: of the forward pass, weights and moments are always float32; tokenizer: saved with every model;
    optimizer_start: a folder with optimizer.safetensors, from which Adam's moments start; keeps_optimizer: whether the
    last model is saved with it; done: steps of this very plan that the starting model was trained for, so that several
    arms branch off from one; probes: rows that are measured on the way; prefix: tokens in front of every row that are
    only read, so that what is learnt and measured is the same as of rows without them (causal only).
    """

    label: str
    start: PretrainedConfig | Path
    plan: Plan
    schedule: Schedule
    seed: int = 0
    checkpoints: tuple[int, ...] = ()
    objective: Objective = "causal"
    mask_token: int | None = None
    lora: Lora | None = None
    precision: Precision = "float32"
    tokenizer: PreTrainedTokenizerBase | None = None
    optimizer_start: Path | None = None
    keeps_optimizer: bool = False
    done: int = 0
    probes: tuple[ProbeSet, ...] = ()
    prefix: int = 0

    def __post_init__(self) -> None:
        if not is_folder_name(self.label):
            raise OptionError(f"The label of an arm names a folder, which {self.label!r} does not; use letters and -.")
        if not self.plan.steps:
            raise OptionError(f"The plan of {self.label} has no step; give it at least one batch.")
        if (self.objective == "masked") != (self.mask_token is not None):
            raise OptionError(f"{self.label}: a masked objective, and no other, needs the id of the mask token.")
        if not 0 <= self.prefix < self.plan.row_length - 1 or (self.prefix and self.objective == "masked"):
            raise OptionError(
                f"{self.label}: a prefix of {self.prefix} tokens leaves nothing to learn of rows of "
                f"{self.plan.row_length}, or the objective is not causal."
            )
        if not 0 <= self.done < self.plan.steps or (self.done and self.schedule.moment_steps):
            raise OptionError(
                f"{self.label}: {self.done} steps are done; a plan of {self.plan.steps} steps goes on after 0 to "
                f"{self.plan.steps - 1} of them, and moments warm up before the first only."
            )
        if any(not self.done < step <= self.plan.steps for step in self.checkpoints):
            raise OptionError(
                f"{self.label}: checkpoints are steps from {self.done + 1} to {self.plan.steps}, "
                f"not {list(self.checkpoints)}."
            )

    @property
    def checkpoint_steps(self) -> tuple[int, ...]:
        """The steps after which a model is saved, ascending, including the last step."""
        return tuple(sorted({*self.checkpoints, self.plan.steps}))

    @property
    def special_tokens(self) -> SpecialTokens | None:
        """What a masked model reads besides text, as its tokenizer has it; None for causal models."""
        if self.mask_token is None:
            return None
        if self.tokenizer is None or self.tokenizer.mask_token_id != self.mask_token:
            return SpecialTokens(self.mask_token, special=(self.mask_token,))
        return special_tokens(self.tokenizer)

    def fingerprint(self, processes: int = 1) -> str:
        """A hash of everything that determines the weights and what is measured on the way.

        Args:
            processes: that train the arm together: their number determines the order of sums.

        Raises:
            ModelError: the start is a folder without weights.
        """
        return fingerprint(
            {
                "recipe": RECIPE,
                "start": _describe_start(self.start),
                "seed": self.seed,
                "plan": self.plan.fingerprint(),
                "schedule": asdict(self.schedule),
                "checkpoints": self.checkpoint_steps,
                "objective": [self.objective, self.mask_token, self.precision],
                "lora": None if self.lora is None else asdict(self.lora),
                "optimizer": self.optimizer_start and digest_files([self.optimizer_start / OPTIMIZER_FILE]),
                "keeps_optimizer": self.keeps_optimizer,
                "done": self.done,
                "probes": [probe.fingerprint(self.plan) for probe in self.probes],
                **({"masking": [MASKING.to_json(), asdict(special)]} if (special := self.special_tokens) else {}),
                **({"prefix": self.prefix} if self.prefix else {}),
                "libraries": [torch.__version__, transformers.__version__, platform.machine()],
                **({"processes": processes} if processes > 1 else {}),
            }
        )


def _describe_start(start: PretrainedConfig | Path) -> Any:
    if isinstance(start, Path):
        return digest_files([start / "config.json", *weight_files(start)])
    return start.to_dict()
