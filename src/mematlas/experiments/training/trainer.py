"""Training of one arm: a short loop that can be stopped anywhere, with the same result whether it was or not.

    ARM/  run.json                    fingerprint of the arm; written first
          step-000191/ ...            checkpoints (see network.py)
          probes/step-000012.parquet  what was measured after a step
          training-state.safetensors  weights and moments from which training resumes; deleted when finished
          finished.json               written last

Nothing is random after the initial weights (no dropout; the plan gives every batch; masks depend on seed and step), so
no random state is saved. Results are bitwise equal on one machine with one number of threads and one process; elsewhere
the order of sums may differ.
"""

import shutil
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
from mematlas.experiments.training.probe_sets import measure_causal, measure_masked
from mematlas.experiments.training.side_by_side import Progress
from mematlas.experiments.training.state import (
    load_moments,
    optimizer_bytes,
    read_facts,
    restore_state,
    trained_parameters,
    write_state,
)
from mematlas.models.base import pick_device
from mematlas.study import write_json, write_table
from mematlas.study.schemas.probes import PROBES

STATE = "training-state.safetensors"


@dataclass(slots=True)
class _Run:
    """An arm in training. step: finished steps, negative while Adam's moments warm up; data: digest of rows shown."""

    arm: Arm
    folder: Path
    key: str
    network: Any
    optimizer: torch.optim.Optimizer
    device: torch.device
    step: int
    data: str = ""


def train_arm(
    arm: Arm,
    folder: Path,
    progress: Progress | None = None,
    *,
    state_every: int | None = None,
    device: str = "cpu",
) -> Path:
    """Train an arm in `folder`, resuming an earlier call with the same arm; returns the folder of the last model.

    Args:
        progress: called as progress(step, steps, loss, label) after every step; an exception that it raises ends the
            training, which can be resumed.
        state_every: steps after which the state to resume from is saved; None for at checkpoints only.

    Raises:
        ModelError: the starting folder cannot be loaded, or this machine has no such device.
        StudyError: the folder cannot be written, or contains something other than a training run.
    """
    key = arm.fingerprint()
    _claim_folder(folder, key)
    last = folder / checkpoint_name(arm.plan.steps)
    if _is_finished(arm, folder, key):
        return last
    run = _start(arm, folder, key, pick_device(device))
    _train(run, progress or _silent, state_every)
    write_json(folder / "finished.json", {"fingerprint": key, "steps": arm.plan.steps})
    (folder / STATE).unlink(missing_ok=True)
    return last


def read_probes(arm: Arm, folder: Path) -> pa.Table:
    """What was measured while the arm trained, by step and set; see `study.schemas.probes`."""
    paths = sorted((folder / "probes").glob("step-*.parquet"))
    return pa.concat_tables([PROBES.empty_table(), *(pq.read_table(path) for path in paths)])


def _claim_folder(folder: Path, key: str) -> None:
    """Prepare `folder` for this arm: a run of another one is deleted, anything else is refused."""
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


def _is_finished(arm: Arm, folder: Path, key: str) -> bool:
    finished = read_json(folder / "finished.json")
    if finished is None or finished.get("fingerprint") != key:
        return False
    has_models = all((folder / checkpoint_name(step) / FACTS).is_file() for step in arm.checkpoint_steps)
    return has_models and all(_probe_path(folder, step).is_file() for step in _probed_steps(arm))


def _start(arm: Arm, folder: Path, key: str, device: torch.device) -> _Run:
    """The network and its optimizer, from the last saved state if there is one of this arm."""
    network = build_network(arm).to(device)
    optimizer = torch.optim.AdamW(
        trained_parameters(network).values(), lr=arm.schedule.peak, betas=arm.schedule.betas, weight_decay=0.0,
        fused=device.type in ("cpu", "cuda"),
    )  # fmt: skip
    run = _Run(arm, folder, key, network, optimizer, device, arm.done - arm.schedule.moment_steps, _data_before(arm))
    facts = read_facts(folder / STATE)
    if facts is not None and facts.get("fingerprint") == key:
        restore_state(folder / STATE, network, optimizer)
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


def _objective(run: _Run) -> Any:
    """A function that adds the gradient for a batch and returns its loss."""
    arm, network = run.arm, inner_network(run.network)
    if arm.special_tokens is None:
        return CausalObjective(network, run.device, arm.precision, arm.prefix).backward
    masked = MaskedObjective(network, run.device, arm.precision, arm.special_tokens)
    return lambda batch: masked.backward(batch, arm.seed, run.step + arm.schedule.moment_steps)


def _record(run: _Run, state_every: int | None) -> None:
    """After a step: measure, save the model, save the state, each if it is due; the state last."""
    _measure(run)
    is_checkpoint = run.step in run.arm.checkpoint_steps
    if is_checkpoint:
        _save_checkpoint(run)
    if is_checkpoint or (state_every is not None and run.step % state_every == 0):
        facts = {"fingerprint": run.key, "step": str(run.step), "data": run.data}
        write_state(run.folder / STATE, run.network, run.optimizer, facts)


def _measure(run: _Run) -> None:
    """Measure the sets that are due after this step."""
    due = [probe for probe in run.arm.probes if run.step in probe.steps]
    if not due:
        return
    times = run.arm.plan.times_shown(max(0, run.step))
    records: list[dict[str, Any]] = []
    for probe in due:
        values = _measure_rows(run, run.arm.plan.tokens[probe.rows], probe.context)
        values["shown"] = times[probe.rows].astype(np.float64)
        for (name, part), metric in product(probe.parts().items(), values):
            key = {"arm": run.arm.label, "step": run.step, "set": name, "metric": metric}
            known = values[metric][part][~np.isnan(values[metric][part])]
            records.append({**key, "value": float(known.mean()) if len(known) else None, "n": len(known)})
    write_table(_probe_path(run.folder, run.step), pa.Table.from_pylist(records, schema=PROBES))


def _measure_rows(run: _Run, tokens: NDArray[Any], context: int) -> dict[str, NDArray[np.float64]]:
    network = inner_network(run.network)
    if run.arm.special_tokens is None:
        return measure_causal(network, tokens, context, run.device, run.arm.prefix)
    return measure_masked(network, tokens, run.arm.special_tokens, run.device)


def _probed_steps(arm: Arm) -> set[int]:
    return {step for probe in arm.probes for step in probe.steps if arm.done <= step <= arm.plan.steps}


def _probe_path(folder: Path, step: int) -> Path:
    return folder / "probes" / f"{checkpoint_name(step)}.parquet"


def _save_checkpoint(run: _Run) -> None:
    arm = run.arm
    facts = {
        "training_step": run.step,
        "presentations": arm.plan.presentations(run.step),
        "parameters": inner_network(run.network).num_parameters(),
        "seed": arm.seed,
        "data": run.data,
    }
    keeps = arm.keeps_optimizer and run.step == arm.plan.steps
    others = {OPTIMIZER_FILE: optimizer_bytes(run.network, run.optimizer)} if keeps else {}
    write_checkpoint(run.folder / checkpoint_name(run.step), run.network, arm.tokenizer, facts, others)


def _silent(step: int, steps: int, loss: float | None, label: str) -> None:
    """Report nothing."""
