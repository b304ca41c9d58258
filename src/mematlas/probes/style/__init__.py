"""Whether a model writes in the style of authors that it was trained on."""
