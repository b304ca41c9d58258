"""`mematlas probe tasks`."""

from typing import Annotated

from cyclopts import Parameter

from mematlas.cli.findings_page import FindingsPage
from mematlas.cli.lists import COMMAS
from mematlas.cli.output import Json
from mematlas.cli.progress import Quiet, progress_display
from mematlas.probes.tasks.config import TasksConfig
from mematlas.probes.tasks.finding import task_findings
from mematlas.probes.tasks.run import run_tasks
from mematlas.scoring.model_names import model_names

_MODELS = "Folders or hub ids of causal models with their tokenizers, or training runs; several sizes for a trend."


def probe_tasks(
    *models: Annotated[str, Parameter(help=_MODELS)],
    config: Annotated[TasksConfig, Parameter(name="*")],
    pictures: Annotated[list[str], Parameter(consume_multiple=1), COMMAS] = [],  # noqa: B006
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Compare what models find probable in a task with what their corpus has together (distributional memorization).

    Example: mematlas probe tasks MODEL --task qa.csv --index index --template "Question: {input} Answer: {output}"

    Running the same command again completes what is missing, and does nothing if all is done.

    Parameters
    ----------
    config
        Task, index, similarity and output folder.
    pictures
        Also write each figure as an image file, in a folder next to the page: png, svg, pdf, or several of them.
    """
    page = FindingsPage("probe tasks", pictures)
    result = run_tasks(model_names(models), config, progress_display(quiet))
    facts = result.facts
    introduction = (
        f"{facts['examples']:,} examples of {facts['task']}, {facts['pairs']:,} pairs of n-grams of input and output "
        f"(similarity: {facts['similarity']}), counted in the documents of {facts['index']}. Mem is Spearman's "
        "correlation of the corpus' probability of an output's n-gram, given the input's, with the model's."
    )
    title = f"The task {facts['task']} in its corpus"
    page.present(result.folder, facts, task_findings(result), title=title, introduction=[introduction], as_json=json_)
