"""A probe as stages of shards: what is finished is kept, and the same command goes on with what is missing.

OUT/<model>-<key>/<kind>/shard-00000-of-00004.parquet + .done     one stage's tables
                 /README.md, facts.json                           what was asked; written last

The key is a hash of everything that can change a number.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mematlas.errors import OptionError
from mematlas.progress import Progress
from mematlas.study import (
    missing_shards,
    shard_name,
    translate_os_errors,
    write_json,
    write_shard,
    write_text,
)
from mematlas.study.shards import finished_shards
from mematlas.study.versions import versions

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Stage:
    """Tables of one kind. schema: fields with metadata "is"; shards: their number, or a function if the model says it;
    make: the columns of a shard by its number; cost: units of progress that a shard takes."""

    kind: str
    schema: pa.Schema
    shards: int | Callable[[], int]
    make: Callable[[int], Mapping[str, Any]]
    cost: int


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """A finished probe. folder: of its tables; facts: what was asked, as in facts.json."""

    folder: Path
    facts: dict[str, Any]

    def table(self, kind: str) -> "pl.DataFrame":
        """All records of a kind; README.md in the folder says what their columns are."""
        import polars as pl

        return pl.read_parquet(sorted((self.folder / kind).glob("shard-*.parquet")))

    def has(self, kind: str) -> bool:
        """Whether the probe has records of a kind."""
        return (self.folder / kind).is_dir()


def run_stages(
    folder: Path,
    out: Path,
    stages: Sequence[Stage],
    settings: Mapping[str, Any],
    progress: Progress,
    label: str,
    unit: str = "rows",
) -> None:
    """Make the shards that are missing, stage by stage.

    Args:
        out: the folder as the user named it; settings: written into every file; label: of the model;
            unit: of the stages' costs.

    Raises:
        OptionError: the folder cannot be written.
    """
    shards = {stage.kind: _shard_count(folder, stage) for stage in stages}
    missing = {kind: missing_shards(folder / kind, count) for kind, count in shards.items()}
    total = sum(shards[stage.kind] * stage.cost for stage in stages)
    progress.start(label, total, total - sum(len(missing[stage.kind]) * stage.cost for stage in stages), unit)
    metadata = {name: str(value) for name, value in settings.items()}
    try:
        with translate_os_errors(out):
            for stage in stages:
                for index in missing[stage.kind]:
                    columns = stage.make(index)
                    arrays = [pa.array(columns[field.name], field.type) for field in stage.schema]
                    table = pa.Table.from_arrays(arrays, schema=stage.schema)
                    write_shard(folder / stage.kind, shard_name(index, shards[stage.kind]), table, metadata)
                    progress.advance(stage.cost)
    except PermissionError as error:
        raise OptionError(f"--out {out} cannot be written ({error.strerror}); name another folder.") from None
    finally:
        progress.stop()


def _shard_count(folder: Path, stage: Stage) -> int:
    """The number of a stage's shards, as the names of finished ones say it: they are of the same model and options."""
    if isinstance(stage.shards, int):
        return stage.shards
    finished = finished_shards(folder / stage.kind)
    return int(finished[0].rpartition("-")[2]) if finished else stage.shards()


def finish_probe(
    folder: Path,
    stages: Sequence[Stage],
    facts: dict[str, Any],
    settings: Mapping[str, Any],
    card: Sequence[str],
) -> ProbeResult:
    """Write README.md, with the paragraphs of `card` and what each column is, and facts.json."""
    columns = [column_list(f"{stage.kind}/*.parquet", stage.schema) for stage in stages]
    write_text(folder / "README.md", "\n\n".join([*card, *columns]) + "\n")
    write_json(folder / "facts.json", {**facts, "question": dict(settings), "versions": versions()})
    return ProbeResult(folder, facts)


def column_meanings(title: str, columns: Mapping[str, str]) -> str:
    """What each column of a table of results is, for README.md; columns: name -> meaning."""
    lines = [f"| {name} | {meaning} |" for name, meaning in columns.items()]
    return "\n".join([f"## {title}", "", "| column | is |", "|---|---|", *lines])


def column_list(title: str, schema: pa.Schema) -> str:
    """What each column of a table is, for README.md."""
    lines = [f"| {field.name} | {field.type} | {field.metadata[b'is'].decode()} |" for field in schema]
    return "\n".join([f"## {title}", "", "| column | type | is |", "|---|---|---|", *lines])
