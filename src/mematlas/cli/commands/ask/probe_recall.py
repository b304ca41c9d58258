"""`mematlas probe recall`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from mematlas.cli.lists import COMMAS
from mematlas.cli.output import Json, percent, print_json, print_table
from mematlas.cli.pictures import parse_formats
from mematlas.cli.progress import Quiet, progress_display
from mematlas.probes.recall.config import RecallConfig
from mematlas.probes.recall.run import Recall, run_recall

if TYPE_CHECKING:
    from mematlas.report.charts.export import Format


def probe_recall(
    model: str,
    *,
    config: Annotated[RecallConfig, Parameter(name="*")],
    pictures: Annotated[list[str], Parameter(consume_multiple=1), COMMAS] = [],  # noqa: B006
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Ask a model for facts: which of them it recalls, and whether only those that its corpus has often.

    Example: mematlas probe recall MODEL --items codes.csv --template "The ISO code of {input} is {output}."
             mematlas probe recall MODEL --items codes.csv --template templates.jsonl --popularity index:index
             mematlas probe recall api:http://127.0.0.1:8000/v1#my-model --items codes.csv --template templates.jsonl

    Running the same command again completes what is missing, and does nothing if all is done.

    Parameters
    ----------
    model
        A model folder, an adapter's folder, a training run, a hub id, or a model behind an API (api:URL#MODEL).
    config
        Items, templates, popularity and output folder.
    pictures
        Also write each figure as an image file, in a folder next to the page: png, svg, pdf, or several of them.
    """
    import mematlas.report.plain_pages.recall  # noqa: F401  a missing library ends the command before the model is asked

    formats = parse_formats("--pictures", pictures, "probe recall")
    show_recall(run_recall(model, config, progress_display(quiet)), formats, json_)


def show_recall(result: Recall, formats: "Sequence[Format]", as_json: bool) -> None:
    """Write the page with its pictures, and print what was found."""
    from mematlas.report.plain_pages.recall import write_recall

    page = result.folder / "recall.html"
    write_recall(page, result.facts, result.finding, result.table("items"), formats)
    if as_json:
        print_json(_document(result) | {"page": page})
    else:
        _print(result)
        print(f"The page is in {page}; the tables and their card (README.md) are beside it.")


def _document(result: Recall) -> dict[str, Any]:
    return {
        "folder": result.folder,
        **result.facts,
        "claim": result.finding.claim,
        "caveats": result.finding.caveats,
        "accuracy": result.table("accuracy"),
        "correlations": result.table("correlations"),
    }


def _print(result: Recall) -> None:
    accuracy = result.table("accuracy").filter(what="recall")
    shuffled = result.table("accuracy").filter(what="shuffled labels")["share"]
    rho = {
        (row["template"], row["shots"], row["over"]): row["estimate"]
        for row in result.table("correlations").filter(kind="spearman").to_dicts()
    }
    print_table(
        ["template", "examples", "right", "of", "interval", "shuffled", "rho items", "rho buckets"],
        [
            [
                row["template"],
                str(row["shots"]),
                percent(row["share"]),
                f"{row['n']:,}",
                f"{percent(row['low'])} to {percent(row['high'])}",
                percent(control),
                *(_coefficient(rho.get((row["template"], row["shots"], over))) for over in ("items", "equal")),
            ]
            for row, control in zip(accuracy.to_dicts(), shuffled, strict=True)
        ],
    )
    print(f"\n{result.finding.claim}")
    for caveat in result.finding.caveats:
        print(f"- {caveat}")


def _coefficient(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
