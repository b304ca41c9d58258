"""Executors run the same tasks in processes of this machine or on a cluster. None of them knows what a task is."""

from mematlas.registry import Registry

EXECUTORS = Registry(
    "executor",
    {
        "local": ("mematlas.executors.local:LocalExecutor", None, "processes of this machine"),
        "ray": ("mematlas.executors.ray:RayExecutor", "ray", "actors of a Ray cluster, with GPUs or parts of them"),
    },
)
