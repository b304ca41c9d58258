"""Settings for running the tests in several processes (`make test`)."""

import shutil

import pytest
from hypothesis import settings

from mematlas.executors.allocation import keep_freed_memory

keep_freed_memory()  # as the commands do

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


@pytest.fixture(scope="module")
def browser():
    """A browser for tests of pages; they are skipped where Chromium or its driver is not installed."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("chromium and chromedriver are not installed (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield opened
    opened.quit()
