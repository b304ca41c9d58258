"""The page as a file: complete, self-contained, and safe against the content of models and corpora."""

import gzip
import re
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser

import polars as pl
import pytest

pytest.importorskip("altair")

from mematlas.cli import run as command
from mematlas.display import show_invisible
from mematlas.errors import StudyError
from mematlas.findings.finding import Finding, Trend, read_findings
from mematlas.literature.published import TRENDS
from mematlas.report.document import strongest_findings
from mematlas.report.gallery import read_gallery
from mematlas.report.page import write_report
from mematlas.report.published_trends import verdicts
from mematlas.report.wording import rich_text, sentence
from tests.report import sample_findings as sample

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Elements(HTMLParser):
    """Every element with its attributes; end tags out of order; elements never closed; the text outside of scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.broken, self.texts = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.broken.append(tag)

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("script", "style"):
            self.texts.append(data)


@pytest.fixture(scope="module")
def text(report):
    return report.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def elements(text):
    return Elements(text)


def test_the_page_is_well_formed(text, elements):
    assert text.startswith("<!DOCTYPE html>")
    assert elements.broken == []
    assert elements.open == []
    names = [attributes["id"] for _, attributes in elements.elements if "id" in attributes]
    assert len(names) == len(set(names))


def test_the_page_loads_nothing(elements, text):
    addresses = [
        value
        for _, attributes in elements.elements
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action", "data") and value
    ]
    assert addresses
    assert all(value.startswith(("#", "data:image/svg+xml,")) for value in addresses)
    policy = next(a["content"] for _, a in elements.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;")
    styles = re.search(r"<style>.*?</style>", text, re.S)[0]
    assert "url(" not in styles
    assert "@import" not in styles


def test_the_page_is_small(report):
    assert report.stat().st_size < 2_000_000


def test_every_finding_has_a_section_with_its_parts(elements, text):
    sections = {a["id"] for tag, a in elements.elements if tag == "section"}
    assert sections == {f.name for f in sample.all_findings()} | {
        "summary", "settings", "trends", "gallery", "run-provenance", "reproduce"
    }  # fmt: skip
    words = "".join(elements.texts)
    for part in ("One seed.", "The paper has sizes from 70M.", "meaning of share", "answer = 1", "k = 16, 32 tokens"):
        assert part in words
    assert len([tag for tag, _ in elements.elements if tag == "figure"]) == 8


def test_figures_have_alternative_texts_and_tables_have_captions(elements):
    images = [a for tag, a in elements.elements if tag == "img"]
    charts = [a for tag, a in elements.elements if "data-chart" in a]
    assert len(images) == len(charts) == 8
    assert all(len(picture["alt"]) > 20 for picture in images)
    assert all(chart["role"] == "img" and len(chart["aria-label"]) > 20 for chart in charts)
    assert (
        sum(tag == "caption" for tag, _ in elements.elements) == sum(tag == "table" for tag, _ in elements.elements) > 0
    )
    assert all(attributes["scope"] in ("col", "row") for tag, attributes in elements.elements if tag == "th")


def test_nothing_from_models_or_corpora_is_markup(text, elements):
    assert sample.HOSTILE not in text
    assert not [a for _, a in elements.elements if "onerror" in a]
    assert "".join(elements.texts).count("alert('x')") >= 4
    data = re.search(r'<script type="text/plain" id="data">([A-Za-z0-9+/=]*)</script>', text)[1]
    assert "alert('x')" in gzip.decompress(b64decode(data)).decode()
    assert sum(tag == "script" for tag, _ in elements.elements) == 3


def test_the_strongest_findings_come_first():
    findings = sample.all_findings()
    assert [finding.name for finding in strongest_findings(findings)] == ["size", "forecast", "distribution"]
    twice = [replace(findings[0], strength=50.0), *findings]
    assert [finding.name for finding in strongest_findings(twice)] == ["size", "forecast", "distribution"]
    assert strongest_findings([sample.lacking(), sample.points()]) == []


def test_trends_are_shown_with_their_verdict():
    shown = verdicts([sample.finding("size", pl.DataFrame({"a": [1]}), None, trends=()), *sample.all_findings()])
    first = shown[0]
    assert (first.verdict, first.sign, first.finding) == ("shows", "✓", "size")
    assert first.published is TRENDS["recited-rows-grow-with-size"]
    assert [verdict.verdict for verdict in shown].count("shows") == 1
    assert {verdict.published.statement for verdict in shown} == {trend.statement for trend in TRENDS.values()}
    untested = verdicts([replace(sample.lines(), name="nothing")])
    assert any("mematlas analyze STUDY --only size" in verdict.test for verdict in untested)
    assert {verdict.published.analysis for verdict in shown if verdict.is_analyzed} == {
        finding.name for finding in sample.all_findings()
    } & {trend.analysis for trend in TRENDS.values()}
    contradicted = verdicts(
        [replace(sample.lines(), trends=(Trend("recited-rows-grow-with-size", "contradicts", "t"),))]
    )
    assert contradicted[0].sign == "✗"


def test_the_page_says_how_to_reproduce_the_numbers(elements):
    words = "".join(elements.texts)
    assert "mematlas analyze " in words
    assert "--context 16 \\\n  --context 32" in words
    assert "--settle" not in words
    assert "17378f62" in words


def test_gallery_tokens_carry_hit_and_probability(text):
    assert '<span class="miss" style="--p:0%" title="log p = -6.00 (p = 0.2 %)">⏎\n</span>' in text
    assert '<span class="hit" style="--p:99%"' in text
    assert "\u202e" not in text
    assert show_invisible(["\u202ea\x00\t\n"]) == "\ufffda\u2400⇥\t⏎\n"


def test_a_study_without_a_gallery_says_how_to_get_one(tmp_path):
    page = write_report(sample.study(tmp_path, [sample.lines()], gallery=False))
    assert "This run has no gallery yet" in page.read_text()


def test_a_damaged_gallery_is_one_line(tmp_path):
    (tmp_path / "gallery").mkdir()
    sample.gallery_frame().drop("hit").write_parquet(tmp_path / "gallery" / "gallery.parquet")
    with pytest.raises(StudyError, match=r"gallery\.parquet is damaged .*hit"):
        read_gallery(tmp_path, sample.RUN)


def test_the_gallery_of_another_run_is_not_shown(tmp_path):
    (tmp_path / "gallery").mkdir()
    path = tmp_path / "gallery" / "gallery.parquet"
    sample.gallery_frame().write_parquet(path, metadata={"mematlas.run": "another"})
    assert read_gallery(tmp_path, sample.RUN) is None
    assert len(read_gallery(tmp_path, "another")) == 2


def test_a_study_without_findings_says_what_to_run(tmp_path, capsys):
    sample.study(tmp_path, [])
    assert command(["report", str(tmp_path)]) == 1
    assert "run `mematlas analyze" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


def test_the_command_writes_page_and_pictures(tmp_path, capsys):
    sample.study(tmp_path / "s", [sample.points()])
    assert command(["report", str(tmp_path / "s"), "--out", str(tmp_path / "page.html"), "--format", "svg,PNG"]) == 0
    assert {path.name for path in (tmp_path / "page-figures").iterdir()} == {"scaling-slopes.svg", "scaling-slopes.png"}
    assert "page.html" in capsys.readouterr().out
    assert command(["report", str(tmp_path / "s"), "--format", "gif"]) == 2
    assert "'gif' is not one of png, svg, pdf" in capsys.readouterr().err


def test_a_finding_without_anything_but_a_claim_has_a_page(tmp_path):
    bare = Finding("bare", "Bare", "Nothing is known.", "ours", sample.lines().taxonomy)
    page = write_report(sample.study(tmp_path, [bare], gallery=False)).read_text()
    assert "No finding of this study measures an effect" in page
    assert "None: nothing shows what chance alone would give." in page


def test_a_chart_without_values_says_so(tmp_path):
    frame = sample.bars().table("numbers").with_columns(share=pl.lit(None, pl.Float64))
    page = write_report(
        sample.study(tmp_path, [sample.finding("empty", frame, sample.bars().charts[0])], gallery=False)
    )
    assert "Nothing to draw: no value of this chart was measured." in page.read_text()


def test_findings_come_in_the_order_of_the_index_else_by_name(tmp_path):
    sample.study(tmp_path, [sample.steps(), sample.lines(), sample.bars()], gallery=False)
    assert [finding.name for finding in read_findings(tmp_path, sample.RUN)] == ["distribution", "forecast", "size"]
    sample.index(tmp_path, ["size", "forecast"])
    assert [finding.name for finding in read_findings(tmp_path, sample.RUN)] == ["size", "forecast"]
    (tmp_path / "findings" / sample.RUN / "index.json").write_text("[")
    with pytest.raises(StudyError, match=r"index\.json is damaged"):
        read_findings(tmp_path, sample.RUN)
    assert read_findings(tmp_path, "other") == []


def test_backticks_are_code_and_the_rest_is_escaped():
    assert rich_text("run `a <b>` & go") == "run <code>a &lt;b&gt;</code> &amp; go"


def test_a_clause_becomes_a_sentence_but_a_name_stays_as_it_is():
    assert sentence("memorized share 1.5 %") == "Memorized share 1.5 %."
    assert sentence("neox-1.8m memorizes all.") == "neox-1.8m memorizes all."


def test_the_papers_behind_the_letters_are_named(report):
    text = report.read_text(encoding="utf-8")
    assert (
        "<dt>P1</dt><dd>Chen, Han, Miyao: A Multi-Perspective Analysis of Memorization in LLMs. arXiv 2405.11577"
        in text
    )
    assert "<dt>P6</dt>" not in text
