"""The same loops in numpy, several times slower, where numba is not installed."""
