"""Verifies a finished study: its files against checksums, and a random sample of rows by scoring them again."""
