"""`mematlas demo`."""

from pathlib import Path
from typing import Annotated, Any

import polars as pl
from cyclopts import Parameter

from mematlas.analyses.summary import summarize
from mematlas.cli.commands.ask.probe_recall import show_recall
from mematlas.cli.output import Json, count, percent, print_json, print_table
from mematlas.cli.progress import Quiet, progress_display
from mematlas.cli.training_lines import TrainingLines
from mematlas.errors.remedies import command_line
from mematlas.executors.local import cores
from mematlas.findings.finding import Finding
from mematlas.pipeline.demo import Demonstration
from mematlas.pipeline.demo import demo as run_demo
from mematlas.progress import Progress

_CONTEXT, _CONTINUATION = 32, 32
_MOST_WORKERS = 4  # each takes half a gigabyte


def demo(
    *,
    out: Path = Path("demo"),
    full: Annotated[bool, Parameter(negative=())] = False,
    probes: Annotated[bool, Parameter(negative=())] = False,
    workers: int | None = None,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Train a family of small models on Python's own sources and measure what they memorize. Needs no network.

    Example: mematlas demo --out demo
             mematlas demo --probes --out demo

    Parameters
    ----------
    out
        Folder for models, corpus, study and report; existing results are reused.
    full
        Fit predictors of memorization to every model of the family, not only to the largest.
    probes
        Instead, train one model on 400 made-up names and codes, and ask it for the codes; see `mematlas probe`.
    workers
        Number of processes that share the work of the study; by default one for each core, at most 4.
    """
    bar = progress_display(quiet)
    if probes:
        _probe(out / "probes", bar, json_)
        return
    workers = min(cores(), _MOST_WORKERS) if workers is None else workers
    result = run_demo(out, full=full, training=TrainingLines(bar), progress=bar, workers=workers)
    if json_:
        print_json(_document(result, out))
    else:
        _print(result, out)
    result.outcome.analyses.check()


def _probe(folder: Path, bar: Progress, as_json: bool) -> None:
    from mematlas.pipeline.probe_demo import ProbeDemoConfig, probe_demo

    result = probe_demo(folder, ProbeDemoConfig(), TrainingLines(bar), bar)
    show_recall(result.recall, [], as_json)
    if not as_json:
        words = ["--items", result.items, "--template", result.templates, "--popularity", f"index:{result.index}"]
        print(f"Ask it yourself: {command_line('probe', 'recall', result.model, *words)}")


def _print(result: Demonstration, out: Path) -> None:
    print(
        f"\nShare of rows recited whole: {_CONTINUATION} tokens after {_CONTEXT}, greedy decoding, by how often a row "
        "was shown in training.\nControl: rows never shown, with the upper end of the 95 % interval, over documents."
    )
    _print_shares(result)
    _print_examples(result)
    _print_headlines(result)
    print(f"\nAll results are in {out}. Show all cells of the grid: {command_line('show', out / 'study')}")
    print(f"The report: open {result.outcome.output('report')}")
    edited = " (it was edited; the demo used its own settings)" if result.edited else ""
    print(f"Change the settings: edit {out / 'study.yaml'}{edited}, then: {command_line('run', out / 'study.yaml')}")


def _document(result: Demonstration, out: Path) -> dict[str, Any]:
    """All that the command prints, as one object."""
    return {
        "folder": out,
        "report": result.outcome.output("report"),
        "context": _CONTEXT,
        "continuation": _CONTINUATION,
        "shares": _shares(result),
        "examples": result.examples(_CONTEXT, _CONTINUATION),
        "claims": {finding.name: finding.claim for finding in _headlines(result)},
    }


def _shares(result: Demonstration) -> pl.DataFrame:
    """The records of `summarize` at the demo's cell, by repetitions."""
    by = ("model", "parameters", "training_step", "role", "repetitions")
    records = summarize(result.study, (*by, "context", "continuation"))
    return records.filter(context=_CONTEXT, continuation=_CONTINUATION)


def _print_shares(result: Demonstration) -> None:
    cell = _shares(result)
    levels = sorted(cell.filter(role="train")["repetitions"].unique().to_list())
    table = []
    for key, group in cell.group_by("model", "parameters", "training_step", maintain_order=True):
        shares = {row["repetitions"]: row["share"] for row in group.filter(role="train").iter_rows(named=True)}
        control = group.filter(role="control").row(0, named=True)
        table.append(
            [
                count(int(str(key[1]))),
                f"{key[2]:,}",
                *[percent(shares[level]) for level in levels],
                f"{percent(control['share'])} (< {percent(control['upper'])})",
            ]
        )
    print_table(["parameters", "step", *[f"{level} x" for level in levels], "control"], table)
    rows = cell.group_by("role").agg(pl.col("rows").max())
    counts = dict(zip(rows["role"], rows["rows"], strict=True))
    print(f"{counts['train']} rows a column, {counts['control']} control rows.")


def _headlines(result: Demonstration) -> list[Finding]:
    from mematlas.report.document import strongest_findings

    return strongest_findings(list(result.outcome.analyses.findings.values()))


def _print_headlines(result: Demonstration) -> None:
    print("\nWhat stands out:")
    for finding in _headlines(result):
        print(f"- {finding.in_short}")


def _print_examples(result: Demonstration) -> None:
    examples = result.examples(_CONTEXT, _CONTINUATION)
    if examples:
        print("\nRecited by the largest model: [context] -> continuation, as in the file (\u23ce is a line end)")
    for example in examples:
        print(f"\n  {example.source}, shown {example.repetitions} times")
        print(f"  [{_one_line(example.context)}]\n  -> {_one_line(example.continuation)}")


def _one_line(text: str) -> str:
    """The text on one line, with line ends shown as a symbol."""
    return text.replace("\n", "\u23ce")
