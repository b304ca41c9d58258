"""Look: is more of the work recited than the base recites of it, and than the model recites of a control work?

Windows of one text overlap and depend on each other, so the unit is a part of the text: its files, its chapters, or 20
parts of equal length if there are fewer than 8 of these. Parts are taken as independent. The number of a part is the
share of its characters in suffixes with p_z of 1 % or more, minus that of the base; its mean must be above 0 (signs of
parts are flipped) and above the control's (parts are permuted between both), where both are there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mematlas.auditing.base import Example, Look, Measure
from mematlas.auditing.work.scores import WorkScores
from mematlas.auditing.work.text import Section, blocks, sections
from mematlas.auditing.work.windows import TAUS, covered_characters, reachable_characters
from mematlas.stats.estimates.clustered import cluster_sums, clustered_shares
from mematlas.stats.hypotheses.by_document import p_of_higher_in_members, p_of_positive_mean

TITLE: Final = "Recitation of the text"
TAU: Final = 0.01
_BLOCKS: Final = 20
_FEWEST_PARTS: Final = 8
_FEWEST_RECITED: Final = 5  # signs of fewer parts cannot give p <= .05: 2^-4 = .06
_EXAMPLES: Final = 8
_LONGEST_EXAMPLE: Final = 1_500  # characters

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class WorkResult:
    """The numbers of the work by the model and by its base, and those of the control; None where not given."""

    model: WorkScores
    base: WorkScores | None = None
    control: WorkScores | None = None
    control_base: WorkScores | None = None

    @property
    def all(self) -> list[WorkScores]:
        """Those that are there: model, base, control, the base's of the control."""
        return [part for part in (self.model, self.base, self.control, self.control_base) if part is not None]


def units(scores: WorkScores) -> list[Section]:
    """The parts of a work that count as independent; none if it is too short for 8."""
    named = [part for part in sections(scores.work) if part.stop > part.start]
    if len(named) >= _FEWEST_PARTS:
        return named
    longest = int((scores.windows.stop - scores.windows.start).max(initial=0))
    count = min(_BLOCKS, scores.work.characters // max(1, 2 * longest)) if longest else 0
    return blocks(scores.work, count) if count >= _FEWEST_PARTS else []


def look(result: WorkResult) -> Look:
    """The comparison of the coverage at 1 %, with every coverage as a measure."""
    parts, share = units(result.model), result.model.coverage(TAU)
    p, reason = _p_value(result, parts)
    measures = [_measure(scores, tau) for tau in (TAU, *(tau for tau in TAUS if tau != TAU)) for scores in result.all]
    return Look(
        "recitation",
        TITLE,
        _sentence(result, share),
        p,
        "recites",
        reason=reason,
        measures=tuple(measures),
        examples=_examples(result.model),
        caveats=_caveats(result, parts),
        share=share,
    )


def _p_value(result: WorkResult, parts: list[Section]) -> tuple[float | None, str]:
    """The larger one of both comparisons' p-values, or the reason why there is none."""
    if result.base is None and result.control is None:
        return None, "there is neither a base model nor a control work to compare with."
    if not parts:
        return None, f"the text is too short for {_FEWEST_PARTS} parts, the units of the test."
    gain, p_values = _gain(result.model, result.base, parts), []
    if result.base is not None:
        p_values.append(p_of_positive_mean(gain, np.arange(len(gain))))
    if result.control is not None:
        of_control = units(result.control)
        if not of_control:
            return None, f"the control is too short for {_FEWEST_PARTS} parts, the units of the test."
        both = np.concatenate([gain, _gain(result.control, result.control_base, of_control)])
        member = np.arange(len(both)) < len(gain)
        p_values.append(p_of_higher_in_members(both, member, np.arange(len(both))))
    recited = int((gain > 0).sum())
    if 0 < recited < _FEWEST_RECITED and max(p_values) > 0.05:
        return None, (
            f"what is recited is in {recited} of {len(gain)} parts of the text, and a test needs {_FEWEST_RECITED}; "
            "whether these passages come from this text or are quoted elsewhere is for a reader to judge."
        )
    return max(p_values), ""


def _gain(of_model: WorkScores, of_base: WorkScores | None, parts: list[Section]) -> Floats:
    """The share of every part that is covered, minus the base's: [parts]."""
    lengths = np.array([part.stop - part.start for part in parts], np.float64)
    covered = covered_characters(of_model.heat, TAU, parts)
    return np.asarray(
        (covered - (0 if of_base is None else covered_characters(of_base.heat, TAU, parts))) / lengths, np.float64
    )


def _measure(scores: WorkScores, tau: float) -> Measure:
    """A coverage with its interval, over parts of the text."""
    name, parts = f"characters in passages with p_z of {100 * tau:g} % or more", units(scores)
    if not parts:
        return Measure(name, scores.of, scores.coverage(tau), n=None, unit="parts")
    lengths = [part.stop - part.start for part in parts]
    found = clustered_shares(cluster_sums(covered_characters(scores.heat, tau, parts), lengths))
    return Measure(
        name, scores.of, scores.coverage(tau), float(found.lower[0]), float(found.upper[0]), len(parts), "parts"
    )


def _sentence(result: WorkResult, share: float) -> str:
    compared = [scores for scores in (result.base, result.control) if scores is not None]
    others = [f"{scores.of}: {100 * scores.coverage(TAU):.1f} %" for scores in compared]
    suffix = result.model.windows.suffix
    beside = f" ({'; '.join(others)})" if others else ""
    text = (
        f"{100 * share:.1f} % of the text is in passages of {suffix} tokens that {result.model.of} gives with a chance "
        f"of 1 % or more after the tokens before them{beside}."
    )
    run = result.model.run
    if run is None:
        return text
    return (
        f"{text} The longest passage that greedy decoding gives has {run.tokens:,} token{'s' * (run.tokens != 1)} "
        f"({run.stop - run.start:,} characters), at {result.model.work.place(run.start)}."
    )


def _examples(scores: WorkScores) -> tuple[Example, ...]:
    """The longest run, then the most probable windows that do not overlap."""
    work, taken, examples = scores.work, [], []
    run = scores.run
    if run is not None and run.stop > run.start:
        note = f"longest run, {run.tokens:,} tokens{'; it goes on where reading stopped' if run.is_cut else ''}"
        stop = min(run.stop, run.start + _LONGEST_EXAMPLE)
        examples.append(_example(scores, run.prompt, run.start, stop, note))
        taken.append((run.start, run.stop))
    order = np.argsort(-scores.scores.log_probability_top40, kind="stable")
    for number in order.tolist():
        probability = float(np.exp(scores.scores.log_probability_top40[number]))
        if probability < TAU or len(examples) == _EXAMPLES:
            break
        start, stop = int(scores.windows.start[number]), int(scores.windows.stop[number])
        if all(stop <= a or start >= b for a, b in taken):
            document, token = int(scores.windows.document[number]), int(scores.windows.token[number])
            prompt = work.offsets[document] + (int(work.ends[document][token - 1]) if token else 0)
            examples.append(_example(scores, prompt, start, stop, f"p_z {100 * probability:.1f} %"))
            taken.append((start, stop))
    return tuple(examples)


def _example(scores: WorkScores, prompt: int, start: int, stop: int, note: str) -> Example:
    text = scores.work.text(start, stop)
    return Example(scores.work.place(start), scores.work.text(prompt, start), text, ((0, len(text)),), note)


def _caveats(result: WorkResult, parts: Sequence[Section]) -> tuple[str, ...]:
    work, windows = result.model.work, result.model.windows
    texts = []
    if parts:
        kind = "parts of equal length" if parts[0].name == "part 1" else "files or chapters"
        texts.append(
            f"Taken as independent: {len(parts)} {kind} of the text. Windows in one part depend on each other and "
            "count together."
        )
    reached = reachable_characters(windows, work.characters) / work.characters
    if reached < 0.99:
        texts.append(f"{100 * reached:.1f} % of the characters are in any suffix, so no coverage can be above that.")
    if result.base is None:
        texts.append("There is no base model: passages that every model knows count as recited.")
    if result.control is None:
        texts.append("There is no control work: text that the model would write anyway counts as recited.")
    return tuple(texts)
