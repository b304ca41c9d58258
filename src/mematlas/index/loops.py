"""The loops over tokens of an index: those compiled by numba where it is installed, or else the same in numpy."""

from importlib.util import find_spec

if find_spec("numba") is None:
    from mematlas.index.plain import matching, suffixes
else:
    from mematlas.index.compiled import matching, suffixes  # type: ignore[no-redef]

__all__ = ["matching", "suffixes"]
