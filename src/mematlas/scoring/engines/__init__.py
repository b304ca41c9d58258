"""Engines that run a model over rows: batched causal scoring with torch, and vLLM."""
