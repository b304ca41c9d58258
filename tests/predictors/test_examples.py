"""What predictors learn from, read from a scored study and compared with its tables."""

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


def plain(scored, kind, model):
    return dict(scored.signals(kind).filter(model=model).select("row", "entropy").iter_rows())


def test_rows_and_roles_are_those_of_the_study(scored):
    found, states = read_examples(scored, "b", ["entropy"]), scored.states("b")
    roles = dict(scored.rows().select("row", "role").iter_rows())
    assert found.rows.tolist() == states.rows.tolist()
    assert found.train.tolist() == [roles[row] == "train" for row in found.rows.tolist()]
    assert {*found.train} == {True, False}
    assert np.array_equal(found.hits, states.hits)
    assert np.array_equal(found.states, states.states)
    assert found.states.shape == (len(found.rows), CONTEXT + LENGTH - 1, 32)
    assert (found.names, found.context, found.layer) == (("entropy",), CONTEXT, "last")
    assert read_examples(scored, "wide", []).inputs.shape == (*read_examples(scored, "wide", []).states.shape[:2], 0)


def test_entropies_stand_at_the_state_that_they_are_read_from(scored):
    """Position p, after the p-th token was read: the record's entry of token p + 1, of the truth, then of the text."""
    found = read_examples(scored, "a", ["entropy"])
    truth, free = plain(scored, "truth", "a"), plain(scored, "free", "a")
    for row, values in zip(found.rows.tolist(), found.inputs[..., 0], strict=True):
        assert values[:CONTEXT] == pytest.approx(truth[row][1 : CONTEXT + 1], abs=1e-4)
        assert values[CONTEXT - 1 :] == pytest.approx(free[row], abs=1e-6)
        assert len(free[row]) == LENGTH


def test_entropies_are_those_of_the_states(scored, folder):
    """Without trusting any record: the head's distribution at each kept state."""
    import torch
    from transformers import AutoModelForCausalLM

    head = AutoModelForCausalLM.from_pretrained(folder / "a").get_output_embeddings()
    found = read_examples(scored, "a", ["entropy"])
    with torch.inference_mode():
        chances = head(torch.from_numpy(found.states[:9].astype(np.float32))).log_softmax(-1).double()
    assert found.inputs[:9, :, 0] == pytest.approx(-(chances.exp() * chances).sum(-1).numpy(), abs=2e-3)


@pytest.mark.parametrize(
    ("signals", "known"), [(["hidden", "free"], slice(CONTEXT - 1, None)), (["hidden", "truth"], slice(0, CONTEXT))]
)
def test_an_entropy_that_was_not_recorded_is_not_known(folder, scored, signals, known):
    full = read_examples(scored, "b", ["entropy"])
    some = read_examples(study(folder, ("b",), study=folder / f"only {signals[1]}", signals=signals), "b", ["entropy"])
    there = np.isfinite(some.inputs[..., 0])
    assert there[:, known].all()
    assert there.sum() == there[:, known].sum()
    assert some.inputs[:, known] == pytest.approx(full.inputs[:, known], abs=1e-4)


def test_without_entropies_the_remedy_is_named(folder):
    bare = study(folder, ("a",), study=folder / "bare", signals=["hidden"])
    with pytest.raises(StudyError, match=r"holds no entropies; score with --signals hidden --signals free \(and truth"):
        read_examples(bare, "a", ["entropy"])
    assert read_examples(bare, "a", []).names == ()


def test_weights_make_the_sample_stand_for_all_that_was_scored(folder):
    """25 rows of states at most, 5 a level: fewer than were scored at the common levels."""
    few = study(folder, ("a",), study=folder / "few", hidden_rows=25)
    found = read_examples(few, "a", [])
    scores = few.scores().filter(model="a", continuation=NEAREST).join(few.rows(), on="row")
    lines = scores.with_columns(level=pl.min_horizontal(5 * pl.col("matches") // NEAREST, 4))
    assert len(found.rows) < lines.height == 140
    for role in ("train", "control"):
        for level in range(5):
            picked = (found.train == (role == "train")) & (found.levels == level)
            everyone = lines.filter(role=role, level=level).height
            assert found.weights[picked].sum() == pytest.approx(everyone if picked.any() else 0)
            assert len(set(found.weights[picked])) <= 1
    assert found.weights.max() > 2


def test_frequencies_stand_at_the_context_and_nowhere_behind_it(folder):
    counted = study(folder, ("a",), study=folder / "counted")
    with pytest.raises(StudyError, match=r"features"):
        read_examples(counted, "a", ["frequency"])
    assert len(set(read_examples(counted, "a", []).groups)) == len(read_examples(counted, "a", []).rows)
    mematlas.make_features(counted)
    found = read_examples(counted, "a", ["frequency", "entropy"])
    assert found.names == ("entropy", "unigrams", "bigrams", "trigrams")
    lines = {line["row"]: line for line in counted.features("counts").iter_rows(named=True)}
    for place, row in enumerate(found.rows.tolist()):
        for column, name in enumerate(found.names[1:], 1):
            counts = np.array(lines[row][name][:CONTEXT], float)
            assert found.inputs[place, :CONTEXT, column] == pytest.approx(np.log10(1 + counts), abs=1e-6, nan_ok=True)
    assert np.isnan(found.inputs[:, CONTEXT:, 1:]).all()
    assert np.isfinite(found.inputs[:, 5:CONTEXT, 1:]).all()
    # rows n, n + 40 and n + 80 have their context in common
    groups = document_groups(counted, [3, 43, 83, 4, 125])
    assert groups.tolist() == [0, 0, 0, 1, 2]
    kept = dict(zip(found.rows.tolist(), found.groups.tolist(), strict=True))
    assert all(kept[row] == kept[row + 40] for row in range(40) if {row, row + 40} <= kept.keys())
    assert len(set(kept.values())) < len(kept)


def test_rows_that_are_too_short_for_the_longest_continuation_keep_their_entropies(tmp_path):
    """Such rows have records of a shorter cell; these are cut off nowhere."""
    network, shape = networks.neox(), networks.grid((32,), (30, 38))
    networks.saved(network, tmp_path / "a")
    rows = networks.half_recited(network, shape, 24)
    lines = [{"tokens": (row[:66] if number < 12 else row).tolist()} for number, row in enumerate(rows)]
    pl.DataFrame(lines).write_parquet(tmp_path / "rows.parquet")
    found = mematlas.score(
        str(tmp_path / "a"),
        corpus=str(tmp_path / "rows.parquet"),
        study=tmp_path / "study",
        context=[32],
        continuation=[30, 38],
        signals=["hidden", "free", "truth"],
    )
    made = read_examples(found, "a", ["entropy"])
    short = (made.hits == -1).any(1)
    assert short.sum() == 12
    there = np.isfinite(made.inputs[..., 0])
    assert there[short].sum(1).tolist() == [32 - 1 + 34] * 12
    assert there[~short].all()
