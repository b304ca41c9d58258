"""`mematlas probe layers` from its options to the tables; see `probes.rows.stages` for the folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Unpack

from mematlas.errors import OptionError
from mematlas.errors.configurations import resolve_options
from mematlas.errors.functions import public_function
from mematlas.probes.layers.config import LayersConfig, LayersKeywords
from mematlas.probes.rows.opening import open_probe
from mematlas.probes.rows.runs import Kind, run_probe
from mematlas.probes.rows.stages import ProbeResult
from mematlas.progress import Progress, Silent
from mematlas.scoring.model_names import model_names


@public_function(LayersConfig)
def probe_layers(
    model: str | Path, *, progress: Progress | None = None, **options: Unpack[LayersKeywords]
) -> ProbeResult:
    """Where a model recites from and how firmly, as `mematlas probe layers` finds out (K7).

    Args:
        model: folder or hub id of a transformers model with attention alone.
        progress: shows the progress; silent by default.
        options: see `LayersConfig`: corpus, control, rows, looks, strengths ...

    Raises:
        MematlasError: one line with value, rule and remedy; finished parts are kept.
    """
    name, *_ = model_names([model])
    return run_layers(name, resolve_options(LayersConfig, "probe layers", options), progress or Silent())


def run_layers(model: str, config: LayersConfig, progress: Progress) -> ProbeResult:
    """`probe_layers` with a validated configuration."""
    from mematlas.interventions.tuned_lens import lens_facts
    from mematlas.probes.layers.looks import LayerLooks

    files = {}
    if config.lens is not None:
        if "lens" not in config.looks:
            raise OptionError("--lens says how the look `lens` reads states: add lens to --looks, or leave --lens out.")
        files["lens"], base = lens_facts(config.lens)
        progress.say(f"The lens in {config.lens} states that it is of {base}.")
    probe = open_probe(model, config, progress)
    return run_probe(_KIND, probe, LayerLooks(probe, config), progress, files)


def _card(facts: Mapping[str, Any]) -> list[str]:
    return [
        "- **noise**: relative Gaussian noise is added to the output of the first block at every position; that of a "
        "position depends on the seed and the tokens up to it.",
        "- **recovery**: how alike the states behind each block are with and without this noise.",
        "- **lens**: the model's norm and output head read the states behind every layer"
        + (f", after the maps of the tuned lens {facts['lens']}." if facts["lens"] else "."),
        f"- **heads**: one attention head at a time is switched off (its output is "
        f"{'zero' if facts['ablation'] == 'zero' else 'the mean of the other heads of its layer'}).",
    ]


_KIND: Final = Kind("layers", 1, "Where {} recites from", _card, frozenset({"looks", "lens"}))
