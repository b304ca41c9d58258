"""The boundary effect within strata: planted effects, planted confounders, and no effect."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from mematlas.analyses.positions.frequency_strata import finding as frequency_strata
from mematlas.analyses.positions.frequency_strata import strata
from mematlas.analyses.positions.frequency_strata.finding import compute
from tests.analyses.synthetic_tables import in_documents, tables, with_features

CELL = (4, 4)


def study(memorized, steps, *, repetitions=None, seed=0, models=("m",), **features):
    """Rows that are memorized or not, with counts about 500 and `steps` more after the boundary."""
    count = len(memorized)
    unigrams = np.random.default_rng(seed).integers(450, 550, (count, 8))
    unigrams[:, 4] += np.asarray(steps, int)
    matches = {model: {CELL: [4 if is_memorized else 0 for is_memorized in memorized]} for model in models}
    columns = {"unigrams": unigrams.tolist(), "kinds": [[0] * 8] * count, **features}
    return with_features(tables(matches, repetitions=repetitions), **columns)


def effect(finding, strata="none", scale="log10", **where):
    where = {"ngram": 1, "form": "one step", "strata": strata, "scale": scale} | where
    (record,) = finding.table("effects").filter(**where).to_dicts()
    return record


# -------------------------------------------------------------------------------------------------- planted effects


def confounded(count=120, own_step=0.0):
    """Rows shown 16 times are mostly memorized and have a step of 300, others are mostly not and have none.

    own_step: an additional step of memorized rows.
    """
    is_frequent = np.arange(count) % 2 == 0
    memorized = np.where(is_frequent, np.arange(count) % 10 != 0, np.arange(count) % 10 == 1)
    repetitions = np.where(is_frequent, 16, 1).tolist()
    return memorized, 300 * is_frequent + own_step * memorized, repetitions


def test_an_effect_of_repetition_alone_does_not_survive():
    memorized, steps, repetitions = confounded()
    finding = compute(study(memorized, steps, repetitions=repetitions))
    for scale in ("count", "log10", "rank"):
        plain, within = effect(finding, scale=scale), effect(finding, "repetition", scale)
        assert plain["p"] < 0.01
        assert plain["difference_lower"] > 0
        assert within["p"] > 0.05
        assert within["difference_lower"] < 0 < within["difference_upper"]
        assert abs(within["difference"]) < plain["difference"] / 5
    assert finding.claim.endswith("the difference in counts, log10 counts and ranks does not survive.")
    assert "with repetition and token kinds held fixed (2 strata of" in finding.claim


def test_an_effect_of_memorization_itself_survives():
    memorized, steps, repetitions = confounded(own_step=200)
    finding = compute(study(memorized, steps, repetitions=repetitions))
    within = effect(finding, "repetition", "count")
    assert within["difference_lower"] < 200 < within["difference_upper"]
    assert within["p"] == pytest.approx(1 / 1000)
    assert finding.claim.endswith("the difference in counts, log10 counts and ranks survives.")


def test_nothing_planted_is_nothing_found():
    memorized = np.arange(100) % 3 == 0
    finding = compute(study(memorized, np.zeros(100), repetitions=[2] * 100, seed=1))
    assert effect(finding)["p"] > 0.05
    assert finding.claim.endswith("without strata there is no difference (p of 0.05 or above) that could survive.")


def test_a_difference_that_strata_bring_out_is_called_new():
    """Within strata memorized rows have a larger step, which is hidden by the smaller step of repeated rows."""
    is_frequent = np.arange(200) % 2 == 0
    memorized = np.where(is_frequent, np.arange(200) % 20 != 0, np.arange(200) % 20 == 1)
    repetitions = np.where(is_frequent, 16, 1).tolist()
    finding = compute(study(memorized, 100 * memorized - 125 * is_frequent, repetitions=repetitions))
    assert effect(finding)["p"] > 0.05
    assert effect(finding, "repetition")["difference_lower"] > 0
    assert finding.claim.endswith(
        "no difference (p of 0.05 or above) that could survive; "
        "within strata the difference in counts, log10 counts and ranks is new."
    )


def test_a_difference_that_turns_round_within_strata_does_not_survive():
    """Memorized rows have a step that is 100 smaller within strata, which the larger step of repeated rows hides."""
    memorized, steps, repetitions = confounded(count=200, own_step=-100)
    finding = compute(study(memorized, steps, repetitions=repetitions))
    plain, within = effect(finding, scale="count"), effect(finding, "repetition", "count")
    assert plain["difference_lower"] > 0 > within["difference_upper"]
    assert within["p"] < 0.05
    assert "does not survive; within strata the difference in counts, log10 counts and ranks is new." in finding.claim


def test_kinds_of_the_two_tokens_at_the_boundary_define_strata():
    """Punctuation after letters has a step of 400; of such rows three quarters are memorized, of others a quarter."""
    is_punctuation = np.arange(160) % 2 == 0
    memorized = np.where(is_punctuation, np.arange(160) % 8 != 0, np.arange(160) % 8 == 1)
    kinds = [[4, 4, 4, 0, 3 if is_punctuation_row else 0, 4, 4, 4] for is_punctuation_row in is_punctuation]
    finding = compute(study(memorized, 400 * is_punctuation, repetitions=[2] * 160, kinds=kinds))
    assert effect(finding)["p"] < 0.01
    assert effect(finding, "token kinds")["strata_used"] == 2
    assert effect(finding, "token kinds")["p"] > 0.05
    other_kinds = [[kinds[row][4]] + [0] * 7 for row in range(160)]  # the same kinds where the border is not
    assert effect(compute(study(memorized, 400 * is_punctuation, kinds=other_kinds)), "token kinds")["strata_used"] == 1


# ------------------------------------------------------------------------------------------------------ known numbers


def by_hand():
    """Two memorized rows with steps 8 and 4, two unmemorized ones with steps 1 and -3."""
    unigrams = [[9, 9, 9, 1, 9, 9, 9, 9], [9, 9, 9, 2, 6, 9, 9, 9], [9, 9, 9, 3, 4, 9, 9, 9], [9, 9, 9, 8, 5, 9, 9, 9]]
    return study([True, True, False, False], [0] * 4, unigrams=unigrams, repetitions=[1, 2, 3, 1])


def test_differences_of_counts_logarithms_and_ranks_by_hand():
    finding = compute(by_hand())
    assert effect(finding, scale="count")["difference"] == pytest.approx(6 - (-1))
    steps = np.log10([10 / 2, 7 / 3, 5 / 4, 6 / 9])
    assert effect(finding)["difference"] == pytest.approx(steps[:2].mean() - steps[2:].mean())
    # of 32 tokens 7 are below 9 and 25 are equal to it: ranks are (7 + 25 / 2) / 32 for 9, (v - 1/2) / 32 up to 6
    ranks = np.array([19.5 - 0.5, 5.5 - 1.5, 3.5 - 2.5, 4.5 - 6.5]) / 32
    assert effect(finding, scale="rank")["difference"] == pytest.approx(ranks[:2].mean() - ranks[2:].mean())
    spread = np.std([8, 4, 1, -3], ddof=1)
    assert effect(finding, scale="count")["effect"] == pytest.approx(7 / spread)


def test_a_window_that_reaches_the_first_token_has_no_2_grams_there():
    table = compute(by_hand()).table("effects")
    assert set(table.filter(ngram=2)["form"]) == {"one step"}
    assert set(table.filter(ngram=1)["form"]) == {"one step", "window of 4"}


def test_strata_of_repetition_are_doublings():
    record = effect(compute(by_hand()), "repetition", "count")
    # once: 8 against -3; twice or three times: 4 against 1; both strata have two rows
    assert record["difference"] == pytest.approx((11 + 3) / 2)
    assert (record["strata_used"], record["memorized"], record["unmemorized"]) == (2, 2, 2)


def test_the_boundary_is_compared_with_every_position():
    memorized = np.arange(80) % 2 == 0
    finding = compute(study(memorized, 300 * memorized, repetitions=[1] * 80))
    table = finding.table("positions").filter(ngram=1, scale="count")
    assert table["offset"].to_list() == list(range(-3, 4))
    border, after, other = (table.filter(offset=offset).to_dicts()[0] for offset in (0, 1, -2))
    assert border["difference_lower"] < 300 < border["difference_upper"]
    assert after["difference_lower"] < -300 < after["difference_upper"]
    assert other["difference_lower"] < 0 < other["difference_upper"]
    assert "At the 6 other positions of the window" in finding.control
    assert "Labels permuted within strata, 999 times, are the control." in finding.control


# ---------------------------------------------------------------------------------------------------------- bad input


def test_copies_replace_repetitions_that_the_corpus_does_not_record():
    memorized, steps, repetitions = confounded()
    finding = compute(study(memorized, steps, window_rows=repetitions))
    assert effect(finding, "repetition")["p"] > 0.05
    assert any("copies of the window (scope rows) stand for it" in words for words in finding.caveats)


def test_without_repetition_and_kinds_nothing_is_held_fixed():
    memorized = np.arange(60) % 2 == 0
    finding = compute(study(memorized, 300 * memorized, window_rows=None, kinds=None))
    assert set(finding.table("effects")["strata"]) == {"none"}
    assert finding.claim.endswith(
        "; neither repetition nor kinds of tokens can be held fixed, so what survives cannot be said."
    )
    assert "How often rows occur is unknown: repetition is not held fixed." in finding.caveats
    assert any("Kinds of tokens are unknown" in words for words in finding.caveats)


def test_strata_with_too_few_rows_are_not_cited():
    """Memorized rows are shown often, the others once except for a single one."""
    memorized = np.arange(60) < 30
    repetitions = [16] * 30 + [1] * 29 + [16]
    finding = compute(study(memorized, np.zeros(60), repetitions=repetitions))
    assert "with token kinds held fixed (1 stratum of 30 memorized and 30 unmemorized rows)" in finding.claim
    assert any("repetition and kinds leave" in words and "too few to speak of" in words for words in finding.caveats)
    assert not finding.table("effects").filter(strata="repetition", memorized=0).height


def test_classes_without_a_common_stratum_of_repetition_are_reported():
    memorized = np.arange(60) < 30
    finding = compute(study(memorized, np.zeros(60), repetitions=[16] * 30 + [1] * 30))
    assert "Where repetition is known, memorized and unmemorized rows share no stratum of it." in finding.caveats
    assert not finding.table("effects").filter(strata="repetition").height


def test_many_rows_are_sampled_for_the_test_and_that_is_reported(monkeypatch):
    monkeypatch.setattr(frequency_strata, "MAX_PERMUTED_ROWS", 20)
    memorized = np.arange(60) % 2 == 0
    finding = compute(study(memorized, np.zeros(60)))
    assert "p is of at most 20 rows of each class, drawn at random; differences are of all rows." in finding.caveats


def test_copies_in_a_document_add_no_certainty():
    """A step that 40 rows do not show is no more shown by each of them six times, though rows would show it."""
    memorized, steps = np.arange(40) % 2 == 0, 30 * (np.arange(40) % 2 == 0)
    unigrams = np.random.default_rng(1).integers(450, 550, (40, 8))
    unigrams[:, 4] += steps

    def copied(times, documents):
        lists, labels = np.repeat(unigrams, times, axis=0).tolist(), np.repeat(memorized, times)
        found = study(labels, np.zeros(len(labels)), unigrams=lists)
        return compute(in_documents(found, times) if documents else found)

    single, documents, rows = copied(1, False), copied(6, True), copied(6, False)
    for name in ("difference", "difference_lower", "difference_upper", "effect"):
        assert effect(documents)[name] == pytest.approx(effect(single)[name], rel=0.02)
    assert effect(documents)["p"] == pytest.approx(effect(single)["p"], abs=0.05)
    assert effect(rows)["p"] < 0.02 < 0.05 < effect(documents)["p"]
    assert (effect(documents)["memorized"], effect(documents)["clusters"]) == (120, 40)
    steps_of = [
        found.table("positions").filter(ngram=1, scale="log10").select(pl.selectors.starts_with("difference"))
        for found in (single, documents)
    ]
    assert steps_of[1].to_numpy() == pytest.approx(steps_of[0].to_numpy())
    assert documents.table("positions")["clusters"].unique().to_list() == [40]
    assert documents.control.startswith("The signs of what each document adds, flipped at random within strata, 999")


def test_many_documents_are_sampled_whole(monkeypatch):
    monkeypatch.setattr(strata, "MAX_FLIPPED_CLUSTERS", 20)
    monkeypatch.setattr(frequency_strata, "MAX_FLIPPED_CLUSTERS", 20)
    clusters = np.arange(120) // 4
    sample = strata._permutation_sample(np.arange(120) % 2 == 0, np.zeros(120), clusters)
    assert np.unique(clusters[sample], return_counts=True)[1].tolist() == [4] * 20
    finding = compute(in_documents(study(np.arange(120) % 2 == 0, np.zeros(120)), 4))
    assert "p is of 20 documents, drawn at random; differences are of all rows." in finding.caveats


def test_control_rows_are_not_compared():
    study_tables = study(np.arange(40) % 2 == 0, np.zeros(40))
    roles = pl.when(pl.col("row") >= 30).then(pl.lit("control")).otherwise(pl.lit("train")).alias("role")
    record = effect(compute(replace(study_tables, rows=study_tables.rows.with_columns(roles))))
    assert (record["memorized"], record["unmemorized"]) == (15, 15)


def test_the_claim_is_about_the_largest_model_with_both_classes():
    study_tables = study(np.arange(40) % 2 == 0, np.zeros(40), models=("small", "large"))
    hit = pl.when(pl.col("model") == "large").then(4).otherwise("matches").cast(pl.Int32)
    finding = compute(replace(study_tables, scores=study_tables.scores.with_columns(matches=hit, verbatim=hit)))
    assert finding.claim.startswith("In small at 4 + 4 tokens")


@pytest.mark.parametrize(
    ("study_tables", "missing"),
    [
        (tables({"m": {CELL: [4, 0]}}), "row features (corpus counts of its tokens)"),
        (with_features(tables({"m": {CELL: [4, 4]}}, complete=False)), "scores of all rows of a selection"),
        (study([True, True], [0, 0]), "a model with both memorized and unmemorized training rows whose counts"),
        (
            with_features(tables({"m": {CELL: [4, None]}}, depth="verbatim", verbatim={"m": {CELL: [4, 0]}})),
            "a model with both memorized and unmemorized training rows whose counts",
        ),
    ],
)
def test_missing_data_is_reported(study_tables, missing):
    finding = compute(study_tables)
    assert f"cannot be said: the study lacks {missing}" in finding.claim
    assert finding.missing
    assert not finding.tables


def test_one_row_of_each_class_has_a_difference_and_no_interval():
    finding = compute(study([True, False], [5, 0]))
    assert effect(finding)["difference_lower"] is None
    assert "(no interval)" in finding.claim
    assert finding.strength is None
