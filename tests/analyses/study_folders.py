"""Writes synthetic tables to the study folder that they could have been read from."""

from itertools import product
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from mematlas.analyses.frames.study_tables import Tables
from mematlas.study import Study, open_study, shard_name, write_json, write_shard, write_table
from mematlas.study.exposures import write_exposures
from mematlas.study.probes import write_probes


def write_study(tables: Tables, folder: Path) -> Study:
    """Write tables to `folder` as a study and open it."""
    labels = tables.models["model"].to_list()
    run = {
        "key": "k",
        "rows_key": "r",
        "shards": 1,
        "models": {label: label for label in labels},
        "question": {
            **tables.settings,
            "signals": list(tables.signals),
            "complete": tables.complete,
            "control_models": list(tables.control_models),
        },
        "asked": 0.0,
    }
    write_json(folder / "runs" / "k.json", run)
    write_shard(folder / "rows" / "r", shard_name(0, 1), tables.rows.collect().to_arrow(), {})
    for label in labels:
        write_table(folder / "models" / f"{label}.parquet", tables.models.filter(model=label).to_arrow())
        scores = tables.scores.filter(model=label).collect()
        write_shard(folder / "scores" / "k" / label, shard_name(0, 1), scores.to_arrow(), {})
        for kind, frame in tables.signals.items():
            signals = frame.filter(model=label).collect().to_arrow()
            write_shard(folder / "signals" / "k" / kind / label, shard_name(0, 1), signals, {})
    for kind, frame in tables.features.items():
        write_shard(folder / "features" / "k" / kind, shard_name(0, 1), frame.collect().to_arrow(), {})
        write_json(folder / "features" / "k" / "facts.json", tables.facts)
    for (kind, states_of_model), label in product(tables.states.items(), labels):
        states = states_of_model(label)
        tensors = {name: np.ascontiguousarray(getattr(states, name)) for name in ("rows", "levels", "hits", "states")}
        path = folder / "states" / "k" / kind / label / f"{shard_name(0, 1)}.safetensors"
        path.parent.mkdir(parents=True)
        save_file(tensors, path, {"context": str(states.context), "layer": states.layer})
    if tables.predictions is not None:
        write_table(folder / "predictions" / "k" / "all" / "p.parquet", tables.predictions.collect().to_arrow())
    if tables.exposures is not None:
        write_exposures(folder, "all", tables.exposures.collect())
    if tables.probes is not None:
        write_probes(folder, "all", tables.probes.collect().to_arrow())
    return open_study(folder)
