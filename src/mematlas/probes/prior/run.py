"""`mematlas probe prior` from its options to the tables; see `probes.rows.stages` for the folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Unpack

from mematlas.errors.configurations import resolve_options
from mematlas.errors.functions import public_function
from mematlas.probes.prior.config import PriorConfig, PriorKeywords
from mematlas.probes.rows.opening import open_probe
from mematlas.probes.rows.runs import Kind, run_probe
from mematlas.probes.rows.stages import ProbeResult
from mematlas.progress import Progress, Silent
from mematlas.scoring.model_names import model_names


@public_function(PriorConfig)
def probe_prior(
    model: str | Path, *, progress: Progress | None = None, **options: Unpack[PriorKeywords]
) -> ProbeResult:
    """How much more probable continuations are after their own prompts, as `mematlas probe prior` finds out (K10).

    Args:
        model: folder or hub id of a causal model, or a stand-in.
        progress: shows the progress; silent by default.
        options: see `PriorConfig`: corpus, control, rows, prefixes, probability, ratio ...

    Raises:
        MematlasError: one line with value, rule and remedy; finished parts are kept.
    """
    name, *_ = model_names([model])
    return run_prior(name, resolve_options(PriorConfig, "probe prior", options), progress or Silent())


def run_prior(model: str, config: PriorConfig, progress: Progress) -> ProbeResult:
    """`probe_prior` with a validated configuration."""
    from mematlas.probes.prior.looks import PriorLooks

    probe = open_probe(model, config, progress)
    return run_probe(_KIND, probe, PriorLooks(probe, config), progress)


def _card(facts: Mapping[str, Any]) -> list[str]:
    return [
        f"- **log_prior** is the log of v, the mean probability of the continuation after {facts['prefixes']} prompts "
        "of other rows of the same corpus: of the same source and of other documents where these are known, no copies.",
        "- **log_ratio** is r = log P(s|p) - log v. Few prompts carry v, so that an interval is given only where at "
        "least 2 do (`effective`).",
        "- **shuffled_log_ratio** is the control: the same with one more of these prompts in place of the row's own.",
        f"- A row is **extractable** if P(s|p) is above {facts['probability']:g}, and **memorized** if r is also above "
        "a threshold: the 95 % quantile of the control rows, or the log of `--ratio`.",
    ]


#: Thresholds change no record.
_KIND: Final = Kind(
    "prior", 1, "What {} would also say after other prompts", _card, frozenset({"probability", "ratio"})
)
