"""A report of a study whose every name and text tries to break out of the page: nothing runs, all of it is text.

Each payload would set `window.broken` or request an address; neither happens, on the page or in its image files.
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
from tests.report import sample_findings as sample
from tests.report.test_browser import open_page

EXTERNAL_URL = "http://127.0.0.1:9/asked"
PAYLOADS = (
    "<script>window.broken='script'</script>",
    "</script></style></title></textarea><script>window.broken='closed'</script>",
    "\"><img src=x onerror=\"window.broken='img'\">",
    "'><svg/onload=window.broken='svg'><animate onbegin=window.broken='animate' attributeName=x dur=1s>",
    "<a href=\"javascript:window.broken='link'\">javascript:window.broken='link'</a>",
    f"<link rel=stylesheet href={EXTERNAL_URL}><iframe src={EXTERNAL_URL}></iframe><img src={EXTERNAL_URL}>",
    f"<meta http-equiv=refresh content='0;url={EXTERNAL_URL}'><base href={EXTERNAL_URL}>",
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


def hostile(finding, number):
    """A finding of a chart shape with hostile words and with hostile names in its text columns."""
    replacements = dict(zip(sample.MODELS, LABELS, strict=False)) | dict(zip(sample.LEVELS, LABELS[4:], strict=False))
    replacements |= dict(zip(("model size", "repetitions of the row", "precision", "recall"), LABELS[9:], strict=False))

    def hostile_table(table):
        text_columns = [name for name, dtype in table.frame.schema.items() if dtype == pl.String]
        frame = table.frame.with_columns(pl.col(text_columns).replace(replacements))
        meanings = {name: LABELS[number % len(LABELS)] for name in table.columns}
        return Table(table.name, f"Title {LABELS[0]}", frame, meanings, "answer = 1  # " + PAYLOADS[0] + PAYLOADS[10])

    def hostile_chart(chart):
        axes = {name: getattr(chart, name) for name in ("x", "y", "color")}
        retitled = {name: replace(axis, title=LABELS[3]) for name, axis in axes.items() if axis is not None}
        reference = chart.reference and (chart.reference[0], LABELS[7])
        return replace(chart, title=LABELS[(number + 2) % len(LABELS)], reference=reference, **retitled)

    text = " ".join(LABELS)
    return replace(
        finding,
        title=f"Finding {LABELS[number]}",
        claim=f"It says {text}.",
        source=text,
        missing=None if finding.missing is None else text,
        control=text,
        tables=tuple(map(hostile_table, finding.tables)),
        charts=tuple(map(hostile_chart, finding.charts)),
        caveats=LABELS,
        deviations=LABELS,
        rows={7: LABELS[1], 300: LABELS[4]},
        trends=tuple(Trend(trend.trend, trend.verdict, text) for trend in finding.trends),
    )


def gallery():
    frame = sample.gallery_frame()
    rows = frame.select(
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
    return rows.select(frame.columns)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile") / "a study <b>"
    folder.mkdir()
    sample.study(folder, findings=[])
    for number, factory in enumerate(sample.ALL):
        finding = hostile(factory(), number)
        write_finding(findings_folder(folder, sample.RUN) / finding.name, finding)
    _hostile_manifest(folder)
    gallery().write_parquet(folder / "gallery" / "gallery.parquet")
    return write_report(open_study(folder), formats=("svg", "png"))


def _hostile_manifest(folder):
    """Labels of models, the corpus, options, versions and timings, as the study's files contain them."""
    run = json.loads((folder / "runs" / f"{sample.RUN}.json").read_text())
    run["models"] = dict(zip(LABELS, sample.MODELS, strict=False))
    run["question"] |= {name: " ".join(LABELS) + "\ud83d" for name in ("corpus", "control", "rows", "dtype")}
    write_json(folder / "runs" / f"{sample.RUN}.json", run)
    for label, name in run["models"].items():
        path = folder / "models" / f"{name}.parquet"
        pl.read_parquet(path).with_columns(model=pl.lit(label), fingerprint=pl.lit(label)).write_parquet(path)
    manifest = json.loads((folder / "manifest.json").read_text())
    recorded = manifest["runs"][sample.RUN]
    recorded["configuration"] = dict.fromkeys(LABELS, LABELS[0]) | {"corpus": LABELS[1]}
    recorded["models"] = {label: {"spec": label} for label in LABELS}
    recorded["versions"] = {"mematlas": '0"; touch broken #', LABELS[2]: LABELS[3]}
    recorded["timings"] = {LABELS[4]: {LABELS[5]: LABELS[6]}}
    write_json(folder / "manifest.json", manifest)


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_runs_nothing_and_requests_nothing(browser, page, width):
    console, requests = open_page(browser, page, width)
    assert console == []
    assert requests == [page.as_uri()]
    assert browser.execute_script("return document.scripts.length") == 4
    for kind in ("img:not(.static)", "iframe", "link", "base", "object", "embed", "[onload]", "[onerror]"):
        assert not browser.find_elements("css selector", kind), kind
    links = browser.find_elements("css selector", "a[href]")
    hrefs = browser.execute_script("return arguments[0].map((link) => link.getAttribute('href'))", links)
    assert all(href.startswith(("#", "data:image/svg+xml,")) for href in hrefs)
    assert (
        len(browser.find_elements("css selector", ".interactive > svg, .interactive svg.marks")) == len(sample.ALL) - 1
    )


@pytest.mark.browser
def test_pointing_and_pressing_anywhere_runs_nothing(browser, page):
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
def test_payloads_are_shown_as_text(browser, page):
    open_page(browser, page, 1280)
    text = browser.execute_script("return document.querySelector('main').textContent")
    for at in (0, 1, 2, 4, 5, 6, 12, 13, 14):
        assert text.count(LABELS[at]) > 10, LABELS[at]
    assert "49}" not in text
    tokens = browser.execute_script("return [...document.querySelectorAll('.tokens span')].map((s) => s.textContent)")
    assert LABELS[0] in tokens
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", text.replace("\t", ""))


@pytest.mark.browser
def test_a_tooltip_shows_markup_as_text(browser, page):
    from selenium.webdriver.common.action_chains import ActionChains

    open_page(browser, page, 1280)
    bar = browser.find_element(
        "css selector", "#forecast .interactive path[aria-roledescription='bar'], #forecast .interactive path"
    )
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", bar)
    for mark in browser.find_elements("css selector", "#forecast .interactive g.mark-rect path")[:3]:
        ActionChains(browser).move_to_element(mark).perform()
    shown = browser.execute_script("return document.querySelector('#vg-tooltip-element')?.textContent")
    assert shown is not None
    assert "window.broken=" in shown
    assert browser.execute_script("return window.broken") is None


@pytest.mark.browser
def test_an_image_opened_on_its_own_runs_nothing(browser, page):
    pictures = sorted(pictures_folder(page).glob("*.svg"))
    assert len(pictures) == len(sample.ALL) - 1
    for picture in pictures:
        browser.get_log("browser"), browser.get_log("performance")
        browser.get(picture.as_uri())
        assert browser.execute_script("return window.broken") is None
        assert browser.execute_script("return document.querySelectorAll('script, image, a, foreignObject').length") == 0
        assert browser.execute_script("return document.documentElement.nodeName") == "svg"
        assert browser.get_log("browser") == []
        events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
        requests = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        assert requests == [picture.as_uri()]


def test_images_are_well_formed_xml_without_scripts(page):
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


def test_csv_is_the_same_as_in_the_study():
    """A cell that a spreadsheet would evaluate as a formula is not changed: CSV is for programs, and text is data."""
    lines = list(csv.reader(io.StringIO(as_csv(TABLE), newline="")))
    assert lines == [["model", "share"], *([payload, "-0.5"] for payload in PAYLOADS)]


def test_latex_contains_no_commands():
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
        allowed = (
            r"\\(textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar)\{\}|\\[&%$#_{}]|\{\[\}"
        )
        assert not re.search(r"[\\%$#_^~&{}<>|]", re.sub(allowed, "", cell)), line
        assert cell.isprintable()
        assert not cell.startswith(("[", "*"))  # after \\ they would be arguments
