"""`mematlas analyze`."""

from typing import Annotated

from cyclopts import Parameter

from mematlas.cli.lists import COMMAS
from mematlas.cli.progress import Bar
from mematlas.errors.remedies import command_line
from mematlas.executors.options import SINGLE_PROCESS, WorkerOptions, resolve_worker_options
from mematlas.findings.export import export_finding, parse_formats
from mematlas.pipeline.steps.analyze import recompute_findings
from mematlas.study import open_study


def analyze(
    study: str,
    *,
    only: Annotated[list[str], Parameter(consume_multiple=1), COMMAS] = [],  # noqa: B006  cyclopts copies it
    run: str | None = None,
    export: Annotated[list[str], Parameter(consume_multiple=1), COMMAS] = [],  # noqa: B006
    workers: Annotated[WorkerOptions, Parameter(name="*")] = SINGLE_PROCESS,
) -> None:
    """Recompute a study's findings from its tables; needs neither the models nor the corpus.

    Example: mematlas analyze study --only size --export csv,latex

    Parameters
    ----------
    study
        The folder or URL that `mematlas score --study` or `mematlas run` wrote.
    only
        Names of analyses, as listed by `mematlas list analyses`; all by default.
    run
        The start of a run's key, as printed by `mematlas show`; the latest run by default.
    export
        csv, latex, or both: also write every table in this format, next to its finding.
    workers
        Processes that run the analyses.
    """
    formats, worker_options = parse_formats(export), resolve_worker_options("analyze", **dict(workers))
    result = recompute_findings(open_study(study), only, run, progress=Bar(), workers=worker_options)
    for name, finding in result.findings.items():
        print(f"{name}: {finding.claim}")
        if finding.missing:
            print(f"  {finding.missing}")
    files = [
        path
        for name, finding in result.findings.items()
        for path in export_finding(result.folder / name, finding, formats)
    ]
    if files:
        print(f"\nExported {len(files)} tables next to their findings ({', '.join(formats)}): {files[0]} ...")
    page = command_line("report", study)
    print(f"\n{len(result.findings)} findings are in {result.folder}. Show them on one page: {page}")
    result.check()
