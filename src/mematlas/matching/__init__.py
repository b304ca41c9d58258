"""Text alignment and retrieval, without any model: which texts copy which, and secrets that stand in a text."""
