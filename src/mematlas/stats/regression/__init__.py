"""Logistic regression, and curves fitted to shares."""
