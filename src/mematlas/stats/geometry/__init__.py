"""Distances between vectors, two-dimensional projections, and how well groups of vectors are separated."""
