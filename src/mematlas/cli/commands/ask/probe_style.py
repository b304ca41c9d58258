"""`mematlas probe style`."""

from typing import Annotated

from cyclopts import Parameter

from mematlas.cli.findings_page import FindingsPage
from mematlas.cli.lists import COMMAS
from mematlas.cli.output import Json
from mematlas.cli.progress import Quiet, progress_display
from mematlas.probes.style.config import StyleConfig
from mematlas.probes.style.run import run_style


def probe_style(
    model: str,
    *,
    config: Annotated[StyleConfig, Parameter(name="*")],
    pictures: Annotated[list[str], Parameter(consume_multiple=1), COMMAS] = [],  # noqa: B006
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Find out whether a model writes in the style of authors in its training, beside authors who are not in it.

    Example: mematlas probe style MODEL --texts authors.csv --out style

    Running the same command again completes what is missing, and does nothing if all is done.

    Parameters
    ----------
    model
        A model folder, an adapter's folder, a training run, or a hub id.
    config
        Texts with their authors, what the model writes, and output folder.
    pictures
        Also write each figure as an image file, in a folder next to the page: png, svg, pdf, or several of them.
    """
    from mematlas.probes.style.finding import style_finding

    page = FindingsPage("probe style", pictures)
    result = run_style(model, config, progress_display(quiet))
    facts = result.facts
    introduction = (
        f"{facts['model']} continues the first {facts['prompt_words']} words of {facts['asked']:,} texts of "
        f"{facts['authors_in_training']} authors in its training and {facts['authors_not_in_training']} others. A "
        "classifier of character n-grams, fitted to the authors' other texts, says who seems to have written each."
    )
    page.present(
        result.folder,
        facts,
        [style_finding(result)],
        title=f"In whose style {facts['model']} writes",
        introduction=[introduction],
        as_json=json_,
    )
