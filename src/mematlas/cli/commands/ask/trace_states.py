"""`mematlas trace-states`."""

from typing import Annotated, Any

from cyclopts import Parameter

from mematlas.cli.lists import COMMAS
from mematlas.cli.output import Json, print_json, print_table
from mematlas.cli.pictures import parse_formats
from mematlas.cli.progress import Quiet, progress_display
from mematlas.probes.state_tracing.config import TraceConfig
from mematlas.probes.state_tracing.finding import row_findings, summary
from mematlas.probes.state_tracing.run import run_tracing


def trace_states(
    model: str,
    *,
    config: Annotated[TraceConfig, Parameter(name="*")],
    pictures: Annotated[list[str], Parameter(consume_multiple=1), COMMAS] = [],  # noqa: B006
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Show which hidden states a recited text depends on, by putting those of other texts in their place.

    Example: mematlas trace-states ./my-model --corpus train.jsonl --rows ids:recited.txt --out traces
             mematlas trace-states ./treatment --twin ./control --corpus rows.npy --rows sample:5

    Running the same command again completes what is missing, and does nothing if all is done.

    Parameters
    ----------
    model
        A folder or hub id of a transformers model with attention alone (GPT-NeoX, Llama, GPT-2, Qwen2 ...).
    config
        Rows, sources and output folder.
    pictures
        Also write each heat map as an image file, in a folder next to the page: png, svg, pdf, or several of them.
    """
    from mematlas.report.plain_pages.traces import write_traces

    formats = parse_formats("--pictures", pictures, "trace-states")
    traces = run_tracing(model, config, progress_display(quiet))
    dependency, tokens = traces.dependency(), traces.tokens()
    findings = row_findings(dependency, tokens, (traces.facts["model"], traces.facts["twin"]))
    page = traces.folder / "traces.html"
    write_traces(page, traces.facts, findings, tokens, formats)
    rows = summary(dependency, tokens)
    if json_:
        print_json({"folder": traces.folder, "page": page, **traces.facts, "traced": rows})
        return
    _print(rows, traces.facts)
    print(f"The page is in {page}; the tables and their card (README.md) are beside it.")


def _print(rows: list[dict[str, Any]], facts: dict[str, Any]) -> None:
    columns = ("row", "tokens", "recited", "depending", "reach")
    print_table(
        columns,
        [
            ["-" if row[name] is None else str(row[name]) if name == "row" else f"{row[name]:g}" for name in columns]
            for row in rows
        ],
    )
    print("depending: recited tokens that change in half of the patches, or more, of some single state of the prompt;")
    print("reach: how many tokens back the farthest such state is, in the middle of the recited tokens.")
    short = facts["rows"] - len(rows)
    if short:
        needed = facts["context"] + facts["continuation"]
        print(f"{short} row{'s' if short > 1 else ''} of fewer than {needed} tokens left out.")
