"""A report of a study whose every name and text tries to break out of the page: nothing runs, all of it is text.

Each payload would set `window.broken` or ask for an address; both stay undone, in the page and in its pictures alone.
"""

import csv
import io
import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import polars as pl
import pytest

pytest.importorskip("altair")

from mematlas.findings.export import csv as as_csv
from mematlas.findings.export import latex
from mematlas.findings.finding import Table, Trend, findings_folder, write_finding
from mematlas.report.page import pictures_folder, write_report
from mematlas.study import open_study, write_json
from tests.report import sample_findings as made
from tests.report.test_browser import browser, open_page  # noqa: F401  a fixture

ELSEWHERE = "http://127.0.0.1:9/asked"
PAYLOADS = (
    "<script>window.broken='script'</script>",
    "</script></style></title></textarea><script>window.broken='closed'</script>",
    "\"><img src=x onerror=\"window.broken='img'\">",
    "'><svg/onload=window.broken='svg'><animate onbegin=window.broken='animate' attributeName=x dur=1s>",
    "<a href=\"javascript:window.broken='link'\">javascript:window.broken='link'</a>",
    f"<link rel=stylesheet href={ELSEWHERE}><iframe src={ELSEWHERE}></iframe><img src={ELSEWHERE}>",
    f"<meta http-equiv=refresh content='0;url={ELSEWHERE}'><base href={ELSEWHERE}>",
    "<!--<script>--><![CDATA[]]><?xml version='1.0'?><!ENTITY a SYSTEM 'file:///etc/hosts'>&a;&lt;b&gt;",
    "{{ 7 * 7 }}{% raw %}${window.broken='template'}`<b onclick=window.broken='tick'>`",
    "\u2028window.broken='separator'\u2029//\r\n*/window.broken='comment'/*",
    "\u202ereversed\u202c \u2066isolated\u2069 \u200f",
    "\x00\x08\x0b\x1b[2J\x7f\x85",
    "'+window.broken+'\\u003cscript\\u003e\\';window.broken='string';//\\",
    "=HYPERLINK(\"http://127.0.0.1:9\") @SUM(1) +1 -1 | cmd",
    "[1ex] \\input{/etc/hosts}%$#_^~&{}",
    "__proto__",
    "constructor",
)  # fmt: skip
LABELS = tuple(f"{at} {payload}" for at, payload in enumerate(PAYLOADS))


def hostile(found, number):
    """A finding of a chart shape with hostile words and with hostile names in its text columns."""
    ours = dict(zip(made.MODELS, LABELS, strict=False)) | dict(zip(made.LEVELS, LABELS[4:], strict=False))
    ours |= dict(zip(("model size", "repetitions of the row", "precision", "recall"), LABELS[9:], strict=False))

    def named(table):
        texts = [name for name, dtype in table.frame.schema.items() if dtype == pl.String]
        frame = table.frame.with_columns(pl.col(texts).replace(ours))
        meanings = {name: LABELS[number % len(LABELS)] for name in table.columns}
        return Table(table.name, f"Title {LABELS[0]}", frame, meanings, "answer = 1  # " + PAYLOADS[0] + PAYLOADS[10])

    def titled(chart):
        axes = {name: getattr(chart, name) for name in ("x", "y", "color")}
        worded = {name: replace(axis, title=LABELS[3]) for name, axis in axes.items() if axis is not None}
        reference = chart.reference and (chart.reference[0], LABELS[7])
        return replace(chart, title=LABELS[(number + 2) % len(LABELS)], reference=reference, **worded)

    words = " ".join(LABELS)
    return replace(
        found,
        title=f"Finding {LABELS[number]}",
        claim=f"It says {words}.",
        source=words,
        missing=None if found.missing is None else words,
        control=words,
        tables=tuple(map(named, found.tables)),
        charts=tuple(map(titled, found.charts)),
        caveats=LABELS,
        deviations=LABELS,
        rows={7: LABELS[1], 300: LABELS[4]},
        trends=tuple(Trend(trend.trend, trend.verdict, words) for trend in found.trends),
    )


def gallery():
    frame = made.gallery_frame()
    lines = frame.select(
        "row",
        pl.lit(LABELS[1]).alias("why"),
        pl.lit(" ".join(LABELS)).alias("source"),
        "repetitions",
        pl.lit(LABELS[4]).alias("model"),
        *frame.columns[5:9],
        *(pl.lit(list(LABELS), pl.List(pl.String)).alias(name) for name in frame.columns[9:12]),
        pl.lit([at % 2 == 0 for at in range(len(LABELS))], pl.List(pl.Boolean)).alias("hit"),
        pl.lit([-0.5] * len(LABELS), pl.List(pl.Float32)).alias("log_probability"),
    )
    return lines.select(frame.columns)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile") / "a study <b>"
    folder.mkdir()
    made.study(folder, findings=[])
    for number, make in enumerate(made.ALL):
        found = hostile(make(), number)
        write_finding(findings_folder(folder, made.RUN) / found.name, found)
    _hostile_manifest(folder)
    gallery().write_parquet(folder / "gallery" / "gallery.parquet")
    return write_report(open_study(folder), formats=("svg", "png"))


def _hostile_manifest(folder):
    """Labels of models, the corpus, options, versions and timings, as the study's files hold them."""
    run = json.loads((folder / "runs" / f"{made.RUN}.json").read_text())
    run["models"] = dict(zip(LABELS, made.MODELS, strict=False))
    run["question"] |= {name: " ".join(LABELS) + "\ud83d" for name in ("corpus", "control", "rows", "dtype")}
    write_json(folder / "runs" / f"{made.RUN}.json", run)
    for label, name in run["models"].items():
        path = folder / "models" / f"{name}.parquet"
        pl.read_parquet(path).with_columns(model=pl.lit(label), fingerprint=pl.lit(label)).write_parquet(path)
    manifest = json.loads((folder / "manifest.json").read_text())
    kept = manifest["runs"][made.RUN]
    kept["configuration"] = dict.fromkeys(LABELS, LABELS[0]) | {"corpus": LABELS[1]}
    kept["models"] = {label: {"spec": label} for label in LABELS}
    kept["versions"] = {"mematlas": '0"; touch broken #', LABELS[2]: LABELS[3]}
    kept["timings"] = {LABELS[4]: {LABELS[5]: LABELS[6]}}
    write_json(folder / "manifest.json", manifest)


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_runs_nothing_and_asks_for_nothing(browser, page, width):  # noqa: F811
    console, asked = open_page(browser, page, width)
    assert console == []
    assert asked == [page.as_uri()]
    assert browser.execute_script("return document.scripts.length") == 4
    for kind in ("img:not(.still)", "iframe", "link", "base", "object", "embed", "[onload]", "[onerror]"):
        assert not browser.find_elements("css selector", kind), kind
    links = browser.find_elements("css selector", "a[href]")
    hrefs = browser.execute_script("return arguments[0].map((link) => link.getAttribute('href'))", links)
    assert all(href.startswith(("#", "data:image/svg+xml,")) for href in hrefs)
    assert len(browser.find_elements("css selector", ".live > svg, .live svg.marks")) == len(made.ALL) - 1


@pytest.mark.browser
def test_pointing_and_pressing_anywhere_runs_nothing(browser, page):  # noqa: F811
    open_page(browser, page, 1280)
    browser.execute_script("""
        for (const part of document.querySelectorAll("*")) {
          for (const kind of ["pointerover", "mouseover", "mousemove", "focus"])
            part.dispatchEvent(new MouseEvent(kind, {bubbles: true}));
          if (!part.matches("a[download]")) part.dispatchEvent(new MouseEvent("click", {bubbles: true}));
        }""")
    assert browser.execute_script("return window.broken") is None
    assert browser.current_url.split("#")[0] == page.as_uri()


@pytest.mark.browser
def test_what_it_holds_is_read_as_text(browser, page):  # noqa: F811
    open_page(browser, page, 1280)
    text = browser.execute_script("return document.querySelector('main').textContent")
    for at in (0, 1, 2, 4, 5, 6, 12, 13, 14):
        assert text.count(LABELS[at]) > 10, LABELS[at]
    assert "49}" not in text
    tokens = browser.execute_script("return [...document.querySelectorAll('.tokens span')].map((s) => s.textContent)")
    assert LABELS[0] in tokens
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", text.replace("\t", ""))


@pytest.mark.browser
def test_a_tooltip_shows_markup_as_text(browser, page):  # noqa: F811
    from selenium.webdriver.common.action_chains import ActionChains

    open_page(browser, page, 1280)
    bar = browser.find_element("css selector", "#forecast .live path[aria-roledescription='bar'], #forecast .live path")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", bar)
    for mark in browser.find_elements("css selector", "#forecast .live g.mark-rect path")[:3]:
        ActionChains(browser).move_to_element(mark).perform()
    shown = browser.execute_script("return document.querySelector('#vg-tooltip-element')?.textContent")
    assert shown is not None
    assert "window.broken=" in shown
    assert browser.execute_script("return window.broken") is None


@pytest.mark.browser
def test_a_picture_opened_alone_runs_nothing(browser, page):  # noqa: F811
    pictures = sorted(pictures_folder(page).glob("*.svg"))
    assert len(pictures) == len(made.ALL) - 1
    for picture in pictures:
        browser.get_log("browser"), browser.get_log("performance")
        browser.get(picture.as_uri())
        assert browser.execute_script("return window.broken") is None
        assert browser.execute_script("return document.querySelectorAll('script, image, a, foreignObject').length") == 0
        assert browser.execute_script("return document.documentElement.nodeName") == "svg"
        assert browser.get_log("browser") == []
        events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
        asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        assert asked == [picture.as_uri()]


def test_pictures_are_whole_xml_without_scripts(page):
    pictures = sorted(pictures_folder(page).glob("*.svg"))
    assert {path.suffix for path in pictures_folder(page).iterdir()} == {".svg", ".png"}
    for picture in pictures:
        elements = list(ElementTree.parse(picture).iter())
        assert not {element.tag.rpartition("}")[2] for element in elements} & {"script", "image", "a", "foreignObject"}
        assert not [name for element in elements for name in element.attrib if name.lower().startswith("on")]
        assert "window.broken=" in "".join(element.text or "" for element in elements), picture


def test_commands_to_copy_hold_names_as_one_word(page):
    text = page.read_text(encoding="utf-8")
    assert "touch broken" in text
    assert "pip install &#39;mematlas[hf,report]==0&#34;; touch broken #&#39;" in text


TABLE = Table(
    f"t {PAYLOADS[0]}",
    "A title\nof two lines",
    pl.DataFrame({"model": list(PAYLOADS), "share": [-0.5] * len(PAYLOADS)}),
    {"model": "label\nof it", "share": "of rows"},
)


def test_csv_holds_what_the_study_holds():
    """A cell that a spreadsheet would take for a formula stays as it is: CSV is for programs, and text is data."""
    lines = list(csv.reader(io.StringIO(as_csv(TABLE), newline="")))
    assert lines == [["model", "share"], *([payload, "-0.5"] for payload in PAYLOADS)]


def test_latex_holds_nothing_that_latex_obeys():
    text = latex(TABLE)
    lines = text.splitlines()
    begin = next(at for at, line in enumerate(lines) if line.startswith(r"\begin{tabular}"))
    assert all(line.startswith("%") for line in lines[:begin])
    assert lines[0] == "% A title of two lines"
    body = lines[begin + 4 : -2]
    assert len(body) == len(PAYLOADS)
    for line in body:
        cell = line.removesuffix(r" & -0.5 \\")
        assert cell != line
        known = r"\\(textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar)\{\}|\\[&%$#_{}]|\{\[\}"
        assert not re.search(r"[\\%$#_^~&{}<>|]", re.sub(known, "", cell)), line
        assert cell.isprintable()
        assert not cell.startswith(("[", "*"))  # after \\ they would be arguments
