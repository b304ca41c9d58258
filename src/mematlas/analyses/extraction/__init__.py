"""Analyses of extraction beyond greedy exact matches: sampling, approximate matches, membership inference."""
