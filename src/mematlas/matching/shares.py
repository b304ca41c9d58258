"""The memorization ratio: the share of prompts whose output resembles a source, by class (P7)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mematlas.matching.detector import LABELS, Detection
from mematlas.stats.estimates.intervals import Share, wilson


@dataclass(frozen=True, slots=True)
class ClassShares:
    """Shares of distinct prompts, each with its Wilson interval.

    shares: by label, all of LABELS, exclusive; flagged: of prompts of any class but none. not_retrieved: prompts whose
    own document was no candidate, out of with_own. prompt_copied: prompts that the output repeats.
    """

    prompts: int
    shares: Mapping[str, Share]
    flagged: Share
    not_retrieved: int
    with_own: int
    prompt_copied: int


def class_shares(outputs: Sequence[Detection], prompts: Sequence[str] | None = None) -> ClassShares:
    """Shares of classes; of several outputs of one prompt the strongest class counts, so repeated prompts count once.

    Raises:
        ValueError: there is not one prompt for each output.
    """
    keys: Sequence[int | str] = range(len(outputs)) if prompts is None else prompts
    groups: dict[int | str, list[Detection]] = {}
    for key, output in zip(keys, outputs, strict=True):
        groups.setdefault(key, []).append(output)
    labels = [min((output.label for output in group), key=LABELS.index) for group in groups.values()]
    own = [[output.own_retrieved for output in group if output.own_retrieved is not None] for group in groups.values()]
    return ClassShares(
        prompts=len(groups),
        shares={label: wilson(labels.count(label), len(labels)) for label in LABELS},
        flagged=wilson(len(labels) - labels.count("none"), len(labels)),
        not_retrieved=sum(not any(known) for known in own if known),
        with_own=sum(bool(known) for known in own),
        prompt_copied=sum(any(output.prompt_copies for output in group) for group in groups.values()),
    )
