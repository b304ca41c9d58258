"""The analysis `size`: memorized and unmemorized shares by model size."""
