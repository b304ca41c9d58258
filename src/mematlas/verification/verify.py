"""A study verified: every file against its marker and checksum, every key once, and a sample of rows scored again."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mematlas.errors import StudyError
from mematlas.findings.finding import findings_folder, read_finding
from mematlas.io.local_copies import fetch_folder
from mematlas.progress import Progress, Silent
from mematlas.study import Run, Study, is_folder_name, open_study, read_facts, read_run, shard_name
from mematlas.verification.files import AGAIN, Checked, Fault, check_shard, check_shards, unreadable
from mematlas.verification.rescore import Agreement, score_again


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found. runs: keys of the runs whose files were checked; files, size: shards and their bytes; unsummed:
    shards without a checksum; unfinished: shards still to be written; agreements: one a model scored again."""

    runs: tuple[str, ...]
    files: int
    size: int
    unsummed: int
    unfinished: int
    faults: tuple[Fault, ...]
    unchecked: tuple[str, ...]
    agreements: tuple[Agreement, ...]

    @property
    def is_sound(self) -> bool:
        """Whether there is no fault, and every difference of a score is explained by its margin."""
        return not self.faults and not any(agreement.unexplained for agreement in self.agreements)


def verify(
    study: str | Path,
    *,
    rows: int = 100,
    seed: int = 0,
    run: str | None = None,
    rescore: bool = True,
    progress: Progress | None = None,
) -> Verdict:
    """Check a study's files, and score a random sample of a run's rows again; changes nothing.

    Args:
        rows: how many are scored again, by every model; seed: which.
        run: the beginning of a run's key; by default the files of all runs are checked, and rows of the latest.
        rescore: without it, no model is loaded.

    Raises:
        StudyError: the folder is no study, or holds no such run.
    """
    opened = open_study(study)
    here = fetch_folder(opened.folder)  # of an object store every byte is looked at in a copy
    checked = Checked(Study(here), opened)
    noted = _noted(checked)
    runs = [found for found in _readable_runs(checked, noted) if run is None or found.key.startswith(run)]
    if not runs and not checked.faults:
        raise StudyError(f"{study} holds no run {run or ''}".rstrip() + "; `mematlas show` prints those it has.")
    for found in runs:
        _check_run(checked, found, set(noted.get(found.key, {}).get("models", {})))
    agreements: list[Agreement] = []
    if rescore and runs:
        agreements = score_again(checked, runs[-1], noted.get(runs[-1].key, {}), rows, seed, progress or Silent())
    names = str(here), str(opened.folder)
    return Verdict(
        tuple(found.key for found in runs),
        checked.files,
        checked.size,
        checked.unsummed,
        checked.unfinished,
        tuple(
            Fault(fault.file, *(text.replace(*names) for text in (fault.wrong, fault.remedy)))
            for fault in checked.faults
        ),
        tuple(line.replace(*names) for line in checked.unchecked),
        tuple(agreements),
    )


def _noted(checked: Checked) -> dict[str, Any]:
    """The runs that the manifest notes as finished, by key; {} where it cannot be read, which is a fault."""
    for path in sorted((checked.study.folder / "manifests").glob("*.json")):
        try:
            read_facts(path, AGAIN)
        except StudyError as error:
            checked.fault(path, unreadable(error), f"delete it, and {AGAIN}")
    try:
        noted = checked.study.manifest().get("runs", {})
        return {key: dict(entry) for key, entry in dict(noted).items()}
    except (StudyError, TypeError, ValueError) as error:
        checked.fault(checked.study.folder / "manifest.json", unreadable(error), f"delete it, and {AGAIN}")
        return {}


def _readable_runs(checked: Checked, noted: dict[str, Any]) -> list[Run]:
    """The runs that can be read, the latest last; every other one is a fault."""
    runs: list[Run] = []
    for path in sorted((checked.study.folder / "runs").glob("*.json")):
        try:
            found = read_run(path)
        except StudyError as error:
            checked.fault(
                path, str(error).removeprefix(f"{path} is ").partition("; delete")[0], f"delete it, and {AGAIN}"
            )
            continue
        if found.key == path.stem:
            runs.append(found)
        else:
            checked.fault(path, f"it is the file of another run, {found.key}", f"delete it, and {AGAIN}")
    for key in sorted(noted):
        if not (path := checked.study.folder / "runs" / f"{key}.json").is_file():
            checked.fault(path, "it is lost, though the manifest says that the run was finished", AGAIN)
    return sorted(runs, key=lambda found: found.asked)


def _check_run(checked: Checked, run: Run, finished: set[str]) -> None:
    study = checked.study
    check_shards(checked, run, finished)
    for model in run.models.values():
        _check_table(
            checked,
            study.folder / "models" / f"{model}.parquet",
            f"delete it and scores/{run.key}/{model}, and {AGAIN}",
        )
    _check_features(checked, run)
    for path in sorted((study.folder / "predictions" / run.key).glob("*/*.parquet")):
        _check_table(checked, path, f"delete it; `mematlas fit {study.folder}` makes it again")
    _check_findings(checked, run)


def _check_table(checked: Checked, path: Path, remedy: str) -> None:
    """A table without a marker: all of it is read, piece by piece."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for _ in file.iter_batches():
                pass
    except (pa.ArrowException, OSError) as error:
        checked.fault(path, unreadable(error), remedy)


def _check_features(checked: Checked, run: Run) -> None:
    """The row features, once facts.json says that they are complete."""
    folder = checked.study.folder / "features" / run.key
    remedy = f"run `mematlas features {checked.study.folder}` again"
    try:
        if read_facts(folder / "facts.json", remedy) is None:
            return
    except StudyError as error:
        checked.fault(folder / "facts.json", unreadable(error), f"delete it, and {remedy}")
        return
    for kind in sorted(path for path in folder.iterdir() if path.is_dir()):
        found = sorted(path.stem for path in kind.glob("shard-*"))
        total = int(found[0].rpartition("-")[2]) if found else 0
        for index in range(total):
            check_shard(checked, kind / f"{shard_name(index, total)}.parquet", remedy)


def _check_findings(checked: Checked, run: Run) -> None:
    """Every finding with its tables; none may name a file outside its folder."""
    folder, remedy = findings_folder(checked.study.folder, run.key), "`mematlas analyze` writes it again"
    names = _names(checked, folder / "index.json", lambda kept: kept)
    for name in names if names is not None else [path.parent.name for path in sorted(folder.glob("*/finding.json"))]:
        path = folder / name / "finding.json"
        if _names(checked, path, lambda kept: [table["name"] for table in kept["tables"]]) is None:
            if not path.is_file():
                checked.fault(path, "it is lost, though index.json names it", remedy)
            continue
        try:
            read_finding(folder / name)
        except StudyError as error:
            checked.fault(path, str(error).removeprefix(f"{path} is ").partition("; `mematlas")[0], remedy)


def _names(checked: Checked, path: Path, names_in: Callable[[Any], list[str]]) -> list[str] | None:
    """The names of files or folders that a JSON file gives; None where it is absent or damaged, which is a fault."""
    if not path.is_file():
        return None
    try:
        names = names_in(json.loads(path.read_text(encoding="utf-8")))
        outside = [name for name in names if not is_folder_name(name)]
    except (ValueError, TypeError, KeyError) as error:
        checked.fault(path, unreadable(error), "`mematlas analyze` writes it again")
        return None
    if outside:
        checked.fault(
            path, f"it names {outside[0]!r}, which is no name of a file here", "`mematlas analyze` writes it again"
        )
        return None
    return names
