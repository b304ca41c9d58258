"""Tests of mematlas.explorer."""
