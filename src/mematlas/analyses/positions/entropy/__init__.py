"""The analysis `entropy`: entropy and other model signals by token position."""
