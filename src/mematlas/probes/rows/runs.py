"""A probe of rows from its options to its tables; see `stages` for the folder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mematlas.probes.rows.config import RowProbeConfig
from mematlas.probes.rows.looks import Looks
from mematlas.probes.rows.opening import DEFAULT_ROWS, RowProbe
from mematlas.probes.rows.stages import ProbeResult, finish_probe, run_stages
from mematlas.progress import Progress
from mematlas.study import fingerprint


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of probe.

    name: in the folder's name; version: part of every key, raised when a change of the code can change a number; title:
    of the card, where {} is the model; card: paragraphs of the card, from the facts; not_in_key: options of its own
    that change no record, only which there are or how they are read.
    """

    name: str
    version: int
    title: str
    card: Callable[[Mapping[str, Any]], Sequence[str]]
    not_in_key: frozenset[str] = frozenset()


def run_probe(
    kind: Kind, probe: RowProbe, looks: Looks, progress: Progress, files: Mapping[str, Any] | None = None
) -> ProbeResult:
    """Make what is missing of a probe, and its card.

    files: by option, what of a file's content is part of the key, where its path is not.

    Raises:
        MematlasError: the folder cannot be written, or the model not be loaded.
    """
    config, card = probe.config, probe.source.card
    own = own_options(config)
    settings = {
        **probe.settings,
        **{name: value for name, value in own.items() if name not in kind.not_in_key},
        **(files or {}),
        "version": kind.version,
    }
    folder = config.out / f"{card.label.replace('/', '_')}-{kind.name}-{fingerprint(settings)}"
    stages = looks.stages()
    run_stages(folder, config.out, stages, settings, progress, card.label)
    facts = {
        "model": card.label,
        "corpus": config.corpus,
        "selection": config.rows or f"{DEFAULT_ROWS} at random",
        "control": config.control,
        "rows": len(looks.rows),
        "left_out": looks.rows.left_out,
        "context": config.context,
        "continuation": config.continuation,
        **own,
        "seed": config.seed,
    }
    text = [
        f"# {kind.title.format(facts['model'])}",
        f"{introduction(facts)} Selected by `--rows {facts['selection']}`.",
        *kind.card(facts),
    ]
    return finish_probe(folder, stages, facts, settings, text)


def own_options(config: RowProbeConfig) -> dict[str, Any]:
    """The options that a kind of probe has beyond those of all."""
    names = [name for name in type(config).model_fields if name not in RowProbeConfig.model_fields]
    return {name: getattr(config, name) for name in names}


def introduction(facts: Mapping[str, Any]) -> str:
    """Which rows were asked about, in one sentence."""
    control = f" and of {facts['control']}" if facts["control"] else ""
    return (
        f"{facts['rows']} rows of {facts['corpus']}{control}: {facts['context']} tokens of prompt, "
        f"{facts['continuation']} to recite."
    )
