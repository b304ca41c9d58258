"""What a reader sees before unfolding anything is short: a test over the text of a page with every analysis."""

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import pytest

pytest.importorskip("altair")

from mematlas.analyses import ANALYSES
from mematlas.report import figures
from mematlas.report.page import write_report
from mematlas.report.wording import MAX_WORDS, headline, rich_text, short_sentence, word_count
from tests.analyses.synthetic_tables import tables, with_features
from tests.report import sample_findings as sample
from tests.report.test_page import VOID

_INLINE = {"a", "abbr", "code", "label", "option", "select", "span", "strong"}
#: Parts that are not prose of ours: rows of the corpus, commands, pictures, and the page's machinery.
_SKIPPED = {"pre", "code", "script", "style", "svg"}
_ROWS = {"prompt", "tokens"}
CELLS = ((16, 16), (16, 32), (32, 16), (32, 32))


class VisibleText(HTMLParser):
    """The text of each block of a page that is not folded away, without rows of the corpus and code."""

    def __init__(self, text):
        super().__init__()
        self.blocks, self.open = [""], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        classes = set((dict(attrs).get("class") or "").split())
        hidden = bool(self.open and self.open[-1][1])
        folded = tag == "details" or (hidden and self.open[-1][0] == "details" and tag != "summary")
        in_summary = tag == "summary" and not any(each == "skip" for _, each in self.open)
        skip = "skip" if tag in _SKIPPED or classes & _ROWS or (hidden and self.open[-1][1] == "skip") else None
        state = skip or ("" if in_summary else "folded" if folded or hidden else "")
        if tag not in VOID:
            self.open.append((tag, state))
        if tag not in _INLINE:
            self.blocks.append("")

    def handle_endtag(self, tag):
        self.open.pop()
        if tag not in _INLINE:
            self.blocks.append("")

    def handle_data(self, data):
        if self.open and not self.open[-1][1]:
            self.blocks[-1] += data


def sentences(page):
    blocks = [re.sub(r"\s+", " ", block).strip() for block in VisibleText(page).blocks]
    return [sentence for block in blocks for sentence in re.split(r"(?<=[.!?])\s+", block) if sentence]


def full_findings():
    """The findings of every analysis of a small family with control rows, repetitions and features."""
    rows, models = 60, ("neox-0.14m-step-000765", "neox-0.67m-step-000765", "neox-1.84m-step-000765")
    matches = {
        model: {
            (context, length): [length if row < 12 * (at + 1) else (row * 7 + at) % length for row in range(rows)]
            for context, length in CELLS
        }
        for at, model in enumerate(models)
    }
    roles, repetitions = ["train"] * 45 + ["control"] * 15, [2 ** (row % 5) for row in range(45)] + [0] * 15
    study = with_features(tables(matches, roles=roles, repetitions=repetitions))
    return [ANALYSES.load(name).find(study) for name in ANALYSES]


def test_no_sentence_that_is_seen_at_first_is_long(tmp_path, monkeypatch):
    """Every second finding is one of an older version, with neither headline nor sentence."""
    monkeypatch.setattr(figures, "draw", lambda *_: None)  # captions are words, too; what is drawn is not
    findings = full_findings()
    findings[::2] = [replace(finding, headline="", sentence="") for finding in findings[::2]]
    page = write_report(sample.study(tmp_path, findings)).read_text(encoding="utf-8")
    seen = sentences(page)
    assert len(seen) > 60
    assert [sentence for sentence in seen if word_count(sentence) > MAX_WORDS] == []
    shown = [headline(each) for each in findings if each.missing is None]
    assert [words for words in shown if words not in unescape(page)] == []


def test_the_test_sees_long_sentences_and_folds():
    long = "word " * 30
    assert max(map(word_count, sentences(f"<p>{long}</p>"))) == 30
    assert max(map(word_count, sentences(f"<p>One. {long}</p><p>two</p>"))) == 30
    assert sentences(f"<details><summary>All</summary><p>{long}</p></details><p>Seen.</p>") == ["All", "Seen."]
    assert sentences(f"<p class='prompt'>{long}</p><svg><text>{long}</text></svg><pre><code>{long}</code></pre>") == []
    assert sentences("<p>At 3.5 % of <a>rows</a>. Then more.</p>") == ["At 3.5 % of rows.", "Then more."]


def test_an_older_finding_shows_its_claim_only_if_it_is_short():
    short = sample.lines()
    assert headline(short) == "Size"
    assert short_sentence(short) == short.claim
    assert short_sentence(replace(short, claim="word " * 26)) == ""
    newer = replace(short, headline="Larger models recite more", sentence="It is 12 %.")
    assert (headline(newer), short_sentence(newer)) == ("Larger models recite more", "It is 12 %.")


def test_papers_are_explained_where_they_are_named():
    assert rich_text("see P1, Figure 2") == (
        'see <abbr title="Chen, Han, Miyao: A Multi-Perspective Analysis of Memorization in LLMs. arXiv 2405.11577">P1'
        "</abbr>, Figure 2"
    )
    assert rich_text("`P1` and XP1 and P99 and &P") == "<code>P1</code> and XP1 and P99 and &amp;P"
