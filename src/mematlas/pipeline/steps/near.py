"""Near-copies among a study's scored rows: what `mematlas features --near` adds."""

from typing import Final

from mematlas.io.paths import translate_os_errors
from mematlas.progress import Progress
from mematlas.study import Study, fingerprint, missing_shards, shard_name, write_shard
from mematlas.study.build_stamps import is_current, near_name, record

_VERSION: Final = 1


def make_near_copies(study: Study, key: str | None, progress: Progress) -> None:
    """Find the near-copies of a run's rows among its training rows.

    Args:
        study: with row features of the run; key: of the run, the latest by default.

    Raises:
        StudyError: the study cannot be written.
    """
    import pyarrow as pa

    from mematlas.features.near_copies import near_copies
    from mematlas.study.schemas.features import NEAR

    run = study.run(key)
    folder = study.features_folder(run.key) / "near"
    source = fingerprint([run.key, study.feature_facts(run.key), _VERSION])
    if is_current(study.folder, near_name(run), source) and not missing_shards(folder, 1):
        return
    tokens = study.scan_features("tokens", run.key).join(study.scan_rows(run.key).select("row", "role"), on="row")
    rows = tokens.collect().sort("row")
    progress.say(f"Near-copies: {rows.height:,} rows are compared.")
    found = near_copies(rows["tokens"], (rows["role"] == "train").to_numpy())
    found = found.insert_column(0, rows["row"])
    with translate_os_errors(study.folder):
        table = pa.table({name: found[name].to_arrow() for name in NEAR.names}, schema=NEAR)
        write_shard(folder, shard_name(0, 1), table, {"run": run.key})
    record(study.folder, near_name(run), source)
