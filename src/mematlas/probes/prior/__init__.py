"""Whether a continuation is memorized, or probable after any prompt (K10)."""
