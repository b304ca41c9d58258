"""Analyses of token positions: corpus counts and model signals around the boundary of context and continuation."""
