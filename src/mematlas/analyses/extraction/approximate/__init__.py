"""The analysis `approximate`: rows memorized except for a few tokens."""
