"""The name of an adapter with its base model: adapter@base."""

from collections.abc import Iterator


def with_base(spec: str) -> Iterator[tuple[str, str]]:
    """The ways to read `spec` as a name and a base model, as each may have an @ itself."""
    parts = spec.split("@")
    for number in range(1, len(parts)):
        yield "@".join(parts[:number]), "@".join(parts[number:])
