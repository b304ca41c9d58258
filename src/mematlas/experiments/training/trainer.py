"""Training of one arm: a short loop that can be stopped anywhere, with the same result whether it was or not.

    ARM/  run.json                    fingerprint of the arm; written first
          step-000191/ ...            checkpoints (see network.py)
          probes/step-000012.parquet  what was measured after a step
          training-state.safetensors  weights and moments from which training resumes; deleted when finished
                                      (several processes: see sharded.py)
          finished.json               written last

Nothing is random after the initial weights (no dropout; the plan gives every batch; masks depend on seed and step), so
no random state is saved. Results are bitwise equal on one machine with one number of threads and one process; elsewhere
the order of sums may differ, and the number of processes is part of the fingerprint.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from mematlas.errors import StudyError
from mematlas.experiments.design.plan import chain
from mematlas.experiments.folders import read_json
from mematlas.experiments.training.arm import OPTIMIZER_FILE, Arm
from mematlas.experiments.training.network import (
    FACTS,
    build_network,
    checkpoint_name,
    inner_network,
    write_checkpoint,
)
from mematlas.experiments.training.objectives import CausalObjective, MaskedObjective
from mematlas.experiments.training.placement import OneProcess, Part, Placement
from mematlas.experiments.training.probe_sets import ProbeSet, measure_causal, measure_masked, measure_targets
from mematlas.experiments.training.recital import measure_recital
from mematlas.experiments.training.recital_text import measure_text
from mematlas.experiments.training.side_by_side import Progress
from mematlas.experiments.training.state import (
    load_moments,
    optimizer_bytes,
    trained_parameters,
)
from mematlas.models.base import pick_device
from mematlas.study import write_json, write_table
from mematlas.study.schemas.probes import PROBES
from mematlas.types import Ids


@dataclass(slots=True)
class _Run:
    """An arm in training. step: finished steps, negative while Adam's moments warm up; data: digest of rows shown."""

    arm: Arm
    folder: Path
    key: str
    placement: Placement
    network: Any
    optimizer: torch.optim.Optimizer
    step: int
    data: str = ""


def train_arm(
    arm: Arm,
    folder: Path,
    progress: Progress | None = None,
    *,
    state_every: int | None = None,
    device: str = "cpu",
    placement: Placement | None = None,
) -> Path:
    """Train an arm in `folder`, resuming an earlier call with the same arm; returns the folder of the last model.

    Several processes train it together if each calls this with the same arm and a `sharded.Sharded`.

    Args:
        progress: called as progress(step, steps, loss, label) after every step; an exception that it raises ends the
            training, which can be resumed.
        state_every: steps after which the state to resume from is saved; None for at checkpoints only.
        device: of one process.
        placement: where the weights are; None for whole, on `device`. Only the first process writes and reports.

    Raises:
        ModelError: the starting folder cannot be loaded, or this machine has no such device.
        StudyError: the folder cannot be written, or contains something other than a training run.
    """
    place = placement or OneProcess(pick_device(device))
    key = arm.fingerprint(place.size)
    last = folder / checkpoint_name(arm.plan.steps)
    if place.from_first(lambda: _claim_folder(arm, folder, key)):
        return last
    run = _start(arm, folder, key, place)
    _train(run, progress if progress and place.is_first else _silent, state_every)
    finished = {"fingerprint": key, "steps": arm.plan.steps}
    place.finish(folder, lambda: write_json(folder / "finished.json", finished))
    return last


def is_trained(arm: Arm, folder: Path) -> bool:
    """Whether `folder` has everything that training this arm leaves.

    Raises:
        ModelError: the starting folder has no weights.
        StudyError: the folder contains something else.
    """
    return (folder / "finished.json").is_file() and _is_finished(arm, folder, arm.fingerprint())


def read_probes(arm: Arm, folder: Path) -> pa.Table:
    """What was measured while the arm trained, by step and set; see `study.schemas.probes`."""
    paths = sorted((folder / "probes").glob("step-*.parquet"))
    return pa.concat_tables([PROBES.empty_table(), *(pq.read_table(path) for path in paths)])


def _claim_folder(arm: Arm, folder: Path, key: str) -> bool:
    """Prepare `folder` for this arm: a run of another one is deleted, anything else is refused.

    Returns:
        Whether the arm is finished.
    """
    manifest = read_json(folder / "run.json")
    if manifest is None and folder.exists() and any(folder.iterdir()):
        raise StudyError(
            f"{folder} contains something else than a training run; name another folder or empty this one."
        )
    if manifest is not None and manifest.get("fingerprint") != key:
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise StudyError(f"{folder} contains an older run and cannot be deleted ({error}); delete it.") from error
    write_json(folder / "run.json", {"fingerprint": key})
    return _is_finished(arm, folder, key)


def _is_finished(arm: Arm, folder: Path, key: str) -> bool:
    finished = read_json(folder / "finished.json")
    if finished is None or finished.get("fingerprint") != key:
        return False
    has_models = all((folder / checkpoint_name(step) / FACTS).is_file() for step in arm.checkpoint_steps)
    return has_models and all(_probe_path(folder, step).is_file() for step in _probed_steps(arm))


def _start(arm: Arm, folder: Path, key: str, place: Placement) -> _Run:
    """The network and its optimizer, from the last saved state if there is one of this arm."""
    network = place.place(build_network(arm))
    optimizer = torch.optim.AdamW(
        trained_parameters(network).values(), lr=arm.schedule.peak, betas=arm.schedule.betas, weight_decay=0.0,
        fused=place.device.type in ("cpu", "cuda"),
    )  # fmt: skip
    run = _Run(arm, folder, key, place, network, optimizer, arm.done - arm.schedule.moment_steps, _data_before(arm))
    facts = place.read_facts(folder)
    if facts is not None and facts.get("fingerprint") == key:
        place.restore_state(folder, network, optimizer)
        run.step, run.data = int(facts["step"]), facts["data"]
    elif arm.optimizer_start is not None:
        load_moments(arm.optimizer_start / OPTIMIZER_FILE, network, optimizer)
    return run


def _data_before(arm: Arm) -> str:
    """The digest of the rows that the starting model was shown of this plan.

    Raises:
        StudyError: it was shown something else.
    """
    digest = arm.plan.digest(arm.done)
    if arm.done:
        facts = read_json(Path(str(arm.start)) / FACTS) or {}
        if (facts.get("training_step"), facts.get("data")) != (arm.done, digest):
            raise StudyError(
                f"{arm.start} was not trained on the first {arm.done} steps of the plan of {arm.label}; branch off "
                "from a model whose plan begins with the same batches."
            )
    return digest


def _train(run: _Run, progress: Progress, state_every: int | None) -> None:
    arm, steps = run.arm, run.arm.plan.steps
    backward = _objective(run)
    if run.step == arm.done:
        _measure(run)
    while run.step < steps:
        run.step += 1
        if run.step > 0:
            batch = arm.plan.batch(run.step)
            run.data = chain(run.data, batch)
        else:  # Adam's moments warm up on the first batches, without events
            batch = arm.plan.batch((run.step - 1) % steps + 1, with_events=False)
        for group in run.optimizer.param_groups:
            group["lr"] = arm.schedule.rate(run.step, steps)
        loss = backward(batch)
        torch.nn.utils.clip_grad_norm_(trained_parameters(run.network).values(), arm.schedule.clip)
        run.optimizer.step()
        run.optimizer.zero_grad()
        _record(run, state_every)
        progress(run.step, steps, loss, arm.label)


def _objective(run: _Run) -> Callable[[Ids], float]:
    """A function that adds the gradient for a batch, or this process's part of it, and returns the batch's loss."""
    arm, place, network = run.arm, run.placement, inner_network(run.network)
    add: Callable[[Ids, Part], float]
    if arm.special_tokens is None:
        causal = CausalObjective(network, place.device, arm.precision, arm.prefix, is_sharded=place.is_sharded)
        add = causal.backward
    else:
        masked = MaskedObjective(network, place.device, arm.precision, arm.special_tokens)

        def add(batch: Ids, part: Part) -> float:
            return masked.backward(batch, arm.seed, run.step + arm.schedule.moment_steps, part)

    def backward(batch: Ids) -> float:
        part = place.part(len(batch))
        return place.total(add(batch, part), part)

    return backward


def _record(run: _Run, state_every: int | None) -> None:
    """After a step: measure, save the model, save the state, each if it is due; the state last."""
    _measure(run)
    is_checkpoint = run.step in run.arm.checkpoint_steps
    if is_checkpoint:
        _save_checkpoint(run)
    if is_checkpoint or (state_every is not None and run.step % state_every == 0):
        facts = {"fingerprint": run.key, "step": str(run.step), "data": run.data}
        run.placement.write_state(run.folder, run.network, run.optimizer, facts)


def _measure(run: _Run) -> None:
    """Measure the sets that are due after this step."""
    due = [probe for probe in run.arm.probes if run.step in probe.steps]
    if not due or (network := run.placement.whole(run.network)) is None:
        return
    times = run.arm.plan.times_shown(max(0, run.step))
    records: list[dict[str, Any]] = []
    for probe in due:
        values = _measure_rows(run, network, probe)
        values["shown"] = probe.times_shown(times)
        for (name, part), metric in product(probe.parts().items(), values):
            key = {"arm": run.arm.label, "step": run.step, "set": name, "metric": metric}
            known = values[metric][part][~np.isnan(values[metric][part])]
            records.append({**key, "value": float(known.mean()) if len(known) else None, "n": len(known)})
    write_table(_probe_path(run.folder, run.step), pa.Table.from_pylist(records, schema=PROBES))


def _measure_rows(run: _Run, network: Any, probe: ProbeSet) -> dict[str, NDArray[np.float64]]:
    device, tokens = run.placement.device, run.arm.plan.tokens[probe.rows, : probe.length]
    if probe.recital is not None:
        values = measure_recital(inner_network(network), tokens, probe.recital, device)
        if run.step in probe.text_steps and run.arm.tokenizer is not None:
            text = measure_text(inner_network(network), tokens, probe.recital, run.arm.tokenizer, device)
            values["V_text"] = text
        return values
    if probe.targets is not None:
        return measure_targets(inner_network(network), tokens, probe.targets, device)
    if run.arm.special_tokens is None:
        return measure_causal(inner_network(network), tokens, probe.context, device, run.arm.prefix)
    return measure_masked(inner_network(network), tokens, run.arm.special_tokens, device)


def _probed_steps(arm: Arm) -> set[int]:
    return {step for probe in arm.probes for step in probe.steps if arm.done <= step <= arm.plan.steps}


def _probe_path(folder: Path, step: int) -> Path:
    return folder / "probes" / f"{checkpoint_name(step)}.parquet"


def _save_checkpoint(run: _Run) -> None:
    arm = run.arm
    keeps = arm.keeps_optimizer and run.step == arm.plan.steps
    others = {OPTIMIZER_FILE: optimizer_bytes(run.network, run.optimizer)} if keeps else {}
    if (network := run.placement.whole(run.network)) is None:
        return
    facts = {
        "training_step": run.step,
        "presentations": arm.plan.presentations(run.step),
        "parameters": inner_network(network).num_parameters(),
        "seed": arm.seed,
        "data": run.data,
    }
    write_checkpoint(run.folder / checkpoint_name(run.step), network, arm.tokenizer, facts, others)


def _silent(step: int, steps: int, loss: float | None, label: str) -> None:
    """Report nothing."""
