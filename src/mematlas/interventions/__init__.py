"""Models that are changed on purpose, to see what an answer depends on."""
