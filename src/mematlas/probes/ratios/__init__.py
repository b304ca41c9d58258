"""Whether what a model writes has a property as often as its training texts have it."""
