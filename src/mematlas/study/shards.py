"""Tables written in one step, and shards, which count once their marker stands beside them.

A marker holds the rows, bytes and BLAKE2b digest of its file. Reading compares the size alone; `mematlas verify` the
digest, too.
"""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mematlas.io.local_copies import digest, fetch_listed, listed, read_bytes, version_and_size
from mematlas.io.paths import is_remote, translate_os_errors, write_atomically, write_json


def write_table(path: Path, table: pa.Table, metadata: dict[str, str] | None = None) -> None:
    """Write a Parquet file atomically; `metadata` goes into its schema."""
    merged = {**(table.schema.metadata or {}), **{f"mematlas.{k}": str(v) for k, v in (metadata or {}).items()}}
    table = table.replace_schema_metadata(merged)
    write_atomically(path, lambda temporary: pq.write_table(table, temporary, compression="zstd"))


def shard_name(index: int, count: int) -> str:
    return f"shard-{index:05d}-of-{count:05d}"


def write_shard(folder: Path, name: str, table: pa.Table, metadata: dict[str, str]) -> None:
    """Write one shard, then its marker."""
    path = folder / f"{name}.parquet"
    write_table(path, table, metadata)
    write_marker(path, table.num_rows)


def marker_of(path: Path) -> Path:
    """Where the marker of a shard's file stands."""
    return path.with_suffix(".done")


def write_marker(path: Path, rows: int) -> None:
    """Write the marker of a finished file; again if another process has put its own file there meanwhile."""
    with translate_os_errors(path.parent):
        while True:
            written = version_and_size(path)
            write_json(marker_of(path), {"rows": rows, "bytes": written[1], "blake2b": digest(path)})
            if version_and_size(path) == written:
                return


def shard_is_done(folder: Path, name: str) -> bool:
    """Whether the shard and its marker are there and agree; a damaged marker or a cut file means it is not."""
    path = folder / f"{name}.parquet"
    try:
        told = _told_size(read_bytes(folder / f"{name}.done"))
        return version_and_size(path)[1] == told
    except FileNotFoundError:
        return False


def finished_shards(folder: Path) -> list[str]:
    """Names of the shards in a folder that are done, in their order. Of an object store one listing tells sizes, and
    the markers come all at once."""
    if not is_remote(folder):
        return [path.stem for path in sorted(folder.glob("shard-*.parquet")) if shard_is_done(folder, path.stem)]
    there = listed(folder)
    names = [name.removesuffix(".parquet") for name in sorted(there) if name.startswith("shard-")]
    names = [name for name in names if f"{name}.parquet" in there and f"{name}.done" in there]
    markers = fetch_listed(folder, [f"{name}.done" for name in names], there)
    told = {name: _told_size(markers[f"{name}.done"].read_bytes()) for name in names}
    return [name for name in names if told[name] == there[f"{name}.parquet"]["size"]]


def missing_shards(folder: Path, shards: int) -> list[int]:
    """The numbers of the shards that are not finished in a folder."""
    done = set(finished_shards(folder))
    return [index for index in range(shards) if shard_name(index, shards) not in done]


def _told_size(marker: bytes) -> int | None:
    """The bytes that a marker tells of its file; None where it is damaged."""
    try:
        size: int = json.loads(marker)["bytes"]
    except (ValueError, KeyError, TypeError):
        return None
    return size
