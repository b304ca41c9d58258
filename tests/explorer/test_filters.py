"""Filters and sorting give the rows that a plain loop over all records gives; what is no typed value is refused."""

import random
from itertools import islice

import polars as pl
import pytest

from mematlas.explorer.table import COLUMNS
from tests.explorer.asking import ask, refusal

NUMBERS = ("row", "document", "repetitions", "copies", "matches", "verbatim", "margin", "change", "risk")
CHOICES = ("role", "source", "kind", "level")
VIEW = {"model": "s3", "context": 32, "continuation": 32, "compare": "s4"}


@pytest.fixture(scope="module")
def plain(full):
    """All lines of VIEW as dictionaries in the order of the table of rows, computed from the study's tables alone."""
    study = full.lines.study
    cell = {"context": 32, "continuation": 32}
    scores = {
        model: {record["row"]: record for record in study.scores().filter(model=model, **cell).iter_rows(named=True)}
        for model in ("s3", "s4")
    }
    copies, texts = ({r["row"]: r for r in study.features(k).filter(**cell).to_dicts()} for k in ("copies", "texts"))
    own = {"model": "s3", "tested": "s3", "sees": "context", "method": "predictor"}
    risks: dict[int, list[float]] = {}
    for row, values in study.scan_predictions().filter(**own).select("row", "probability").collect().iter_rows():
        risks.setdefault(row, []).append(sum(values[:32]) / 32)
    lines = []
    for record in study.rows().iter_rows(named=True):
        row = record["row"]
        score, other, text = scores["s3"].get(row, {}), scores["s4"].get(row, {}), texts[row]
        matches = score.get("matches")
        kind = "repeating" if text["repeating"] else "incrementing" if text["incrementing"] else "other"
        names = ("very low", "low", "medium", "high", "very high")
        change = None if matches is None or other.get("matches") is None else (other["matches"] - matches) / 32
        risk = sum(risks[row]) / len(risks[row]) if row in risks else None
        line = record | {"copies": copies[row]["window_rows"], "kind": kind, "matches": matches, "change": change}
        line |= {"verbatim": score.get("verbatim"), "margin": score.get("margin"), "risk": risk}
        lines.append(line | {"level": None if matches is None else names[min(4, 5 * matches // 32)]})
    assert {line["matches"] is None for line in lines} == {True, False}
    assert {line["risk"] is None for line in lines} == {True, False}
    return lines


def naive(lines, bounds, choices, sort, descending):
    """Row ids, by a loop and Python's own sort, which is stable."""

    def passes(line):
        for name, (low, high) in bounds.items():
            value = line[name]
            if value is None or (low is not None and value < low) or (high is not None and value > high):
                return False
        return all(line[name] in values for name, values in choices.items())

    kept = [line for line in lines if passes(line)]
    if sort:
        known = [line for line in kept if line[sort] is not None]
        order = {name: rank for rank, name in enumerate(("very low", "low", "medium", "high", "very high"))}
        order |= {name: rank for rank, name in enumerate(("repeating", "incrementing", "other"))}
        order |= {"train": 0, "control": 1}
        known.sort(key=lambda line: order.get(line[sort], line[sort]), reverse=False)
        if descending:  # equal ones stay in the order of the table
            values = list(dict.fromkeys(line[sort] for line in known))[::-1]
            known = [line for value in values for line in known if line[sort] == value]
        kept = known + [line for line in kept if line[sort] is None]
    return [line["row"] for line in kept]


def random_queries(lines, seed=0):
    """Bounds, choices, a field to sort by, and its direction."""
    rng = random.Random(seed)
    while True:
        bounds, choices = {}, {}
        for name in rng.sample(NUMBERS, rng.choice((0, 1, 1, 2))):
            values = sorted(line[name] for line in lines if line[name] is not None)
            low, high = sorted(rng.choices(values, k=2))
            if name == "risk":  # a mean, whose last digit is not that of the loop's
                low, high = low - 1e-4, high + 1e-4
            bounds[name] = rng.choice(((low, None), (None, high), (low, high), (low, low)))
        for name in rng.sample(CHOICES, rng.choice((0, 0, 1, 2))):
            values = sorted({line[name] for line in lines if line[name] is not None})
            choices[name] = rng.sample(values, rng.randint(1, len(values)))
        yield bounds, choices, rng.choice((None, *NUMBERS[:-1], *CHOICES)), rng.random() < 0.5


def parameters(bounds, choices, sort, descending):
    given = {f"{name}_min": low for name, (low, _) in bounds.items() if low is not None}
    given |= {f"{name}_max": high for name, (_, high) in bounds.items() if high is not None}
    return given | choices | ({"sort": sort, "descending": int(descending)} if sort else {})


def test_filters_and_order_are_those_of_a_plain_loop(full, plain):
    selected = 0
    for query in islice(random_queries(plain), 150):
        expected = naive(plain, *query)
        answer = ask(full, "/api/rows", **VIEW, limit=1000, **parameters(*query))
        assert [row["row"] for row in answer["rows"]] == expected, query
        assert answer["total"] == len(expected)
        selected += 0 < len(expected) < len(plain)
    assert selected > 50


def test_a_wrong_bound_would_be_seen(full, plain):
    """The control: an exclusive bound selects other rows."""
    value = sorted(line["matches"] for line in plain if line["matches"] is not None)[50]
    expected = naive(plain, {"matches": (value + 1, None)}, {}, None, False)
    assert [row["row"] for row in ask(full, "/api/rows", **VIEW, limit=1000, matches_min=value)["rows"]] != expected


def test_the_filter_is_the_polars_query(full):
    """The lines that the page shows for Python select the same rows."""
    note = ask(full, "/api/study")["polars_note"]
    names = {}
    exec("import mematlas\n" + note.replace("\nlines.filter", "\nfound = lines.filter"), names)
    view = ask(full, "/api/study")["default"]
    ours = ask(full, "/api/rows", **view, matches_min=20, copies_max=4, limit=1000)
    copies = full.lines.study.features("copies").filter(context=view["context"], continuation=view["continuation"])
    few = copies.filter(pl.col("window_rows") <= 4)["row"]
    theirs = names["found"].filter(pl.col("matches") >= 20, pl.col("row").is_in(few.implode()))
    assert sorted(row["row"] for row in ours["rows"]) == sorted(theirs["row"])
    assert ours["total"] > 5


def test_pages_are_parts_of_the_whole(full):
    query = {**VIEW, "sort": "matches", "descending": 1}
    whole = ask(full, "/api/rows", **query, limit=1000)["rows"]
    pages = [ask(full, "/api/rows", **query, limit=17, offset=offset)["rows"] for offset in range(0, len(whole), 17)]
    assert [row for page in pages for row in page] == whole
    assert ask(full, "/api/rows", **query, offset=10**9)["rows"] == []


def test_the_values_of_a_page_are_those_of_the_study(full, plain):
    by_row = {line["row"]: line for line in plain}
    for record in ask(full, "/api/rows", **VIEW, limit=1000)["rows"]:
        line = by_row[record["row"]]
        for name in (*CHOICES, *NUMBERS):
            if name != "risk":
                assert record[name] == line[name], (name, record["row"])
        assert record["risk"] == (None if line["risk"] is None else pytest.approx(line["risk"], rel=1e-5))
        assert record["m"] == (None if line["matches"] is None else line["matches"] / 32)
        assert set(record) == {*COLUMNS, "context_text", "true_text"}


def test_a_shown_number_with_decimals_selects_its_row(full):
    first = ask(full, "/api/rows", **VIEW, sort="risk", limit=1)["rows"][0]
    for name in ("margin", "risk", "change"):
        same = ask(full, "/api/rows", **VIEW, limit=1000, **{f"{name}_min": first[name], f"{name}_max": first[name]})
        assert first["row"] in [row["row"] for row in same["rows"]], name


def test_the_strip_plot_counts_the_selected_rows(full, plain):
    strip = ask(full, "/api/strip", **VIEW, repetitions_min=4)
    kept = [line["matches"] for line in plain if (line["repetitions"] or 0) >= 4]
    counts = {each["matches"]: each["n"] for each in strip["bins"]}
    assert list(counts)[:33] == list(range(33))
    assert counts == {n: kept.count(n) for n in range(33)} | {None: kept.count(None)}
    assert (strip["by"], strip["continuation"]) == ("matches", 32)


REFUSED = [
    ({"matches": 3}, "No filter is called 'matches'. See /api/study."),
    ({"matches_mim": 3}, "No filter is called 'matches_mim'. Did you mean 'matches_min'?"),
    ({"expression": "pl.col('row')"}, "No filter is called 'expression'."),
    ({"matches_min": "3; drop"}, "matches_min: '3; drop' is not a whole number of 64 bits."),
    ({"matches_min": "1.5"}, "matches_min: '1.5' is not a whole number"),
    ({"matches_min": "٣"}, "is not a whole number"),
    ({"row_max": 2**63}, "is not a whole number of 64 bits"),
    ({"margin_min": "nan"}, "margin_min: 'nan' is not a number."),
    ({"margin_min": "inf"}, "margin_min: 'inf' is not a number."),
    ({"level": "enormous"}, "level: 'enormous' is not one of very low, low,"),
    ({"role": ["train", "nobody"]}, "role: 'nobody' is not one of train, control."),
    ({"model": "s9"}, "model: the study has no model 's9'."),
    ({"compare": "s9"}, "compare: the study has no model 's9'."),
    ({"model": ["s1", "s3"]}, "model is given 2 times; give it once."),
    ({"context": 33}, "context 33 was not scored; give one of 16, 32."),
    ({"sort": "m; row"}, "sort: no field is called 'm; row'."),
    ({"descending": 2}, "descending: '2' is not a whole number from 0 to 1."),
    ({"limit": 0}, "limit: '0' is not a whole number from 1 to 1000."),
    ({"limit": 1001}, "limit: '1001' is not a whole number from 1 to 1000."),
    ({"offset": -1}, "offset: '-1' is not a whole number from 0"),
    ({"change_min": 0.5}, "change needs a second model; name it with compare=MODEL."),
    ({"sort": "change"}, "change needs a second model"),
    ({"search": "a" * 1001}, "search has 1001 characters; give at most 1000."),
]


@pytest.mark.parametrize(("given", "error"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_is_no_value_of_a_field_is_refused_in_one_line(full, given, error):
    text = refusal(full, "/api/rows", **given)
    assert error in text
    assert "\n" not in text


@pytest.mark.parametrize("query", ["matches_min", "a=1&b", "role=%ff", "&".join(["role=train"] * 5 + ["=3"])])
def test_an_address_that_cannot_be_read_is_refused(full, query):
    assert full.answer("/api/rows", query).status == 400


def test_an_empty_value_filters_nothing(full):
    total = ask(full, "/api/rows")["total"]
    assert ask(full, "/api/rows", matches_min="", role="", search="", sort="", compare="")["total"] == total
