"""Single rows in full, as text, from a study's tables alone."""
