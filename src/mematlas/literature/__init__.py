"""Trends and tables that papers report, as data."""
