"""The engine: a model's reaction to each row, exact, batched, and independent of how the rows were batched."""
