"""Analyses of how memorization depends on the corpus: repetition, taxonomy, provenance."""
