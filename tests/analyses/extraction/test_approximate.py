"""Approximate memorization: texts planted by hand, random ones as negative control, and incomplete studies."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from mematlas.analyses.extraction.approximate import similarity as similarity_module
from mematlas.analyses.extraction.approximate.finding import ANALYSIS
from mematlas.analyses.extraction.approximate.similarity import (
    BLEU,
    DEFINITIONS,
    EDIT,
    LCS,
    POSITIONS,
    VERBATIM,
    compare_models,
)
from mematlas.analyses.extraction.approximate.tables import added_excesses, similarity_means
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.analyses.recount import definition_lines, similarity_lines
from mematlas.errors import StudyError
from mematlas.stats.estimates.differences import difference_of_shares
from mematlas.stats.estimates.intervals import wilson
from tests.analyses.study_folders import write_study
from tests.analyses.synthetic_tables import tables, with_features, with_signals

Texts = list[list[int | None]]
CONTEXT = 32
TRUE = list(range(100, 132))  # no two tokens alike
OTHER = list(range(900, 932))
REPLACED = [7 if at == 5 else token for at, token in enumerate(TRUE)]
SPREAD = [7 if at in (8, 16, 24) else token for at, token in enumerate(TRUE)]
TAIL = [*TRUE[:28], 7, 7, 7, 7]
LATER = [7, *TRUE[:31]]
THREE_LATER = [7, 8, 9, *TRUE[:29]]
TRAIN = [TRUE] * 5 + [REPLACED] * 3 + [LATER] * 2 + [TAIL] + [SPREAD] * 4 + [THREE_LATER] + [OTHER] * 4
CONTROL = [OTHER] * 9 + [TAIL]
ROLES = ["train"] * len(TRAIN) + ["control"] * len(CONTROL)


def planted(
    texts: dict[str, Texts], roles: list[str] | None = None, true: Texts | None = None, context=CONTEXT, **options
) -> Tables:
    """Greedy texts of each model and the true texts (TRUE by default), with the M and verbatim lengths they imply.

    Each row has tokens of its own, so that no two rows are copies.
    """
    count = len(next(iter(texts.values())))
    true = true or [TRUE] * count
    matches, verbatim = {}, {}
    for model, written in texts.items():
        hits = [[a == b for a, b in zip(*pair, strict=False)] for pair in zip(written, true, strict=True)]
        cell = (context, len(true[0]))
        matches[model] = {cell: [sum(hit) for hit in hits]}
        verbatim[model] = {cell: [[*hit, False].index(False) for hit in hits]}
    study_tables = tables(matches, verbatim=verbatim, roles=roles, **options)
    study_tables = with_tokens(with_features(study_tables), [[5] * context + text for text in true])
    return with_signals(
        study_tables, kinds=("free",), free_token={m: distinct(written) for m, written in texts.items()}
    )


def distinct(texts: Texts) -> Texts:
    """The texts with each row's tokens moved by the same number, another for every row."""
    return [[token if token is None else token + 1000 * row for token in text] for row, text in enumerate(texts)]


def with_tokens(study_tables: Tables, tokens: Texts) -> Tables:
    tokens = distinct(tokens)
    schema = {"row": pl.Int64, "tokens": pl.List(pl.Int32)}
    frame = pl.DataFrame({"row": range(len(tokens)), "tokens": tokens}, schema=schema)
    return replace(study_tables, features=study_tables.features | {"tokens": frame.lazy()})


def train_and_control(**options) -> Tables:
    return planted({"m": TRAIN + CONTROL}, ROLES, **options)


def numbers_by_definition(finding, table: str, name: str, **where) -> dict[str, object]:
    """definition -> value of the column `name`."""
    return dict(finding.table(table).filter(**{"role": "train", **where}).select("definition", name).iter_rows())


@pytest.fixture(scope="module")
def finding():
    return ANALYSIS.find(train_and_control())


# ----------------------------------------------------------------------------------------------------- known answers


def test_each_definition_calls_the_planted_rows_memorized(finding):
    expected = {VERBATIM: 5, BLEU: 12, EDIT: 14, LCS: 15, POSITIONS: 12}
    assert numbers_by_definition(finding, "definitions", "memorized") == expected
    assert set(numbers_by_definition(finding, "definitions", "rows").values()) == {20}
    record = finding.table("definitions").filter(role="train", definition=EDIT).row(0, named=True)
    share = wilson(14, 20)
    assert (record["share"], record["share_lower"], record["share_upper"]) == (share.estimate, share.lower, share.upper)


def test_what_each_adds_to_the_verbatim_rows_and_what_it_adds_in_the_control(finding):
    assert numbers_by_definition(finding, "added", "added") == {BLEU: 7, EDIT: 9, LCS: 10, POSITIONS: 7}
    assert numbers_by_definition(finding, "added", "added", role="control") == {BLEU: 1, EDIT: 0, LCS: 0, POSITIONS: 0}
    record = finding.table("added").filter(role="train", definition=LCS).row(0, named=True)
    share = wilson(10, 20)
    assert (record["share"], record["share_lower"], record["share_upper"]) == (0.5, share.lower, share.upper)


def test_the_excess_over_the_control_has_newcombes_interval(finding):
    record = finding.table("excesses").filter(definition=BLEU).row(0, named=True)
    difference = difference_of_shares((7, 20), (1, 10))
    assert record["excess"] == pytest.approx(0.25)
    assert (record["excess_lower"], record["excess_upper"]) == (difference.lower, difference.upper)
    assert (record["added"], record["rows"], record["control_added"], record["control_rows"]) == (7, 20, 1, 10)


def test_shifted_rows_are_counted_and_listed(finding):
    record = finding.table("shifted").filter(role="train").row(0, named=True)
    assert (record["missed"], record["shifted"], record["rows"]) == (7, 3, 20)
    shifts = {row: reason for row, reason in finding.rows.items() if reason.endswith("a shift")}
    assert list(shifts) == [8, 9, 15]
    assert shifts[8] == "m: 0 of 32 positions agree, yet 2 edits make the text right: a shift"
    assert finding.rows[5] == "m: not verbatim, yet 1 edit in 32 tokens would make it so"
    assert finding.rows[11] == "m: not verbatim, yet 3 edits in 32 tokens would make it so"
    assert not set(finding.rows) & {*range(5), 10, *range(16, 30)}


def test_mean_similarity_by_score_level_by_hand(finding):
    means = finding.table("means").filter(role="train", measure="edit similarity")
    by_level = {level: (rows, mean) for level, rows, mean in means.select("level", "rows", "mean").iter_rows()}
    high = (5 * 32 + 3 * 31 + 28 + 4 * 29) / 32 / 13
    low = (2 * 30 + 26 + 4 * 0) / 32 / 7
    assert by_level == {"very low": (7, pytest.approx(low)), "very high": (13, pytest.approx(high))}
    common = finding.table("means").filter(role="train", measure="LCS share", level="very low")["mean"].item()
    assert common == pytest.approx((2 * 31 + 29) / 32 / 7)


def test_equal_rows_have_no_interval_of_the_mean_and_none_leaves_0_to_1(finding):
    means = finding.table("means")
    equal_rows = means.filter(role="control", level="very low", measure="LCS share").row(0, named=True)
    assert (equal_rows["rows"], equal_rows["mean"], equal_rows["mean_lower"], equal_rows["mean_upper"]) == (
        9,
        0.0,
        None,
        None,
    )
    assert means["mean_lower"].drop_nulls().min() >= 0
    assert means["mean_upper"].drop_nulls().max() <= 1
    assert means["mean_upper"].is_not_null().any()


def test_an_interval_of_the_mean_ends_at_1():
    means = ANALYSIS.find(planted({"m": [TRUE] * 19 + [REPLACED]})).table("means").filter(measure="edit similarity")
    assert means.select("mean", "mean_upper").row(0) == (pytest.approx((19 + 31 / 32) / 20), 1.0)


def test_a_text_that_ends_early_is_shorter_and_not_wrong():
    early = [*TRUE[:29], None, None, None]
    similarities = next(compare_models(planted({"m": [early, TRUE]}), Cell(32, 32)))[0]
    record = similarities.row(0, named=True)
    assert (record["matches"], record["edits"], record["common"]) == (29, 3, 29)
    assert record["bleu"] == pytest.approx(np.exp(1 - 32 / 29))
    assert similarities["bleu"][1] == 1


def test_where_continuations_are_aligned_the_true_tokens_begin_after_the_longest_context():
    study_tables = train_and_control()
    longer = with_tokens(study_tables, [[5] * 48 + TRUE] * 30)
    settings = study_tables.settings | {"align": "end", "context": [32, 48]}
    aligned = replace(longer, settings=settings, scores=study_tables.scores)
    similarities = next(compare_models(aligned, Cell(32, 32)))[0]
    assert similarities["recited"].sum() == 5
    assert similarities.filter("recited")["edits"].to_list() == [0] * 5
    wrong = next(compare_models(replace(aligned, settings=settings | {"align": "start"}), Cell(32, 32)))[0]
    assert wrong.filter("recited")["edits"].min() > 0


def test_the_batch_size_changes_nothing(monkeypatch, finding):
    monkeypatch.setattr(similarity_module, "_BATCH_ROWS", 7)
    again = ANALYSIS.find(train_and_control())
    assert again.table("definitions").equals(finding.table("definitions"))
    assert again.table("means").equals(finding.table("means"))


# ---------------------------------------------------------------------------------------------- rows of one document


def in_documents(study_tables: Tables, rows: int) -> Tables:
    """The same rows, of which every `rows` consecutive ones are of one document."""
    document = [pl.lit("corpus").alias("source"), (pl.col("row") // rows).cast(pl.Int64).alias("document")]
    return replace(study_tables, rows=study_tables.rows.with_columns(document))


def test_ten_equal_rows_of_a_document_are_one_observation(finding):
    """40 training and 20 control texts, each five times: the design effect is about 5, the interval that of texts."""
    texts, roles = (TRAIN * 2 + CONTROL * 2), ["train"] * 40 + ["control"] * 20
    repeated = planted({"m": [text for text in texts for _ in range(5)]}, [role for role in roles for _ in range(5)])
    once, clustered = ANALYSIS.find(planted({"m": texts}, roles)), ANALYSIS.find(in_documents(repeated, 5))
    for name, key in (("definitions", {"definition": EDIT}), ("added", {"definition": LCS}), ("shifted", {})):
        single = once.table(name).filter(role="train", **key).row(0, named=True)
        record = clustered.table(name).filter(role="train", **key).row(0, named=True)
        assert (record["rows"], record["clusters"], record["share"]) == (200, 40, single["share"])
        assert record["design_effect"] == pytest.approx(5, rel=0.05)
        assert record["share_lower"] == pytest.approx(single["share_lower"], abs=0.02)
        assert record["share_upper"] == pytest.approx(single["share_upper"], abs=0.02)
        assert (single["clusters"], single["design_effect"]) == (40, 1)
    record, single = (f.table("excesses").filter(definition=EDIT).row(0, named=True) for f in (clustered, once))
    assert (record["clusters"], record["added"], record["control_rows"]) == (60, 90, 100)
    assert record["excess_lower"] == pytest.approx(single["excess_lower"], abs=0.02)
    assert clustered.strength == pytest.approx(once.strength, rel=0.05)
    where = {"role": "train", "level": "very high", "measure": "edit similarity"}
    record, single = (f.table("means").filter(**where).row(0, named=True) for f in (clustered, once))
    assert (record["rows"], record["clusters"], record["mean"]) == (130, 26, pytest.approx(single["mean"]))
    # Student's interval over documents: m / (m - 1) * n / (n - 1) rows apart from that over single texts
    assert record["mean_upper"] - record["mean"] == pytest.approx(single["mean_upper"] - single["mean"])
    assert record["design_effect"] == pytest.approx(5 * (26 / 25) / (130 / 129))
    assert (single["clusters"], single["design_effect"]) == (26, 1)


def test_rows_of_one_document_alone_have_no_interval():
    finding = ANALYSIS.find(in_documents(train_and_control(), 40))
    record = finding.table("definitions").filter(role="train", definition=EDIT).row(0, named=True)
    assert (record["share"], record["share_lower"], record["clusters"]) == (0.7, None, 1)
    assert "verbatim; edit distance <= 0.1 adds 9, 45.0 % (no interval)" in finding.claim
    assert finding.strength is None


# --------------------------------------------------------------------------------------------------- negative control


def test_random_text_is_memorized_by_no_definition():
    rng = np.random.default_rng(0)
    true, written = (rng.integers(0, 500, (80, 32)).tolist() for _ in range(2))
    finding = ANALYSIS.find(planted({"m": written}, ["train", "control"] * 40, true))
    assert finding.table("definitions")["memorized"].sum() == 0
    excess = finding.table("excesses")
    assert ((excess["excess_lower"] <= 0) & (excess["excess_upper"] >= 0)).all()
    assert finding.table("shifted")["shifted"].sum() == 0
    assert finding.rows == {}


def test_a_control_that_is_as_close_leaves_no_excess():
    finding = ANALYSIS.find(planted({"m": ([REPLACED] * 3 + [OTHER] * 7) * 2}, ["train"] * 10 + ["control"] * 10))
    assert finding.table("excesses").filter(definition=EDIT)["excess"].item() == 0
    assert finding.strength == 0


# ---------------------------------------------------------------------------------------------------------- the words


def test_what_a_user_reads(finding):
    assert finding.claim == (
        "At 32 + 32 tokens m recites 25.0 % (11.2 to 46.9 %) of 20 training rows verbatim; edit distance <= 0.1 adds "
        "9, 45.0 % (25.8 to 65.8 %) (control: 0 of 10); BLEU > 0.75 adds 7 and M >= 0.9 adds 7."
    )
    assert finding.control.startswith("Of 10 rows no model was trained on, m recites 0.0 % (0.0 to 27.8 %) verbatim. ")
    assert "10.0 % (1.8 to 40.4 %) by BLEU > 0.75" in finding.control
    assert finding.caveats == (
        "M compares position by position: of the 7 training rows of m with M < 0.6, 3 have nearly the true words at "
        "other positions (edit similarity >= 0.8), 15.0 % (5.2 to 36.0 %) of all 20 rows.",
        "At 32 tokens edit distance <= 0.1 allows 3 edits; a shift by one token takes two, as the greedy text ends "
        "with the continuation.",
    )
    assert (finding.taxonomy.granularity, finding.source) == ("approximate", "P2, granularity axis")
    assert finding.strength > 2


def test_the_claim_and_the_charts_are_about_the_largest_model():
    texts = {"large": TRAIN + CONTROL, "small": [OTHER] * 30}
    finding = ANALYSIS.find(planted(texts, ROLES, parameters={"large": 10**9, "small": 10**6}))
    assert " large recites 25.0 %" in finding.claim
    charts = {chart.name: chart for chart in finding.charts}
    assert list(charts) == ["definitions", "added", "means"]
    assert charts["definitions"].where == {"model": "large"}
    drawn = finding.table("added").filter("latest", role="train", definition=EDIT).select("parameters", "added")
    assert sorted(drawn.rows()) == [(10**6, 0), (10**9, 9)]


@pytest.mark.parametrize("parameters", [{"a": None, "b": None}, {"a": 10**6, "b": None}])
def test_models_of_unknown_size_are_not_drawn_by_size(parameters):
    finding = ANALYSIS.find(planted({"a": TRAIN, "b": TRAIN}, parameters=parameters))
    assert [chart.name for chart in finding.charts] == ["definitions", "means"]
    assert " b recites" in finding.claim


# --------------------------------------------------------------------------------------------------------- poor input


@pytest.mark.parametrize(
    ("changes", "missing", "remedy"),
    [
        ({"signals": {}}, "the greedy texts", "--signals free"),
        ({"features": {}}, "the tokens of its rows", "mematlas features STUDY"),
        ({"complete": False}, "scores of all rows of a selection", "mematlas score"),
    ],
)
def test_missing_data_is_reported_with_a_remedy(changes, missing, remedy):
    finding = ANALYSIS.find(replace(train_and_control(), **changes))
    assert (
        finding.claim == f"How many rows are memorized but for a few tokens cannot be said: the study lacks {missing}."
    )
    assert remedy in finding.missing
    assert finding.tables == ()


def test_truth_signals_alone_are_no_greedy_text():
    study_tables = with_signals(with_features(tables({"m": {(32, 32): [32, 0]}})), kinds=("truth",))
    assert "the greedy texts" in ANALYSIS.find(study_tables).claim


def test_control_rows_alone_are_insufficient():
    finding = ANALYSIS.find(planted({"m": TRAIN}, ["control"] * 20))
    assert finding.missing is not None


def test_missing_greedy_texts_of_scored_rows_are_reported():
    study_tables = train_and_control()
    empty = {"free": study_tables.signals["free"].filter(pl.col("row") < 0)}
    finding = ANALYSIS.find(replace(study_tables, signals=empty))
    assert finding.claim.endswith("the study lacks training rows whose greedy text and tokens are known.")


def test_without_control_rows_the_floor_is_reported_as_unknown():
    finding = ANALYSIS.find(planted({"m": TRAIN}))
    assert (finding.control, finding.strength) == (None, None)
    assert "control" not in finding.claim
    assert "excesses" not in [table.name for table in finding.tables]
    assert any(words.startswith("The study has no control rows") for words in finding.caveats)


def test_rows_without_text_or_tokens_are_left_out_and_counted():
    study_tables = train_and_control()
    rows = pl.col("row")
    broken_token = pl.when(rows == 0).then(None).when(rows == 1).then(pl.col("token").list.head(9)).otherwise("token")
    free = study_tables.signals["free"].with_columns(broken_token.alias("token")).filter(rows != 2)
    tokens = study_tables.features["tokens"]
    holes = pl.when(rows == 5).then(pl.col("tokens").list.head(40)).otherwise("tokens")
    nulls = pl.concat_list(pl.col("tokens").list.head(60), pl.lit([None] * 4, pl.List(pl.Int32)))
    tokens = tokens.with_columns(holes.alias("tokens")).filter(rows != 7)
    tokens = tokens.with_columns(pl.when(rows == 6).then(nulls).otherwise("tokens").alias("tokens"))
    incomplete = replace(study_tables, signals={"free": free}, features=study_tables.features | {"tokens": tokens})
    finding = ANALYSIS.find(incomplete)
    assert numbers_by_definition(finding, "definitions", "rows")[VERBATIM] == 20 - 6
    assert numbers_by_definition(finding, "definitions", "memorized") == {
        VERBATIM: 2,
        BLEU: 6,
        EDIT: 8,
        LCS: 9,
        POSITIONS: 6,
    }
    assert any(words.startswith("6 scored rows (over all models) have no recorded") for words in finding.caveats)


def test_where_matches_is_null_m_is_that_of_the_text():
    study_tables = train_and_control(depth="verbatim")
    unknown = pl.when(pl.col("verbatim") == 32).then("matches").otherwise(None).alias("matches")
    finding = ANALYSIS.find(replace(study_tables, scores=study_tables.scores.with_columns(unknown)))
    assert numbers_by_definition(finding, "definitions", "memorized")[POSITIONS] == 12
    assert not any("another M" in words for words in finding.caveats)


def test_scores_that_do_not_fit_the_text_are_counted():
    study_tables = train_and_control()
    more = pl.when(pl.col("row") >= 26).then(pl.col("matches") + 1).otherwise("matches").cast(pl.Int32)
    finding = ANALYSIS.find(replace(study_tables, scores=study_tables.scores.with_columns(more.alias("matches"))))
    assert any(words.startswith("4 rows (over all models) have another M") for words in finding.caveats)


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (3, "A continuation of 3 tokens has no 4-gram: BLEU is not measured."),
        (8, "At 8 tokens edit distance <= 0.1 allows no edit: it is the verbatim definition."),
        (10, "At 10 tokens edit distance <= 0.1 allows 1 edit; a shift by one token takes two"),
    ],
)
def test_short_continuations_say_what_cannot_be_measured(length, words):
    texts = [text[:length] for text in TRAIN]
    finding = ANALYSIS.find(planted({"m": texts}, true=[TRUE[:length]] * 20))
    assert any(caveat.startswith(words) for caveat in finding.caveats)
    names = set(finding.table("definitions")["definition"])
    assert names == set(DEFINITIONS) - ({BLEU} if length == 3 else set())
    assert ("BLEU" in finding.claim) == (length != 3)
    assert ("BLEU" in set(finding.table("means")["measure"])) == (length != 3)


def test_if_all_rows_are_recited_nothing_is_added():
    finding = ANALYSIS.find(planted({"m": [TRUE] * 12}))
    assert finding.table("added")["added"].sum() == 0
    assert "Every training row of m has M >= 0.6: no row has the true words at other positions only." in finding.caveats


def test_a_control_model_is_included_but_not_cited():
    texts = {"m": TRAIN, "untrained": [OTHER] * 19 + [LATER]}
    finding = ANALYSIS.find(planted(texts, control_models=("untrained",)))
    assert " m recites" in finding.claim
    assert numbers_by_definition(finding, "added", "added", role="control model")[EDIT] == 1


# ------------------------------------------------------------------------------------------------------- for recipes


def test_records_of_a_study_are_those_of_the_analysis(tmp_path):
    study = write_study(train_and_control(), tmp_path)
    similarities = similarity_lines(study)
    assert similarities.height == 30
    assert similarities.filter(row=8).select("matches", "edits", "common", "shifted").row(0) == (0, 2, 31, True)
    by_definition = definition_lines(study)
    assert by_definition.height == 5 * 30
    assert by_definition.filter("added", definition=LCS, role="train").height == 10


def test_a_study_without_greedy_texts_or_features_is_refused(tmp_path):
    without = write_study(replace(train_and_control(), signals={}), tmp_path / "a")
    with pytest.raises(StudyError, match="--signals free"):
        similarity_lines(without)
    with pytest.raises(StudyError, match="mematlas features"):
        similarity_lines(write_study(replace(train_and_control(), features={}), tmp_path / "b"))


def test_excesses_need_both_roles():
    counts = pl.DataFrame({"model": ["a"], "role": ["train"], "definition": [EDIT], "rows": [9], "added": [4]})
    assert added_excesses(counts).height == 0


def test_means_without_records_are_empty():
    similarities = next(compare_models(train_and_control(), Cell(32, 32)))[0]
    assert similarity_means(similarities.clear()).height == 0
