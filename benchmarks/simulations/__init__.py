"""Simulated samples of a known truth, for the coverage of intervals and the false alarms of tests."""
