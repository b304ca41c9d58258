"""mematlas: what a language model knows by heart, and why."""

__version__ = "0.1.0.dev0"
