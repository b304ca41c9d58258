"""Versions of the software that a number can depend on, for manifests and model cards."""

from importlib import metadata
from platform import platform, python_version


def versions() -> dict[str, str]:
    """Versions of what a number can depend on, without importing any of it."""
    found = {"python": python_version(), "platform": platform()}
    for name in ("mematlas", "torch", "transformers", "tokenizers", "numpy", "pyarrow", "polars"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
