"""The optimizer of a training run and its learning rate at every step."""

import math
from dataclasses import dataclass

from mematlas.errors import OptionError


@dataclass(frozen=True, slots=True)
class Schedule:
    """AdamW without weight decay, gradients clipped at norm `clip`.

    Rates rise linearly to `peak` over `warm_up` steps and fall along a cosine to `final_rate` of the peak at the last
    step; `final_rate` 1 and `warm_up` 0 give a constant rate. moment_steps: steps at rate 0 before the first step, on
    the first batches of the plan without its events; they leave the weights as they are and fill Adam's moments.
    """

    peak: float
    warm_up: int = 0
    final_rate: float = 1.0
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    moment_steps: int = 0

    def __post_init__(self) -> None:
        if self.peak < 0 or self.warm_up < 0 or self.moment_steps < 0 or not 0 <= self.final_rate <= 1:
            raise OptionError(
                f"{self} is not a valid schedule: peak, warm-up and moment steps are not negative, and the final rate "
                "is a share of the peak from 0 to 1."
            )
        if self.clip <= 0 or not all(0 <= beta < 1 for beta in self.betas):
            raise OptionError(f"{self} is not a valid schedule: the clip is positive, and betas are from 0 to below 1.")

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of step 1 .. `steps`, and 0 for the moment steps before."""
        if step < 1:
            return 0.0
        if step <= self.warm_up:
            return self.peak * step / self.warm_up
        progress = (step - self.warm_up) / max(1, steps - self.warm_up)
        return self.peak * (self.final_rate + (1 - self.final_rate) * (1 + math.cos(math.pi * progress)) / 2)
