"""A study's folder: fingerprints, atomic writes, shards with completion markers, and the manifest, written last.

    STUDY/manifest.json                                     settings, versions and duration of every finished run
    STUDY/runs/<run>.json                                   the resolved settings of one run
    STUDY/models/<label>-<fingerprint>.parquet              one row per model
    STUDY/rows/<rows>/shard-00000-of-00004.parquet          one row per scored row, shared by all models
    STUDY/scores/<run>/<model>/shard-00000-of-00004.parquet
    STUDY/signals/<run>/<kind>/<model>/shard-...parquet
    STUDY/states/<run>/<kind>/<model>/shard-...safetensors  hidden states of some rows
    STUDY/predictions/<run>/<model>/*.parquet               predictions on held-out rows, from hidden states
    STUDY/probes/<name>.parquet                             what was measured while the models were trained
    STUDY/exposures/<name>.parquet                          which models were trained on which rows
    STUDY/features/<run>/<kind>/shard-...parquet            row features, computed without a model; and facts.json

A run has one combination of settings (corpus, rows, grid, depth, policies). Its key is a hash of everything that can
change a number, so a changed option never meets an old shard. A shard is finished once its `.done` marker exists
(`mematlas.study.shards`). STUDY is a folder, or a URL in an object store (`mematlas.io.paths`).
"""

from mematlas.io.local_copies import digest
from mematlas.io.paths import translate_os_errors, write_atomically, write_bytes, write_json, write_text
from mematlas.study.reader import Study, open_study
from mematlas.study.runs import Run, fingerprint, is_folder_name, read_json, read_run, write_model
from mematlas.study.shards import (
    is_shard_done,
    marker_path,
    missing_shards,
    shard_name,
    write_marker,
    write_shard,
    write_table,
)
from mematlas.study.signals import HiddenStates, cut_signals

__all__ = [
    "HiddenStates",
    "Run",
    "Study",
    "cut_signals",
    "digest",
    "fingerprint",
    "is_folder_name",
    "is_shard_done",
    "marker_path",
    "missing_shards",
    "open_study",
    "read_json",
    "read_run",
    "shard_name",
    "translate_os_errors",
    "write_atomically",
    "write_bytes",
    "write_json",
    "write_marker",
    "write_model",
    "write_shard",
    "write_table",
    "write_text",
]
