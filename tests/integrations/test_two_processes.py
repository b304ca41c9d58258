"""DDP and FSDP 2 on two processes: all ranks measure the numbers of one process, and training is what it was."""

import json
import os
import subprocess
import sys

import pytest

from tests.docs_commands import ROOT

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_two_processes_measure_what_one_does(kind):
    path = os.pathsep.join(map(str, [ROOT / "src", ROOT, ROOT / "benchmarks", ROOT / "tools"]))
    words = ["--standalone", "--nproc_per_node", "2", "-m", "tests.integrations.two_processes", kind]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *words],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    results = done.stdout.split("RESULT ")[1:]  # both may stand on one line
    assert len(results) == 2, done.stderr[-3000:]
    first, second = (json.JSONDecoder().raw_decode(text)[0] for text in results)
    assert first == second
    assert first["equal"]
    assert first["measured"][0]["recited"] == 0
    assert 0.1 < first["measured"][-1]["recited"] < 1
    assert first["measured"][-1] == first["alone"]
