"""Predicting memorization from hidden states: examples, the Transformer, its baselines, and their predictions."""
