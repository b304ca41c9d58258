"""The analysis `provenance`: other occurrences of the recited continuations in the corpus."""
