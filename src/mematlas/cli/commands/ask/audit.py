"""`mematlas audit`."""

import sys
from typing import Annotated, Final

from cyclopts import Parameter

from mematlas.auditing.config import AuditConfig
from mematlas.auditing.run import run_audit
from mematlas.auditing.thresholds import parse_threshold
from mematlas.auditing.verdict import Verdict
from mematlas.cli.output import Json, print_json
from mematlas.cli.progress import Quiet, progress_display

_NOTHING: Final = AuditConfig()
FAILED: Final = 3
"""Exit code where a condition of --fail-on holds."""


def audit(
    model: str,
    *,
    config: Annotated[AuditConfig, Parameter(name="*")] = _NOTHING,
    quiet: Quiet = False,
    json_: Json = False,
) -> int:
    """Say whether a model leaks its training texts, a book or a benchmark: one verdict, to hand over.

    Example: mematlas audit ./my-model --train train.jsonl --control held-out.jsonl --base ./base-model
             mematlas audit ./my-model --work book.txt --control other-book.txt
             mematlas audit ./my-model --benchmark questions.jsonl --base ./base-model

    Exit code 3 if a condition of --fail-on holds.

    Parameters
    ----------
    model
        A model folder, an adapter's folder, a training run, or a hub id.
    """
    verdict = run_audit(model, config, progress_display(quiet))
    if json_:
        print_json(verdict.as_json())
    else:
        _print(verdict, config)
    failed = [text for text in config.fail_on if verdict.fails(parse_threshold(text))]
    if failed:
        print(f"Failed: {', '.join(failed)} (--fail-on).", file=sys.stderr)
    return FAILED if failed else 0


def _print(verdict: Verdict, config: AuditConfig) -> None:
    print(f"{verdict.answer.upper()}: {verdict.sentence}")
    for look in verdict.looks:
        state = "not judged" if look.p is None else "leak" if verdict.found(look) else "no leak shown"
        print(f"- {look.title}: {state}. {look.sentence}")
    records = config.out / ("study" if config.subject == "train" else "tables")
    print(f"The verdict is in {config.out / 'verdict.html'} and verdict.json; all scores are in {records}.")
