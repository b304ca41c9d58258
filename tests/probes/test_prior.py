"""Continuations after other prompts: known answers of stand-ins, which prompts are drawn, and verdicts."""

import json

import numpy as np
import polars as pl
import pytest

import mematlas
from mematlas.cli import run
from mematlas.errors import OptionError
from mematlas.probes.prior.config import PriorConfig
from mematlas.probes.prior.finding import prior_findings
from mematlas.probes.prior.prefixes import _Pool, draw_prefixes
from mematlas.probes.prior.tables import CARRIED_BY_ONE, FEW_PREFIXES
from mematlas.probes.prior.verdicts import judged, thresholds, verdicts
from mematlas.probes.rows.opening import open_probe
from mematlas.progress import Silent

CONTEXT, CONTINUATION, V = 8, 4, 61
WIDTH = CONTEXT + CONTINUATION


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A parrot that knows 16 rows and says V - 1 after all it does not know: 10 rows that end so are generic."""
    folder = tmp_path_factory.mktemp("prior")
    rows = np.random.default_rng(0).integers(0, V - 1, (60, WIDTH))
    rows[0, 0] = V - 2  # so that V - 1 is what the parrot says
    rows[16:26, CONTEXT:] = V - 1
    np.save(folder / "rows.npy", rows)
    np.save(folder / "known.npy", rows[:16])
    np.save(folder / "control.npy", np.random.default_rng(1).integers(0, V - 1, (40, WIDTH)))
    return folder


def probe(folder, out, model="parrot:{}/known.npy", **options):
    asked = {
        "corpus": folder / "rows.npy", "control": folder / "control.npy", "context": CONTEXT,
        "continuation": CONTINUATION, "out": out, "prefixes": 12,
    }  # fmt: skip
    return mematlas.probe_prior(model.format(folder), **(asked | options))


@pytest.fixture(scope="module")
def result(folder, tmp_path_factory):
    return probe(folder, tmp_path_factory.mktemp("out"), ratio=20)


def test_memorized_and_generic_rows_are_told_apart(result):
    prior = result.table("prior")
    known, generic, rest = (prior.filter(control=False)[part] for part in (slice(0, 16), slice(16, 26), slice(26, 60)))
    assert known["log_probability"].min() > -1e-3
    assert known["log_ratio"].min() > 40
    assert generic["log_probability"].min() > -1e-3, "as probable as what is known by heart"
    assert generic["log_ratio"].max() < np.log(20)
    assert rest["log_probability"].max() < -40
    (finding,) = prior_findings(result)
    given = finding.table("verdicts").filter(threshold="given")
    corpus = given.filter(set="corpus").row(0, named=True)
    assert (corpus["extractable"], corpus["memorized"], corpus["generic"]) == (26, 16, 10)
    assert corpus["share"] == pytest.approx(10 / 26)
    assert corpus["share_lower"] < 10 / 26 < corpus["share_upper"]
    control = given.filter(set="control").row(0, named=True)
    assert (control["extractable"], control["share"]) == (0, None)


def test_shuffled_prompts_and_control_rows_have_no_ratio_to_speak_of(result):
    prior = result.table("prior")
    assert prior.filter(control=True)["log_ratio"].abs().max() < 1e-3
    known = prior.filter(control=False)[:16]
    assert known["shuffled_log_ratio"].max() < 1e-3, "after the prompt of another row nothing is known"
    ratios = prior_findings(result)[0].table("ratios")
    assert ratios["class"].to_list() == ["recited", "other", "control"]
    histogram = prior_findings(result)[0].table("histogram")
    assert histogram.group_by("kind").agg(pl.col("share").sum())["share"].to_list() == pytest.approx([1] * 4)


def test_a_model_without_memory_has_ratio_0_exactly(folder, tmp_path):
    prior = probe(folder, tmp_path, model=f"uniform:{V}").table("prior")
    assert set(prior["log_ratio"]) == set(prior["shuffled_log_ratio"]) == {0.0}
    assert set(prior["effective"]) == {12.0}
    np.testing.assert_allclose(prior["log_probability"], -CONTINUATION * np.log(V), rtol=1e-6)


def test_the_prior_of_a_markov_chain_equals_enumeration(folder, tmp_path):
    """All rows but the own one and the control's prompt are drawn, and their chances multiplied out."""
    rows = np.random.default_rng(3).integers(0, 4, (14, WIDTH))
    np.save(tmp_path / "chain.npy", rows)
    asked = {"corpus": tmp_path / "chain.npy", "control": None, "prefixes": 6}
    found = probe(folder, tmp_path / "out", model=f"ngram:{tmp_path / 'chain.npy'}:2", **asked)
    pairs = np.zeros((4, 4))
    np.add.at(pairs, (rows[:, :-1].ravel(), rows[:, 1:].ravel()), 1)
    chances = pairs / pairs.sum(axis=1, keepdims=True)
    config = PriorConfig(context=CONTEXT, continuation=CONTINUATION, **asked)
    opened = open_probe(f"uniform:{V}", config, Silent())
    prompts = np.stack(draw_prefixes(opened, opened.read(), 7))  # [rows, 7, C]
    ends = rows[:, CONTEXT:]
    start = chances[prompts[:, :6, -1], ends[:, None, 0]]
    rest = chances[ends[:, :-1], ends[:, 1:]].prod(axis=1)
    v = (start * rest[:, None]).mean(axis=1)
    table = found.table("prior")
    np.testing.assert_allclose(table["log_prior"], np.log(v), rtol=1e-5)
    own = np.log(chances[rows[:, CONTEXT - 1], ends[:, 0]] * rest)
    np.testing.assert_allclose(table["log_ratio"], own - np.log(v), atol=1e-5)
    assert (table["mean_log_ratio"] >= table["log_ratio"] - 1e-9).all()


def pool(**changes):
    """Row 0 asks; rows 1 to 9 may give a prompt."""
    arrays = {
        "tokens": np.arange(10 * WIDTH).reshape(10, WIDTH),
        "ids": np.arange(10),
        "clusters": np.arange(10),
        "document": np.full(10, -1),
        "source": np.full(10, -1),
    }
    return _Pool(**(arrays | changes), context=CONTEXT, asked=1)


def drawn(of, count):
    prompts = of.draw(0, count, [0, 0, 0])
    return (
        None if prompts is None else sorted(np.flatnonzero((of.tokens[:, :CONTEXT] == p).all(1))[-1] for p in prompts)
    )


def test_prompts_are_of_the_same_source_and_of_other_documents_and_no_copies():
    assert drawn(pool(), 9) == list(range(1, 10))
    assert drawn(pool(), 10) is None
    documents = np.array([5, 5, 5, 1, 2, 3, 4, 6, 7, -1])
    assert drawn(pool(document=documents), 7) == list(range(3, 10))
    sources = np.array([0, 0, 1, 1, 0, 0, -1, 1, 1, 1])
    assert drawn(pool(source=sources), 4) == [1, 4, 5, 6]
    files = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 4])  # each source is one document: prompts come from all others
    assert drawn(pool(source=files, document=files), 8) == list(range(2, 10))
    clusters = np.array([3, 1, 3, *range(4, 11)])
    assert 2 not in drawn(pool(clusters=clusters), 8)
    tokens = np.arange(10 * WIDTH).reshape(10, WIDTH)
    tokens[4, :CONTEXT] = tokens[0, :CONTEXT]
    assert 4 not in drawn(pool(tokens=tokens), 8)
    assert drawn(pool(), 3) == drawn(pool(), 3)


def test_too_few_prompts_are_null_with_a_reason(folder, tmp_path):
    found = probe(folder, tmp_path, prefixes=45)
    prior = found.table("prior")
    control = prior.filter(control=True)
    assert set(control["reason"]) == {FEW_PREFIXES}
    assert control["log_ratio"].null_count() == control["shuffled_log_ratio"].null_count() == 40
    assert prior.filter(control=False)["log_ratio"].null_count() == 0
    (finding,) = prior_findings(found)
    assert finding.table("thresholds")["reason"].to_list() == ["no control row has a ratio"]
    assert "name a --control, or give --ratio" in finding.missing
    assert finding.headline == "26 rows are extractable; without a control, none is judged"


def test_intervals_are_null_where_less_than_two_prompts_carry_the_mean(result):
    prior = result.table("prior")
    few = prior.filter(pl.col("effective") < 2)
    assert few.height
    assert set(few["reason"]) == {CARRIED_BY_ONE}
    assert few["log_ratio_lower"].null_count() == few["log_ratio_upper"].null_count() == few.height
    many = prior.filter(pl.col("effective") >= 2)
    assert many["log_ratio_lower"].null_count() == many["reason"].null_count() - many.height == 0


def test_thresholds_and_verdicts_by_hand():
    control = [{"class": "control", "log_probability": -9.0, "log_ratio": float(value)} for value in range(100)]
    corpus = [
        {"class": "recited", "log_probability": logs, "log_ratio": ratio}
        for logs, ratio in [(-1, 95), (-1, 94), (-7, 99), (-1, None), (-6.9, 2)]
    ]
    rows = pl.DataFrame([*control, *corpus]).with_row_index("cluster")
    found = thresholds(rows, 2.0)
    assert found["log_ratio"].to_list() == pytest.approx([94.05, np.log(2)])
    assert judged(rows, 0.001, 94.05).filter(pl.col("class") == "recited")["verdict"].to_list() == [
        "memorized", "generic", "not extractable", "generic",
    ]  # fmt: skip
    counted = verdicts(rows, 0.001, found).filter(set="recited")
    assert counted.select("threshold", "rows", "memorized", "generic").rows() == [
        ("control", 4, 1, 2),
        ("given", 4, 3, 0),
    ]
    few = thresholds(rows[90:], None)
    assert few["reason"].to_list() == ["20 control rows are needed, not 10"]


def test_numbers_do_not_depend_on_batch_order_or_other_rows(folder, result, tmp_path):
    np.savetxt(tmp_path / "ids.txt", [30, 3, 18], fmt="%d")
    few = (
        probe(folder, tmp_path / "out", rows=f"ids:{tmp_path / 'ids.txt'}", batch=3)
        .table("prior")
        .sort("control", "row")
    )
    expected = result.table("prior").filter(pl.col("control") | pl.col("row").is_in([3, 18, 30])).sort("control", "row")
    assert few.equals(expected)


def test_thresholds_are_read_anew_from_the_same_records(folder, result):
    again = probe(folder, result.folder.parent, ratio=3, probability=0.5)
    assert again.folder == result.folder
    (finding,) = prior_findings(again)
    assert finding.table("thresholds")["log_ratio"][1] == pytest.approx(np.log(3))


def test_the_command_writes_page_tables_and_card(folder, tmp_path, capsys):
    words = ["probe", "prior", f"parrot:{folder / 'known.npy'}", "--corpus", str(folder / "rows.npy")]
    words += ["--context", str(CONTEXT), "--continuation", str(CONTINUATION), "--out", str(tmp_path), "--quiet"]
    words += ["--prefixes", "6"]
    words += ["--control", str(folder / "control.npy"), "--ratio", "20"]
    assert run(words) == 0
    text = capsys.readouterr().out
    assert "of extractable rows are generic" in text
    (out,) = tmp_path.iterdir()
    page = (out / "prior.html").read_text()
    assert "Continuations after their own prompt, and after others" in page
    assert "A high ratio alone proves nothing" in page
    assert "**log_ratio**" in (out / "README.md").read_text()
    assert run([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["prior"]["verdicts"]


def test_headlines_are_short_with_and_without_control_and_extractable_rows(folder, result, tmp_path):
    alone = probe(folder, tmp_path, control=None)
    nothing = probe(folder, tmp_path, rows="slice:30:60")
    findings = [finding for found in (result, alone, nothing) for finding in prior_findings(found)]
    for finding in findings:
        assert len(finding.headline.split()) <= 12
        assert len(finding.sentence.split()) <= 25
    assert findings[2].headline == "No row of the corpus is extractable"
    assert [finding.control is None for finding in findings] == [False, True, False]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"prefixes": 1}, "--prefixes"), ({"probability": 1.0}, "--probability"), ({"ratio": 0.0}, "--ratio")],
)
def test_wrong_options_are_explained(folder, tmp_path, options, message):
    with pytest.raises(OptionError, match=message):
        probe(folder, tmp_path, **options)
