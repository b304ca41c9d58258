"""`mematlas show`."""

from mematlas.analyses.summary import summarize
from mematlas.cli.output import count, number, percent, print_table
from mematlas.study import Run, Study, open_study


def show(study: str) -> None:
    """Print what is in a study: its runs, models and scores.

    Example: mematlas show study

    Parameters
    ----------
    study
        The folder or URL that `mematlas score --study` wrote.
    """
    opened = open_study(study)
    for run in opened.runs():
        _print_run(opened, run)
    latest = opened.run()
    if not any(opened.done(latest, label) for label in latest.models):
        print("\nNo shard is finished yet. Run the same `mematlas score` command again.")
        return
    print()
    _print_models(opened)
    print()
    _print_scores(opened)


def _print_run(study: Study, run: Run) -> None:
    asked = run.question
    rows = ", ".join(f"{n:,} {role}" for role, n in asked["row_counts"].items())
    done = sum(study.done(run, label) for label in run.models)
    total = run.shards * len(run.models)
    state = "complete" if done == total else f"{done} of {total} shards: run the same command again to finish it"
    print(f"run {run.key}: {asked['corpus']} ({asked['corpus_format']}), rows {asked['rows']} ({rows}), {state}")
    signals = "+".join(asked["signals"]) or "none"
    print(
        f"  contexts {asked['context']} x continuations {asked['continuation']} tokens, {asked['align']}-aligned; "
        f"depth {asked['depth']}, eos {asked['eos']}, {asked['dtype']}, signals {signals}"
    )
    for label in run.models:
        _print_missing(label, study.missing(run, label), run.shards)
    if not asked["control"]:
        print("  no control: shares have no floor to be compared with (--control names one)")


def _print_missing(label: str, missing: list[int], shards: int) -> None:
    """Which shards are missing, by the numbers in their files' names; nothing where none is."""
    if 0 < len(missing) < shards:
        print(f"  {label} lacks {len(missing)} of {shards} shards: {_ranges(missing)}")
    elif missing:
        print(f"  {label} has none of its {shards} shards yet")


def _ranges(numbers: list[int], most: int = 12) -> str:
    """Ascending numbers as ranges, such as 0-3, 7; at most `most` of them."""
    starts = [n for n in numbers if n - 1 not in numbers]
    ends = [n for n in numbers if n + 1 not in numbers]
    parts = [f"{start}-{end}" if start < end else f"{start}" for start, end in zip(starts, ends, strict=True)]
    return ", ".join(parts[:most]) + (" and others" if len(parts) > most else "")


def _print_models(study: Study) -> None:
    lines = [
        [model, count(parameters), "-" if step is None else f"{step:,}"]
        for model, parameters, step in study.models().select("model", "parameters", "training_step").iter_rows()
    ]
    print_table(["model", "parameters", "training step"], lines)


def _print_scores(study: Study) -> None:
    lines = []
    for line in summarize(study).iter_rows(named=True):
        interval = "-" if line["share"] is None else f"{100 * line['lower']:.1f} to {100 * line['upper']:.1f} %"
        lines.append(
            [
                line["model"],
                line["role"],
                str(line["context"]),
                str(line["continuation"]),
                f"{line['rows']:,}",
                f"{line['missing']:,}",
                number(line["mean_score"]),
                number(line["mean_verbatim"], 1),
                percent(line["share"]),
                interval,
            ]
        )
    header = [
        "model",
        "role",
        "context",
        "continuation",
        "rows",
        "missing",
        "mean M",
        "verbatim",
        "recited",
        "Wilson 95 %",
    ]
    print_table(header, lines)
