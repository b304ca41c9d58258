"""Hypothesis tests: symmetry of tables, permutation tests, dispersion of events."""
