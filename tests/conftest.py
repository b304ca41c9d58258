"""Settings for running the tests in several processes (`make test`)."""

import pytest
from hypothesis import settings

# other processes slow examples down, so that their duration says nothing about the code
settings.register_profile("shared cores", deadline=None)
settings.load_profile("shared cores")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Files with a test marked slow come first, so that at the end no process works on a long one while others wait.

    A file stays in one process (`--dist loadscope`), which makes its fixtures once and keeps its tests in their order.
    """
    if hasattr(config, "workerinput"):
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in slow)
