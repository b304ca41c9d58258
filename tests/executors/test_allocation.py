"""Freed arrays of some megabytes keep their memory, where glibc allows it."""

import os
import platform
import subprocess
import sys

import pytest

GIVE_BACK = """
import numpy as np
from mematlas.executors.allocation import keep_freed_memory, return_freed_memory
def resident():
    fields = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
    return int(fields["VmRSS"].split()[0])
keep_freed_memory()
before = resident()
arrays = [np.ones(1 << 20) for _ in range(10)]
arrays.clear()
kept = resident() - before
return_freed_memory()
print(kept, resident() - before)
"""

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


glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep freed memory")


def _numbers(code: str, **variables: str) -> list[int]:
    """What the code prints in a process with these variables."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")} | variables
    completed = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return [int(number) for number in completed.stdout.split()]


def _new_pages(**variables: str) -> int:
    """Pages that the system gave while twenty pairs of arrays of 4,096 and 2,048 pages were made and freed."""
    return _numbers(COUNT_PAGES, **variables)[0]


@glibc
def test_arrays_get_the_memory_of_freed_ones():
    assert _new_pages() < 2_000


@glibc
def test_what_the_user_has_set_is_left_alone():
    assert _new_pages(MALLOC_TRIM_THRESHOLD_="100000") > 20_000


@glibc
def test_what_was_kept_can_be_given_back():
    """The memory that a batch takes is measured by the size of the process (`scoring/engines/batch_size.py`)."""
    kept, left = _numbers(GIVE_BACK)
    assert kept > 60_000  # KiB; ten arrays have 81,920
    assert left < 10_000
