"""Decoding steps replayed as CUDA graphs, and when that pays."""
