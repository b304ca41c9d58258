"""Masked language models, and the fixed masks that they are asked with."""
