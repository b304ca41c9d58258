"""Looks at the environment when it is imported, as torch may."""

import os

AT_IMPORT = os.environ.get("CUDA_VISIBLE_DEVICES")


def look(task):
    """(process, its GPUs now, those at import, its threads)."""
    return os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES"), AT_IMPORT, os.environ.get("OMP_NUM_THREADS")


def make_looker(threads):
    return look
