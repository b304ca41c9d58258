"""Reads the environment when it is imported, as torch may."""

import os

AT_IMPORT = os.environ.get("CUDA_VISIBLE_DEVICES")


def probe(task):
    """Returns (process, its GPUs now, its GPUs at import, its threads)."""
    return os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES"), AT_IMPORT, os.environ.get("OMP_NUM_THREADS")


def make_probe(threads):
    return probe
