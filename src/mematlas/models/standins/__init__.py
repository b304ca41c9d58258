"""Stand-in models that need no weights, for tests and examples: n-gram, parrot and uniform."""
