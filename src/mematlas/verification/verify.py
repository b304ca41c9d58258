"""Verifies a study: files against markers and checksums, keys for duplicates, and a sample of rows by scoring again."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mematlas.errors import StudyError
from mematlas.errors.remedies import command_line
from mematlas.findings.finding import findings_folder, read_finding
from mematlas.io.local_copies import fetch_folder
from mematlas.progress import Progress, Silent
from mematlas.study import Run, Study, is_folder_name, open_study, read_json, read_run, shard_name
from mematlas.verification.files import AGAIN, Fault, StudyCheck, check_shard, check_shards
from mematlas.verification.obstacles import is_there, obstacle
from mematlas.verification.rescore import Agreement, score_again


@dataclass(frozen=True, slots=True)
class VerificationResult:
    """What was found. runs: keys of the checked runs; agreements: one per model that scored rows again; for the other
    fields see `StudyCheck`."""

    runs: tuple[str, ...]
    files: int
    size: int
    without_checksum: int
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
) -> VerificationResult:
    """Check a study's files, and score a random sample of a run's rows again; nothing in the study is changed.

    Args:
        rows: number of rows that every model scores again; seed: of their random choice.
        run: the beginning of a run's key; by default the files of all runs are checked, and rows of the latest.
        rescore: whether rows are scored again; if not, no model is loaded.

    Raises:
        StudyError: the folder is not a study, or has no such run.
    """
    opened = open_study(study)
    local_folder = fetch_folder(opened.folder)  # an object store is checked in a local copy
    check = StudyCheck(Study(local_folder), opened)
    entries = _manifest_entries(check)
    runs = [readable for readable in _readable_runs(check, entries) if run is None or readable.key.startswith(run)]
    if not runs and not check.faults and not check.unread:
        show = command_line("show", study)
        raise StudyError(f"{study} has no run {run or ''}".rstrip() + f"; `{show}` prints those it has.")
    for selected in runs:
        _check_run(check, selected, set(entries.get(selected.key, {}).get("models", {})))
    for path in check.files_in(check.study.folder / "probes", "*.parquet"):
        _check_table(check, path, "delete it; `mematlas experiment NAME FILE.yaml` writes it again")
    for path in check.files_in(check.study.folder / "exposures", "*.parquet"):
        _check_table(check, path, "delete it; the command that trained the models writes it again")
    agreements: list[Agreement] = []
    if rescore and runs:
        agreements = score_again(check, runs[-1], entries.get(runs[-1].key, {}), rows, seed, progress or Silent())
    folders = str(local_folder), str(opened.folder)  # messages name the original
    return VerificationResult(
        tuple(selected.key for selected in runs),
        check.files,
        check.size,
        check.without_checksum,
        check.unfinished,
        tuple(
            Fault(fault.file, *(text.replace(*folders) for text in (fault.problem, fault.remedy)))
            for fault in check.faults
        ),
        tuple(message.replace(*folders) for message in check.not_checked()),
        tuple(agreements),
    )


def _manifest_entries(check: StudyCheck) -> dict[str, Any]:
    """Run key -> its entry in the manifest; {} if the manifest cannot be read, which is a fault."""
    for path in check.files_in(check.study.folder / "manifests", "*.json"):
        try:
            read_json(path, AGAIN)
        except (StudyError, OSError) as error:
            check.add_unreadable(path, error, f"delete it, and {AGAIN}")
    try:
        entries = check.study.manifest().get("runs", {})
        return {key: dict(entry) for key, entry in dict(entries).items()}
    except (StudyError, TypeError, ValueError, OSError) as error:
        check.add_unreadable(check.study.folder / "manifest.json", error, f"delete it, and {AGAIN}")
        return {}


def _readable_runs(check: StudyCheck, entries: dict[str, Any]) -> list[Run]:
    """The runs that can be read, the latest last; each one that cannot be read is a fault."""
    runs: list[Run] = []
    for path in check.files_in(check.study.folder / "runs", "*.json"):
        try:
            run = read_run(path)
        except OSError as error:
            check.add_unreadable(path, error, f"delete it, and {AGAIN}")
            continue
        except StudyError as error:
            check.add_fault(
                path, str(error).removeprefix(f"{path} is ").partition("; delete")[0], f"delete it, and {AGAIN}"
            )
            continue
        if run.key == path.stem:
            runs.append(run)
        else:
            check.add_fault(path, f"it is the file of another run, {run.key}", f"delete it, and {AGAIN}")
    for key in sorted(entries):
        if not is_there(path := check.study.folder / "runs" / f"{key}.json"):
            check.add_fault(path, "it is missing, though the manifest says that the run was finished", AGAIN)
    return sorted(runs, key=lambda run: run.requested_at)


def _check_run(check: StudyCheck, run: Run, finished_models: set[str]) -> None:
    study = check.study
    check_shards(check, run, finished_models)
    for model in run.models.values():
        _check_table(
            check,
            study.folder / "models" / f"{model}.parquet",
            f"delete it and scores/{run.key}/{model}, and {AGAIN}",
        )
    _check_features(check, run)
    fit = command_line("fit", check.original.folder)
    for folder in check.files_in(study.folder / "predictions" / run.key):
        for path in check.files_in(folder, "*.parquet"):
            _check_table(check, path, f"delete it; `{fit}` writes it again")
    _check_findings(check, run)


def _check_table(check: StudyCheck, path: Path, remedy: str) -> None:
    """Check a table without a marker, by reading all of it in batches."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for _ in file.iter_batches():
                pass
    except (pa.ArrowException, OSError, MemoryError) as error:
        check.add_unreadable(path, error, remedy)


def _check_features(check: StudyCheck, run: Run) -> None:
    """Check the row features, if facts.json says that they are complete."""
    folder = check.study.folder / "features" / run.key
    remedy = f"run `{command_line('features', check.original.folder)}` again"
    try:
        if read_json(folder / "facts.json", remedy) is None:
            return
    except (StudyError, OSError) as error:
        check.add_unreadable(folder / "facts.json", error, f"delete it, and {remedy}")
        return
    for kind in check.files_in(folder):
        names = [path.stem for path in check.files_in(kind, "shard-*")]
        total = int(names[0].rpartition("-")[2]) if names else 0
        for index in range(total):
            check_shard(check, kind / f"{shard_name(index, total)}.parquet", remedy)


def _check_findings(check: StudyCheck, run: Run) -> None:
    """Check every finding with its tables; none may name a file outside its folder."""
    folder, remedy = findings_folder(check.study.folder, run.key), _analyzing(check)
    names = _names(check, folder / "index.json", lambda content: content)
    for name in (
        names
        if names is not None
        else [path.name for path in check.files_in(folder) if is_there(path / "finding.json")]
    ):
        path = folder / name / "finding.json"
        if _names(check, path, lambda content: [table["name"] for table in content["tables"]]) is None:
            if not is_there(path):
                check.add_fault(path, "it is missing, though index.json names it", remedy)
            continue
        try:
            read_finding(folder / name)
        except StudyError as error:
            if obstacle(error) is not None:
                check.add_unreadable(path, error, remedy)
                continue
            check.add_fault(path, str(error).removeprefix(f"{path} is ").partition("; `mematlas")[0], remedy)


def _names(check: StudyCheck, path: Path, get_names: Callable[[Any], list[str]]) -> list[str] | None:
    """The names of files or folders in a JSON file; None if it is absent, or damaged, which is a fault."""
    if not is_there(path):
        return None
    try:
        names = get_names(json.loads(path.read_text(encoding="utf-8")))
        outside = [name for name in names if not is_folder_name(name)]
    except (ValueError, TypeError, KeyError, OSError) as error:
        check.add_unreadable(path, error, _analyzing(check))
        return None
    if outside:
        check.add_fault(path, f"it names {outside[0]!r}, which is not a file name", _analyzing(check))
        return None
    return names


def _analyzing(check: StudyCheck) -> str:
    """The remedy for a damaged finding."""
    return f"`{command_line('analyze', check.original.folder)}` writes it again"
