"""Near-copies: exact against brute force, the probabilities of MinHash, planted copies, and none in random rows."""

from itertools import combinations

import numpy as np
import polars as pl
import pytest

import mematlas
from mematlas.analyses.frames.study_tables import read_tables
from mematlas.analyses.summary import summarize
from mematlas.cli import run as command
from mematlas.features.near_copies import BANDS, ROWS_PER_BAND, candidate_pairs, minhash, near_copies
from mematlas.pipeline.steps import near as near_step
from mematlas.study import open_study
from tests import study_shelf as shelves
from tests.analyses.recipes import run_recipe

WIDTH = 60


def shingles(row):
    return {tuple(row[at : at + 5]) for at in range(len(row) - 4)}


def jaccard(one, other):
    one, other = shingles(one), shingles(other)
    return len(one & other) / len(one | other)


def found(rows, counted=None, seed=0):
    counted = np.ones(len(rows), bool) if counted is None else np.asarray(counted)
    return near_copies(pl.Series([list(map(int, row)) for row in rows], dtype=pl.List(pl.Int32)), counted, seed)


def edited(random, row, edits):
    """A copy with so many tokens replaced, far from each other."""
    copy = row.copy()
    copy[np.linspace(4, len(row) - 5, edits).astype(int) if edits > 1 else [len(row) // 2]] = random.integers(500, 600)
    return copy


@pytest.fixture(scope="module")
def mixed():
    """300 rows: originals, copies with 0 to 6 edits, exact copies, rows of few tokens that repeat."""
    random = np.random.default_rng(0)
    rows = list(random.integers(0, 400, (100, WIDTH)))
    for number in range(170):
        rows.append(edited(random, rows[number % 60], number % 7) if number % 7 else rows[number % 60].copy())
    rows += [random.integers(0, 2, WIDTH) for _ in range(20)]
    rows += [np.tile(random.integers(0, 400, 5 + number % 2), 20)[:WIDTH] for number in range(10)]
    return rows


def test_near_copies_are_those_of_all_pairs(mixed):
    counted = np.arange(300) % 5 != 1
    frame = found(mixed, counted)
    near = np.zeros(300, int)
    largest, exact, links = np.zeros(300), np.zeros(300, int), []
    for one, other in combinations(range(300), 2):
        similarity = jaccard(mixed[one], mixed[other])
        for own, copy in ((one, other), (other, one)):
            if counted[copy]:
                largest[own] = max(largest[own], similarity)
                near[own] += similarity >= 0.8
                exact[own] += bool((mixed[one] == mixed[other]).all())
        if similarity >= 0.8:
            links.append((one, other))
    assert near.max() > 3
    assert frame["near_copies"].to_list() == near.tolist()
    assert frame["exact"].to_list() == exact.tolist()
    is_near = near > 0
    assert frame["largest_jaccard"].to_numpy()[is_near].tolist() == largest[is_near].tolist(), "exactly"
    assert (frame["largest_jaccard"].fill_null(0).to_numpy() <= largest).all()
    label = list(range(300))
    for one, other in links * 6:
        label[one] = label[other] = min(label[one], label[other])
    assert frame["cluster"].to_list() == (pl.Series(label).rank("dense") - 1).to_list()
    assert found(mixed, counted, seed=7)["near_copies"].to_list() == near.tolist(), "with other random functions"


def test_the_order_of_rows_changes_nothing(mixed):
    order = np.random.default_rng(3).permutation(300)
    frame, shuffled = found(mixed), found([mixed[at] for at in order])
    for name in ("near_copies", "largest_jaccard", "exact"):
        assert shuffled[name].to_list() == frame[name].gather(order).to_list()


@pytest.mark.parametrize(("edits", "is_near"), [(0, True), (1, True), (2, False), (6, False)])
def test_planted_copies_with_edits(edits, is_near):
    random = np.random.default_rng(edits)
    rows = random.integers(0, 400, (20, WIDTH))
    copy = edited(random, rows[4], edits) if edits else rows[4].copy()
    pieces = WIDTH - 4
    expected = (pieces - 5 * edits) / (pieces + 5 * edits)
    assert jaccard(rows[4], copy) == pytest.approx(expected)
    frame = found([*rows, copy])
    assert (expected >= 0.8) == is_near
    assert frame["near_copies"].to_list() == [int(is_near and at in (4, 20)) for at in range(21)]
    assert frame["exact"].to_list() == [int(edits == 0 and at in (4, 20)) for at in range(21)]
    assert (frame["cluster"][20] == frame["cluster"][4]) == is_near
    if is_near:
        assert frame["largest_jaccard"][20] == expected


@pytest.mark.parametrize("similarity", [0.3, 0.5, 0.638])
def test_candidates_and_signatures_are_as_frequent_as_theory_says(similarity):
    """P(candidate) = 1 - (1 - J^r)^b, and the share of equal functions has mean J and variance J(1 - J)/128."""
    random, pairs, size = np.random.default_rng(1), 400, 200
    common = round(2 * size * similarity / (1 + similarity))
    exact = common / (2 * size - common)
    values = random.integers(0, 1 << 63, (pairs, 2 * size - common)).astype(np.uint64)
    sets = np.stack([values[:, :size], values[:, -size:]], axis=1).reshape(2 * pairs, size)
    signatures = minhash(np.repeat(np.arange(2 * pairs), size), sets.reshape(-1), 2 * pairs)
    estimate = (signatures[::2] == signatures[1::2]).mean(1)
    spread = np.sqrt(exact * (1 - exact) / 128)
    assert estimate.mean() == pytest.approx(exact, abs=4 * spread / np.sqrt(pairs))
    assert estimate.std() == pytest.approx(spread, rel=0.15)
    hits = {
        pair for one, other in candidate_pairs(signatures) for pair in zip(one.tolist(), other.tolist(), strict=True)
    }
    assert all(other == one + 1 and one % 2 == 0 for one, other in hits), "sets without a common piece never meet"
    probability = 1 - (1 - exact**ROWS_PER_BAND) ** BANDS
    error = np.sqrt(probability * (1 - probability) / pairs)
    assert len(hits) / pairs == pytest.approx(probability, abs=4 * error + 1e-9)


def test_a_pair_is_a_candidate_once():
    signatures = np.tile(np.arange(BANDS * ROWS_PER_BAND, dtype=np.uint32), (4, 1))
    pairs = [
        pair for one, other in candidate_pairs(signatures) for pair in zip(one.tolist(), other.tolist(), strict=True)
    ]
    assert sorted(pairs) == list(combinations(range(4), 2))


def test_random_rows_have_no_near_copies_and_short_ones_are_not_known():
    rows = list(np.random.default_rng(0).integers(0, 400, (500, WIDTH)))
    frame = found(rows)
    assert frame["near_copies"].sum() == 0
    assert frame["exact"].sum() == 0
    assert frame["cluster"].to_list() == list(range(500))
    short = found([[1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4, 5], [1, 2, 3, 4, 5], []])
    assert short["near_copies"].to_list() == [None, None, 1, 1, None]
    assert short["largest_jaccard"].to_list() == [None, None, 1.0, 1.0, None]
    assert short["cluster"].to_list() == [0, 1, 2, 2, 3]
    assert found([]).height == 0


def test_equal_pieces_in_another_order_are_near_and_not_exact():
    cycle = [1, 2, 3, 4, 5, 6, 7]
    one, other = (cycle * 5)[:30], (cycle * 5)[2:32]
    frame = found([one, other, one])
    assert frame["near_copies"].to_list() == [2, 2, 2]
    assert frame["exact"].to_list() == [1, 0, 1]


# ------------------------------------------------------------------------------------------------------------- command


@pytest.fixture
def study(tmp_path, monkeypatch):
    """30 training rows, of which 10 have a copy among them and 5 a near-copy; a control row that is a copy, too."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    rows = random.integers(1, 57, (30, WIDTH))
    rows[20:30] = rows[:10]
    rows[25:30, 30] = rows[25:30, 30] % 50 + 1  # another token
    control = random.integers(1, 57, (4, WIDTH))
    control[1] = rows[12]
    np.save("rows.npy", rows)
    np.save("few.npy", rows[:10])
    np.save("control.npy", control)
    options = {"control": "control.npy", "context": 20, "continuation": 40}
    return mematlas.score("parrot:few.npy", corpus="rows.npy", study="study", **options)


def test_the_option_adds_the_table_and_does_not_compute_it_twice(study, monkeypatch, capsys):
    assert command(["features", "study", "--near"]) == 0, capsys.readouterr().err
    near = study.features("near").join(study.rows(), on="row").sort("role", "row")
    train = near.filter(role="train")
    assert train["near_copies"].to_list() == [1] * 10 + [0] * 10 + [1] * 10
    assert train["exact"].to_list() == [1] * 5 + [0] * 15 + [1] * 5 + [0] * 5
    control = near.filter(role="control")
    assert control["near_copies"].to_list() == [0, 1, 0, 0], "a control row that leaks"
    twelfth = near.filter(pl.col("exact") == 1, role="control")["cluster"].item()
    assert train["cluster"][12] == twelfth
    monkeypatch.setattr(near_step, "write_shard", lambda *_: pytest.fail("written twice"))
    mematlas.make_features(study, near=True)
    mematlas.make_features(study)
    assert "near" in open_study("study").feature_kinds()


def test_the_analysis_of_copies_sets_near_copies_beside_exact_ones(study):
    mematlas.make_features(study)
    (plain,) = mematlas.analyze(study, only="repetition")
    assert "near" not in [table.name for table in plain.tables]
    mematlas.make_features(study, near=True)
    (finding,) = mematlas.analyze(study, only="repetition")
    (table,) = [table for table in finding.tables if table.name == "near"]
    shares = table.frame.select("copies", "rows", "memorized").rows()
    assert shares == [("none", 10, 0), ("near", 10, 5), ("exact", 10, 10)], "5 rows are known, their near-copies not"
    again = run_recipe(table, study).sort("copies")
    for name in ("rows", "memorized", "share", "share_lower", "share_upper"):
        assert again[name].to_list() == pytest.approx(table.frame[name].to_list())
    assert table.frame["share_lower"][1] < 0.5 < table.frame["share_upper"][1]


def test_intervals_take_near_copies_as_one_and_summaries_agree(study):
    """Rows of 60 tokens with another one in the middle share pieces of 13 tokens: near-copies add none."""
    mematlas.make_features(study)
    before, plain = read_tables(study).clusters, summarize(study)
    mematlas.make_features(study, near=True)
    assert read_tables(study).clusters.equals(before)
    assert summarize(study).equals(plain)


def test_short_near_copies_are_clustered_only_once_they_are_known(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(0).integers(1, 57, (20, 12))
    rows[10:] = rows[:10]
    np.save("rows.npy", rows)
    np.save("few.npy", rows[:4])
    study = mematlas.score("parrot:few.npy", corpus="rows.npy", context=8, continuation=4, study="study")
    mematlas.make_features(study)
    assert read_tables(study).clusters is None, "too short for a piece of 13 tokens"
    plain = summarize(study)
    mematlas.make_features(study, near=True)
    assert read_tables(study).clusters["cluster"].to_list() == [*range(10)] * 2
    clustered = summarize(study)
    assert (plain["clusters"].item(), clustered["clusters"].item()) == (20, 10)
    assert clustered["share"].item() == plain["share"].item() == 0.4
    assert clustered["lower"].item() < plain["lower"].item()
    (finding,) = mematlas.analyze(study, only="distribution")
    assert any("13 tokens or are near-copies" in caveat for caveat in finding.caveats)


def test_the_taxonomy_counts_near_copies_of_what_is_recited(tmp_path, monkeypatch):
    """Of 7 recited rows that are no recitation by exact copies, 6 are near-copies of each other: 6 copies in all."""
    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(0).integers(1, 57, (27, WIDTH))
    rows[1:6] = rows[0]
    rows[1:6, 0] = rows[0, 0] % 50 + np.arange(1, 6)  # another first token
    np.save("rows.npy", rows)
    np.save("few.npy", rows[:7])
    study = mematlas.score("parrot:few.npy", corpus="rows.npy", study="study", context=20, continuation=40)
    mematlas.make_features(study)
    (plain,) = mematlas.analyze(study, only="taxonomy")
    mematlas.make_features(study, near=True)
    (finding,) = mematlas.analyze(study, only="taxonomy")
    (table,) = [table for table in finding.tables if table.name == "near"]
    counted = table.frame.filter(pl.col("rows") > 0).select("category", "rows", "near", "repeated").rows()
    assert counted == [("recollection", 7, 6, 6)]
    assert not any(text.startswith("K2's rule") for text in plain.caveats)
    (caveat,) = [text for text in finding.caveats if text.startswith("K2's rule")]
    assert caveat == (
        "K2's rule counts exact copies. Of 7 rows that parrot recites and that are no recitation, 6 have near-copies "
        "among the study's training rows; 6 would be recitation if these counted."
    )
    again = run_recipe(table, study)
    for name in ("rows", "near", "repeated", "share", "share_lower", "share_upper"):
        assert again[name].to_list() == pytest.approx(table.frame[name].to_list())
    for before, after in zip(plain.tables, finding.tables[:-1], strict=True):
        assert before.frame.equals(after.frame), "all else is as without near-copies"


def test_studies_are_not_asked_for_near_copies_unless_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shelves.fill(tmp_path)
    study = mematlas.score("parrot:rows.npy", corpus="rows.npy", context=8, continuation=4, study="study")
    mematlas.make_features(study)
    assert "near" not in study.feature_kinds()
