"""A browser's screen, for tests of pages; the fixture `browser` is in conftest.py."""


def set_screen(browser, width, theme="light"):
    """Show pages at a width and in a theme; what the browser has logged so far is forgotten."""
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    features = [{"name": "prefers-color-scheme", "value": theme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get_log("browser"), browser.get_log("performance")
