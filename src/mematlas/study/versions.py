"""Versions of the software that a number can depend on, for manifests and model cards."""

from importlib import metadata
from platform import platform, python_version


def versions() -> dict[str, str]:
    """Name -> version, without importing the packages; packages that are not installed are left out."""
    installed = {"python": python_version(), "platform": platform()}
    for name in ("mematlas", "torch", "transformers", "tokenizers", "numpy", "pyarrow", "polars"):
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed
