"""Resident memory while the first and last 1,000 rows of a sparse 20 GB token file are scored.

    python benchmarks/memory.py MODEL [--gigabytes 20] [--work DIR]

The same rows, copied into a small file, give the memory of the model; the difference is the cost of the corpus size.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROW, COUNT = 2049, 1000


def make_files(folder: Path, size: int) -> tuple[Path, Path, Path]:
    """A sparse file of `size` bytes with tokens in its first and last rows; their ids; a file of just these rows."""
    rows = size // (2 * ROW)
    tokens = np.random.default_rng(0).integers(0, 500, (2 * COUNT, ROW)).astype("<u2")
    large, ids, small = folder / "large.bin", folder / "ids.txt", folder / "small.bin"
    with large.open("wb") as file:
        file.truncate(rows * ROW * 2)
        file.write(tokens[:COUNT].tobytes())
        file.seek((rows - COUNT) * ROW * 2)
        file.write(tokens[COUNT:].tobytes())
    small.write_bytes(tokens.tobytes())
    ids.write_text("\n".join(map(str, [*range(COUNT), *range(rows - COUNT, rows)])))
    return large, ids, small


def measure_peak(model: str, corpus: Path, rows: str, study: Path) -> tuple[float, float]:
    """Peak resident memory in GB, and seconds, of one `mematlas score`."""
    command = [sys.executable, "-m", "mematlas", "score", model, "--corpus", str(corpus), "--format", "memmap"]
    command += ["--row-length", str(ROW), "--token-dtype", "uint16", "--rows", rows, "--study", str(study)]
    started = time.time()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"mematlas score ended with status {status}")
    scale = 1 if sys.platform == "darwin" else 1024
    return usage.ru_maxrss * scale / 1e9, time.time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--gigabytes", type=float, default=20)
    parser.add_argument("--work", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.work) as name:
        folder = Path(name)
        large, ids, small = make_files(folder, int(options.gigabytes * 1e9))
        print("| file | size, GB | peak resident memory, GB | seconds |\n|---|---|---|---|")
        for label, corpus, rows in (("small", small, "all"), ("large", large, f"ids:{ids}")):
            peak, seconds = measure_peak(options.model, corpus, rows, folder / label)
            print(f"| {label} | {corpus.stat().st_size / 1e9:.3f} | {peak:.3f} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
