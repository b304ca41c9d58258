"""Analyses of memorization scores: their distribution, and their change with size, context and continuation."""
