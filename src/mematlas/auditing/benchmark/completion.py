"""Look: does the model complete questions of the benchmark, more than its base and than questions of a control?

The first half of a question's tokens prompts the second half, by greedy decoding: M is the share of right tokens.
Beside it the same with the question's words shuffled, which says what chance and frequent words give. The unit is the
question.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from mematlas.auditing.base import Example, Look, Measure, could_not_be_judged, mean_M
from mematlas.auditing.benchmark.questions import Question
from mematlas.models.base import Model
from mematlas.progress import Progress
from mematlas.scoring.engines.prompting import greedy_continuations
from mematlas.stats.estimates.intervals import wilson
from mematlas.stats.hypotheses.by_document import p_of_higher_in_members, p_of_positive_mean
from mematlas.types import Encoder

TITLE: Final = "Completion of questions"
_SHORTEST: Final = 16  # tokens of a question, our choice
FEWEST: Final = 8
_EXAMPLES: Final = 8


def complete(
    model: Model, encoder: Encoder, questions: Sequence[Question], longest: int | None, progress: Progress, of: str
) -> pl.DataFrame:
    """One record for each question of 16 tokens or more: line, M, verbatim, prompt and truth (texts)."""
    encoded = [np.array(ids, np.int64) for ids in encoder.encode([question.text for question in questions])]
    lengths = np.array([len(ids) for ids in encoded])
    limit = lengths.max(initial=0) if longest is None else longest
    kept = np.flatnonzero((lengths >= _SHORTEST) & (lengths <= limit))
    progress.start(f"{of}, completing", len(kept), 0, "questions")
    records = []
    for length in np.unique(lengths[kept]).tolist():
        same, half = kept[lengths[kept] == length].tolist(), length // 2
        written = greedy_continuations(model, [encoded[i][:half] for i in same], length - half)
        for i, ids in zip(same, written, strict=True):
            right = ids == encoded[i][half:]
            prompt, truth = _texts(encoder, encoded[i].tolist(), half)
            records.append((questions[i].line, float(right.mean()), bool(right.all()), prompt, truth))
        progress.advance(len(same))
    progress.stop()
    schema = {"line": pl.Int64, "M": pl.Float64, "verbatim": pl.Boolean, "prompt": pl.String, "truth": pl.String}
    return pl.DataFrame(records, schema=schema, orient="row").sort("line")


def shuffled_words(questions: Sequence[Question], seed: int) -> list[Question]:
    """The questions with their words in another order."""
    random = np.random.default_rng(seed)
    return [Question(each.line, " ".join(random.permutation(each.text.split()).tolist())) for each in questions]


def look(
    model: pl.DataFrame, base: pl.DataFrame | None, control: pl.DataFrame | None, gains: pl.DataFrame | None,
    shuffled: pl.DataFrame, labels: dict[str, str],
) -> Look:  # fmt: skip
    """Compare M with the base on the same questions, and the gain with that on the control's (gains: its base)."""
    if model.height < FEWEST:
        return could_not_be_judged(
            "recitation", TITLE, f"{model.height} questions have {_SHORTEST} tokens or more, and {FEWEST} are needed."
        )
    verbatim = model.filter("verbatim")
    if base is not None:
        verbatim = verbatim.filter(~pl.col("line").is_in(base.filter("verbatim")["line"].implode()))
    p = _p_value(model, base, control, gains)
    frames = {"model": model, "base": base, "shuffled": shuffled, "control": control}
    known = [(frame, labels[name]) for name, frame in frames.items() if frame is not None and frame.height]
    return Look(
        "recitation",
        TITLE,
        f"{labels['model']} completes {verbatim.height:,} of {model.height:,} questions word by word"
        f"{'' if base is None else ' where its base does not'}; {100 * _mean(model):.1f} % of the tokens are right"
        f"{'' if base is None else f' (base: {100 * _mean(base):.1f} %)'}.",
        p,
        "recites" if verbatim.height else "membership",
        reason="" if p is not None else "completion can be compared neither with a base model nor with a control.",
        measures=(
            *(_share(*each) for each in known),
            *(mean_M(frame["M"], of, unit="questions") for frame, of in known),
        ),
        examples=_examples(verbatim),
        share=verbatim.height / model.height,
        table=pl.concat([frame.with_columns(of=pl.lit(of)) for frame, of in known]),
    )


def _p_value(
    model: pl.DataFrame, base: pl.DataFrame | None, control: pl.DataFrame | None, control_base: pl.DataFrame | None
) -> float | None:
    """The larger one of both comparisons' p-values."""
    gain, p_values = _gain(model, base), []
    if base is not None:
        p_values.append(p_of_positive_mean(gain, np.arange(len(gain))))
    if control is not None and control.height >= FEWEST:
        both = np.concatenate([gain, _gain(control, control_base)])
        p_values.append(p_of_higher_in_members(both, np.arange(len(both)) < len(gain), np.arange(len(both))))
    return max(p_values) if p_values else None


def _gain(model: pl.DataFrame, base: pl.DataFrame | None) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    values = model["M"] if base is None else model["M"] - base["M"]
    return np.asarray(values.to_numpy(), np.float64)


def _mean(frame: pl.DataFrame) -> float:
    return float(frame["M"].to_numpy().mean())


def _share(frame: pl.DataFrame, of: str) -> Measure:
    share = wilson(int(frame["verbatim"].sum()), frame.height)
    return Measure("completed word by word", of, share.estimate, share.lower, share.upper, frame.height, "questions")


def _examples(verbatim: pl.DataFrame) -> tuple[Example, ...]:
    longest = verbatim.sort(pl.col("truth").str.len_chars(), descending=True).head(_EXAMPLES)
    return tuple(
        Example(f"line {line}", prompt, truth, ((0, len(truth)),))
        for line, prompt, truth in longest.select("line", "prompt", "truth").iter_rows()
    )


def _texts(encoder: Encoder, ids: list[int], half: int) -> tuple[str, str]:
    if encoder.decode_windows is None:
        return "", ""
    prompt, truth = encoder.decode_windows([ids[:half], ids[half:]])
    return prompt, truth
