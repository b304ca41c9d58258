"""`mematlas probe prompts`."""

from typing import Annotated

from cyclopts import Parameter

from mematlas.cli.findings_page import FindingsPage
from mematlas.cli.lists import COMMAS
from mematlas.cli.output import Json
from mematlas.cli.progress import Quiet, progress_display
from mematlas.probes.prompts.config import PromptsConfig
from mematlas.probes.prompts.run import run_prompts


def probe_prompts(
    model: str,
    *,
    config: Annotated[PromptsConfig, Parameter(name="*")],
    pictures: Annotated[list[str], Parameter(consume_multiple=1), COMMAS] = [],  # noqa: B006
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Show what a prompt needs for its row to be recited: how few of its last tokens, and which changes it bears.

    Example: mematlas probe prompts ./my-model --corpus train.jsonl --control heldout.jsonl --out prompts

    Running the same command again completes what is missing, and does nothing if all is done.

    Parameters
    ----------
    model
        A folder or hub id of a causal model, or a stand-in.
    config
        Rows, control, what to look at, and output folder.
    pictures
        Also write each figure as an image file, in a folder next to the page: png, svg, pdf, or several of them.
    """
    from mematlas.probes.prompts.finding import prompt_findings
    from mematlas.probes.rows.runs import introduction

    page = FindingsPage("probe prompts", pictures)
    result = run_prompts(model, config, progress_display(quiet))
    told_apart = "Rows that the model recites whole stand beside those it does not."
    page.present(
        result.folder,
        result.facts,
        prompt_findings(result),
        title=f"What prompts {result.facts['model']} needs to recite",
        introduction=[f"{introduction(result.facts)} {told_apart}"],
        as_json=json_,
    )
