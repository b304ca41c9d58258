"""`mematlas analyze`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from mematlas.cli.lists import COMMAS
from mematlas.cli.output import Json, print_json
from mematlas.cli.progress import Quiet, progress_display
from mematlas.errors.remedies import command_line
from mematlas.executors.options import SINGLE_PROCESS, WorkerOptions, resolve_worker_options
from mematlas.findings.export import export_finding, parse_formats
from mematlas.pipeline.steps.analyze import AnalysisOutcome, recompute_findings
from mematlas.study import open_study


def analyze(
    study: str,
    *,
    only: Annotated[list[str], Parameter(consume_multiple=1), COMMAS] = [],  # noqa: B006  cyclopts copies it
    run: str | None = None,
    export: Annotated[list[str], Parameter(consume_multiple=1), COMMAS] = [],  # noqa: B006
    workers: Annotated[WorkerOptions, Parameter(name="*")] = SINGLE_PROCESS,
    quiet: Quiet = False,
    json_: Json = False,
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
    result = recompute_findings(open_study(study), only, run, progress=progress_display(quiet), workers=worker_options)
    files = [
        path
        for name, finding in result.findings.items()
        for path in export_finding(result.folder / name, finding, formats)
    ]
    if json_:
        print_json(_document(result, files))
    else:
        _print(result, files, formats, study)
    result.check()


def _print(result: AnalysisOutcome, files: list[Path], formats: Sequence[str], study: str) -> None:
    for name, finding in result.findings.items():
        print(f"{name}: {finding.in_short}")
        if finding.missing:
            print(f"  {finding.missing}")
    if files:
        print(f"\nExported {len(files)} tables next to their findings ({', '.join(formats)}): {files[0]} ...")
    page = command_line("report", study)
    print(f"\n{len(result.findings)} findings are in {result.folder}. Show them on one page: {page}")


def _document(result: AnalysisOutcome, files: list[Path]) -> dict[str, Any]:
    """The findings without their tables, which are files in their folders."""
    names = ("name", "title", "headline", "sentence", "claim", "missing", "control", "strength", "caveats")
    findings = [{name: getattr(finding, name) for name in names} for finding in result.findings.values()]
    return {"folder": result.folder, "findings": findings, "failures": result.failures, "exported": files}
