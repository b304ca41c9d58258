"""`mematlas analyze`."""

import sys
from typing import Annotated

from cyclopts import Parameter

from mematlas.executors.options import ALONE, WorkerOptions, resolve_workers
from mematlas.findings.export import check_kinds, export_finding
from mematlas.pipeline.steps.analyze import analyze_run
from mematlas.study import open_study


def analyze(
    study: str,
    *,
    only: Annotated[list[str], Parameter(consume_multiple=True)] = [],  # noqa: B006  cyclopts copies it
    run: str | None = None,
    export: str = "",
    workers: Annotated[WorkerOptions, Parameter(name="*")] = ALONE,
) -> None:
    """Recompute a study's findings from its tables; needs neither the models nor the corpus.

    Example: mematlas analyze study --only size --export csv,latex

    Parameters
    ----------
    study
        The folder or URL that `mematlas score --study` or `mematlas run` wrote.
    only
        Names of analyses, as `mematlas list analyses` shows them; all of them by default.
    run
        The beginning of a run's key, as `mematlas show` prints it; the latest by default.
    export
        csv, latex or csv,latex: write every table beside its finding, for papers and other programs.
    workers
        Who analyses.
    """
    kinds, crew = check_kinds(export), resolve_workers("analyze", **dict(workers))
    done = analyze_run(open_study(study), only, run, again=True, say=_tell, workers=crew)
    for name, finding in done.findings.items():
        print(f"{name}: {finding.claim}")
        if finding.missing:
            print(f"  {finding.missing}")
    files = [
        path for name, finding in done.findings.items() for path in export_finding(done.folder / name, finding, kinds)
    ]
    if files:
        print(f"\n{len(files)} tables are exported beside their findings ({', '.join(kinds)}): {files[0]} ...")
    print(f"\n{len(done.findings)} findings are in {done.folder}. See them on one page: mematlas report {study}")
    done.check()


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
