"""Means, medians, shares and their differences, each with a 95 % interval."""
