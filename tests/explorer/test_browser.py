"""The explorer's page in a real browser: what people do with it, one task a test."""

import json
import shutil
import threading
from pathlib import Path

import pytest

import mematlas
from mematlas.explorer import search
from mematlas.explorer.routes import Explorer
from mematlas.explorer.server import ExplorerServer
from mematlas.study import open_study
from tests.explorer import sample_study as sample
from tests.explorer.page_driver import Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CONTRAST = Path(__file__).parent / "contrast.js"


def serve(folder):
    server = ExplorerServer(Explorer(open_study(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture(scope="module")
def folder(browser, tmp_path_factory):  # without a browser no study is scored
    return sample.make(tmp_path_factory.mktemp("explorer"))


@pytest.fixture(scope="module")
def page(browser, folder):
    """A page on the sample study, which the browser was let into."""
    server = serve(folder)
    browser.get(server.address)
    yield Page(browser, f"http://127.0.0.1:{server.server_port}/")
    server.shutdown()
    server.server_close()


def test_the_first_view_is_complete_and_loads_nothing_from_elsewhere(page):
    page.open()
    assert page.text("#count") == "60 rows"
    assert page.text("#page") == "1–50 of 60"
    assert page.column("matches")[0] == "16 of 16"
    assert len(page.all("#strip .bin")) == sample.CONTINUATION + 1
    assert page.all(".question")
    assert page.console() == []
    events = [json.loads(entry["message"])["message"] for entry in page.browser.get_log("performance")]
    sent = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert sent
    assert all(url.startswith((page.address, "data:", "about:")) for url in sent)


def test_the_rows_that_a_bigger_model_forgot_are_found_by_one_question(page):
    page.open()
    question = next(one for one in page.all(".question") if one.text == "What did the bigger model forget?")
    question.click()
    page.settle()
    assert sorted(page.rows()) == list(sample.FORGOTTEN)
    assert page.text("#count") == "4 of 60 rows"
    assert set(page.column("change")) == {"−1"}
    assert "few" in page.view()["model"]
    assert "many" in page.view()["compare"]
    page.click("#table tbody a")
    assert page.texts(".family .model") == ["few", "many"]  # what all labels share is left out
    assert page.texts(".family tbody td.number") == ["16", "16", "0", "0"]


def test_a_row_says_why_it_is_recited(page):
    page.open("row=9")
    assert "Seen in training9 times" in page.text(".why")
    assert "Copies in the corpus" in page.text(".why")
    assert not page.all(".why .sign")  # the page's own numbers have no odd signs
    assert [plot.get_attribute("data-plot") for plot in page.all(".plots svg")] == [
        *("Log-probability", "Entropy", "Rank of the true token", "Margin", "Occurrences in the corpus"),
    ]
    assert len(page.all(".plots .edge")) == len(page.all(".plots svg"))
    assert len(page.all("#detail section .tokens[tabindex] .token.hit")) == sample.CONTINUATION
    assert page.all(".places, .detail section p")
    assert "fit" in page.text(".detail .reason code")  # what is missing says what would add it
    page.click(".switch input[value=entropy]")
    assert page.view()["shade"] == "entropy"
    page.click(".family [data-model*=few]")
    assert "few" in page.view()["shown"]
    assert "few" in page.text(".detail section:nth-of-type(2) h3")


def test_the_arrow_keys_read_a_text_token_by_token(page):
    page.open("row=9")
    assert page.text("#readout").startswith("Continuation 1 of 16")
    page.run("document.querySelector('.tokens[tabindex]').focus()")
    page.press("ARROW_RIGHT", "ARROW_RIGHT")
    assert page.text("#readout").startswith("Continuation 3 of 16")
    assert "rank 1" in page.text("#readout")
    page.press("HOME")
    assert page.text("#readout").startswith("Context 1 of 16")


def test_a_selection_is_exported_and_scored_again(page, folder, tmp_path):
    page.open("repetitions_min=20&repetitions_max=24&sort=row&descending=0")
    page.click("#export summary")
    fetched = (
        "const done = arguments[1]; fetch(document.querySelector(arguments[0]).href).then(r => r.text()).then(done)"
    )
    files = {name: page.browser.execute_async_script(fetched, f"[data-format={name}]") for name in ("ids", "csv")}
    assert files["ids"].split() == ["20", "21", "22", "23", "24"]
    assert len(files["csv"].splitlines()) == 6
    link = page.one("[data-format=ids]")
    (tmp_path / link.get_attribute("download")).write_text(files["ids"])
    assert f"ids:{link.get_attribute('download')}" in page.text("#export .sheet")
    again = mematlas.score(
        f"parrot:{folder.parent / 'many.npy'}",
        corpus=str(folder.parent / "rows.npy"),
        rows=f"ids:{tmp_path / 'rows.ids.txt'}",
        context=[sample.CONTEXT],
        continuation=[sample.CONTINUATION],
        study=tmp_path / "again",
    )
    assert again.scores()["row"].sort().to_list() == [20, 21, 22, 23, 24]


def test_texts_are_searched(page):
    page.open()
    page.type("#search", "ZANZIBAR")
    assert sorted(page.rows()) == [2, 12, 22, 32, 42, 52]
    assert {text.lower() for text in page.texts("#table mark")} == {"zanzibar"}
    assert page.texts(".chip") == ["text has “ZANZIBAR” ×"]
    page.type("#search", " no such text")
    assert page.rows() == []
    assert page.one("#empty").is_displayed()


def test_a_search_that_takes_long_goes_on_by_itself(page, monkeypatch):
    page.open()
    monkeypatch.setattr(search, "_FIRST_BLOCK", 8)  # rows that a request looks through before its time is up
    monkeypatch.setattr(search.Searches.find, "__defaults__", (-1.0,))
    page.go("search=zanzibar&repetitions_min=1")
    page.wait(lambda: sorted(page.rows()) == [2, 12, 22, 32, 42], "the search stopped")
    page.settle()
    assert page.text("#count") == "5 of 60 rows"
    assert page.texts("#strip .strip-title")[0].count("first") == 0
    assert page.console() == []


def test_a_heading_sorts_by_verbatim_length(page):
    page.open("search=cat")
    page.click("th.verbatim button")
    assert page.one("th.verbatim").get_attribute("aria-sort") == "descending"
    assert page.column("verbatim") == sorted(page.column("verbatim"), key=int, reverse=True)
    page.click("th.verbatim button")
    assert page.one("th.verbatim").get_attribute("aria-sort") == "ascending"
    assert page.column("verbatim") == sorted(page.column("verbatim"), key=int)
    assert page.run("return document.activeElement.dataset.sort") == "verbatim"  # the focus stays


def test_rows_are_filtered_by_repetitions_and_by_the_strip_plot(page):
    page.open()
    page.type("[name=repetitions_min]", "30")
    page.type("[name=repetitions_max]", "44")
    assert sorted(page.rows()) == list(range(30, 45))
    page.click("#strip .bin:last-child")
    assert sorted(page.rows()) == list(range(30, 40))  # the bigger model knows rows up to 39
    assert page.view()["matches_min"] == page.view()["matches_max"] == "16"
    assert page.texts(".chip") == ["repetitions ≥ 30 ×", "repetitions ≤ 44 ×", "matches ≥ 16 ×", "matches ≤ 16 ×"]
    page.run("document.querySelector('#strip .bin[tabindex=\"0\"]').focus()")
    page.press("HOME", "ENTER")  # the bar of 0 matches, by the keyboard
    assert sorted(page.rows()) == list(range(40, 45))
    page.click(".chips li:last-child button")
    assert page.text("#count") == "60 rows"
    assert page.one("[name=repetitions_min]").get_attribute("value") == ""


def test_a_view_is_shared_by_its_address_and_the_back_button_returns(page):
    page.open()
    page.click(".choices input[name=recited][value=yes]")
    page.click("#next") if page.one("#next").is_enabled() else None
    page.click("#table tbody a")
    address, rows, row = page.browser.current_url, page.rows(), page.text("#detail-title")
    page.browser.back()
    page.settle()
    assert not page.all("#detail-title")
    page.browser.back()
    page.settle()
    assert page.text("#count") == "60 rows"
    assert not page.one(".choices input[name=recited][value=yes]").is_selected()
    page.open(address.partition("#")[2])
    assert (page.rows(), page.text("#detail-title")) == (rows, row)
    assert page.one(".choices input[name=recited][value=yes]").is_selected()


def test_a_wrong_address_says_what_is_wrong_and_how_to_go_on(page):
    page.open("repetitions_min=many")
    assert "repetitions_min" in page.one("#problem").text
    page.click("#problem button:last-of-type")
    assert page.text("#count") == "60 rows"
    assert not page.one("#problem").is_displayed()


def test_everything_is_done_with_the_keyboard(page):
    page.open()
    page.press("TAB")
    assert page.browser.switch_to.active_element.text == "Skip to the rows"
    page.press("ENTER")
    assert page.focused() == "4"
    page.press("ARROW_DOWN", "ARROW_DOWN", "ENTER")
    assert page.text("#detail-title") == "Row 6"
    page.press("ARROW_DOWN")  # the row beside follows
    assert (page.focused(), page.text("#detail-title")) == ("7", "Row 7")
    page.press("ENTER")  # a second time: into the row
    assert page.focused() == "detail"
    page.press("ESCAPE")
    assert page.focused() == "7"
    assert not page.all("#detail-title")
    page.press("END", "ARROW_DOWN")  # over the end of the page
    assert page.text("#page") == "51–60 of 60"
    assert page.focused() == str(page.rows()[0])
    page.press("ARROW_UP")
    assert page.text("#page") == "1–50 of 60"
    assert page.focused() == str(page.rows()[-1])


def test_hostile_texts_stay_texts(page):
    page.open()
    for row in sample.HOSTILE:
        page.go(f"row={row}")
        assert page.text("#detail-title") == f"Row {row}"
        page.click("details.numbers summary")
        check_that_nothing_of_the_corpus_is_executed(page)


def check_that_nothing_of_the_corpus_is_executed(page):
    assert page.run("return document.title") == "study: mematlas explorer"
    assert page.run("return document.scripts.length") == 1
    assert not page.all("img, style, textarea, b[onload], [onload], [onerror]")
    assert page.console() == []
    shown = page.run("return document.querySelector('#rows').innerText + document.querySelector('#detail').innerText")
    assert not set(shown) & set("\u202e\u202c\u2066\u2069\u200b\u00ad\ufeff\x1b\x07")


def test_signs_that_turn_or_hide_text_are_spelled_out(page):
    page.open("row=6")
    line = page.text("#table tr.open .line")
    assert "U+202E" in line
    assert "gnorw" in line
    assert "\u202e" not in line
    assert page.one("#table tr.open .sign").get_attribute("title") == "right-to-left override"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_is_readable_in_both_themes(page, theme):
    page.open("row=42&recited=no&search=a", theme=theme)
    looked, poor = page.run(CONTRAST.read_text())
    assert looked > 150
    assert poor == []
    dark = page.run("return getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == (theme == "dark")


def test_a_narrow_window_has_everything(page):
    page.open(width=390)
    root = "document.documentElement"
    assert page.run(f"return {root}.scrollWidth <= {root}.clientWidth")
    assert not page.one("#search").is_displayed()
    page.click("#filters-toggle")
    page.type("#search", "zanzibar")
    assert page.text("#filters-toggle") == "Filters (1)"
    page.click("#filters-toggle")
    page.click("#table tbody a")
    detail = page.one("#detail").rect
    assert (detail["x"], detail["width"]) == (0, 390)
    assert page.run(f"return {root}.scrollWidth <= {root}.clientWidth")
    pane = page.one("#detail")
    assert page.run("return arguments[0].scrollWidth <= arguments[0].clientWidth", pane)
    assert page.focused() == "detail"
    page.click("#close")
    assert page.one("#table tbody a").is_displayed()


def test_what_a_study_lacks_is_greyed_with_the_reason(page, browser, folder, tmp_path):
    bare_study = shutil.copytree(folder, tmp_path / "study", ignore=shutil.ignore_patterns("features"))
    server = serve(bare_study)
    try:
        browser.get(server.address)
        bare = Page(browser, f"http://127.0.0.1:{server.server_port}/").open()
        copies = bare.one("[data-field=copies]")
        assert not any(field.is_enabled() for field in copies.find_elements("css selector", "input"))
        reasons = bare.texts(".filters .unavailable .reason")
        assert any("mematlas features" in reason for reason in reasons)
        assert bare.rows()
        assert "Not in this study" in bare.text("#detail")
        bare.click("#table tbody a")
        assert bare.texts(".detail .reason")
        assert bare.console() == []
    finally:
        server.shutdown()
        server.server_close()
