"""`mematlas probe prompts` from its options to the tables; see `probes.rows.stages` for the folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Unpack

from mematlas.errors.configurations import resolve_options
from mematlas.errors.functions import public_function
from mematlas.probes.prompts.config import PromptsConfig, PromptsKeywords
from mematlas.probes.rows.opening import open_probe
from mematlas.probes.rows.runs import Kind, run_probe
from mematlas.probes.rows.stages import ProbeResult
from mematlas.progress import Progress, Silent
from mematlas.scoring.model_names import model_names


@public_function(PromptsConfig)
def probe_prompts(
    model: str | Path, *, progress: Progress | None = None, **options: Unpack[PromptsKeywords]
) -> ProbeResult:
    """What a prompt needs for its row to be recited, as `mematlas probe prompts` finds out (K7, K8).

    Args:
        model: folder or hub id of a causal model, or a stand-in.
        progress: shows the progress; silent by default.
        options: see `PromptsConfig`: corpus, control, rows, looks, changes, strengths ...

    Raises:
        MematlasError: one line with value, rule and remedy; finished parts are kept.
    """
    name, *_ = model_names([model])
    return run_prompts(name, resolve_options(PromptsConfig, "probe prompts", options), progress or Silent())


def run_prompts(model: str, config: PromptsConfig, progress: Progress) -> ProbeResult:
    """`probe_prompts` with a validated configuration."""
    from mematlas.probes.prompts.looks import PromptLooks

    probe = open_probe(model, config, progress)
    return run_probe(_KIND, probe, PromptLooks(probe, config), progress)


def _card(_facts: Mapping[str, Any]) -> list[str]:
    return [
        "- **shortest**: the model is asked after the last 1, 2, 3 ... tokens of the prompt. Every length is tried, as "
        "longer prompts need not recite where shorter ones do.",
        "- **perturbed**: tokens of the prompt are replaced by others that are about as frequent in the corpus "
        "(substitute), taken out (delete), exchanged in pairs (swap) or put in a random order (shuffle). What is done "
        "to a row depends on the seed, its id, the change and the draw alone; a higher strength changes "
        "more of the same.",
        "- **far**, **near**: the half of the prompt away from the continuation, and the half next to it.",
    ]


_KIND: Final = Kind("prompts", 1, "What prompts {} needs to recite", _card, frozenset({"looks"}))
