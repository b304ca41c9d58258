"""What a notebook shows of an open study: what was scored, and where its tables are."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mematlas.display import html_table, html_text
from mematlas.study.runs import Run


def study_html(
    folder: Path, run: Run | None, done: Mapping[str, int] | None = None, features: Sequence[str] = (), earlier: int = 0
) -> str:
    """A study's latest run and its models as escaped HTML.

    Args:
        done: model -> number of finished shards; features: kinds of row features; earlier: number of other runs.
    """
    title = f"<b>Study</b> <code>{html_text(folder)}</code>"
    if run is None:
        return f"<div>{title}: no run yet</div>"
    settings = run.settings
    rows = " + ".join(f"{number:,} {role}" for role, number in settings.get("row_counts", {}).items())
    records = ["scores", *settings.get("signals", ())]
    records += [f"features ({', '.join(features)})"] if features else []
    facts = [
        f"run {run.key}" + (f" (and {earlier} earlier)" if earlier else ""),
        f"corpus {settings.get('corpus', 'not known')}",
        f"rows {rows or 'not known'}",
        f"contexts {settings['context']} × continuations {settings['continuation']} tokens",
        f"records: {', '.join(records)}",
    ]
    listed = "".join(f"<li>{html_text(fact)}</li>" for fact in facts)
    models = html_table(["model", "shards"], [[label, f"{n} of {run.shards}"] for label, n in (done or {}).items()])
    hint = "<code>.scores()</code>, <code>.rows()</code>, <code>.models()</code>, <code>.row(ID)</code>"
    return f"<div>{title}<ul>{listed}</ul>{models}<small>Tables: {hint}</small></div>"
