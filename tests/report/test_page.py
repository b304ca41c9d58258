"""The page as a file: whole, self-contained, and safe from what models and corpora hold."""

import gzip
import re
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser

import polars as pl
import pytest

pytest.importorskip("altair")

from mematlas.cli.commands import run as command
from mematlas.errors import StudyError
from mematlas.findings.finding import Finding, Trend, read_findings
from mematlas.literature.published import TRENDS
from mematlas.report.document import most_telling, prose, sentence
from mematlas.report.gallery import read_gallery, visible
from mematlas.report.page import write_report
from mematlas.report.published_trends import verdicts
from tests.report import sample_findings as made

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Elements(HTMLParser):
    """Every element with its attributes; whether all are closed in order; the text outside of scripts."""

    def __init__(self, text):
        super().__init__()
        self.found, self.open, self.broken, self.words = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.broken.append(tag)

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("script", "style"):
            self.words.append(data)


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
    names = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(names) == len(set(names))


def test_the_page_loads_nothing(elements, text):
    asked = [
        value
        for _, attributes in elements.found
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action", "data") and value
    ]
    assert asked
    assert all(value.startswith(("#", "data:image/svg+xml,")) for value in asked)
    policy = next(a["content"] for _, a in elements.found if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;")
    styles = re.search(r"<style>.*?</style>", text, re.S)[0]
    assert "url(" not in styles
    assert "@import" not in styles


def test_the_page_is_small(report):
    assert report.stat().st_size < 2_000_000


def test_every_finding_has_a_section_with_its_parts(elements, text):
    sections = {a["id"] for tag, a in elements.found if tag == "section"}
    assert sections == {f.name for f in made.all_findings()} | {
        "summary", "question", "trends", "gallery", "made", "reproduce"
    }  # fmt: skip
    words = "".join(elements.words)
    for part in ("One seed.", "The paper has sizes from 70M.", "meaning of share", "answer = 1", "k = 16, 32 tokens"):
        assert part in words
    assert len([tag for tag, _ in elements.found if tag == "figure"]) == 8


def test_pictures_have_words_and_tables_have_captions(elements):
    stills = [a for tag, a in elements.found if tag == "img"]
    lives = [a for tag, a in elements.found if "data-chart" in a]
    assert len(stills) == len(lives) == 8
    assert all(len(picture["alt"]) > 20 for picture in stills)
    assert all(chart["role"] == "img" and len(chart["aria-label"]) > 20 for chart in lives)
    assert sum(tag == "caption" for tag, _ in elements.found) == sum(tag == "table" for tag, _ in elements.found) > 0
    assert all(attributes["scope"] in ("col", "row") for tag, attributes in elements.found if tag == "th")


def test_nothing_from_models_or_corpora_is_markup(text, elements):
    assert made.HOSTILE not in text
    assert not [a for _, a in elements.found if "onerror" in a]
    assert "".join(elements.words).count("alert('x')") >= 4
    data = re.search(r'<script type="text/plain" id="data">([A-Za-z0-9+/=]*)</script>', text)[1]
    assert "alert('x')" in gzip.decompress(b64decode(data)).decode()
    assert sum(tag == "script" for tag, _ in elements.found) == 3


def test_the_most_telling_claims_come_first():
    findings = made.all_findings()
    assert [finding.name for finding in most_telling(findings)] == ["size", "forecast", "distribution"]
    twice = [replace(findings[0], strength=50.0), *findings]
    assert [finding.name for finding in most_telling(twice)] == ["size", "forecast", "distribution"]
    assert most_telling([made.lacking(), made.points()]) == []


def test_trends_are_told_with_their_verdict():
    found = verdicts([made.finding("size", pl.DataFrame({"a": [1]}), None, trends=()), *made.all_findings()])
    first = found[0]
    assert (first.verdict, first.sign, first.finding) == ("shows", "✓", "size")
    assert first.published is TRENDS["recited-rows-grow-with-size"]
    assert [one.verdict for one in found].count("shows") == 1
    assert {one.published.statement for one in found} == {trend.statement for trend in TRENDS.values()}
    silent = verdicts([replace(made.lines(), name="nothing")])
    assert any("mematlas analyze --only size" in one.test for one in silent)
    against = verdicts([replace(made.lines(), trends=(Trend("recited-rows-grow-with-size", "contradicts", "t"),))])
    assert against[0].sign == "✗"


def test_the_page_says_how_to_make_the_numbers_again(elements):
    words = "".join(elements.words)
    assert "mematlas analyze " in words
    assert "--context 16 \\\n  --context 32" in words
    assert "--settle" not in words
    assert "17378f62" in words


def test_gallery_tokens_carry_hit_and_probability(text):
    assert '<span class="miss" style="--p:0%" title="log p = -6.00 (p = 0.2 %)">⏎\n</span>' in text
    assert '<span class="hit" style="--p:99%"' in text
    assert "\u202e" not in text
    assert visible(["\u202ea\x00\t\n"]) == "\ufffda\u2400⇥\t⏎\n"


def test_a_study_without_a_gallery_says_how_to_get_one(tmp_path):
    page = write_report(made.study(tmp_path, [made.lines()], gallery=False))
    assert "This run has no gallery yet" in page.read_text()


def test_a_damaged_gallery_is_one_line(tmp_path):
    (tmp_path / "gallery").mkdir()
    made.gallery_frame().drop("hit").write_parquet(tmp_path / "gallery" / "gallery.parquet")
    with pytest.raises(StudyError, match=r"gallery\.parquet is damaged .*hit"):
        read_gallery(tmp_path, made.RUN)


def test_the_gallery_of_another_run_is_not_shown(tmp_path):
    (tmp_path / "gallery").mkdir()
    path = tmp_path / "gallery" / "gallery.parquet"
    made.gallery_frame().write_parquet(path, metadata={"mematlas.run": "another"})
    assert read_gallery(tmp_path, made.RUN) is None
    assert len(read_gallery(tmp_path, "another")) == 2


def test_a_study_without_findings_says_what_to_run(tmp_path, capsys):
    made.study(tmp_path, [])
    assert command(["report", str(tmp_path)]) == 1
    assert "run `mematlas analyze" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


def test_the_command_writes_page_and_pictures(tmp_path, capsys):
    made.study(tmp_path / "s", [made.points()])
    assert command(["report", str(tmp_path / "s"), "--out", str(tmp_path / "page.html"), "--format", "svg,PNG"]) == 0
    assert {path.name for path in (tmp_path / "page-figures").iterdir()} == {"scaling-slopes.svg", "scaling-slopes.png"}
    assert "page.html" in capsys.readouterr().out
    assert command(["report", str(tmp_path / "s"), "--format", "gif"]) == 1
    assert "'gif' is none of png, svg, pdf" in capsys.readouterr().err


def test_a_finding_without_anything_but_a_claim_has_a_page(tmp_path):
    bare = Finding("bare", "Bare", "Nothing is known.", "ours", made.lines().taxonomy)
    page = write_report(made.study(tmp_path, [bare], gallery=False)).read_text()
    assert "No finding of this study measures an effect" in page
    assert "None: this finding stands beside nothing" in page


def test_a_chart_without_values_says_so(tmp_path):
    frame = made.bars().table("numbers").with_columns(share=pl.lit(None, pl.Float64))
    page = write_report(made.study(tmp_path, [made.finding("empty", frame, made.bars().charts[0])], gallery=False))
    assert "Nothing to draw: no value of this chart was measured." in page.read_text()


def test_findings_come_in_the_order_of_the_index_else_by_name(tmp_path):
    made.study(tmp_path, [made.steps(), made.lines(), made.bars()], gallery=False)
    assert [found.name for found in read_findings(tmp_path, made.RUN)] == ["distribution", "forecast", "size"]
    made.index(tmp_path, ["size", "forecast"])
    assert [found.name for found in read_findings(tmp_path, made.RUN)] == ["size", "forecast"]
    (tmp_path / "findings" / made.RUN / "index.json").write_text("[")
    with pytest.raises(StudyError, match=r"index\.json is damaged"):
        read_findings(tmp_path, made.RUN)
    assert read_findings(tmp_path, "other") == []


def test_backticks_are_code_and_the_rest_is_escaped():
    assert prose("run `a <b>` & go") == "run <code>a &lt;b&gt;</code> &amp; go"


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
