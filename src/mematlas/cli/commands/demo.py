"""`mematlas demo`."""

from pathlib import Path
from time import monotonic
from typing import Annotated

import polars as pl
from cyclopts import Parameter

from mematlas.analyses.summary import summarize
from mematlas.cli.output import count, percent, print_table
from mematlas.cli.progress import Bar
from mematlas.pipeline.demo import Demonstration
from mematlas.pipeline.demo import demo as run_demo

_CONTEXT, _CONTINUATION = 32, 32


def demo(*, out: Path = Path("demo"), full: Annotated[bool, Parameter(negative=())] = False) -> None:
    """Train a family of small models on Python's own sources and see what they know by heart. Needs no network.

    Example: mematlas demo --out demo

    Parameters
    ----------
    out
        Folder for models, corpus, study and report; run again, it only prints what is there.
    full
        Fit predictors of memorization to every model of the family, not to the largest alone.
    """
    bar = Bar()
    found = run_demo(out, full=full, training=_TrainingLines(bar), progress=bar)
    print(
        f"\nShare of rows recited whole: {_CONTINUATION} tokens after {_CONTEXT}, greedy decoding, by how often a row "
        "was shown in training.\nControl: rows never shown, with the upper end of the Wilson 95 % interval."
    )
    _print_shares(found)
    _print_examples(found)
    _print_telling(found)
    print(f"\nEverything is in {out}. Look at all cells of the grid: mematlas show {out / 'study'}")
    print(f"The report: open {found.carried.report}")
    edited = " (it was edited; the demo asked its own question)" if found.edited else ""
    print(f"Ask something else: edit {out / 'study.yaml'}{edited}, then: mematlas run {out / 'study.yaml'}")
    found.carried.analyzed.check()


class _TrainingLines:
    """A line every now and then while the family trains."""

    def __init__(self, bar: Bar) -> None:
        self._bar, self._last, self._began = bar, 0.0, monotonic()

    def __call__(self, step: int, steps: int, loss: float | None, label: str) -> None:
        now = monotonic()
        if loss is None:
            if step == 0:
                self._bar.say("Reading the standard library and planting repetitions ...")
        elif step == steps or now - self._last > 15:
            self._last = now
            self._bar.say(f"training {label}: step {step:,} of {steps:,}, loss {loss:.2f}, {now - self._began:.0f} s")


def _print_shares(found: Demonstration) -> None:
    by = ("model", "parameters", "training_step", "role", "repetitions")
    chosen = summarize(found.study, (*by, "context", "continuation")).filter(
        context=_CONTEXT, continuation=_CONTINUATION
    )
    levels = sorted(chosen.filter(role="train")["repetitions"].unique().to_list())
    lines = []
    for key, group in chosen.group_by("model", "parameters", "training_step", maintain_order=True):
        shares = {line["repetitions"]: line["share"] for line in group.filter(role="train").iter_rows(named=True)}
        control = group.filter(role="control").row(0, named=True)
        lines.append(
            [
                count(int(str(key[1]))),
                f"{key[2]:,}",
                *[percent(shares[level]) for level in levels],
                f"{percent(control['share'])} (< {percent(control['upper'])})",
            ]
        )
    print_table(["parameters", "step", *[f"{level} x" for level in levels], "control"], lines)
    rows = chosen.group_by("role").agg(pl.col("rows").max())
    counts = dict(zip(rows["role"], rows["rows"], strict=True))
    print(f"{counts['train']} rows a column, {counts['control']} control rows.")


def _print_telling(found: Demonstration) -> None:
    from mematlas.report.document import most_telling

    print("\nWhat stands out:")
    for finding in most_telling(list(found.carried.analyzed.findings.values())):
        print(f"- {finding.claim}")


def _print_examples(found: Demonstration) -> None:
    examples = found.examples(_CONTEXT, _CONTINUATION)
    if examples:
        print("\nRecited by the largest model: [context] -> continuation, as in the file (\u23ce is a line end)")
    for example in examples:
        print(f"\n  {example.source}, shown {example.repetitions} times")
        print(f"  [{_one_line(example.context)}]\n  -> {_one_line(example.continuation)}")


def _one_line(text: str) -> str:
    """Line ends shown as a sign, so that an example stays on one line; all else as it is."""
    return text.replace("\n", "\u23ce")
