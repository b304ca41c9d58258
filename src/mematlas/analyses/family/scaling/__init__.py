"""The analysis `scaling`: memorized share by model size, repetitions and context."""
