"""`mematlas show`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from mematlas.analyses.summary import summarize
from mematlas.cli.output import Json, count, number, percent, print_json, print_table
from mematlas.models.masked_lm.masks import masking_line
from mematlas.pipeline.steps import STEPS
from mematlas.scoring.row_checks import row_remarks
from mematlas.study import Run, Study, open_study


def show(study: str, *, json_: Json = False) -> None:
    """Print the runs, models and scores of a study.

    Example: mematlas show study

    Parameters
    ----------
    study
        The folder or URL of a study, as given to `mematlas score --study`.
    """
    opened = open_study(study)
    if json_:
        print_json(_document(opened))
        return
    for run in opened.runs():
        _print_run(opened, run)
    latest = opened.run()
    if not any(opened.done(latest, label) for label in latest.models):
        print("\nNo shard is finished yet. Run the same `mematlas score` command again to continue.")
        return
    print()
    _print_models(opened)
    print()
    _print_scores(opened)
    _print_outputs(opened, latest)


def _document(study: Study) -> dict[str, Any]:
    """All that the command prints, as one object."""
    latest = study.run()
    has_scores = any(study.done(latest, label) for label in latest.models)
    runs = [
        {
            "run": run.key,
            "shards": run.shards,
            "missing_shards": {label: study.missing(run, label) for label in run.models},
            "settings": run.settings,
        }
        for run in study.runs()
    ]
    return {
        "study": study.folder,
        "runs": runs,
        "models": study.models() if has_scores else [],
        "scores": summarize(study) if has_scores else [],
        "results": _outputs(study, latest),
    }


def _outputs(study: Study, run: Run) -> dict[str, Path]:
    """Where the results of the steps after scoring are, for those that have any."""
    paths = {name: STEPS.load(name).output(study, run) for name in STEPS if name != "scoring"}
    return {name: path for name, path in paths.items() if path is not None}


def _print_outputs(study: Study, run: Run) -> None:
    """Where the results of the steps after scoring are."""
    existing = _outputs(study, run)
    if existing:
        print("\nresults:")
    for name, path in existing.items():
        print(f"  {name:<{max(map(len, existing))}}  {path}")


def _print_run(study: Study, run: Run) -> None:
    settings = run.settings
    rows = ", ".join(f"{n:,} {role}" for role, n in settings["row_counts"].items())
    done = sum(study.done(run, label) for label in run.models)
    total = run.shards * len(run.models)
    state = "complete" if done == total else f"{done} of {total} shards: run the same command again to complete it"
    print(
        f"run {run.key}: {settings['corpus']} ({settings['corpus_format']}), rows {settings['rows']} ({rows}), {state}"
    )
    for remark in row_remarks(settings):
        print(f"  {remark}")
    signals = "+".join(settings["signals"]) or "none"
    if "masking" in settings:
        print(f"  masked: {masking_line(settings)}; {settings['dtype']}")
    else:
        print(
            f"  contexts {settings['context']} x continuations {settings['continuation']} tokens, "
            f"{settings['align']}-aligned; depth {settings['depth']}, eos {settings['eos']}, {settings['dtype']}, "
            f"signals {signals}"
        )
    for label in run.models:
        _print_missing(label, study.missing(run, label), run.shards)
    if not settings["control"]:
        print("  no control: there is no baseline to compare shares with (add one with --control)")


def _print_missing(label: str, missing: list[int], shards: int) -> None:
    """Print the numbers of missing shards, as in their file names; nothing if none is missing."""
    if 0 < len(missing) < shards:
        print(f"  {label}: {len(missing)} of {shards} shards are missing: {_ranges(missing)}")
    elif missing:
        print(f"  {label}: all {shards} shards are missing")


def _ranges(numbers: list[int], max_ranges: int = 12) -> str:
    """Ascending numbers as ranges, such as 0-3, 7; at most `max_ranges` of them."""
    starts = [n for n in numbers if n - 1 not in numbers]
    ends = [n for n in numbers if n + 1 not in numbers]
    parts = [f"{start}-{end}" if start < end else f"{start}" for start, end in zip(starts, ends, strict=True)]
    return ", ".join(parts[:max_ranges]) + (" and others" if len(parts) > max_ranges else "")


def _print_models(study: Study) -> None:
    table = [
        [model, count(parameters), "-" if step is None else f"{step:,}"]
        for model, parameters, step in study.models().select("model", "parameters", "training_step").iter_rows()
    ]
    print_table(["model", "parameters", "training step"], table)


def _print_scores(study: Study) -> None:
    """Print the records of `summarize`: where rows are copies of each other, shares of distinct texts first."""
    records = summarize(study).to_dicts()
    has_copies = any((record["texts"] or record["rows"]) < record["rows"] for record in records)
    columns = _KEYS | (_OF_TEXTS if has_copies else _OF_ROWS)
    print_table(list(columns), [[text(record) for text in columns.values()] for record in records])
    if has_copies:
        print("A text: rows with the same prompt and continuation. Missing, mean M and verbatim are of rows.")


def _interval(lower: float | None, upper: float | None) -> str:
    return "-" if lower is None or upper is None else f"{100 * lower:.1f} to {100 * upper:.1f} %"


#: The columns of the table of scores: header -> the text of a record of `summarize`.
_Columns = dict[str, Callable[[Mapping[str, Any]], str]]
_KEYS: Final[_Columns] = {
    "model": lambda record: record["model"],
    "role": lambda record: record["role"],
    "context": lambda record: str(record["context"]),
    "continuation": lambda record: str(record["continuation"]),
}
_OF_ROWS: Final[_Columns] = {
    "rows": lambda record: f"{record['rows']:,}",
    "missing": lambda record: f"{record['missing']:,}",
    "mean M": lambda record: number(record["mean_score"]),
    "verbatim": lambda record: number(record["mean_verbatim"], 1),
    "recited": lambda record: percent(record["share"]),
    "95 % interval": lambda record: _interval(record["lower"], record["upper"]),
}
_OF_TEXTS: Final[_Columns] = {
    "texts": lambda record: f"{record['texts'] or 0:,}",
    "recited": lambda record: percent(record["text_share"]),
    "95 % interval": lambda record: _interval(record["text_lower"], record["text_upper"]),
    "rows": lambda record: f"{record['rows']:,}",
    "rows recited": lambda record: percent(record["share"]),
    **{name: _OF_ROWS[name] for name in ("missing", "mean M", "verbatim")},
}
