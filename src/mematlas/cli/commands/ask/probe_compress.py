"""`mematlas probe compress`."""

from typing import Annotated

from cyclopts import Parameter

from mematlas.cli.lists import COMMAS
from mematlas.cli.output import Json, print_json
from mematlas.cli.pictures import parse_formats
from mematlas.cli.progress import Quiet, progress_display
from mematlas.probes.compress.config import CompressConfig
from mematlas.probes.compress.finding import compress_finding
from mematlas.probes.compress.run import run_compress


def probe_compress(
    model: str,
    *,
    config: Annotated[CompressConfig, Parameter(name="*")],
    pictures: Annotated[list[str], Parameter(consume_multiple=1), COMMAS] = [],  # noqa: B006
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Find the shortest prompts, of any tokens, that make a model recite strings: its compression ratio (ACR).

    Example: mematlas probe compress ./my-model --corpus train.jsonl --control heldout.jsonl --budget 60 --out shortest

    Running the same command again goes on with the strings that are missing, and does nothing if all is done.

    Parameters
    ----------
    model
        A folder or hub id of a transformers model; others only with --search random.
    config
        Rows, control, strings, how prompts are searched for, how long, and output folder.
    pictures
        Also write each figure as an image file, in a folder next to the page: png, svg, pdf, or several of them.
    """
    from mematlas.report.plain_pages.findings import write_findings

    formats = parse_formats("--pictures", pictures, "probe compress")
    result = run_compress(model, config, progress_display(quiet))
    finding = compress_finding(result)
    page, facts = result.folder / "compress.html", result.facts
    counts = ", ".join(f"{count} {kind}" for kind, count in facts["strings"].items())
    introduction = [
        f"Strings ({counts}) of {facts['continuation']} tokens, and the shortest prompt after which the model gives "
        "each, whatever the prompt says. A string longer than its prompt cannot come from the prompt alone."
    ]
    title = f"The shortest prompts that make {facts['model']} recite"
    write_findings(page, "probe compress", title, introduction, [finding], formats)
    if json_:
        tables = {table.name: table.frame for table in finding.tables}
        print_json({"folder": result.folder, "page": page, **facts, **tables})
        return
    print(f"{finding.headline}. {finding.sentence}")
    print(f"The page is in {page}; the tables and their card (README.md) are beside it.")
