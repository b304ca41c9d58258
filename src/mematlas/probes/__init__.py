"""Questions that are asked of one model about single rows."""
