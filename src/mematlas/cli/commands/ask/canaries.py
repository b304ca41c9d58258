"""`mematlas canaries`."""

from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Group, Parameter

from mematlas.auditing.canaries.config import CheckConfig, Kind, MakeConfig, refuse_options_of_the_other
from mematlas.auditing.canaries.make import make_canaries
from mematlas.cli.output import Json, number, print_json, print_table
from mematlas.cli.progress import Quiet, progress_display
from mematlas.errors import OptionError
from mematlas.errors.remedies import command_line
from mematlas.findings.finding import Finding
from mematlas.progress import Progress

_MAKE: Final = MakeConfig()
_CHECK: Final = CheckConfig()


def canaries(
    kind: Kind,
    model: str | None = None,
    *,
    out: Path | None = None,
    make: Annotated[MakeConfig, Parameter(name="*", group=Group("Options of make"))] = _MAKE,
    check: Annotated[CheckConfig, Parameter(name="*", group=Group("Options of check"))] = _CHECK,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Plant made-up secrets in a training file, and ask the model that was trained on it which of them it knows.

    Example: mematlas canaries make --template "My code is {digits:9}." --into train.jsonl --out canaries
             mematlas canaries check ./my-model --key canaries/key.parquet

    Parameters
    ----------
    kind
        make: write a training file with canaries, and their key; check: ask a model for them.
    model
        Of check: a model folder, an adapter's folder, a training run, or a hub id.
    out
        Folder of the results; canaries, or check-MODEL beside the key.
    """
    refuse_options_of_the_other(kind, make, check)
    progress = progress_display(quiet)
    if kind == "make":
        if model is not None:
            raise OptionError(f"`canaries make` takes no model (given: {model}); the file is named by --into.")
        _make(make, out or Path("canaries"), progress, json_)
    elif model is None:
        raise OptionError("`canaries check` needs a model; name it after check. See `mematlas canaries --help`.")
    else:
        _check(model, check, out, progress, json_)


def _make(config: MakeConfig, out: Path, progress: Progress, as_json: bool) -> None:
    made = make_canaries(config, out, progress)
    table = made.key.table
    if as_json:
        print_json(
            {
                "file": made.file,
                "key": made.key_file,
                "canaries": table.height,
                "showings": made.showings,
                "records": made.records,
                "format_size": table["format_size"][0],
                "digest": made.key.digest,
            }
        )
        return
    print(
        f"{table.height:,} canaries such as {table['text'][0]!r} are in {made.file}, in {made.showings:,} of its "
        f"{made.records:,} records; those with 0 repetitions are in none."
    )
    print(f"Train on it, and keep the key {made.key_file} out of the training. Then:")
    print(f"  {command_line('canaries', 'check', 'MODEL', '--key', made.key_file)}")


def _check(model: str, config: CheckConfig, out: Path | None, progress: Progress, as_json: bool) -> None:
    from mematlas.auditing.canaries.check import check_canaries  # needs torch, making canaries does not

    finding, folder = check_canaries(model, config, out, progress)
    levels = finding.table("levels")
    if as_json:
        print_json(
            {
                "folder": folder,
                "claim": finding.claim,
                "caveats": finding.caveats,
                "levels": levels,
                "canaries": finding.table("canaries").drop("secret"),
            }
        )
        return
    _print_levels(levels.to_dicts())
    _print_claim(finding)
    print(f"Every canary is in {folder / 'canaries.parquet'}; the picture is {folder / 'exposure.svg'}.")


def _print_levels(records: list[dict[str, Any]]) -> None:
    names = {"exposure": "exposure, bits", "fitted": "by fitted tail"}
    if "exposure_of_base" in records[0]:
        names["exposure_of_base"] = "base"
    print_table(
        ["repetitions", "canaries", *names.values(), "recited", "q"],
        [
            [
                f"{record['repetitions']:,}",
                f"{record['canaries']:,}",
                *(_with_interval(record, name) for name in names),
                f"{record['emitted']:,}",
                _p_value(record["q"]),
            ]
            for record in records
        ],
    )


def _with_interval(record: dict[str, Any], name: str) -> str:
    value, low, high = record[name], record[f"{name}_low"], record[f"{name}_high"]
    return number(value, 2) if low is None else f"{value:.2f} ({low:.2f} to {high:.2f})"


def _p_value(value: float | None) -> str:
    return "< .001" if value is not None and value < 0.001 else number(value)


def _print_claim(finding: Finding) -> None:
    print(f"\n{finding.in_short}")
    for caveat in finding.caveats:
        print(f"- {caveat}")
