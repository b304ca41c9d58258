"""Loops over single tokens, compiled by numba (extra `compiled`)."""
