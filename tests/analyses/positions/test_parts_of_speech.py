"""R and R_mem by hand on a few tokens of known tags; mixed tokens are left out; a tagger of one tag is the control."""

from dataclasses import replace

import polars as pl
import pytest

from mematlas.analyses.positions.parts_of_speech import (
    ANALYSIS,
    parts_of_speech,
    positions_of,
    tokens_left_out,
)
from mematlas.study.schemas.features import POS_CLASSES
from tests.analyses.awkward_studies import smaller_study
from tests.analyses.synthetic_tables import with_features, with_signals, with_tags

NUM, PROPN, NOUN, VERB, ADJ, OTHER, MIXED, NO_WORD = range(len(POS_CLASSES))
#: Of two rows: true tags, tags of the named tokens, whether these are the true ones.
TRUE = [[NOUN, NOUN, VERB, MIXED, NUM], [NOUN, NOUN, VERB, VERB, NO_WORD]]
NAMED = [[None, NOUN, NOUN, NOUN, NUM], [None, NOUN, VERB, ADJ, NO_WORD]]
HIT = [[None, True, False, False, True], [None, False, True, False, True]]


def study(true=TRUE, named=NAMED, hit=HIT):
    """A study of one model whose training rows 0, 1 ... have these tags; nothing else is tagged."""
    tables = with_tags(with_signals(with_features(smaller_study(("s1",)))))
    model = tables.models["model"][0]
    rows = tables.rows.filter(pl.col("role") == "train").select("row").collect()["row"].to_list()[: len(true)]
    tags = [(None, row, values) for row, values in zip(rows, true, strict=True)]
    tags += [(model, row, values) for row, values in zip(rows, named, strict=True)]
    types = tables.features["tags"].collect_schema()
    frame = pl.DataFrame(tags, schema=types, orient="row").lazy()
    hits = dict(zip(rows, hit, strict=True))
    truth = tables.signals["truth"].collect()
    known = pl.Series("hit", [hits.get(row, []) for row in truth["row"]], pl.List(pl.Boolean))
    signals = {**tables.signals, "truth": truth.with_columns(known).lazy()}
    return replace(tables, features={**tables.features, "tags": frame}, signals=signals)


def by_tag(tables) -> dict[str, dict]:
    frame = parts_of_speech(positions_of(tables), tables.models)
    return {record["tag"]: record for record in frame.iter_rows(named=True)}


def test_r_and_r_mem_by_hand():
    found = by_tag(study())
    assert list(found) == ["NUM", "NOUN", "VERB"], "in the order of the classes; absent ones have no record"
    assert {tag: (r["n"], r["R"], r["R_mem"]) for tag, r in found.items()} == {
        "NUM": (1, 1.0, 1.0),
        "NOUN": (2, 1.0, 0.5),
        "VERB": (3, pytest.approx(1 / 3), pytest.approx(1 / 3)),
    }
    assert [r["share"] for r in found.values()] == pytest.approx([1 / 6, 2 / 6, 3 / 6])
    assert found["VERB"]["R_lower"] < 1 / 3 < found["VERB"]["R_upper"]


def test_mixed_tokens_are_left_out_and_counted():
    tables = study()
    left_out = tokens_left_out(positions_of(tables))
    assert left_out.select("tag", "n").rows() == [("mixed", 1), ("no word", 1)]
    assert not set(by_tag(tables)) & {"mixed", "no word"}


def test_a_named_token_without_a_word_is_not_of_the_part_of_speech():
    found = by_tag(study(named=[[None, MIXED, NO_WORD, NOUN, MIXED], [None] * 5], hit=[[None, *[False] * 4]] * 2))
    assert {record["R"] for record in found.values()} == {0.0}


def test_always_naming_the_majority_tag_is_right_at_its_share():
    majority = [[None, *[VERB] * 4]] * 2
    tables = study(named=majority, hit=[[None, *[False] * 4]] * 2)
    found = by_tag(tables)
    assert {tag: record["R"] for tag, record in found.items()} == {"NUM": 0.0, "NOUN": 0.0, "VERB": 1.0}
    total = sum(record["R"] * record["n"] for record in found.values()) / 6
    assert total == pytest.approx(found["VERB"]["share"])
    control = ANALYSIS.compute(tables).control
    assert control.startswith("Always naming the most frequent part of speech, VERB, is right at 50 %")


@pytest.mark.parametrize(("nouns", "verbs", "verdict"), [(1, 0, "shows"), (0, 1, "contradicts"), (1, 1, "cannot tell")])
def test_the_trend_compares_nouns_and_numbers_with_verbs_and_adjectives(nouns, verbs, verdict):
    true = [[OTHER, *[NOUN, NUM, VERB, ADJ] * 3]] * 12
    hit = [[None, *[bool(nouns), bool(nouns), bool(verbs), bool(verbs)] * 3]] * 12
    (trend,) = ANALYSIS.compute(study(true, [[None, *row[1:]] for row in true], hit)).trends
    assert (trend.trend, trend.verdict) == ("nouns-and-numbers-are-memorized-first", verdict)


def test_the_claim_names_every_part_of_speech():
    assert ANALYSIS.compute(study()).claim == (
        "After the true tokens before, s1 names the true one at these shares of training tokens: NUM 100 % (100 % by "
        "part of speech), NOUN 50 % (100 % by part of speech), VERB 33 % (33 % by part of speech)."
    )


def test_what_a_study_lacks_is_said():
    plain = smaller_study(("s1",))
    assert ANALYSIS.compute(plain).missing == "Tag it: `mematlas features STUDY --tagger spacy:NAME`."
    tagged = replace(study(), signals={})
    assert ANALYSIS.compute(tagged).missing.startswith("Score again with `--signals truth`")
