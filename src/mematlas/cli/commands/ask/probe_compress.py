"""`mematlas probe compress`."""

from typing import Annotated

from cyclopts import Parameter

from mematlas.cli.findings_page import FindingsPage
from mematlas.cli.lists import COMMAS
from mematlas.cli.output import Json
from mematlas.cli.progress import Quiet, progress_display
from mematlas.probes.compress.config import CompressConfig
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
    from mematlas.probes.compress.finding import compress_finding

    page = FindingsPage("probe compress", pictures)
    result = run_compress(model, config, progress_display(quiet))
    facts = result.facts
    counts = ", ".join(f"{count} {kind}" for kind, count in facts["strings"].items())
    page.present(
        result.folder,
        facts,
        [compress_finding(result)],
        title=f"The shortest prompts that make {facts['model']} recite",
        introduction=[
            f"Strings ({counts}) of {facts['continuation']} tokens, and the shortest prompt after which the model "
            "gives each, whatever the prompt says. A string longer than its prompt cannot come from the prompt alone."
        ],
        as_json=json_,
    )
