"""`mematlas verify`."""

from dataclasses import asdict
from pathlib import Path

from mematlas.auditing.checksums import changed_files, is_audit
from mematlas.cli.numbers import NotNegative, Positive
from mematlas.cli.output import Json, number, print_json
from mematlas.cli.progress import Quiet, progress_display
from mematlas.errors import StudyError
from mematlas.verification.rescore import Agreement
from mematlas.verification.verify import VerificationResult
from mematlas.verification.verify import verify as verified

_MAX_PRINTED = 10  # differences that are printed per model


def verify(
    study: str,
    *,
    rows: Positive = 100,
    seed: NotNegative = 0,
    run: str | None = None,
    rescore: bool = True,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Check that the files of a study are unchanged and complete, and score some of its rows again.

    Example: mematlas verify study --rows 1000

    Parameters
    ----------
    study
        The folder or URL of a study, or the folder of an audit. Nothing in it is changed.
    rows
        Number of random rows that every model scores again.
    seed
        Seed of the random selection of rows.
    run
        The start of a run's key, as printed by `mematlas show`. By default the files of all runs are checked, and rows
        of the latest run are scored again.
    rescore
        Load the models and score rows again; --no-rescore only checks the files.
    """
    if is_audit(Path(study)):
        _check_audit(Path(study), json_)
        study = str(Path(study) / "study")
        if not Path(study).is_dir():  # a book or a benchmark was audited
            if json_:
                print_json({"study": None, "is_sound": True})
            return
    verdict = verified(study, rows=rows, seed=seed, run=run, rescore=rescore, progress=progress_display(quiet))
    if json_:
        print_json({"study": study, "is_sound": verdict.is_sound, **asdict(verdict)})
    else:
        _print(verdict)
    if not verdict.is_sound:
        unexplained = sum(len(agreement.unexplained) for agreement in verdict.agreements)
        raise StudyError(
            f"{study} has {len(verdict.faults):,} faults in its files and {unexplained:,} scores that could not be "
            "reproduced; the lines above name each with its remedy."
        )


def _print(verdict: VerificationResult) -> None:
    print(f"{verdict.files:,} shards ({verdict.size / 1e6:,.1f} MB) of {len(verdict.runs)} runs were checked.")
    _print_incomplete(verdict)
    for agreement in verdict.agreements:
        _print_agreement(agreement)
    for line in verdict.unchecked:
        print(f"not checked: {line}")
    for fault in verdict.faults:
        print(f"fault: {fault}")
    if verdict.is_sound:
        print("No faults were found." + (" Not all was checked: see above." if verdict.unchecked else ""))


def _print_incomplete(verdict: VerificationResult) -> None:
    if verdict.without_checksum:
        print(
            f"{verdict.without_checksum:,} of them have no checksum: only their size and number of rows were compared."
        )
    if verdict.unfinished:
        print(f"{verdict.unfinished:,} shards of scores are missing: run the same command again to complete them.")


def _check_audit(folder: Path, as_json: bool) -> None:
    """Print whether the files of an audit's verdict are as they were written.

    Raises:
        StudyError: one is not.
    """
    faults = changed_files(folder)
    if faults and as_json:
        print_json({"audit": folder, "is_sound": False, "faults": faults})
    for line in faults if not as_json else ():
        print(f"fault: {line}")
    if faults:
        raise StudyError(f"{folder} has {len(faults):,} faults in the files of its verdict; the lines above name them.")
    if not as_json:
        print("The files of the verdict are as the audit wrote them.")


def _print_agreement(agreement: Agreement) -> None:
    differences = agreement.differences
    margins = (
        ""
        if agreement.margin_difference is None
        else f"; margins of equal cells differ by at most {agreement.margin_difference:.1e} logits"
    )
    print(
        f"{agreement.model}: {agreement.rows:,} rows scored again, {agreement.cells:,} cells compared, "
        f"{agreement.cells - len(differences):,} equal, {len(differences):,} different{margins}"
    )
    for cell in sorted(differences, key=lambda cell: cell.explained)[:_MAX_PRINTED]:
        explanation = (
            f"explained: rounding decides margins under {agreement.threshold:g}"
            if cell.explained
            else "not explained by its margin: delete the model's scores of this run, then run the same command again"
        )
        (matches, verbatim, _), (matches_now, verbatim_now, _) = cell.before, cell.now
        print(
            f"  row {cell.row}, context {cell.context}, continuation {cell.continuation}: matches {matches} -> "
            f"{matches_now}, verbatim {verbatim} -> {verbatim_now}, margin {number(cell.margin, 6)} ({explanation})"
        )
    if len(differences) > _MAX_PRINTED:
        print(f"  and {len(differences) - _MAX_PRINTED:,} more")
