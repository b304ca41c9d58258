"""Examples for predictors, read from a scored study and compared with its tables."""

import numpy as np
import polars as pl
import pytest

import mematlas
from mematlas.errors import StudyError
from mematlas.predictors.examples import read_examples
from mematlas.predictors.groups import document_groups
from tests import tiny_networks as networks
from tests.predictors.synthetic_examples import study

CONTEXT, LENGTH, NEAREST = 32, 16, 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("shelf")


@pytest.fixture(scope="module")
def scored(folder):
    return study(folder)


def entropies_of(scored, kind, model):
    return dict(scored.signals(kind).filter(model=model).select("row", "entropy").iter_rows())


def test_rows_and_roles_are_those_of_the_study(scored):
    result, states = read_examples(scored, "b", ["entropy"]), scored.states("b")
    roles = dict(scored.rows().select("row", "role").iter_rows())
    assert result.rows.tolist() == states.rows.tolist()
    assert result.train.tolist() == [roles[row] == "train" for row in result.rows.tolist()]
    assert {*result.train} == {True, False}
    assert np.array_equal(result.hits, states.hits)
    assert np.array_equal(result.states, states.states)
    assert result.states.shape == (len(result.rows), CONTEXT + LENGTH - 1, 32)
    assert (result.names, result.context, result.layer) == (("entropy",), CONTEXT, "last")
    assert read_examples(scored, "wide", []).inputs.shape == (*read_examples(scored, "wide", []).states.shape[:2], 0)


def test_entropies_are_at_the_state_that_they_are_computed_from(scored):
    """Position p, after the p-th token was read: the record's entry of token p + 1, of the truth, then of the text."""
    result = read_examples(scored, "a", ["entropy"])
    truth, free = entropies_of(scored, "truth", "a"), entropies_of(scored, "free", "a")
    for row, values in zip(result.rows.tolist(), result.inputs[..., 0], strict=True):
        assert values[:CONTEXT] == pytest.approx(truth[row][1 : CONTEXT + 1], abs=1e-4)
        assert values[CONTEXT - 1 :] == pytest.approx(free[row], abs=1e-6)
        assert len(free[row]) == LENGTH


def test_entropies_are_those_of_the_states(scored, folder):
    """Independently of any record: the head's distribution at each recorded state."""
    import torch
    from transformers import AutoModelForCausalLM

    head = AutoModelForCausalLM.from_pretrained(folder / "a").get_output_embeddings()
    result = read_examples(scored, "a", ["entropy"])
    with torch.inference_mode():
        chances = head(torch.from_numpy(result.states[:9].astype(np.float32))).log_softmax(-1).double()
    assert result.inputs[:9, :, 0] == pytest.approx(-(chances.exp() * chances).sum(-1).numpy(), abs=2e-3)


@pytest.mark.parametrize(
    ("signals", "known"), [(["hidden", "free"], slice(CONTEXT - 1, None)), (["hidden", "truth"], slice(0, CONTEXT))]
)
def test_an_entropy_that_was_not_recorded_is_unknown(folder, scored, signals, known):
    full = read_examples(scored, "b", ["entropy"])
    partial = read_examples(
        study(folder, ("b",), study=folder / f"only {signals[1]}", signals=signals), "b", ["entropy"]
    )
    is_known = np.isfinite(partial.inputs[..., 0])
    assert is_known[:, known].all()
    assert is_known.sum() == is_known[:, known].sum()
    assert partial.inputs[:, known] == pytest.approx(full.inputs[:, known], abs=1e-4)


def test_without_entropies_the_remedy_is_named(folder):
    bare = study(folder, ("a",), study=folder / "bare", signals=["hidden"])
    with pytest.raises(
        StudyError, match=r"contains no entropies; score with --signals hidden --signals free \(and trut"
    ):
        read_examples(bare, "a", ["entropy"])
    assert read_examples(bare, "a", []).names == ()


def test_weights_make_the_sample_represent_all_scored_rows(folder):
    """At most 25 rows of states, 5 per level: fewer than were scored at the common levels."""
    few = study(folder, ("a",), study=folder / "few", hidden_rows=25)
    result = read_examples(few, "a", [])
    scores = few.scores().filter(model="a", continuation=NEAREST).join(few.rows(), on="row")
    records = scores.with_columns(level=pl.min_horizontal(5 * pl.col("matches") // NEAREST, 4))
    assert len(result.rows) < records.height == 140
    for role in ("train", "control"):
        for level in range(5):
            is_sampled = (result.train == (role == "train")) & (result.levels == level)
            scored_rows = records.filter(role=role, level=level).height
            assert result.weights[is_sampled].sum() == pytest.approx(scored_rows if is_sampled.any() else 0)
            assert len(set(result.weights[is_sampled])) <= 1
    assert result.weights.max() > 2


def test_frequencies_are_known_within_the_context_only(folder):
    counted = study(folder, ("a",), study=folder / "counted")
    with pytest.raises(StudyError, match=r"features"):
        read_examples(counted, "a", ["frequency"])
    assert len(set(read_examples(counted, "a", []).groups)) == len(read_examples(counted, "a", []).rows)
    mematlas.make_features(counted)
    result = read_examples(counted, "a", ["frequency", "entropy"])
    assert result.names == ("entropy", "unigrams", "bigrams", "trigrams")
    records = {record["row"]: record for record in counted.features("counts").iter_rows(named=True)}
    for index, row in enumerate(result.rows.tolist()):
        for column, name in enumerate(result.names[1:], 1):
            counts = np.array(records[row][name][:CONTEXT], float)
            assert result.inputs[index, :CONTEXT, column] == pytest.approx(np.log10(1 + counts), abs=1e-6, nan_ok=True)
    assert np.isnan(result.inputs[:, CONTEXT:, 1:]).all()
    assert np.isfinite(result.inputs[:, 5:CONTEXT, 1:]).all()
    # rows n, n + 40 and n + 80 have their context in common
    groups = document_groups(counted, [3, 43, 83, 4, 125])
    assert groups.tolist() == [0, 0, 0, 1, 2]
    group_of = dict(zip(result.rows.tolist(), result.groups.tolist(), strict=True))
    assert all(group_of[row] == group_of[row + 40] for row in range(40) if {row, row + 40} <= group_of.keys())
    assert len(set(group_of.values())) < len(group_of)


def test_rows_that_are_too_short_for_the_longest_continuation_keep_their_entropies(tmp_path):
    """Such rows have records of a shorter cell, which are not cut off."""
    network, shape = networks.neox(), networks.grid((32,), (30, 38))
    networks.save_network(network, tmp_path / "a")
    rows = networks.partly_recited_rows(network, shape, 24)
    records = [{"tokens": (row[:66] if number < 12 else row).tolist()} for number, row in enumerate(rows)]
    pl.DataFrame(records).write_parquet(tmp_path / "rows.parquet")
    scored = mematlas.score(
        str(tmp_path / "a"),
        corpus=str(tmp_path / "rows.parquet"),
        study=tmp_path / "study",
        context=[32],
        continuation=[30, 38],
        signals=["hidden", "free", "truth"],
    )
    result = read_examples(scored, "a", ["entropy"])
    short = (result.hits == -1).any(1)
    assert short.sum() == 12
    is_known = np.isfinite(result.inputs[..., 0])
    assert is_known[short].sum(1).tolist() == [32 - 1 + 34] * 12
    assert is_known[~short].all()
