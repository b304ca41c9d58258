"""From hidden states to logits, and to the most probable tokens."""
