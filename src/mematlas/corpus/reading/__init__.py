"""Finds, decompresses, tokenizes and caches the rows of corpus files."""
