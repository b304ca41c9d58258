"""`mematlas probe prior`."""

from typing import Annotated

from cyclopts import Parameter

from mematlas.cli.findings_page import FindingsPage
from mematlas.cli.lists import COMMAS
from mematlas.cli.output import Json
from mematlas.cli.progress import Quiet, progress_display
from mematlas.probes.prior.config import PriorConfig
from mematlas.probes.prior.run import run_prior


def probe_prior(
    model: str,
    *,
    config: Annotated[PriorConfig, Parameter(name="*")],
    pictures: Annotated[list[str], Parameter(consume_multiple=1), COMMAS] = [],  # noqa: B006
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Tell memorized rows from generic ones, whose continuation is as probable after prompts of other rows.

    Example: mematlas probe prior ./my-model --corpus train.jsonl --control heldout.jsonl --out prior

    Running the same command again completes what is missing, and does nothing if all is done.

    Parameters
    ----------
    model
        A folder or hub id of a causal model, or a stand-in.
    config
        Rows, control, prompts of other rows, thresholds, and output folder.
    pictures
        Also write each figure as an image file, in a folder next to the page: png, svg, pdf, or several of them.
    """
    from mematlas.probes.prior.finding import prior_findings
    from mematlas.probes.rows.runs import introduction

    page = FindingsPage("probe prior", pictures)
    result = run_prior(model, config, progress_display(quiet))
    others = f"Continuations are also put after {result.facts['prefixes']} prompts of other rows."
    page.present(
        result.folder,
        result.facts,
        prior_findings(result),
        title=f"What {result.facts['model']} would also say after other prompts",
        introduction=[f"{introduction(result.facts)} {others}"],
        as_json=json_,
    )
