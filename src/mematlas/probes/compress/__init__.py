"""The shortest prompt that makes a model recite a string, whatever the prompt says: adversarial compression (K4)."""
