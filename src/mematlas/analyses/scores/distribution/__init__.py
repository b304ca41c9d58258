"""The analysis `distribution`: score classes, verbatim lengths and mean scores."""
