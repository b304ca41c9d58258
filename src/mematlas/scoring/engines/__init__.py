"""Engines that run a model over rows: batched causal scoring and serving engines."""
