"""A study's folder: fingerprints, atomic writes, shards with completion markers, and the manifest written last.

    STUDY/manifest.json                                     what was asked, by which versions, how long it took
    STUDY/runs/<run>.json                                   the resolved question of one run
    STUDY/models/<label>-<fingerprint>.parquet              one line a model
    STUDY/rows/<rows>/shard-00000-of-00004.parquet          one line a row, shared by all models
    STUDY/scores/<run>/<model>/shard-00000-of-00004.parquet
    STUDY/signals/<run>/<kind>/<model>/shard-...parquet
    STUDY/states/<run>/<kind>/<model>/shard-...safetensors  hidden states of some rows (scoring/hidden.py)
    STUDY/predictions/<run>/<model>/*.parquet               what predictors fitted to states said of rows held out
    STUDY/features/<run>/<kind>/shard-...parquet            what is known of rows without a model; facts.json beside

A run is one question (corpus, rows, grid, depth, policies); its key is a hash of all that can change a number, so
a changed option never meets an old shard. A shard counts once its `.done` marker stands beside it (store/markers.py).
STUDY is a folder or a place in an object store (storage.py).
"""

from mematlas.io.local_copies import digest
from mematlas.io.paths import translate_os_errors, write_atomically, write_json
from mematlas.study.reader import Study, open_study
from mematlas.study.runs import Run, fingerprint, is_folder_name, read_facts, read_run, write_model
from mematlas.study.shards import (
    marker_of,
    missing_shards,
    shard_is_done,
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
    "marker_of",
    "missing_shards",
    "open_study",
    "read_facts",
    "read_run",
    "shard_is_done",
    "shard_name",
    "translate_os_errors",
    "write_atomically",
    "write_json",
    "write_marker",
    "write_model",
    "write_shard",
    "write_table",
]
