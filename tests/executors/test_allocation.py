"""Freed arrays of some megabytes keep their memory, where glibc allows it."""

import os
import platform
import subprocess
import sys

import pytest

COUNT_PAGES = """
import resource
import numpy as np
from mematlas.executors.allocation import keep_freed_memory
keep_freed_memory()
for _ in range(20):
    np.ones((2, 1 << 20)), np.ones(1 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones((2, 1 << 20)), np.ones(1 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _new_pages(**variables: str) -> int:
    """Pages that the system gave while twenty pairs of arrays of 4,096 and 2,048 pages were made and freed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")} | variables
    command = [sys.executable, "-c", COUNT_PAGES]
    return int(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep freed memory")
def test_arrays_get_the_memory_of_freed_ones():
    assert _new_pages() < 2_000


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep freed memory")
def test_what_the_user_has_set_is_left_alone():
    assert _new_pages(MALLOC_TRIM_THRESHOLD_="100000") > 20_000
