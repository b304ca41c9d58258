"""The page in a real browser: sections, charts, console, network and width on a desktop and on a phone."""

import json
import time

import pytest

pytest.importorskip("altair")
from mematlas.report.page import write_report
from tests.browsers import set_screen
from tests.report import sample_findings as sample

pytestmark = pytest.mark.browser

SIZES = {"desktop": 1280, "phone": 390}


def open_page(browser, page, width, theme="light"):
    """Open the page at a width and wait for its charts; returns console messages and requested addresses."""
    set_screen(browser, width, theme)
    browser.get(page.as_uri())
    until = time.monotonic() + 60
    while browser.execute_script("return document.documentElement.dataset.drawn") is None:
        assert time.monotonic() < until, "the charts were not drawn within a minute"
        time.sleep(0.1)
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return browser.get_log("browser"), [url for url in sent if not url.startswith("data:")]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_page_is_complete_logs_nothing_and_fits(browser, report, size, theme):
    console, requests = open_page(browser, report, SIZES[size], theme)
    assert console == []
    assert requests == [report.as_uri()]
    root = "document.documentElement"
    assert browser.execute_script("return window.innerWidth") == SIZES[size]
    assert browser.execute_script(f"return {root}.scrollWidth <= {root}.clientWidth")
    for finding in sample.all_findings():
        section = browser.find_element("id", finding.name)
        assert section.is_displayed()
        assert len(section.find_elements("css selector", ".interactive > svg, .interactive svg.marks")) == len(
            finding.charts
        )
    for chart in browser.find_elements("css selector", ".interactive"):
        drawn = browser.execute_script("return arguments[0].querySelector('svg').getBoundingClientRect().width", chart)
        assert 100 < drawn <= chart.size["width"] + 1, chart.get_attribute("data-chart")
        assert browser.execute_script("return arguments[0].querySelectorAll('path, text').length", chart) > 5


def test_another_cell_or_model_is_chosen_in_the_bar(browser, tmp_path):
    """The bar stays in view; a figure with data of the choice shows it, and one without stays as it is."""
    from selenium.webdriver.support.ui import Select

    page = write_report(sample.study(tmp_path, [sample.in_cells(), sample.points()], gallery=False))
    open_page(browser, page, 1280)
    browser.execute_script("document.getElementById('reproduce').scrollIntoView({behavior: 'instant'})")
    bar = browser.find_element("css selector", ".bar")
    assert browser.execute_script("return arguments[0].getBoundingClientRect().top", bar) == 0

    def shown():
        return browser.execute_script(
            "return [document.querySelector('#figure-cells-grid .figure-title').textContent,"
            " document.querySelector('#figure-cells-grid svg').textContent,"
            " document.querySelector('#figure-scaling-slopes svg').textContent]"
        )

    before = shown()
    assert "at 16 + 16 tokens" in before[0]
    cells = Select(browser.find_element("id", "choose-cell"))
    assert [option.text for option in cells.options] == ["16 + 16 tokens", "16 + 32 tokens", "32 + 16 tokens"]
    cells.select_by_value("32 + 16")
    wait_for(browser, "return document.querySelector('#figure-cells-grid .figure-title').textContent", "32 + 16")
    assert shown()[1] != before[1]
    assert shown()[2] == before[2]
    assert browser.find_element("id", "choice-note").is_displayed()
    Select(browser.find_element("id", "choose-model")).select_by_value(sample.MODELS[1])
    wait_for(browser, "return document.querySelector('#figure-cells-grid .figure-title').textContent", sample.MODELS[1])


def wait_for(browser, script, text):
    """Wait until what a script returns contains a text."""
    end = time.monotonic() + 10
    while text not in browser.execute_script(script):
        assert time.monotonic() < end, browser.execute_script(script)
        time.sleep(0.05)


def test_charts_follow_the_theme(browser, report):
    ink = "return getComputedStyle(document.querySelector('.interactive svg text')).fill"
    open_page(browser, report, 1280, "light")
    light = browser.execute_script(ink)
    open_page(browser, report, 1280, "dark")
    assert browser.execute_script(ink) != light


def test_the_first_tab_stop_skips_to_the_findings(browser, report):
    from selenium.webdriver.common.keys import Keys

    open_page(browser, report, 1280)
    browser.find_element("tag name", "body").send_keys(Keys.TAB)
    focused = browser.switch_to.active_element
    assert focused.text == "Skip to the findings"
    assert focused.location["x"] >= 0


def test_corpus_text_does_not_run(browser, report):
    open_page(browser, report, 1280)
    assert not browser.find_elements("css selector", "img[src='x']")
    assert browser.execute_script("return document.scripts.length") == 4  # data, compressed library, page.js, library


def test_a_browser_that_cannot_decompress_shows_the_static_images(browser, report):
    removal = {"source": "delete window.DecompressionStream"}
    script = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", removal)["identifier"]
    try:
        browser.get(report.as_uri())
        assert browser.find_element("css selector", ".static").is_displayed()
        assert not browser.find_element("css selector", ".interactive").is_displayed()
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", {"identifier": script})
    assert "DecompressionStream" in browser.get_log("browser")[0]["message"]  # and nothing for the next test


def test_print_shows_static_images_and_folds_tables_away(browser, report):
    open_page(browser, report, 1280)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        image = browser.find_element("css selector", ".static")
        assert image.is_displayed()
        assert browser.execute_script("return arguments[0].naturalWidth", image) > 100
        for name in (".interactive", "details", ".choice", ".contents", ".atlas-narrow"):
            assert not [each for each in browser.find_elements("css selector", name) if each.is_displayed()], name
        assert browser.find_element("css selector", ".claim").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_a_click_on_a_mark_names_the_rows_behind_it(browser, report):
    """The command that prints them, and those in the gallery."""
    open_page(browser, report, 1280)
    figure = browser.find_element("css selector", "#forecast figure")
    note = figure.find_element("css selector", ".behind")
    assert not note.is_displayed()
    mark = figure.find_element("css selector", ".mark-rect path, .mark-symbol path")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", mark)
    mark.click()
    label = sample.MODELS[0]
    assert "Rows behind this mark: mematlas rows " in note.text
    assert f"--model {label}" in note.text
    rows = [
        entry.get_attribute("data-row") for entry in browser.find_elements("css selector", f"[data-model='{label}']")
    ]
    links = note.find_elements("css selector", "a")
    assert [link.text for link in links] == rows[:8]
    assert all(browser.find_elements("id", link.get_attribute("href").partition("#")[2]) for link in links)
