"""Training of one size: a short loop, resumable at its checkpoints, with the same result whether interrupted or not.

    neox-0.29m/  run.json              fingerprint of the run; written first
                 step-000191/ ...      checkpoints (see network.py)
                 training-state.pt     weights and optimizer at the last checkpoint; deleted when finished
                 finished.json         written last

Nothing is random after the initial weights (no dropout; the order of rows is part of the corpus), so no random state
is saved. Results are bitwise equal on one machine with one number of threads; elsewhere, the order of sums may differ.
"""

import hashlib
import io
import platform
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import transformers
from torch.nn import functional
from transformers import GPTNeoXForCausalLM

from mematlas.errors import StudyError
from mematlas.experiments.data.corpus_folder import CorpusFolder
from mematlas.experiments.design.config import Size, TrainingConfig
from mematlas.experiments.folders import read_json
from mematlas.experiments.training.network import FACTS, build_network, checkpoint_name, write_checkpoint
from mematlas.experiments.training.side_by_side import Progress
from mematlas.study import fingerprint, write_atomically, write_json

ROWS_AT_ONCE = 4
"""Rows whose logits are computed at one time: the vocabulary is large, and logits that fit the cache are faster."""

RECIPE = 1
"""Increased when a change of this loop gives other weights for the same configuration."""


@dataclass(slots=True)
class _Run:
    """A model in training. step: finished steps; data: digest of all rows shown so far."""

    network: GPTNeoXForCausalLM
    optimizer: torch.optim.AdamW
    step: int = 0
    data: str = ""


def train_size(size: Size, corpus: CorpusFolder, config: TrainingConfig, folder: Path, progress: Progress) -> None:
    """Train one size in `folder`, resuming an earlier call with the same configuration and corpus.

    Raises:
        StudyError: the folder cannot be written, or contains something other than a training run.
    """
    run_key = run_fingerprint(size, corpus, config)
    _claim_folder(folder, run_key)
    if _is_finished(folder, run_key, config):
        return
    network = build_network(size, corpus.vocabulary, corpus.tokens.shape[1], config.seed)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=size.peak_rate, betas=config.betas, weight_decay=0.0, fused=True
    )
    run = _Run(network, optimizer)
    _restore(run, folder / "training-state.pt", run_key)
    _train(run, size, corpus, config, folder, progress, run_key)
    write_json(folder / "finished.json", {"fingerprint": run_key, "steps": config.steps})
    (folder / "training-state.pt").unlink(missing_ok=True)


def run_fingerprint(size: Size, corpus: CorpusFolder, config: TrainingConfig) -> str:
    """Fingerprint of everything that determines this size's weights: shape, schedule, data and libraries."""
    schedule = {name: value for name, value in asdict(config).items() if name not in {"sizes", "planting"}}
    libraries = {"torch": torch.__version__, "transformers": transformers.__version__, "machine": platform.machine()}
    return fingerprint(
        {
            "recipe": RECIPE,
            "size": asdict(size),
            "schedule": schedule,
            "corpus": corpus.fingerprint,
            "shape": [corpus.vocabulary, *corpus.tokens.shape],
            "libraries": libraries,
        }
    )


def _claim_folder(folder: Path, run_key: str) -> None:
    """Prepare `folder` for this run: a run of another configuration is deleted, anything else is refused."""
    manifest = read_json(folder / "run.json")
    if manifest is None and folder.exists() and any(folder.iterdir()):
        raise StudyError(
            f"{folder} contains something else than a training run; name another folder or empty this one."
        )
    if manifest is not None and manifest.get("fingerprint") != run_key:
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise StudyError(f"{folder} contains an older run and cannot be deleted ({error}); delete it.") from error
    write_json(folder / "run.json", {"fingerprint": run_key})


def _is_finished(folder: Path, run_key: str, config: TrainingConfig) -> bool:
    finished = read_json(folder / "finished.json")
    if finished is None or finished.get("fingerprint") != run_key:
        return False
    return all((folder / checkpoint_name(step) / FACTS).is_file() for step in config.checkpoint_steps)


def _train(
    run: _Run, size: Size, corpus: CorpusFolder, config: TrainingConfig, folder: Path, progress: Progress, run_key: str
) -> None:
    label = size.label(corpus.vocabulary)
    run.network.train()
    while run.step < config.steps:
        rows = corpus.order[run.step * config.batch : (run.step + 1) * config.batch]
        batch = corpus.tokens[rows].astype("int64")
        run.step += 1
        run.data = hashlib.sha256(run.data.encode() + batch.tobytes()).hexdigest()
        for group in run.optimizer.param_groups:
            group["lr"] = config.rate(run.step, size.peak_rate)
        loss = _train_step(run, torch.from_numpy(batch), config.clip)
        if run.step in config.checkpoint_steps:
            _save_checkpoint(run, size, corpus, config, folder, run_key)
        progress(run.step, config.steps, loss, label)


def _train_step(run: _Run, batch: torch.Tensor, clip: float) -> float:
    """Take one step on `batch` [rows, row_length]; returns the mean loss in nats per token, a row's first excepted.

    The gradient at the last hidden state is accumulated a few rows at a time, then propagated through the network once.
    """
    inputs, targets = batch[:, :-1], batch[:, 1:]
    hidden = run.network.gpt_neox(inputs, use_cache=False).last_hidden_state
    leaf = hidden.detach().requires_grad_()
    head = run.network.get_output_embeddings()
    total = 0.0
    for states, tokens in zip(leaf.split(ROWS_AT_ONCE), targets.split(ROWS_AT_ONCE), strict=True):
        loss_sum = functional.cross_entropy(head(states).flatten(0, 1), tokens.flatten(), reduction="sum")
        loss = loss_sum / targets.numel()
        loss.backward()
        total += loss.item()
    hidden.backward(leaf.grad)
    torch.nn.utils.clip_grad_norm_(run.network.parameters(), clip)
    run.optimizer.step()
    run.optimizer.zero_grad()
    return total


def _save_checkpoint(
    run: _Run, size: Size, corpus: CorpusFolder, config: TrainingConfig, folder: Path, run_key: str
) -> None:
    """Write the checkpoint, then the state from which training can resume."""
    facts = {
        "training_step": run.step,
        "presentations": min(run.step * config.batch, len(corpus.order)),
        "parameters": size.parameters(corpus.vocabulary),
        "seed": config.seed,
        "data": run.data,
    }
    write_checkpoint(folder / checkpoint_name(run.step), run.network, corpus.tokenizer, facts)
    state = {
        "fingerprint": run_key,
        "step": run.step,
        "data": run.data,
        "network": run.network.state_dict(),
        "optimizer": run.optimizer.state_dict(),
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(folder / "training-state.pt", lambda temporary: _write_bytes(temporary, buffer))


def _write_bytes(path: Path, buffer: io.BytesIO) -> None:
    path.write_bytes(buffer.getbuffer())


def _restore(run: _Run, path: Path, run_key: str) -> None:
    """Resume from the state at `path` if it is of this run; only plain tensors and numbers are loaded."""
    if not path.is_file():
        return
    state = torch.load(path, weights_only=True)
    if state["fingerprint"] != run_key:
        return
    run.network.load_state_dict(state["network"])
    run.optimizer.load_state_dict(state["optimizer"])
    run.step, run.data = state["step"], state["data"]
