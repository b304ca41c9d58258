"""Commands that ask one model."""
