"""What is recited of injected sequences: the curve of every sequence, its summaries, and the finding."""
