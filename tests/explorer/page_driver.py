"""Drives the explorer's page in a browser as a person would."""

import time

from tests.browsers import set_screen


class Page:
    """What a person sees and does."""

    def __init__(self, browser, address):
        self.browser, self.address = browser, address

    def open(self, view="", width=1280, theme="light"):
        set_screen(self.browser, width, theme)
        self.browser.get("about:blank")
        self.browser.get(self.address + (f"#{view}" if view else ""))
        self.wait(lambda: self.run("return document.documentElement.dataset.ready"), "the page is not ready")
        self.settle()
        return self

    def go(self, view):
        """Change the address of the open page."""
        self.run("location.hash = arguments[0]", view)
        self.wait(lambda: self.run("return location.hash") == f"#{view}", "the address did not change")
        self.settle()

    def run(self, script, *values):
        return self.browser.execute_script(script, *values)

    def wait(self, condition, problem):
        until = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < until, f"{problem}; {self.text('#problem')}"
            time.sleep(0.03)

    def settle(self):
        """Wait until every answer is there."""
        self.wait(lambda: not self.run("return document.body.hasAttribute('data-waiting')"), "still waiting")

    def all(self, selector):
        return self.browser.find_elements("css selector", selector)

    def one(self, selector):
        return self.browser.find_element("css selector", selector)

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0])?.textContent ?? null", selector)

    def texts(self, selector):
        return self.run("return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)", selector)

    def click(self, selector):
        self.one(selector).click()
        self.settle()

    def type(self, selector, text):
        self.one(selector).send_keys(text)
        time.sleep(0.5)  # the page waits until typing pauses
        self.settle()

    def press(self, *keys):
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys

        for key in keys:
            ActionChains(self.browser).send_keys(getattr(Keys, key)).perform()
            self.settle()
        time.sleep(0.15)  # the open row follows the focus when the keys pause
        self.settle()

    def rows(self):
        return [
            int(row)
            for row in self.run("return [...document.querySelectorAll('#table tbody a')].map(e => e.dataset.row)")
        ]

    def column(self, name):
        return self.texts(f"#table td.{name}")

    def view(self):
        return self.run("return Object.fromEntries(new URLSearchParams(location.hash.slice(1)))")

    def focused(self):
        return self.run("return document.activeElement.dataset.row ?? document.activeElement.id")

    def console(self):
        return [entry for entry in self.browser.get_log("browser") if entry["level"] != "INFO"]
