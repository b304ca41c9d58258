"""Predicting memorization from a model's hidden states: examples, the Transformer, its baselines, and what they said."""
