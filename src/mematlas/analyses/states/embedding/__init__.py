"""The analysis `embedding`: distances between the hidden states of rows."""
