"""Counterfactual memorization: the same row in models that were trained on it and in models that were not."""
