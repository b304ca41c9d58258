"""Classifiers of texts, which the user has on disk."""
