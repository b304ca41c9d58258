"""`mematlas probe compress` from its options to the tables; see `probes.rows.stages` for the folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack

from mematlas.errors.configurations import resolve_options
from mematlas.errors.functions import public_function
from mematlas.probes.compress.config import CompressConfig, CompressKeywords
from mematlas.probes.compress.strings import choose_strings, read_strings
from mematlas.probes.compress.tables import STRINGS
from mematlas.probes.rows.opening import DEFAULT_ROWS, RowProbe, open_probe
from mematlas.probes.rows.stages import ProbeResult, Stage, finish_probe, run_stages
from mematlas.progress import Progress, Silent
from mematlas.scoring.model_names import model_names
from mematlas.study import fingerprint, missing_shards
from mematlas.types import Ids

if TYPE_CHECKING:
    from mematlas.probes.compress.searches import StringSearches

#: Part of every key; raised when a change of the code can change a number.
VERSION: Final = 1
_OWN: Final = ("each", "search", "start", "budget", "steps", "total_steps", "candidates", "top_k", "longest")


@public_function(CompressConfig)
def probe_compress(
    model: str | Path, *, progress: Progress | None = None, **options: Unpack[CompressKeywords]
) -> ProbeResult:
    """The shortest prompts that make a model recite strings, as `mematlas probe compress` finds them (K4).

    Args:
        model: folder or hub id of a transformers model; others only with search="random".
        progress: shows the progress; silent by default.
        options: see `CompressConfig`: corpus, control, rows, each, search, start, budget ...

    Raises:
        MematlasError: one line with value, rule and remedy; finished strings are kept.
    """
    name, *_ = model_names([model])
    return run_compress(name, resolve_options(CompressConfig, "probe compress", options), progress or Silent())


def run_compress(model: str, config: CompressConfig, progress: Progress) -> ProbeResult:
    """`probe_compress` with a validated configuration."""
    from mematlas.probes.compress.searches import StringSearches

    probe = open_probe(model, config, progress)
    card = probe.source.card
    given = [] if config.strings is None else read_strings(config.strings, probe.encoder, card.vocabulary)
    settings = _settings(probe, config, given)
    folder = config.out / f"{card.label.replace('/', '_')}-compress-{fingerprint(settings)}"
    searches = StringSearches(probe, config)
    first = searches.row_stage()
    run_stages(folder, config.out, [first], settings, progress, card.label)
    classes = ProbeResult(folder, {}).table("rows")
    searches.strings = choose_strings(searches.rows, classes, config.each, given, card.vocabulary, config.seed)
    second = Stage("strings", STRINGS, len(searches.strings), searches.search, 1)
    _announce(len(missing_shards(folder / "strings", len(searches.strings))), config.budget, progress)
    run_stages(folder, config.out, [second], settings, progress, card.label, "strings")
    facts = _facts(config, card.label, searches)
    return finish_probe(folder, [first, second], facts, settings, _card(facts))


def _settings(probe: RowProbe, config: CompressConfig, given: Sequence[Ids]) -> dict[str, Any]:
    own = {name: getattr(config, name) for name in _OWN}
    return {**probe.settings, **own, "given": [string.tolist() for string in given], "version": VERSION}


def _announce(strings: int, budget: float, progress: Progress) -> None:
    if strings:
        most = strings * budget
        time = f"{most / 60:.0f} minutes" if most >= 120 else f"{most:.0f} seconds"
        progress.say(f"{strings} strings are to be searched for, {budget:g} s each at most: {time} in all (--budget).")


def _facts(config: CompressConfig, label: str, searches: "StringSearches") -> dict[str, Any]:
    kinds = [string.kind for string in searches.strings]
    return {
        "model": label,
        "corpus": config.corpus,
        "selection": config.rows or f"{DEFAULT_ROWS} at random",
        "control": config.control,
        "rows": len(searches.rows),
        "left_out": searches.rows.left_out,
        "context": config.context,
        "continuation": config.continuation,
        "given": None if config.strings is None else str(config.strings),
        "strings": {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)},
        **{name: getattr(config, name) for name in _OWN},
        "seed": config.seed,
    }


def _card(facts: Mapping[str, Any]) -> list[str]:
    counts = ", ".join(f"{count} {kind}" for kind, count in facts["strings"].items())
    control = f" and of {facts['control']}" if facts["control"] else ""
    way = "along the gradients of its tokens (GCG)" if facts["search"] == "gcg" else "at random"
    return [
        f"# The shortest prompts that make {facts['model']} recite",
        f"Strings ({counts}): continuations of {facts['rows']} rows of {facts['corpus']} "
        f"(`--rows {facts['selection']}`){control}, {facts['continuation']} tokens after {facts['context']}.",
        f"- **ratio** (ACR): tokens of the string over those of the shortest prompt found; a prompt is changed "
        f"{way}, from {facts['start']} tokens, until greedy decoding gives the string.",
        "- Every ratio is a lower bound: a shorter prompt may exist that was not found. A string without a prompt has "
        "no ratio, and was not shown to have none.",
        f"- A string is given up after {facts['budget']:g} s"
        + (f" or {facts['total_steps']} steps" if facts["total_steps"] else "")
        + " (`reason`).",
        "- **bound**: what the true text before the string gives without a search.",
    ]
