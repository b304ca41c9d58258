"""`mematlas probe layers`."""

from typing import Annotated

from cyclopts import Parameter

from mematlas.cli.findings_page import FindingsPage
from mematlas.cli.lists import COMMAS
from mematlas.cli.output import Json
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
    from mematlas.probes.rows.runs import introduction

    page = FindingsPage("probe layers", pictures)
    result = run_layers(model, config, progress_display(quiet))
    told_apart = "Rows that the model recites whole stand beside those it does not."
    page.present(
        result.folder,
        result.facts,
        layer_findings(result),
        title=f"Where {result.facts['model']} recites from",
        introduction=[f"{introduction(result.facts)} {told_apart}"],
        as_json=json_,
    )
