"""Writes tables atomically, and shards, each with a marker file beside it once it is finished.

A marker contains the rows, bytes and BLAKE2b digest of its file. Reading compares the size only; `mematlas verify`
compares the digest, too.
"""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mematlas.io.local_copies import digest, fetch_objects, list_objects, read_bytes, version_and_size
from mematlas.io.paths import is_remote, translate_os_errors, write_atomically, write_json


def write_table(
    path: Path, table: pa.Table, metadata: dict[str, str] | None = None, group_rows: int | None = None
) -> None:
    """Write a Parquet file atomically; `metadata` goes into its schema.

    group_rows: how many rows are compressed together, and so are read to read one of them; by default a million.
    """
    merged = {**(table.schema.metadata or {}), **{f"mematlas.{k}": str(v) for k, v in (metadata or {}).items()}}
    table = table.replace_schema_metadata(merged)
    write_atomically(path, lambda temporary: pq.write_table(table, temporary, group_rows, compression="zstd"))


def shard_name(index: int, count: int) -> str:
    return f"shard-{index:05d}-of-{count:05d}"


def write_shard(
    folder: Path, name: str, table: pa.Table, metadata: dict[str, str], group_rows: int | None = None
) -> None:
    """Write one shard, then its marker; group_rows: see `write_table`."""
    path = folder / f"{name}.parquet"
    write_table(path, table, metadata, group_rows)
    write_marker(path, table.num_rows)


def marker_path(path: Path) -> Path:
    """The path of the marker of a shard's file."""
    return path.with_suffix(".done")


def write_marker(path: Path, rows: int) -> None:
    """Write the marker of a finished file; write it again if another process has replaced the file meanwhile."""
    with translate_os_errors(path.parent):
        while True:
            version, size = version_and_size(path)
            write_json(marker_path(path), {"rows": rows, "bytes": size, "blake2b": digest(path)})
            if version_and_size(path) == (version, size):
                return


def is_shard_done(folder: Path, name: str) -> bool:
    """Whether the shard is finished: it and its marker exist and agree on its size."""
    path = folder / f"{name}.parquet"
    try:
        return version_and_size(path)[1] == _recorded_size(read_bytes(folder / f"{name}.done"))
    except FileNotFoundError:
        return False


def finished_shards(folder: Path) -> list[str]:
    """Names of the finished shards in a folder, in their order. In an object store this takes one listing for the sizes
    and one batch of downloads for the markers."""
    if not is_remote(folder):
        return [path.stem for path in sorted(folder.glob("shard-*.parquet")) if is_shard_done(folder, path.stem)]
    objects = list_objects(folder)
    names = [name.removesuffix(".parquet") for name in sorted(objects) if name.startswith("shard-")]
    names = [name for name in names if f"{name}.parquet" in objects and f"{name}.done" in objects]
    markers = fetch_objects(folder, [f"{name}.done" for name in names], objects)
    sizes = {name: _recorded_size(markers[f"{name}.done"].read_bytes()) for name in names}
    return [name for name in names if sizes[name] == objects[f"{name}.parquet"]["size"]]


def missing_shards(folder: Path, shards: int) -> list[int]:
    """The numbers of the shards in a folder that are not finished, out of `shards`."""
    finished = set(finished_shards(folder))
    return [index for index in range(shards) if shard_name(index, shards) not in finished]


def _recorded_size(marker: bytes) -> int | None:
    """The size in bytes that a marker records; None if the marker is damaged."""
    try:
        size: int = json.loads(marker)["bytes"]
    except (ValueError, KeyError, TypeError):
        return None
    return size
