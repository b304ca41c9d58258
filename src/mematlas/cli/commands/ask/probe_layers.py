"""`mematlas probe layers`."""

from typing import Annotated

from cyclopts import Parameter

from mematlas.cli.lists import COMMAS
from mematlas.cli.output import Json, print_json
from mematlas.cli.pictures import parse_formats
from mematlas.cli.progress import Quiet, progress_display
from mematlas.probes.layers.config import LayersConfig
from mematlas.probes.layers.run import run_layers


def probe_layers(
    model: str,
    *,
    config: Annotated[LayersConfig, Parameter(name="*")],
    pictures: Annotated[list[str], Parameter(consume_multiple=1), COMMAS] = [],  # noqa: B006
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Show where in the network rows are recited, and how firmly: noise, the logit lens, attention heads.

    Example: mematlas probe layers ./my-model --corpus train.jsonl --control heldout.jsonl --out layers

    Running the same command again completes what is missing, and does nothing if all is done.

    Parameters
    ----------
    model
        A folder or hub id of a transformers model with attention alone (GPT-NeoX, Llama, GPT-2, Qwen2 ...).
    config
        Rows, control, what to look at, and output folder.
    pictures
        Also write each figure as an image file, in a folder next to the page: png, svg, pdf, or several of them.
    """
    from mematlas.probes.layers.finding import layer_findings
    from mematlas.report.plain_pages.findings import write_findings

    formats = parse_formats("--pictures", pictures, "probe layers")
    result = run_layers(model, config, progress_display(quiet))
    findings = layer_findings(result)
    page, facts = result.folder / "layers.html", result.facts
    control = f" and of {facts['control']}" if facts["control"] else ""
    introduction = [
        f"{facts['rows']} rows of {facts['corpus']}{control}: {facts['context']} tokens of prompt, "
        f"{facts['continuation']} to recite. Rows that the model recites whole stand beside those it does not."
    ]
    write_findings(page, "probe layers", f"Where {facts['model']} recites from", introduction, findings, formats)
    if json_:
        tables = {finding.name: {table.name: table.frame for table in finding.tables} for finding in findings}
        print_json({"folder": result.folder, "page": page, **facts, **tables})
        return
    for finding in findings:
        print(f"{finding.headline}. {finding.sentence}")
    print(f"The page is in {page}; the tables and their card (README.md) are beside it.")
