"""Run by torchrun in two processes: train with DDP or FSDP 2, with measurements and without; compare with one process.

python -m torch.distributed.run --nproc_per_node 2 -m tests.integrations.two_processes KIND
"""

import json
import sys

import numpy as np
import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

import mematlas
from tests import tiny_networks as networks
from tests.integrations.training import TRAIN, dropout_network

ROWS = TRAIN[:16, :24]
OPTIONS = {"context": 12, "continuation": 12}


def spread(kind: str, network: torch.nn.Module) -> torch.nn.Module:
    if kind == "ddp":
        return DistributedDataParallel(network)
    mesh = init_device_mesh("cpu", (2,))
    for layer in network.gpt_neox.layers:
        fully_shard(layer, mesh=mesh)
    return fully_shard(network, mesh=mesh)


def train(network: torch.nn.Module, measuring: bool) -> list[dict[str, float]]:
    """26 steps on all rows, so that some of them are recited at the end."""
    torch.manual_seed(7)
    optimizer = torch.optim.AdamW(network.parameters(), 5e-3)
    rows, measured = torch.from_numpy(ROWS), []
    for step in range(26):
        if measuring and step % 12 == 0:
            measured.append(mematlas.measure(network, ROWS, **OPTIONS))
        network(input_ids=rows, labels=rows).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return [*measured, mematlas.measure(network, ROWS, **OPTIONS)]


def local(network: torch.nn.Module) -> list[torch.Tensor]:
    """The parts of the weights that this process has."""
    return [p.to_local() if hasattr(p, "to_local") else p.detach() for p in network.parameters()]


def main(kind: str) -> None:
    distributed.init_process_group("gloo")
    with_measurements, without = (spread(kind, dropout_network()) for _ in range(2))
    measured = train(with_measurements, measuring=True)
    train(without, measuring=False)
    equal = all(torch.equal(one, two) for one, two in zip(local(with_measurements), local(without), strict=True))
    whole = networks.neox(hidden_size=64)  # the trained weights in one process
    for target, parameter in zip(whole.parameters(), with_measurements.parameters(), strict=True):
        target.data.copy_(parameter.full_tensor() if hasattr(parameter, "full_tensor") else parameter.detach())
    alone = mematlas.measure(whole, ROWS, **OPTIONS)
    print("RESULT", json.dumps({"equal": equal, "measured": measured, "alone": alone}), flush=True)
    distributed.destroy_process_group()


if __name__ == "__main__":
    np.random.seed(0)
    main(sys.argv[1])
