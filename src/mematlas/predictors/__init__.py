"""Predicting memorization from hidden states: examples, the Transformer, its baselines, and what they said."""
