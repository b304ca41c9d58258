"""How long it takes to patch one row: ``python benchmarks/patching.py [--threads 2]`` prints seconds.

The largest model of the demo (1.84 million weights, 4 layers), untrained: 32 positions, all layers, 10 sources, 32
tokens to recite. Passes that begin behind the patched block alternate with whole ones; their answers must be the same.
"""

import argparse
import time
from dataclasses import replace

import torch
from transformers import GPTNeoXForCausalLM

from mematlas.experiments.design.config import TrainingConfig
from mematlas.experiments.training.network import neox_config
from mematlas.interventions.blocks import block_outputs, patchable
from mematlas.interventions.patching import dependency
from mematlas.models.causal import CausalModel

CONTEXT, CONTINUATION, SOURCES, REPEATS = 32, 32, 10, 3


@torch.inference_mode()
def main(threads: int) -> None:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    config = TrainingConfig()
    vocabulary = config.planting.vocabulary
    network = GPTNeoXForCausalLM(neox_config(config.sizes[-1], vocabulary, CONTEXT + CONTINUATION)).eval()
    model = patchable(CausalModel(network, vocabulary, torch.device("cpu")), "the demo's largest model")
    row = torch.randint(0, vocabulary, (CONTEXT + CONTINUATION,))
    windows = torch.randint(0, vocabulary, (SOURCES, CONTEXT))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    patches = model.layers * CONTEXT * SOURCES
    print(f"{parameters / 1e6:.2f} M weights, {model.layers} layers, {patches:,} patches, {threads} threads")
    assert model.restarts
    answers, seconds = [], {"behind the patched block": [], "whole passes": []}
    for _ in range(REPEATS):
        for name, kind in zip(seconds, (model, replace(model, restarts=False)), strict=True):
            start = time.perf_counter(), time.process_time()
            answers.append(dependency(kind, row, CONTEXT, block_outputs(kind, windows)).changed)
            seconds[name].append((time.perf_counter() - start[0], time.process_time() - start[1]))
    assert all(torch.equal(answer, answers[0]) for answer in answers)
    for name, times in seconds.items():
        clock, processor = zip(*times, strict=True)
        print(
            f"{name}: {min(clock):.1f} to {max(clock):.1f} s; processor {min(processor):.1f} to {max(processor):.1f} s"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    main(parser.parse_args().threads)
