"""`mematlas verify`."""

from typing import Annotated

from cyclopts import Parameter, validators

from mematlas.cli.output import number
from mematlas.cli.progress import Bar
from mematlas.errors import StudyError
from mematlas.verification.rescore import Agreement
from mematlas.verification.verify import verify as verified

_SHOWN = 10  # differences of a model that are printed


def verify(
    study: str,
    *,
    rows: Annotated[int, Parameter(validator=validators.Number(gte=1))] = 100,
    seed: Annotated[int, Parameter(validator=validators.Number(gte=0))] = 0,
    run: str | None = None,
    rescore: bool = True,
) -> None:
    """Check that every file of a study is as it was written, and score some of its rows again.

    Example: mematlas verify study --rows 1000

    Parameters
    ----------
    study
        The folder or URL that `mematlas score --study` wrote. Nothing in it is changed.
    rows
        How many random rows every model scores again.
    seed
        Which rows: another number draws others.
    run
        The beginning of a run's key, as `mematlas show` prints it; by default the files of all runs are checked, and
        rows of the latest are scored again.
    rescore
        Load models and score rows again; --no-rescore checks the files alone.
    """
    verdict = verified(study, rows=rows, seed=seed, run=run, rescore=rescore, progress=Bar())
    print(f"{verdict.files:,} shards ({verdict.size / 1e6:,.1f} MB) of {len(verdict.runs)} runs were checked.")
    if verdict.unsummed:
        print(f"{verdict.unsummed:,} of them were written without a checksum: only their size and lines were compared.")
    if verdict.unfinished:
        print(f"{verdict.unfinished:,} shards of scores are still to be written: run the same command again.")
    for agreement in verdict.agreements:
        _print_agreement(agreement)
    for line in verdict.unchecked:
        print(f"not checked: {line}")
    for fault in verdict.faults:
        print(f"fault: {fault}")
    if not verdict.is_sound:
        unexplained = sum(len(agreement.unexplained) for agreement in verdict.agreements)
        raise StudyError(
            f"{study} has {len(verdict.faults):,} faults in its files and {unexplained:,} scores that do not come out "
            "again; the lines above name each with its remedy."
        )
    print("No fault was found.")


def _print_agreement(agreement: Agreement) -> None:
    found = agreement.differences
    apart = (
        "" if agreement.apart is None else f"; margins of equal cells differ by at most {agreement.apart:.1e} logits"
    )
    print(
        f"{agreement.model}: {agreement.rows:,} rows scored again, {agreement.cells:,} cells compared, "
        f"{agreement.cells - len(found):,} equal, {len(found):,} different{apart}"
    )
    for cell in sorted(found, key=lambda cell: cell.explained)[:_SHOWN]:
        why = (
            f"explained: under {agreement.threshold:g} rounding decides"
            if cell.explained
            else "not explained by its margin: delete the model's scores of this run and run the same command again"
        )
        (matches, verbatim, _), (matches_now, verbatim_now, _) = cell.before, cell.now
        print(
            f"  row {cell.row}, context {cell.context}, continuation {cell.continuation}: matches {matches} -> "
            f"{matches_now}, verbatim {verbatim} -> {verbatim_now}, margin {number(cell.margin, 6)} ({why})"
        )
    if len(found) > _SHOWN:
        print(f"  and {len(found) - _SHOWN:,} more")
