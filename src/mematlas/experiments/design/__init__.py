"""The configuration of a training experiment."""
