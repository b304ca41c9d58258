"""`mematlas stress`."""

from typing import Annotated, Any

from cyclopts import Parameter

from mematlas.auditing.stress.config import StressConfig
from mematlas.auditing.stress.run import run_stress
from mematlas.cli.lists import COMMAS
from mematlas.cli.output import Json, print_json, print_table
from mematlas.cli.pictures import parse_formats
from mematlas.cli.progress import Quiet, progress_display


def stress(
    original: str,
    unlearned: str,
    *,
    config: Annotated[StressConfig, Parameter(name="*")],
    pictures: Annotated[list[str], Parameter(consume_multiple=1), COMMAS] = [],  # noqa: B006
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Show whether a model that was made to forget texts still recites them under other prompts.

    Example: mematlas stress ./before ./after --corpus train.jsonl --rows ids:forget.txt --control heldout.jsonl

    Running the same command again does nothing that is done.

    Parameters
    ----------
    original
        The model before unlearning: a folder or hub id.
    unlearned
        The model after it.
    config
        Rows, prompts and output folder.
    pictures
        Also write each chart as an image file, in a folder next to the page: png, svg, pdf, or several of them.
    """
    from mematlas.auditing.stress.page import write_stress_page

    formats = parse_formats("--pictures", pictures, "stress")
    result = run_stress(original, unlearned, config, progress_display(quiet))
    page = result.folder / "stress.html"
    write_stress_page(page, result.finding, result.facts, formats)
    if json_:
        finding = result.finding
        tables = {"verdicts": finding.table("verdicts"), "cost": finding.table("damage")}
        tables["summary"] = finding.table("summary")
        claims = {"claim": finding.claim, "caveats": finding.caveats}
        print_json({"folder": result.folder, "page": page, **result.facts, **claims, **tables})
        return
    _print(result.finding.table("summary").to_dicts())
    print(f"\nVerdict: {result.verdict}.\n{result.finding.in_short}")
    for text in (result.finding.control, *result.finding.caveats):
        print(f"- {text}")
    print(f"The page is in {page}; the tables are beside it.")


def _print(records: list[dict[str, Any]]) -> None:
    series = list(dict.fromkeys(record["of"] for record in records))
    lengths = {(record["prompt"], record["of"]): record["length"] for record in records}
    prompts = list(dict.fromkeys(record["prompt"] for record in records))
    rows = [
        [prompt, *("-" if (value := lengths.get((prompt, of))) is None else f"{value:.1f}" for of in series)]
        for prompt in prompts
    ]
    print_table(["mean tokens recited", *series], rows)
