"""`mematlas probe ratios`."""

from typing import Annotated

from cyclopts import Parameter

from mematlas.cli.findings_page import FindingsPage
from mematlas.cli.lists import COMMAS
from mematlas.cli.output import Json
from mematlas.cli.progress import Quiet, progress_display
from mematlas.probes.ratios.config import RatiosConfig
from mematlas.probes.ratios.run import run_ratios


def probe_ratios(
    model: str,
    *,
    config: Annotated[RatiosConfig, Parameter(name="*")],
    pictures: Annotated[list[str], Parameter(consume_multiple=1), COMMAS] = [],  # noqa: B006
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Find out whether a model's free text has the same shares of a property as its training, or a control's shares.

    Example: mematlas probe ratios MODEL --corpus train.csv --label topic --control heldout.csv --out ratios

    Running the same command again completes what is missing, and does nothing if all is done.

    Parameters
    ----------
    model
        A model folder, an adapter's folder, a training run, or a hub id.
    config
        Texts and their property, what the model writes, and output folder.
    pictures
        Also write each figure as an image file, in a folder next to the page: png, svg, pdf, or several of them.
    """
    from mematlas.probes.ratios.finding import ratios_finding

    page = FindingsPage("probe ratios", pictures)
    result = run_ratios(model, config, progress_display(quiet))
    facts = result.facts
    start = f"the first {facts['start_words']} words of control texts" if facts["start_words"] else "nothing"
    how = "a pattern" if config.pattern else "a classifier of character n-grams, fitted to the training texts,"
    introduction = (
        f"{facts['model']} writes {facts['samples']:,} texts after {start}, at temperature 1. For each text of the "
        f"model, of its training and of the control, {how} says which label it has: {facts['property']}."
    )
    page.present(
        result.folder,
        facts,
        [ratios_finding(result)],
        title=f"Shares in what {facts['model']} writes",
        introduction=[introduction],
        as_json=json_,
    )
