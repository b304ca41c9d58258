"""The analysis `transitions`: how rows move between score levels from one model to the next."""
